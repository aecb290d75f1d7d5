// Package openai is the codec of OpenAI's chat completions, for applications that speak it (translate.Client) and for
// providers that do (translate.Provider): OpenAI itself and the many servers that copied the schema, whose common
// deviations are read as they are meant. Facts are of the vendor's OpenAPI description of August 2026 and of its Go SDK,
// v3.95.0; a comment names the row (D1–D136) of the project's mapping table where one decided.
//
// Extensions that clients may use, because the schema itself has no place for what another one can say (D74, D82):
// `reasoning_content` and `thinking_blocks` of assistant messages (the latter holds Anthropic's signed blocks, so that
// signatures survive a round trip through an OpenAI client), `extra_content.google.thought_signature` of tool calls (as
// Google's own endpoint for OpenAI clients has it), `cache_control` on content parts, messages and tools, `thinking` and
// `top_k` of the request.
//
// How other providers of the schema deviate from it is data: one row each in dialects.go.
package openai

import (
	"unsafe"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// completionsPath is where requests go, below the endpoint's base path.
const completionsPath = "/chat/completions"

// Codec is the chat completions schema. It holds no state.
type Codec struct{}

// New is a Codec.
func New() Codec { return Codec{} }

var (
	_ translate.Client   = Codec{}
	_ translate.Provider = Codec{}
	_ translate.Lister   = Codec{}
)

// Schema is chat.OpenAI.
func (Codec) Schema() chat.Schema { return chat.OpenAI }

// ClientHeaders is empty: the schema's own request headers (openai-organization, openai-project) name things of the
// credential's account, which is the gateway's.
func (Codec) ClientHeaders() []string { return nil }

// includeUsage is what makes a provider report the tokens of a stream, in a last chunk (D92).
var includeUsage = []byte(`{"include_usage":true}`)

// Rewrite changes the client's bytes in two places: the model, and stream_options.include_usage of a stream whose client
// did not ask for the usage (D92; the Tap takes the chunk out again). Everything else passes, unknown members too.
//
// A provider that deviates from the schema gets what its row of dialects says, too.
func (Codec) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	if d := dialectOf(t); d != nil {
		return d.rewrite(h, t)
	}
	set := make([]strictjson.Member, 0, 2)
	if t.Model != h.Model {
		model := strictjson.AppendString(make([]byte, 0, len(t.Model)+2), t.Model)
		set = append(set, strictjson.Member{Name: "model", Value: model})
	}
	if h.Stream && !h.IncludeUsage {
		options, err := streamOptions(h.Field("stream_options"))
		if err != nil {
			return nil, err
		}
		set = append(set, strictjson.Member{Name: "stream_options", Value: options})
	}
	body := h.Body
	if len(set) > 0 {
		body = strictjson.Set(body, h.Fields, set...)
	}
	return &translate.Upstream{Path: t.BasePath + completionsPath, Body: body}, nil
}

// streamOptions is old, which may be absent or null, with include_usage on.
func streamOptions(old []byte) ([]byte, error) {
	if len(old) == 0 || old[0] != '{' {
		return includeUsage, nil
	}
	fields, err := strictjson.Scan(old)
	if err != nil {
		return nil, err
	}
	return strictjson.Set(old, fields, strictjson.Member{Name: "include_usage", Value: []byte("true")}), nil
}

// view is b as a string without a copy, for bytes that nobody writes to while the string lives.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func ptr[T any](v T) *T { return &v }
