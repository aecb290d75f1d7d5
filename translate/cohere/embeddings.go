package cohere

import (
	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

const (
	// maxTexts is how many texts one call of the vendor's takes.
	maxTexts = 96
	// maxInputs bounds what Decode builds from a body of tiny texts or documents.
	maxInputs = 100_000
)

// Embeddings is the embed operation. It holds no state.
type Embeddings struct{ translate.WholeOnly }

var (
	_ translate.Client   = Embeddings{}
	_ translate.Provider = Embeddings{}
)

// Schema is chat.Cohere.
func (Embeddings) Schema() chat.Schema { return chat.Cohere }

// ClientHeaders is empty, as Codec's.
func (Embeddings) ClientHeaders() []string { return nil }

// Rewrite changes the model in the client's bytes and nothing else.
func (Embeddings) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	return rewrite(h, t, embedPath), nil
}

// EncodeFault is Codec's.
func (Embeddings) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	return encodeFault(f, requestID)
}

// DecodeFault is Codec's.
func (Embeddings) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return decodeFault(status, header, body)
}

// Parse validates body and reads its head. What is to be embedded is in texts, inputs or images.
func (Embeddings) Parse(body []byte) (*chat.Head, error) {
	p := newParser(body)
	defer p.Release()
	model, kind, inputs := false, false, false
	for p.Enter(strictjson.Object); p.Next(); {
		switch key := p.Key(); {
		case string(key) == "model":
			model = true
			p.model()
		case string(key) == "input_type":
			kind = true
			p.RawString()
		case p.Kind() == strictjson.Null:
		case string(key) == "texts":
			inputs = true
			p.strings("texts")
		case string(key) == "inputs":
			inputs = true
			p.inputs()
		case string(key) == "images":
			inputs = true
			for p.Enter(strictjson.Array); p.Next(); {
				p.RawString()
				p.h.Images++
			}
		case string(key) == "embedding_types":
			for p.Enter(strictjson.Array); p.Next(); {
				p.RawString()
			}
		case string(key) == "output_dimension":
			p.Between("output_dimension", 1, 1<<20)
		case string(key) == "truncate":
			p.RawString()
		}
	}
	return p.finish(required{"model", model}, required{"input_type", kind}, required{"texts", inputs})
}

// strings reads an array of texts that count as input.
func (p *parser) strings(name string) {
	n := 0
	for p.Enter(strictjson.Array); p.Next(); n++ {
		if n == maxInputs {
			p.Invalid(name, "may hold at most %d elements.", maxInputs)
		}
		p.count(p.RawString())
	}
	if n == 0 {
		p.Invalid(name, "must not be empty.")
	}
}

// inputs reads [{"content":[{"type":"text","text":…},{"type":"image_url",…}]}].
func (p *parser) inputs() {
	n := 0
	for p.Enter(strictjson.Array); p.Next(); n++ {
		content := false
		for p.Enter(strictjson.Object); p.Next(); {
			if string(p.Key()) == "content" {
				content = true
				for p.Enter(strictjson.Array); p.Next(); {
					p.inputPart()
				}
			}
		}
		if !content || n == maxInputs {
			p.Here("content", "is required, of at most %d inputs.", maxInputs)
		}
	}
	if n == 0 {
		p.Invalid("inputs", "must not be empty.")
	}
}

func (p *parser) inputPart() {
	kind, text := "", strictjson.None
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "text":
			text = p.text()
		}
	}
	switch kind {
	case textType:
		p.Need("text", text, strictjson.String)
	case imageType:
		p.h.Images++
	default:
		p.Here("type", "must be text or image_url.")
	}
}

// Decode reads the whole request. Images and packed vectors (int8, binary …) exist at Cohere only.
func (Embeddings) Decode(h *chat.Head) (*chat.Request, error) {
	d := decoder{Scanner: strictjson.NewLenient(h.Body), req: &chat.Request{}}
	defer d.Release()
	e := &chat.EmbeddingRequest{Model: h.Model}
	for d.Enter(strictjson.Object); d.Next(); {
		if d.Kind() != strictjson.Null {
			d.embedMember(string(d.Key()), e)
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	e.Extra = d.req.Extra
	return &chat.Request{Schema: chat.Cohere, Model: h.Model, Embedding: e}, nil
}

func (d *decoder) embedMember(name string, e *chat.EmbeddingRequest) {
	switch name {
	case "model":
	case "texts":
		for d.Enter(strictjson.Array); d.Next(); {
			e.Inputs = append(e.Inputs, chat.EmbeddingInput{Text: d.String()})
		}
	case "inputs":
		for d.Enter(strictjson.Array); d.Next(); {
			e.Inputs = append(e.Inputs, chat.EmbeddingInput{Text: d.embedInput()})
		}
	case "images":
		d.extra(name, d.Skip(), true)
	case "input_type":
		switch raw := d.Skip(); string(raw) {
		case `"search_query"`:
			e.Purpose = "query"
		case `"search_document"`:
			e.Purpose = "document"
		default:
			d.extra(name, raw, string(raw) == `"image"`)
		}
	case "output_dimension":
		e.Dimensions = ptr(d.Int())
	case "embedding_types":
		if raw := d.Skip(); !vectorTypes(raw, e) {
			d.extra(name, raw, true)
		}
	default:
		d.extra(name, d.Skip(), false)
	}
}

// vectorTypes reads the wanted forms of the vectors; false when one of them is neither float nor base64.
func vectorTypes(raw []byte, e *chat.EmbeddingRequest) bool {
	known := true
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		switch s.String() {
		case "float":
		case "base64":
			e.Base64 = true
		default:
			known = false
		}
	}
	return known
}

// embedInput joins the texts of one input. A picture in it has no neutral form.
func (d *decoder) embedInput() (text string) {
	for d.Enter(strictjson.Object); d.Next(); {
		if string(d.Key()) != "content" {
			continue
		}
		for d.Enter(strictjson.Array); d.Next(); {
			path := d.Path()
			raw := d.Skip()
			s := strictjson.NewLenient(raw)
			part := readInputPart(s)
			s.Release()
			if part.kind == imageType {
				d.extra(path, raw, true)
			}
			if text != "" && part.text != "" {
				text += "\n"
			}
			text += part.text
		}
	}
	return text
}

type inputPart struct{ kind, text string }

func readInputPart(s *strictjson.Scanner) (p inputPart) {
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			p.kind = s.String()
		case "text":
			p.text = s.String()
		}
	}
	return p
}

