// Command builtin makes internal/classify/builtin.json; go generate ./internal/train runs it.
package main

import (
	"fmt"
	"os"

	"dragoman/internal/train"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "builtin:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	rows, err := train.ReadRows(from, train.Fields{})
	if err != nil {
		return err
	}
	weights, err := train.Builtin(rows)
	if err != nil {
		return err
	}
	return os.WriteFile(to, append(weights, '\n'), 0o644)
}
