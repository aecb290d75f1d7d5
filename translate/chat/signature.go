package chat

import "strings"

// Sign marks a provider's opaque signature with the schema whose provider made it, so that it survives any client and is
// shown to no other provider, which would refuse the request for it (D78). Anthropic's own stay unmarked: its clients send
// back what they were given.
func Sign(by Schema, signature string) string {
	if signature == "" || by == Anthropic {
		return signature
	}
	return string(by) + ":" + signature
}

// SignedBy is what Sign was given. ok is false for the signature of another schema's provider, and for none.
func SignedBy(by Schema, signature string) (own string, ok bool) {
	if signature == "" {
		return "", false
	}
	maker, rest, marked := strings.Cut(signature, ":") // base64 has no colon
	if !marked {
		return signature, by == Anthropic
	}
	return rest, maker == string(by)
}
