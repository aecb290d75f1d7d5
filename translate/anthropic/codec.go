// Package anthropic is the codec of Anthropic's Messages API, for applications that speak it (translate.Client) and for
// providers that do (translate.Provider). Facts are of the vendor's Go SDK, v1.84.0, and of its documentation; a comment
// names the row (D1–D136) of the project's mapping table where one decided.
package anthropic

import (
	"unsafe"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Version is the value of the anthropic-version header that every request carries. The gateway sets it: bodies are
// written and read by this version's rules, whatever a client named.
const Version = "2023-06-01"

// messagesPath is where requests go, below the endpoint's base path, which holds the version: /v1.
const messagesPath = "/messages"

// Codec is the Messages schema. It holds no state.
type Codec struct{}

// New is a Codec.
func New() Codec { return Codec{} }

var (
	_ translate.Client   = Codec{}
	_ translate.Provider = Codec{}
	_ translate.Lister   = Codec{}
)

// Schema is chat.Anthropic.
func (Codec) Schema() chat.Schema { return chat.Anthropic }

// clientHeaders are what a client may say to a provider of the same schema. anthropic-version is not among them (Version),
// nor anthropic-workspace-id and anthropic-user-profile-id: they name things of the credential's account, which is the
// gateway's.
var clientHeaders = []string{"anthropic-beta"}

// ClientHeaders names the request headers that may pass: anthropic-beta, without which newer members of the body are
// refused.
func (Codec) ClientHeaders() []string { return clientHeaders }

// Rewrite changes the model in the client's bytes and nothing else: usage is always in a Messages stream. For Vertex it moves
// what is said elsewhere there.
func (Codec) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	body, fields := h.Body, h.Fields
	if clean := unmade(body); clean != nil {
		var err error
		if fields, err = strictjson.Scan(clean); err != nil {
			return nil, err
		}
		body = clean
	}
	if t.Dialect == Vertex {
		return send(t, body, fields, h.Stream)
	}
	model := strictjson.AppendString(make([]byte, 0, len(t.Model)+2), t.Model)
	body = strictjson.Set(body, fields, strictjson.Member{Name: "model", Value: model})
	return upstream(t, body), nil
}

func upstream(t translate.Target, body []byte) *translate.Upstream {
	return &translate.Upstream{
		Path:    t.BasePath + messagesPath,
		Headers: []translate.Header{{Name: "anthropic-version", Value: Version}},
		Body:    body,
	}
}

// view is b as a string without a copy, for bytes that nobody writes to while the string lives.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
