package fakeprovider

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// signer makes the signatures of thinking blocks. They are bound to the fake (its name and schema) and to the block's
// text, so that a forged one, one from another provider, and one whose text was changed are all told apart (D78).
type signer []byte

const (
	signaturePrefix = "ErUB"
	redactedPrefix  = "EmwK"
	omitted         = "\x00omitted" // stands for the text of a block that is shown empty
)

func (s signer) sign(prefix, text string) string {
	m := hmac.New(sha256.New, s)
	m.Write([]byte(prefix + text))
	return prefix + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// thinking signs a block's text. A block that is shown empty (display: omitted) has a signature all the same.
func (s signer) thinking(text string) string { return s.sign(signaturePrefix, text) }

func (s signer) validThinking(text, signature string) bool {
	return hmac.Equal([]byte(signature), []byte(s.thinking(text))) ||
		text == "" && hmac.Equal([]byte(signature), []byte(s.thinking(omitted)))
}

// redacted is opaque data that holds its text.
func (s signer) redacted(text string) string {
	return s.sign(redactedPrefix, text) + "." + base64.RawURLEncoding.EncodeToString([]byte(text))
}

func (s signer) validRedacted(data string) bool {
	_, tail, ok := strings.Cut(data, ".")
	text, err := base64.RawURLEncoding.DecodeString(tail)
	return ok && err == nil && hmac.Equal([]byte(data), []byte(s.redacted(string(text))))
}
