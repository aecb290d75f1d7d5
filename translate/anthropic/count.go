package anthropic

import (
	"slices"
	"strconv"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// countPath is where count_tokens goes, below the endpoint's base path.
const countPath = messagesPath + "/count_tokens"

// CountTokens is the operation that counts a prompt's tokens without an answer. Its body is that of Messages without
// max_tokens and what else only shapes an answer. It holds no state.
type CountTokens struct{ translate.WholeOnly }

var (
	_ translate.Client   = CountTokens{}
	_ translate.Provider = CountTokens{}
)

// Schema is chat.Anthropic.
func (CountTokens) Schema() chat.Schema { return chat.Anthropic }

// ClientHeaders is Codec's.
func (CountTokens) ClientHeaders() []string { return clientHeaders }

// EncodeFault is Codec's.
func (CountTokens) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	return Codec{}.EncodeFault(f, requestID)
}

// DecodeFault is Codec's.
func (CountTokens) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return Codec{}.DecodeFault(status, header, body)
}

// Parse validates body and reads its head, as Codec's does.
func (CountTokens) Parse(body []byte) (*chat.Head, error) {
	p := parser{Scanner: strictjson.New(body), h: &chat.Head{Schema: chat.Anthropic, N: 1, Body: body}}
	defer p.Release()
	for p.Enter(strictjson.Object); p.Next(); {
		p.member(p.Key())
	}
	if err := p.End(); err != nil {
		return nil, err
	}
	p.seen.maxTokens = true // not of this operation
	if f := p.missing(); f != nil {
		return nil, f
	}
	p.h.Fields, p.h.Stream = p.Fields(), false
	return p.h, nil
}

// Decode reads the whole request.
func (CountTokens) Decode(h *chat.Head) (*chat.Request, error) { return Codec{}.Decode(h) }

// Rewrite changes the model in the client's bytes and nothing else.
func (CountTokens) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	model := strictjson.AppendString(make([]byte, 0, len(t.Model)+2), t.Model)
	return sendCount(t, strictjson.Set(h.Body, h.Fields, strictjson.Member{Name: "model", Value: model})), nil
}

// sendCount is the request as the provider gets it. On Vertex the operation is a model of its own, and the body stays as it is.
func sendCount(t translate.Target, body []byte) *translate.Upstream {
	up := upstream(t, body)
	up.Path = t.BasePath + countPath
	if t.Dialect == Vertex {
		up.Path = t.BasePath + "/models/count-tokens:rawPredict"
		up.Headers = []translate.Header{{Name: betaHeader}, {Name: "anthropic-version"}}
	}
	return up
}

// Encode writes the prompt of a request that came in another schema. What only shapes an answer is no part of it, and so
// is not named as dropped.
func (CountTokens) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	prompt := *r
	prompt.Temperature, prompt.TopP, prompt.TopK, prompt.Stop, prompt.Seed, prompt.N = nil, nil, nil, nil, nil, nil
	prompt.FrequencyPenalty, prompt.PresencePenalty, prompt.LogProbs, prompt.TopLogProbs = nil, nil, nil, nil
	prompt.User, prompt.Stream, prompt.IncludeUsage = "", false, false
	plain := t
	plain.Dialect = ""
	up, err := Codec{}.Encode(&prompt, plain)
	if err != nil {
		return nil, err
	}
	fields, err := strictjson.Scan(up.Body)
	if err != nil {
		return nil, err
	}
	counted := sendCount(t, without(up.Body, fields, "max_tokens"))
	counted.Dropped = up.Dropped
	return counted, nil
}

// without takes a member that is not the first out of a body.
func without(body []byte, fields []chat.Field, name string) []byte {
	i := slices.IndexFunc(fields, func(f chat.Field) bool { return f.Name == name })
	if i <= 0 {
		return body
	}
	return slices.Delete(body, fields[i-1].End, fields[i].End)
}

// EncodeCount is the answer of count_tokens for n input tokens.
func EncodeCount(n int64) []byte {
	return append(strconv.AppendInt([]byte(`{"input_tokens":`), n, 10), '}')
}

// EncodeResponse writes the count.
func (CountTokens) EncodeResponse(r *chat.Response, _ translate.Answer) ([]byte, error) {
	if r.Count == nil {
		return nil, fault.New(fault.ProviderFailed, "The provider's answer holds no count of tokens.")
	}
	return EncodeCount(*r.Count), nil
}

// DecodeResponse reads the count. Counting uses no tokens.
func (CountTokens) DecodeResponse(body []byte) (*chat.Response, error) {
	n, f := readCount(body)
	if f != nil {
		return nil, f
	}
	return &chat.Response{Count: &n}, nil
}

// PeekResponse refuses what DecodeResponse refuses.
func (CountTokens) PeekResponse(body []byte) (translate.Seen, error) {
	if _, f := readCount(body); f != nil {
		return translate.Seen{}, f
	}
	return translate.Seen{Content: true, End: true}, nil
}

func readCount(body []byte) (n int64, f *fault.Fault) {
	s := strictjson.NewLenient(body)
	defer s.Release()
	known := false
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "input_tokens" && s.Kind() == strictjson.Number {
			known, n = true, min(max(s.Int(), 0), maxCount)
		}
	}
	if err := s.End(); err == nil && known {
		return n, nil
	}
	if kind, text := errorOf(body); text != "" {
		return 0, heard(kind, text, 0)
	}
	return 0, fault.New(fault.ProviderFailed, "The provider answered with what is no count of tokens: %s", wire.Clip(body))
}
