package gemini

import (
	"encoding/base64"
	"strings"

	"dragoman/translate/chat"
)

// A thoughtSignature is bytes, in base64. The service puts it on a call, on a text or on a thought; the neutral form has
// it on thinking only, because every client can carry signed thinking and most can carry nothing else (D79, D80):
//
//	{functionCall, signature}   Thinking without text, signed; ToolCall
//	{text, signature}           Text; Thinking without text, signed
//	{thought, signature}        Thinking, signed
//
// Clients of this schema in turn carry what other providers signed, in an envelope.
const (
	envelope = "dragoman:"
	redacted = "redacted:" // within it: the data of RedactedThinking
)

// skipSignature is what Google documents for calls that come from elsewhere (another provider's model, a client that
// lost the signature): the validator lets them through, at the cost of the model's reasoning. It is used last.
const skipSignature = "skip_thought_signature_validator"

// showSignature is a neutral signature as a client of this schema gets it.
func showSignature(kind chat.PartKind, signature string) string {
	if own, ok := chat.SignedBy(chat.Gemini, signature); ok && kind == chat.Thinking {
		return own
	}
	if kind == chat.RedactedThinking {
		signature = redacted + signature
	}
	return base64.StdEncoding.EncodeToString([]byte(envelope + signature))
}

// hearSignature undoes showSignature.
func hearSignature(text string) (kind chat.PartKind, signature string) {
	if text == "" {
		return chat.Thinking, ""
	}
	if raw, err := base64.StdEncoding.DecodeString(standard(text)); err == nil {
		if rest, ours := strings.CutPrefix(string(raw), envelope); ours {
			if data, hidden := strings.CutPrefix(rest, redacted); hidden {
				return chat.RedactedThinking, data
			}
			return chat.Thinking, rest
		}
	}
	return chat.Thinking, chat.Sign(chat.Gemini, text)
}

// standard is base64 in the standard alphabet: proto JSON takes both, with padding or without.
func standard(data string) string {
	if strings.ContainsAny(data, "-_") {
		data = strings.NewReplacer("-", "+", "_", "/").Replace(data)
	}
	if n := len(data) % 4; n > 1 && !strings.HasSuffix(data, "=") {
		data += "=="[:4-n]
	}
	return data
}
