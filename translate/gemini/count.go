package gemini

import (
	"bytes"
	"strconv"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// CountTokens is the operation countTokens: how many tokens a request's input has. It holds no state. A client asks with
// contents alone, with the members that Vertex AI adds (systemInstruction, tools), or with a whole request in
// generateContentRequest.
type CountTokens struct{ translate.WholeOnly }

var (
	_ translate.Client   = CountTokens{}
	_ translate.Provider = CountTokens{}
)

const countMethod = "countTokens"

// Schema is chat.Gemini.
func (CountTokens) Schema() chat.Schema { return chat.Gemini }

// ClientHeaders is empty, as Codec's.
func (CountTokens) ClientHeaders() []string { return nil }

// EncodeFault is Codec's.
func (CountTokens) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	return Codec{}.EncodeFault(f, requestID)
}

// DecodeFault is Codec's.
func (CountTokens) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return Codec{}.DecodeFault(status, header, body)
}

// Parse validates body and reads its head, but for the model, as Codec's.
func (CountTokens) Parse(body []byte) (*chat.Head, error) {
	p := newParser(body)
	defer p.Release()
	whole := false
	for p.Enter(strictjson.Object); p.Next(); {
		switch key := p.Key(); {
		case string(key) != "generateContentRequest" && string(key) != "generate_content_request":
			p.member(key)
		case p.Kind() != strictjson.Null:
			if whole = true; p.contents {
				p.both()
			}
			for p.Enter(strictjson.Object); p.Next(); {
				p.member(p.Key())
			}
		}
		if whole && string(p.Key()) == "contents" && p.Err() == nil {
			p.both()
		}
	}
	return p.finish()
}

// both: the service takes one of the two.
func (p *parser) both() {
	p.Fail(fault.Invalid("contents", "contents must not stand beside generateContentRequest."))
}

// Decode reads the request whose input is to be counted.
func (CountTokens) Decode(h *chat.Head) (*chat.Request, error) {
	d := newDecoder(h)
	for i := range h.Fields {
		f := &h.Fields[i]
		v := gjson.Parse(view(h.Body[f.Start:f.End]))
		if camel(f.Name) != "generateContentRequest" {
			d.member(f.Name, v)
			continue
		}
		v.ForEach(func(key, m gjson.Result) bool {
			d.member(key.String(), m)
			return d.err == nil
		})
	}
	return d.finish()
}

// Encode writes a request that came in another schema. The Gemini API takes instructions and tools only within a whole
// request, Vertex AI only beside contents.
func (CountTokens) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	e := newEncoder(r, t)
	for i := range r.Tools {
		e.refuseTool(i)
	}
	inner := e.tools(e.conversation(nil))
	if t.Dialect == Vertex || len(e.system) == 0 && len(r.Tools) == 0 {
		return e.finish(append(append([]byte{'{'}, inner...), '}'), countMethod)
	}
	b := strictjson.AppendString([]byte(`{"generateContentRequest":{"model":`), wireName(t.Model))
	return e.finish(append(append(append(b, ','), inner...), `}}`...), countMethod)
}

// Rewrite passes the client's bytes, with the provider's model where they name one.
func (CountTokens) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	body := renamed(h, t.Model)
	for _, name := range [...]string{"generateContentRequest", "generate_content_request"} {
		inner := h.Field(name)
		if inner == nil {
			continue
		}
		fields, err := strictjson.Scan(inner)
		if err != nil {
			continue // null
		}
		inner = renamed(&chat.Head{Body: inner, Fields: fields}, t.Model)
		body = strictjson.Set(h.Body, h.Fields, strictjson.Member{Name: name, Value: inner})
	}
	return &translate.Upstream{Path: path(t, countMethod), Body: body}, nil
}

// EncodeResponse writes the count.
func (CountTokens) EncodeResponse(r *chat.Response, _ translate.Answer) ([]byte, error) {
	n := int64(0)
	if r.Count != nil {
		n = *r.Count
	}
	return append(strconv.AppendInt([]byte(`{"totalTokens":`), n, 10), '}'), nil
}

// DecodeResponse reads the count.
func (CountTokens) DecodeResponse(body []byte) (*chat.Response, error) {
	s := strictjson.NewLenient(body)
	defer s.Release()
	var n *int64
	failed := false
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "totalTokens":
			if s.Kind() == strictjson.Number {
				n = ptr(count(s))
			}
		case "error":
			failed = s.Kind() != strictjson.Null
		}
	}
	if err := s.End(); err != nil || failed {
		if e := errorOf(body); e.present {
			return nil, e.fault(0)
		}
		n = nil
	}
	if n == nil {
		if bytes.Equal(bytes.TrimSpace(body), []byte("{}")) { // proto3 JSON leaves out a zero
			return &chat.Response{Count: new(int64)}, nil
		}
		return nil, fault.New(fault.ProviderFailed, "The provider's answer is not a count of tokens: %s", wire.Clip(body))
	}
	return &chat.Response{Count: n}, nil
}

// PeekResponse refuses what DecodeResponse refuses. Counting costs nothing.
func (c CountTokens) PeekResponse(body []byte) (translate.Seen, error) {
	if _, err := c.DecodeResponse(body); err != nil {
		return translate.Seen{}, err
	}
	return translate.Seen{Content: true, End: true}, nil
}
