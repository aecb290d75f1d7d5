package vault

import "fmt"

// Kind is what stands in the way of a secret: a label of metrics.
type Kind string

// The kinds.
const (
	Away    Kind = "away"    // no answer, or a server that does not serve
	Sealed  Kind = "sealed"  // somebody must unseal it
	Limited Kind = "limited" // by a quota of requests
	Denied  Kind = "denied"  // by policy, or for want of a valid token
	Missing Kind = "missing" // no such secret or field, deleted, destroyed
	Invalid Kind = "invalid" // an answer that is none of Vault's, or a secret that is no text
)

// Kinds are all of them.
var Kinds = []Kind{Away, Sealed, Limited, Denied, Missing, Invalid}

// Error is why something could not be had of Vault. It holds no secret.
type Error struct {
	Kind   Kind
	Text   string
	Status int // of HTTP, 0 without an answer

	again bool   // trying again at once may help
	body  []byte // of a 404: a deleted secret has its metadata there
}

// Error is the text.
func (e *Error) Error() string { return e.Text }

// passing says whether Vault as a whole is in no state to answer, so that asking it for more is no use now.
func (e *Error) passing() bool { return e.Kind == Away || e.Kind == Sealed || e.Kind == Limited }

func failure(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}
