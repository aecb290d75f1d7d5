package openai

import (
	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// embeddingsPath is where requests go, below the endpoint's base path.
const embeddingsPath = "/embeddings"

// maxInputs bounds what Decode builds from a body of tiny inputs. The vendor takes 2,048; servers of the schema take more.
const maxInputs = 100_000

// tokenBytes is what one token of a client that sends tokens counts as, in bytes of text.
const tokenBytes = 4

// Embeddings is the embeddings operation. It holds no state.
type Embeddings struct{ translate.WholeOnly }

var (
	_ translate.Client   = Embeddings{}
	_ translate.Provider = Embeddings{}
)

// Schema is chat.OpenAI.
func (Embeddings) Schema() chat.Schema { return chat.OpenAI }

// ClientHeaders is empty, as Codec's.
func (Embeddings) ClientHeaders() []string { return nil }

// Rewrite changes the model in the client's bytes and nothing else.
func (Embeddings) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	body := h.Body
	if t.Model != h.Model {
		model := strictjson.AppendString(make([]byte, 0, len(t.Model)+2), t.Model)
		body = strictjson.Set(body, h.Fields, strictjson.Member{Name: "model", Value: model})
	}
	return &translate.Upstream{Path: dialectOf(t).path(t, embeddingsPath), Body: body}, nil
}

// EncodeFault is Codec's.
func (Embeddings) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	return Codec{}.EncodeFault(f, requestID)
}

// DecodeFault is Codec's.
func (Embeddings) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return Codec{}.DecodeFault(status, header, body)
}

// Parse validates body and reads its head. Input is a text, texts, tokens or lists of tokens.
func (Embeddings) Parse(body []byte) (*chat.Head, error) {
	p := parser{Scanner: strictjson.New(body), h: &chat.Head{Schema: chat.OpenAI, N: 1, Body: body}}
	defer p.Release()
	input := false
	for p.Enter(strictjson.Object); p.Next(); {
		switch key := p.Key(); {
		case string(key) == "model":
			p.model = true
			if p.h.Model = p.String(); p.h.Model == "" {
				p.Invalid("model", "must name a model.")
			}
		case string(key) == "input":
			input = true
			p.embeddingInput()
		case p.Kind() != strictjson.Null:
			p.embeddingMember(key)
		}
	}
	if err := p.End(); err != nil {
		return nil, err
	}
	if !p.model {
		return nil, fault.Invalid("model", "model is required.")
	}
	if !input {
		return nil, fault.Invalid("input", "input is required.")
	}
	p.h.Fields = p.Fields()
	return p.h, nil
}

func (p *parser) embeddingMember(name []byte) {
	switch string(name) {
	case "encoding_format":
		if f := p.String(); f != "float" && f != "base64" {
			p.Invalid("encoding_format", "must be float or base64.")
		}
	case "dimensions":
		p.Between("dimensions", 1, 1<<20)
	case "user":
		p.h.User = p.String()
	}
}

// embeddingInput counts the text, or what its tokens stand for.
func (p *parser) embeddingInput() {
	switch kind := p.Kind(); kind {
	case strictjson.String:
		p.text()
		return
	case strictjson.Array, strictjson.None:
	default:
		p.Invalid("input", "must be a string or an array, not %s.", kind)
		return
	}
	first, n := strictjson.None, 0
	for p.Enter(strictjson.Array); p.Next(); n++ {
		kind := p.Kind()
		if n == 0 {
			first = kind
		}
		if kind != first || n >= maxInputs && kind != strictjson.Number {
			p.Invalid("input", "must hold at most %d elements, all of one kind: texts, tokens or lists of tokens.", maxInputs)
			return
		}
		p.embeddingElement(kind)
	}
	if n == 0 {
		p.Invalid("input", "must not be empty.")
	}
}

func (p *parser) embeddingElement(kind strictjson.Kind) {
	switch kind {
	case strictjson.String:
		p.text()
	case strictjson.Number:
		p.token()
	case strictjson.Array:
		for p.Enter(strictjson.Array); p.Next(); {
			p.token()
		}
	default:
		p.Here("", "must be a string, a token or a list of tokens, not %s.", kind)
	}
}

func (p *parser) token() {
	if p.Int() < 0 {
		p.Here("", "is no token.")
	}
	p.h.TextBytes += tokenBytes
}

// Decode reads the whole request. input_type is not the vendor's: servers of the schema whose models tell queries from
// documents have it.
func (Embeddings) Decode(h *chat.Head) (*chat.Request, error) {
	s := strictjson.NewLenient(h.Body)
	defer s.Release()
	e := &chat.EmbeddingRequest{User: h.User}
	for s.Enter(strictjson.Object); s.Next(); {
		if s.Kind() != strictjson.Null {
			decodeEmbedding(s, e)
		}
	}
	if err := s.End(); err != nil {
		return nil, err
	}
	return &chat.Request{Schema: chat.OpenAI, Model: e.Model, Embedding: e}, nil
}

// purposes are the words for what a vector is for.
var purposes = map[string]string{
	"query": "query", "search_query": "query", "document": "document", "passage": "document", "search_document": "document",
}

