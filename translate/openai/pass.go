package openai

import (
	"bytes"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Pass is an operation whose requests go to providers of the schema as they are, but for the model's name. It holds no state.
type Pass struct {
	translate.WholeOnly
	Path     string // where requests go, below the endpoint's base path; "" where the request itself says it
	Text     string // the member whose text is the input
	Optional bool   // the provider has a default for the model
}

// The operations with JSON bodies.
var (
	Moderations = Pass{Path: "/moderations", Text: "input", Optional: true}
	Images      = Pass{Path: "/images/generations", Text: "prompt", Optional: true}
	Speech      = Pass{Path: "/audio/speech", Text: "input"}
	Objects     = Pass{Optional: true} // files and batches, and uploads to any operation
)

var (
	_ translate.Client   = Pass{}
	_ translate.Provider = Pass{}
)

// Schema is chat.OpenAI.
func (Pass) Schema() chat.Schema { return chat.OpenAI }

// ClientHeaders is empty, as Codec's.
func (Pass) ClientHeaders() []string { return nil }

// Parse checks that body is one JSON object, strictly, and reads the model and how much text the input has.
func (o Pass) Parse(body []byte) (*chat.Head, error) {
	p := parser{Scanner: strictjson.New(body), h: &chat.Head{Schema: chat.OpenAI, N: 1, Body: body}}
	defer p.Release()
	for p.Enter(strictjson.Object); p.Next(); {
		switch key := p.Key(); {
		case p.Kind() == strictjson.Null:
		case string(key) == "model":
			p.model = true
			if p.h.Model = p.String(); p.h.Model == "" {
				p.Invalid("model", "must name a model.")
			}
		case o.Text != "" && string(key) == o.Text:
			if p.Kind() == strictjson.String {
				p.text()
			} else {
				p.h.TextBytes += len(p.Skip())
			}
		case string(key) == "n":
			p.h.N = p.Between("n", 1, 128)
		case string(key) == "user":
			p.h.User = p.String()
		}
	}
	if err := p.End(); err != nil {
		return nil, err
	}
	if !p.model && !o.Optional {
		return nil, fault.Invalid("model", "model is required.")
	}
	p.h.Fields = p.Fields()
	return p.h, nil
}

// Rewrite changes the model in the client's bytes and nothing else. Without a model in the target the provider's default serves.
func (o Pass) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	body := h.Body
	if named, _ := stringOfField(h, "model"); t.Model != "" && t.Model != named {
		model := strictjson.AppendString(make([]byte, 0, len(t.Model)+2), t.Model)
		body = strictjson.Set(body, h.Fields, strictjson.Member{Name: "model", Value: model})
	}
	return &translate.Upstream{Path: t.BasePath + o.Path, Body: body}, nil
}

// stringOfField is a member's text; ok is false when it is absent or no string.
func stringOfField(h *chat.Head, name string) (value string, ok bool) {
	raw := h.Field(name)
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	return strictjson.Text(raw), true
}

// PeekResponse reads the usage of a JSON object.
func (Pass) PeekResponse(body []byte) (translate.Seen, error) {
	seen := translate.Seen{Content: true, End: true}
	var failed []byte
	s := strictjson.NewLenient(body)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "id":
			seen.ID = strings.Clone(strictjson.Text(stringOf(s)))
		case "model":
			seen.Model = strings.Clone(strictjson.Text(stringOf(s)))
		case "error": // of a batch's or a file's own errors the member is `errors`
			if s.Kind() != strictjson.Null {
				failed = s.Skip()
			}
		case "usage":
			if s.Kind() == strictjson.Object {
				seen.Usage = readPassUsage(s.Skip())
			}
		}
	}
	switch err := s.End(); {
	case err != nil:
		return translate.Seen{}, notAnAnswer(body)
	case failed != nil:
		return translate.Seen{}, embeddedFault(failed)
	}
	return seen, nil
}

// EncodeFault is Codec's.
func (Pass) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	return Codec{}.EncodeFault(f, requestID)
}

// DecodeFault is Codec's.
func (Pass) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return Codec{}.DecodeFault(status, header, body)
}

// Decode refuses: there is no neutral form of what only passes.
func (Pass) Decode(*chat.Head) (*chat.Request, error) { return nil, untranslated() }

// Encode refuses, as Decode.
func (Pass) Encode(*chat.Request, translate.Target) (*translate.Upstream, error) {
	return nil, untranslated()
}

// DecodeResponse refuses, as Decode.
func (Pass) DecodeResponse([]byte) (*chat.Response, error) { return nil, untranslated() }

// EncodeResponse refuses, as Decode.
func (Pass) EncodeResponse(*chat.Response, translate.Answer) ([]byte, error) {
	return nil, untranslated()
}

func untranslated() *fault.Fault {
	return fault.New(fault.Unsupported, "This operation goes to providers of OpenAI's schema alone.")
}

// readPassUsage reads the usage of images and audio, which has the words of the Responses API, or of chat completions. What is
// billed by its duration has no tokens.
func readPassUsage(raw []byte) (u chat.Usage) {
	if u = readUsage(raw); u.Known {
		return u
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "input_tokens":
			u.Known = u.Known || s.Kind() == strictjson.Number
			u.Input = countOf(s)
		case "output_tokens":
			u.Known = u.Known || s.Kind() == strictjson.Number
			u.Output = countOf(s)
		case "input_token_details":
			readInputDetails(s, &u)
		}
	}
	if !u.Known {
		return chat.Usage{}
	}
	u.AudioInput = min(u.AudioInput, u.Input)
	return u
}

func readInputDetails(s *strictjson.Scanner, u *chat.Usage) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "audio_tokens" {
			u.AudioInput = countOf(s)
		}
	}
}

// UsageTail is how many bytes of an answer's end LastUsage needs.
const UsageTail = 4 << 10

var usageMember = []byte(`"usage":`)

// LastUsage finds the usage at the end of a stream that passed unread: the last event of images and of transcripts has it.
func LastUsage(tail []byte) chat.Usage {
	at := bytes.LastIndex(tail, usageMember)
	if at < 0 {
		return chat.Usage{}
	}
	s := strictjson.NewLenient(tail[at+len(usageMember):])
	defer s.Release()
	if s.Kind() != strictjson.Object {
		return chat.Usage{}
	}
	return readPassUsage(s.Skip())
}
