// Package bedrock is the codec of Amazon Bedrock's Converse and ConverseStream (translate.Provider), and of the embedding and
// rerank models behind its InvokeModel. No application's schema is served: the gateway speaks it upstream only.
//
// Facts are of the vendor's description of the service as its SDKs carry it (aws-sdk-go-v2 bedrockruntime v1.63.11, botocore
// 1.44.5) and of its user guide; a comment names the row (D1–D136) of the project's mapping table where one decided. Envoy
// signs the request (SigV4) after the last change of it.
package bedrock

import (
	"unsafe"

	"dragoman/translate"
	"dragoman/translate/chat"
)

// Codec is the Converse schema. It holds no state.
type Codec struct{}

// New is a Codec.
func New() Codec { return Codec{} }

var _ translate.Provider = Codec{}

// Schema is chat.Bedrock.
func (Codec) Schema() chat.Schema { return chat.Bedrock }

// ClientHeaders is none: what a client of this schema could say in headers are AWS's own credentials.
func (Codec) ClientHeaders() []string { return nil }

// Rewrite passes the client's bytes: model and streaming are in the path (D130), usage is in every answer (D95).
func (Codec) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	return &translate.Upstream{Path: conversePath(t, h.Stream), Body: h.Body}, nil
}

func conversePath(t translate.Target, stream bool) string {
	if stream {
		return modelPath(t, "/converse-stream")
	}
	return modelPath(t, "/converse")
}

// modelPath is the path of a model's operation. Ids have colons and ARNs slashes: everything but the unreserved characters
// of RFC 3986 is escaped, as the vendor's SDKs do. A signer then escapes the path once more for its canonical request.
func modelPath(t translate.Target, operation string) string {
	b := make([]byte, 0, len(t.BasePath)+len(t.Model)+40)
	b = append(append(b, t.BasePath...), "/model/"...)
	for i := range len(t.Model) {
		if c := t.Model[i]; plain(c) || c == '.' || c == '~' {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(append(b, operation...))
}

const upperHex = "0123456789ABCDEF"

// plain says whether c may stand in a tool's name or a call's id: ^[a-zA-Z0-9_-]+$.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c) || c == '_' || c == '-'
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// view is b as a string without a copy, for bytes that nobody writes to while the string lives.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