func decodeEmbedding(s *strictjson.Scanner, e *chat.EmbeddingRequest) {
	switch name := string(s.Key()); name {
	case "model":
		e.Model = s.String()
	case "input":
		e.Inputs = decodeInputs(s)
	case "encoding_format":
		e.Base64 = s.String() == "base64"
	case "dimensions":
		e.Dimensions = ptr(s.Int())
	case "user":
	case "input_type":
		raw := s.Skip()
		if e.Purpose = purposes[strictjson.Text(stringText(raw))]; e.Purpose == "" {
			e.Extra = append(e.Extra, chat.Extra{Name: name, JSON: raw})
		}
	default:
		e.Extra = append(e.Extra, chat.Extra{Name: name, JSON: s.Skip()})
	}
}

// stringText is raw when it is a string's JSON text, else nil.
func stringText(raw []byte) []byte {
	if len(raw) > 0 && raw[0] == '"' {
		return raw
	}
	return nil
}

func decodeInputs(s *strictjson.Scanner) (list []chat.EmbeddingInput) {
	if s.Kind() == strictjson.String {
		return []chat.EmbeddingInput{{Text: s.String()}}
	}
	var tokens []int64
	for s.Enter(strictjson.Array); s.Next(); {
		switch s.Kind() {
		case strictjson.String:
			list = append(list, chat.EmbeddingInput{Text: s.String()})
		case strictjson.Number:
			tokens = append(tokens, s.Int())
		case strictjson.Array:
			one := []int64{}
			for s.Enter(strictjson.Array); s.Next(); {
				one = append(one, s.Int())
			}
			list = append(list, chat.EmbeddingInput{Tokens: one})
		}
	}
	if tokens != nil {
		list = append(list, chat.EmbeddingInput{Tokens: tokens})
	}
	return list
}

// Encode writes a request that came in another schema.
func (Embeddings) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	in := r.Embedding
	if in == nil {
		return nil, fault.New(fault.Unsupported, "This request asks for no embedding.")
	}
	size := 256
	for i := range in.Inputs {
		size += 8 + len(in.Inputs[i].Text) + len(in.Inputs[i].Text)/16 + 8*len(in.Inputs[i].Tokens)
	}
	e := encoder{losses: losses{lossy: t.Lossy}, b: make([]byte, 0, size), t: t, d: dialectOf(t)}
	e.b = strictjson.AppendString(append(e.b, `{"model":`...), t.Model)
	e.embeddingInputs(in.Inputs)
	if in.Base64 {
		e.b = append(e.b, `,"encoding_format":"base64"`...)
	}
	if in.Dimensions != nil {
		e.key("dimensions")
		e.b = appendInt(e.b, *in.Dimensions)
	}
	if in.User != "" {
		e.text("user", in.User)
	}
	if in.Purpose != "" {
		e.drop("input_type") // its models embed both alike
	}
	e.extras(in.Extra)
	if e.fault != nil {
		return nil, e.fault
	}
	return &translate.Upstream{Path: e.d.path(t, embeddingsPath), Body: append(e.b, '}'), Dropped: e.dropped}, nil
}

func (e *encoder) embeddingInputs(list []chat.EmbeddingInput) {
	e.b = append(e.b, `,"input":[`...)
	for i := range list {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		if (list[i].Tokens == nil) != (list[0].Tokens == nil) {
			e.refuse("input", "The inputs are texts and tokens mixed; a provider that this request would go to takes one or the other (OpenAI).")
		}
		if list[i].Tokens == nil {
			e.b = strictjson.AppendString(e.b, list[i].Text)
			continue
		}
		e.b = appendTokens(e.b, list[i].Tokens)
	}
	e.b = append(e.b, ']')
}

// wantsBase64 says whether the client asked for vectors in base64.
func wantsBase64(o translate.Answer) bool {
	return o.Head != nil && string(o.Head.Field("encoding_format")) == `"base64"`
}

// EncodeResponse writes the vectors in the form that the client asked for.
func (Embeddings) EncodeResponse(r *chat.Response, o translate.Answer) ([]byte, error) {
	if r.Embedding == nil {
		return nil, fault.New(fault.ProviderFailed, "The provider's answer holds no embedding.")
	}
	in := r.Embedding
	packed := wantsBase64(o)
	b := make([]byte, 0, sizeOfVectors(in.Vectors, packed))
	b = append(b, `{"object":"list","data":[`...)
	for i, v := range in.Vectors {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendInt(append(b, `{"object":"embedding","index":`...), int64(i))
		b = append(b, `,"embedding":`...)
		if packed {
			b = append(wire.AppendVector64(append(b, '"'), v), '"')
		} else {
			b = wire.AppendFloats(b, v)
		}
		b = append(b, '}')
	}
	model := in.Model
	if model == "" {
		model = o.Model
	}
	b = strictjson.AppendString(append(b, `],"model":`...), model)
	b = appendInt(append(b, `,"usage":{"prompt_tokens":`...), in.Usage.Prompt())
	b = appendInt(append(b, `,"total_tokens":`...), in.Usage.Prompt())
	return append(b, '}', '}'), nil
}

func sizeOfVectors(vectors [][]float32, packed bool) int {
	n := 256
	for _, v := range vectors {
		n += 64
		if packed {
			n += 6 * len(v)
		} else {
			n += 13 * len(v)
		}
	}
	return n
}
