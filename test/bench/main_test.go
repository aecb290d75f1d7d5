package main

import (
	"bytes"
	"context"
	"os"
	"testing"
)

// TestMain lets the test binary be started again as the fake provider, as the benchmark does with itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "provider" {
		os.Exit(command(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestCommandSaysWhatIsWrongWithItsArguments(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, 0, "--against"},
		{[]string{"--nonsense"}, 2, "nonsense"},
		{[]string{"more"}, 2, `unexpected argument "more"`},
		{[]string{"provider", "--listen", "nowhere"}, 1, "nowhere"},
	} {
		var out, errs bytes.Buffer
		if got := command(t.Context(), c.args, &out, &errs); got != c.code {
			t.Errorf("%q: exit code %d, want %d", c.args, got, c.code)
		}
		if !bytes.Contains(bytes.ReplaceAll(errs.Bytes(), []byte(" -"), []byte(" --")), []byte(c.says)) {
			t.Errorf("%q: says %q, want %q in it", c.args, errs.String(), c.says)
		}
	}
}
