package ops

import "fmt"

// wantEqual is an error that names what differs.
func wantEqual[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: %v, want %v", what, got, want)
	}
	return nil
}
