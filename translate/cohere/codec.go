// Package cohere is the codec of Cohere's API v2, for applications that speak it (translate.Client) and for providers that
// do (translate.Provider): Codec for chat, Embeddings for embed, Rerank for rerank. Facts are of the vendor's Go SDK v2.15.3
// and Python SDK 7.3.1 and of its documentation; a comment names the row (D1–D136) of the project's mapping table where
// one decided.
//
// Offsets of citations count characters here and bytes in the neutral form. A model's tool_plan is text before its tool
// calls: that is what other schemas' models do, and what their clients send back (D44).
package cohere

import (
	"unsafe"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Where requests go, below the endpoint's base path, which holds the version: /v2.
const (
	chatPath   = "/chat"
	embedPath  = "/embed"
	rerankPath = "/rerank"
)

// Codec is chat. It holds no state.
type Codec struct{}

// New is a Codec.
func New() Codec { return Codec{} }

var (
	_ translate.Client   = Codec{}
	_ translate.Provider = Codec{}
)

// Schema is chat.Cohere.
func (Codec) Schema() chat.Schema { return chat.Cohere }

// ClientHeaders is empty: x-client-name names the caller's application, which is no business of the provider's.
func (Codec) ClientHeaders() []string { return nil }

// Rewrite changes the model in the client's bytes and nothing else: usage is always in an answer of this schema.
func (Codec) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	return rewrite(h, t, chatPath), nil
}

func rewrite(h *chat.Head, t translate.Target, path string) *translate.Upstream {
	body := h.Body
	if t.Model != h.Model {
		model := strictjson.AppendString(make([]byte, 0, len(t.Model)+2), t.Model)
		body = strictjson.Set(body, h.Fields, strictjson.Member{Name: "model", Value: model})
	}
	return &translate.Upstream{Path: t.BasePath + path, Body: body}
}

// The schema's own words.
const (
	roleSystem    = "system"
	roleUser      = "user"
	roleAssistant = "assistant"
	roleTool      = "tool"

	textType       = "text"
	thinkingType   = "thinking"
	imageType      = "image_url"
	documentType   = "document"
	functionType   = "function"
	jsonObjectType = "json_object"

	choiceRequired = "REQUIRED"
	choiceNone     = "NONE"
)

// ownThinking marks the thinking of a model of Cohere's, which signs none: only such thinking goes back to one (D78).
var ownThinking = chat.Sign(chat.Cohere, "thinking")

// view is b as a string without a copy, for bytes that nobody writes to while the string lives.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func ptr[T any](v T) *T { return &v }