// Encode writes a request that came in another schema. What the vectors are for is required here: a client that did not say
// embeds documents.
func (Embeddings) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	in := r.Embedding
	if in == nil {
		return nil, fault.New(fault.Unsupported, "This request asks for no embedding.")
	}
	if n := len(in.Inputs); n > maxTexts {
		f := fault.New(fault.Unsupported, "This request has %d inputs; a provider that it would go to takes at most %d in one request (Cohere). Send them in several.", n, maxTexts)
		f.Param = "input"
		return nil, f
	}
	size := 256
	for i := range in.Inputs {
		size += 8 + len(in.Inputs[i].Text) + len(in.Inputs[i].Text)/16
	}
	e := encoder{b: make([]byte, 0, size), t: t}
	e.b = strictjson.AppendString(append(e.b, `{"model":`...), t.Model)
	purpose := "search_document"
	if in.Purpose == "query" {
		purpose = "search_query"
	}
	e.text("input_type", purpose)
	e.key("texts")
	e.b = append(e.b, '[')
	for i := range in.Inputs {
		if in.Inputs[i].Tokens != nil {
			e.never("input", "The input is a list of tokens, which mean something to one model only; a provider that this request would go to takes texts (Cohere).")
			break
		}
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = strictjson.AppendString(e.b, in.Inputs[i].Text)
	}
	e.b = append(e.b, `],"embedding_types":["float"]`...)
	e.int("output_dimension", in.Dimensions)
	if in.User != "" {
		e.drop("user")
	}
	e.extras(in.Extra)
	if e.fault != nil {
		return nil, e.fault
	}
	return &translate.Upstream{Path: t.BasePath + embedPath, Body: append(e.b, '}'), Dropped: e.dropped}, nil
}

// EncodeResponse writes the vectors in the forms that the client asked for, float where it named none, with the texts as
// they came.
func (Embeddings) EncodeResponse(r *chat.Response, o translate.Answer) ([]byte, error) {
	if r.Embedding == nil {
		return nil, fault.New(fault.ProviderFailed, "The provider's answer holds no embedding.")
	}
	float, packed := true, false
	if o.Head != nil {
		if raw := o.Head.Field("embedding_types"); len(raw) > 0 && raw[0] == '[' {
			float, packed = hasType(raw, "float"), hasType(raw, "base64")
		}
	}
	size := 512
	for _, v := range r.Embedding.Vectors {
		size += 19*len(v) + 8
	}
	b := strictjson.AppendString(append(make([]byte, 0, size), `{"id":`...), answerID(r.ID, o))
	b = append(b, `,"embeddings":{`...)
	from := len(b)
	if float || !packed {
		b = append(b, `"float":[`...)
		for i, v := range r.Embedding.Vectors {
			b = wire.AppendFloats(comma(b, i), v)
		}
		b = append(b, ']')
	}
	if packed {
		b = append(comma(b, len(b)-from), `"base64":[`...)
		for i, v := range r.Embedding.Vectors {
			b = append(wire.AppendVector64(append(comma(b, i), '"'), v), '"')
		}
		b = append(b, ']')
	}
	b = append(b, '}')
	if o.Head != nil {
		if texts := o.Head.Field("texts"); len(texts) > 0 && texts[0] == '[' {
			b = append(append(b, `,"texts":`...), texts...)
		}
	}
	b = append(b, `,"meta":{"api_version":{"version":"2"}`...)
	if u := r.Embedding.Usage; u.Known {
		b = append(appendTokens(append(b, `,"billed_units":`...), u.Prompt(), 0), '}')
	} else {
		b = append(b, '}')
	}
	return append(b, `,"response_type":"embeddings_by_type"}`...), nil
}

func comma(b []byte, n int) []byte {
	if n > 0 {
		return append(b, ',')
	}
	return b
}

func hasType(raw []byte, name string) bool {
	found := false
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		found = s.String() == name || found
	}
	return found
}
