// Package responses is the codec of OpenAI's Responses API, for applications that speak it (translate.Client) and for
// providers that do (translate.Provider). Facts are of the vendor's OpenAPI description of August 2026 and of its SDKs for
// Go (v3.95.0) and Python; a comment names the row (D1–D136) of the project's mapping table where one decided.
//
// The schema is stateful: a request may continue an earlier answer (previous_response_id) or name an earlier item
// (item_reference). Both are the gateway's own affair: Continue puts what is meant in their place, so that everything behind
// it sees a request that says all it has to say. See stored.go for that side of the codec.
//
// Thinking of other vendors' models travels in reasoning items: its text as the summary, its signature, marked, as
// encrypted_content (see reasoning.go), so that it comes back with the next request and no OpenAI provider ever sees it.
package responses

import (
	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
	"dragoman/translate/strictjson"
)

// responsesPath is where requests go, below the endpoint's base path.
const responsesPath = "/responses"

// Codec is the Responses schema. It holds no state.
type Codec struct{}

// New is a Codec.
func New() Codec { return Codec{} }

var (
	_ translate.Client   = Codec{}
	_ translate.Provider = Codec{}
)

// errorWords: the errors of all of OpenAI's APIs are the same.
var errorWords = openai.Codec{}

// Schema is chat.Responses.
func (Codec) Schema() chat.Schema { return chat.Responses }

// ClientHeaders is empty: the schema's own request headers (openai-organization, openai-project) name things of the
// credential's account, which is the gateway's.
func (Codec) ClientHeaders() []string { return nil }

// Rewrite changes the model. Usage needs no asking for: every answer reports it. Reasoning items that another vendor's model
// made, which the provider would refuse (D78), are taken out of the input; everything else passes, unknown members too.
func (Codec) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	set := make([]strictjson.Member, 0, 2)
	if t.Model != h.Model {
		model := strictjson.AppendString(make([]byte, 0, len(t.Model)+2), t.Model)
		set = append(set, strictjson.Member{Name: "model", Value: model})
	}
	var dropped []string
	if input, found := withoutForeign(h); found {
		set = append(set, strictjson.Member{Name: inputMember, Value: input})
		dropped = []string{ownThinkingMember}
	}
	body := h.Body
	if len(set) > 0 {
		body = strictjson.Set(body, h.Fields, set...)
	}
	return &translate.Upstream{Path: t.BasePath + responsesPath, Body: body, Dropped: dropped}, nil
}

// EncodeFault is an error in OpenAI's words.
func (Codec) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	return errorWords.EncodeFault(f, requestID)
}

// DecodeFault classifies a non-2xx answer by OpenAI's table.
func (Codec) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return errorWords.DecodeFault(status, header, body)
}

func ptr[T any](v T) *T { return &v }
