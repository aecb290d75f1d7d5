package cohere

import (
	"strconv"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Rerank is the rerank operation of API v2. It holds no state.
type Rerank struct{ translate.WholeOnly }

var (
	_ translate.Client   = Rerank{}
	_ translate.Provider = Rerank{}
	_ translate.Client   = CommonRerank{}
)

// Schema is chat.Cohere.
func (Rerank) Schema() chat.Schema { return chat.Cohere }

// ClientHeaders is empty, as Codec's.
func (Rerank) ClientHeaders() []string { return nil }

// Rewrite changes the model in the client's bytes and nothing else.
func (Rerank) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	return rewrite(h, t, rerankPath), nil
}

// EncodeFault is Codec's.
func (Rerank) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	return encodeFault(f, requestID)
}

// DecodeFault is Codec's.
func (Rerank) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return decodeFault(status, header, body)
}

// Parse validates body and reads its head. Documents are texts.
func (Rerank) Parse(body []byte) (*chat.Head, error) { return parseRerank(body, chat.Cohere) }

// rerankParser reads a head of either form of the operation.
type rerankParser struct {
	parser
	hasModel, hasQuery, hasDocuments bool
	common                           bool
}

func parseRerank(body []byte, schema chat.Schema) (*chat.Head, error) {
	p := rerankParser{parser: newParser(body), common: schema == commonSchema}
	p.h.Schema = schema
	defer p.Release()
	for p.Enter(strictjson.Object); p.Next(); {
		p.member(p.Key())
	}
	return p.finish(required{"model", p.hasModel}, required{"query", p.hasQuery}, required{"documents", p.hasDocuments})
}

func (p *rerankParser) member(name []byte) {
	switch string(name) {
	case "model":
		p.hasModel = true
		p.model()
		return
	case "query":
		p.hasQuery = true
		p.count(p.RawString())
		return
	case "documents":
		p.hasDocuments = true
		p.documents()
		return
	}
	if p.Kind() == strictjson.Null {
		return
	}
	switch string(name) {
	case "top_n":
		p.Between("top_n", 1, maxInputs)
	case "max_tokens_per_doc":
		p.Between("max_tokens_per_doc", 1, maxTokens)
	case "return_documents":
		if p.common {
			p.Bool()
		}
	}
}

func (p *rerankParser) documents() {
	if !p.common {
		p.strings("documents")
		return
	}
	n := 0
	for p.Enter(strictjson.Array); p.Next(); n++ {
		if n == maxInputs {
			p.Invalid("documents", "may hold at most %d elements.", maxInputs)
		}
		if p.Kind() == strictjson.String {
			p.text()
			continue
		}
		text := strictjson.None
		for p.Enter(strictjson.Object); p.Next(); {
			if string(p.Key()) == "text" {
				text = p.text()
			}
		}
		p.Need("text", text, strictjson.String)
	}
	if n == 0 {
		p.Invalid("documents", "must not be empty.")
	}
}

// Decode reads the whole request.
func (Rerank) Decode(h *chat.Head) (*chat.Request, error) { return decodeRerank(h) }

func decodeRerank(h *chat.Head) (*chat.Request, error) {
	d := decoder{Scanner: strictjson.NewLenient(h.Body), req: &chat.Request{}}
	defer d.Release()
	r := &chat.RerankRequest{Model: h.Model}
	for d.Enter(strictjson.Object); d.Next(); {
		if d.Kind() != strictjson.Null {
			d.rerankMember(string(d.Key()), r)
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	r.Extra = d.req.Extra
	return &chat.Request{Schema: h.Schema, Model: h.Model, Rerank: r}, nil
}

func (d *decoder) rerankMember(name string, r *chat.RerankRequest) {
	switch name {
	case "model":
	case "query":
		r.Query = d.String()
	case "documents":
		for d.Enter(strictjson.Array); d.Next(); {
			text := ""
			if d.Kind() == strictjson.String {
				text = d.String()
			} else {
				text = readInputPart(d.Scanner).text
			}
			r.Documents = append(r.Documents, text)
		}
	case "top_n":
		r.TopN = ptr(d.Int())
	case "max_tokens_per_doc":
		r.MaxTokensPerDoc = ptr(d.Int())
	case "return_documents":
		if d.Kind() == strictjson.Bool {
			r.ReturnDocuments = d.Bool()
		}
	default:
		d.extra(name, d.Skip(), false)
	}
}

// Encode writes a request that came in another schema. The documents stay with the gateway: the answer names them by
// number.
func (Rerank) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	in := r.Rerank
	if in == nil {
		return nil, fault.New(fault.Unsupported, "This request asks for no reranking.")
	}
	size := 256 + len(in.Query)
	for _, d := range in.Documents {
		size += 8 + len(d) + len(d)/16
	}
	e := encoder{b: make([]byte, 0, size), t: t}
	e.b = strictjson.AppendString(append(e.b, `{"model":`...), t.Model)
	e.text("query", in.Query)
	e.key("documents")
	e.b = append(e.b, '[')
	for i, d := range in.Documents {
		e.b = strictjson.AppendString(comma(e.b, i), d)
	}
	e.b = append(e.b, ']')
	e.int("top_n", in.TopN)
	e.int("max_tokens_per_doc", in.MaxTokensPerDoc)
	e.extras(in.Extra)
	if e.fault != nil {
		return nil, e.fault
	}
	return &translate.Upstream{Path: t.BasePath + rerankPath, Body: append(e.b, '}'), Dropped: e.dropped}, nil
}

// EncodeResponse writes the places of the documents.
func (Rerank) EncodeResponse(r *chat.Response, o translate.Answer) ([]byte, error) {
	if r.Rerank == nil {
		return nil, fault.New(fault.ProviderFailed, "The provider's answer holds no ranking.")
	}
	b := strictjson.AppendString(append(make([]byte, 0, 256+64*len(r.Rerank.Results)), `{"id":`...), answerID(r.ID, o))
	b = append(b, `,"results":[`...)
	for i := range r.Rerank.Results {
		b = append(appendPlace(comma(b, i), &r.Rerank.Results[i]), '}')
	}
	b = append(b, `],"meta":{"api_version":{"version":"2"}`...)
	if u := r.Rerank.Units; u > 0 {
		b = append(strconv.AppendFloat(append(b, `,"billed_units":{"search_units":`...), u, 'f', -1, 64), '}')
	}
	return append(b, '}', '}'), nil
}

// appendPlace appends one result up to its last brace.
func appendPlace(b []byte, r *chat.RerankResult) []byte {
	b = strconv.AppendInt(append(b, `{"index":`...), int64(r.Index), 10)
	return strconv.AppendFloat(append(b, `,"relevance_score":`...), r.Score, 'g', -1, 64)
}

// ranking is an answer of the operation, taken apart.
type ranking struct {
	id, err    []byte
	results    []chat.RerankResult
	hasResults bool
	counts     counts
}

func (k *ranking) read(body []byte) *fault.Fault {
	s := strictjson.NewLenient(body)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "id":
			k.id = stringOf(s)
		case "message":
			k.err = stringOf(s)
		case "meta":
			k.counts.read(s)
		case "results":
			if s.Kind() == strictjson.Array {
				k.hasResults = true
				for s.Enter(strictjson.Array); s.Next(); {
					k.result(s)
				}
			}
		}
	}
	err := s.End()
	switch {
	case err == nil && k.err != nil:
		return heard(0, strictjson.Text(k.err))
	case err != nil || !k.hasResults:
		return notAnAnswer(body)
	}
	return nil
}

func (k *ranking) result(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	r := chat.RerankResult{Index: -1}
	for s.Enter(strictjson.Object); s.Next(); {
		if s.Kind() != strictjson.Number {
			continue
		}
		switch string(s.Key()) {
		case "index":
			r.Index = int(countOf(s))
		case "relevance_score":
			r.Score = s.Float()
		}
	}
	if r.Index >= 0 {
		k.results = append(k.results, r)
	}
}

// DecodeResponse reads the places of the documents.
func (Rerank) DecodeResponse(body []byte) (*chat.Response, error) {
	var k ranking
	if f := k.read(body); f != nil {
		return nil, f
	}
	out := &chat.RerankResponse{ID: clone(k.id), Results: k.results, Usage: k.counts.rerankUsage(), Units: k.counts.billed.Units}
	return &chat.Response{ID: out.ID, Usage: out.Usage, Billed: k.counts.billed, Rerank: out}, nil
}

// PeekResponse reads what accounting needs.
func (Rerank) PeekResponse(body []byte) (translate.Seen, error) {
	var k ranking
	if f := k.read(body); f != nil {
		return translate.Seen{}, f
	}
	return translate.Seen{ID: clone(k.id), Usage: k.counts.rerankUsage(), Billed: k.counts.billed, Content: true, End: true}, nil
}

// rerankUsage is what is known of the tokens: search units alone say nothing of them.
func (c *counts) rerankUsage() chat.Usage {
	if c.usage.Input == 0 && c.usage.Output == 0 {
		return chat.Usage{}
	}
	return c.usage
}
