package gemini

import (
	"strconv"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// Embeddings are Google's operations for vectors of texts, for requests of another schema: embedContent and
// batchEmbedContents of the Gemini API; predict of Vertex AI, and embedContent for those of its models that have it. It
// holds no state.
type Embeddings struct{ translate.WholeOnly }

var _ translate.Provider = Embeddings{}

// maxInputs is how many texts one call of either service takes.
const maxInputs = 250

// Schema is chat.Gemini.
func (Embeddings) Schema() chat.Schema { return chat.Gemini }

// ClientHeaders is empty, as Codec's.
func (Embeddings) ClientHeaders() []string { return nil }

// DecodeFault is Codec's.
func (Embeddings) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return Codec{}.DecodeFault(status, header, body)
}

// Rewrite is for clients of this schema, of which the gateway has none for this operation.
func (Embeddings) Rewrite(*chat.Head, translate.Target) (*translate.Upstream, error) {
	return nil, fault.New(fault.Unsupported, "Embeddings are asked for in OpenAI's schema.")
}

// Encode writes Request.Embedding.
func (Embeddings) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	q := r.Embedding
	if q == nil {
		return nil, fault.New(fault.Internal, "The request asks for no embedding.")
	}
	e := &encoder{r: r, t: t}
	e.checkInputs(q)
	if q.User != "" {
		e.drop("user")
	}
	e.extras(q.Extra)
	if e.err != nil {
		return nil, e.err
	}
	n := 256
	for i := range q.Inputs {
		n += 160 + len(q.Inputs[i].Text) + len(q.Inputs[i].Text)/16
	}
	b := make([]byte, 0, n)
	switch {
	case t.Dialect == Vertex && !embedsContent(t.Model):
		return e.finish(e.predict(b, q), "predict")
	case len(q.Inputs) == 1:
		return e.finish(e.embedOne(b, q, 0), "embedContent")
	case t.Dialect == Vertex:
		e.unsupported("input", "%s embeds one text per request at Vertex AI.", t.Model)
		return nil, e.err
	}
	b = append(b, `{"requests":[`...)
	for i := range q.Inputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.embedOne(b, q, i)
	}
	return e.finish(append(b, `]}`...), "batchEmbedContents")
}

// embedsContent tells the models of Vertex AI that have embedContent and no predict, as the SDK does
// (tIsVertexEmbedContentModel).
func embedsContent(model string) bool {
	return strings.Contains(model, "gemini") && model != "gemini-embedding-001" || strings.Contains(model, "maas")
}

func (e *encoder) checkInputs(q *chat.EmbeddingRequest) {
	switch {
	case len(q.Inputs) == 0:
		e.fail(fault.InvalidRequest, "input", "There is nothing to embed.")
	case len(q.Inputs) > maxInputs:
		e.unsupported("input", "Google's models embed at most %d texts per request.", maxInputs)
	}
	for i := range q.Inputs {
		if q.Inputs[i].Tokens != nil {
			e.unsupported(at("input", i), "Google's models embed texts, and no tokens of another model's tokenizer.")
		}
	}
}

// taskType: without one the service embeds for no purpose in particular.
func taskType(purpose string) string {
	switch purpose {
	case "query":
		return "RETRIEVAL_QUERY"
	case "document":
		return "RETRIEVAL_DOCUMENT"
	}
	return ""
}

func (e *encoder) embedOne(b []byte, q *chat.EmbeddingRequest, i int) []byte {
	b = append(b, '{')
	if e.t.Dialect != Vertex {
		b = append(strictjson.AppendString(append(b, `"model":`...), wireName(e.t.Model)), ',')
	}
	b = strictjson.AppendString(append(b, `"content":{"parts":[{"text":`...), q.Inputs[i].Text)
	b = append(b, `}]}`...)
	if task := taskType(q.Purpose); task != "" {
		b = strictjson.AppendString(append(b, `,"taskType":`...), task)
	}
	if q.Dimensions != nil {
		b = strconv.AppendInt(append(b, `,"outputDimensionality":`...), *q.Dimensions, 10)
	}
	return append(b, '}')
}

func (e *encoder) predict(b []byte, q *chat.EmbeddingRequest) []byte {
	b = append(b, `{"instances":[`...)
	for i := range q.Inputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strictjson.AppendString(append(b, `{"content":`...), q.Inputs[i].Text)
		if task := taskType(q.Purpose); task != "" {
			b = strictjson.AppendString(append(b, `,"task_type":`...), task)
		}
		b = append(b, '}')
	}
	b = append(b, ']')
	if q.Dimensions != nil {
		b = append(strconv.AppendInt(append(b, `,"parameters":{"outputDimensionality":`...), *q.Dimensions, 10), '}')
	}
	return append(b, '}')
}

// vectors is what an answer of any of the operations holds.
type vectors struct {
	list   [][]float32
	buf    []float32
	tokens int64
	known  bool // tokens were reported
	failed bool
}

// DecodeResponse reads the vectors.
func (Embeddings) DecodeResponse(body []byte) (*chat.Response, error) {
	s := strictjson.NewLenient(body)
	defer s.Release()
	var v vectors
	for s.Enter(strictjson.Object); s.Next(); {
		v.member(s)
	}
	if err := s.End(); err != nil || v.failed {
		if e := errorOf(body); e.present {
			return nil, e.fault(0)
		}
		v.list = nil
	}
	if len(v.list) == 0 {
		return nil, fault.New(fault.ProviderFailed, "The provider's answer holds no embedding: %s", wire.Clip(body))
	}
	usage := chat.Usage{Known: v.known, Input: v.tokens}
	return &chat.Response{Usage: usage, Embedding: &chat.EmbeddingResponse{Vectors: v.list, Usage: usage}}, nil
}

// PeekResponse reads an answer's usage.
func (c Embeddings) PeekResponse(body []byte) (translate.Seen, error) {
	r, err := c.DecodeResponse(body)
	if err != nil {
		return translate.Seen{}, err
	}
	return translate.Seen{Usage: r.Usage, Content: true, End: true}, nil
}

func (v *vectors) member(s *strictjson.Scanner) {
	switch string(s.Key()) {
	case "error":
		v.failed = s.Kind() != strictjson.Null
	case "embedding": // embedContent
		v.embedding(s)
	case "embeddings": // batchEmbedContents
		elements(s, v.embedding)
	case "predictions": // predict
		elements(s, func(s *strictjson.Scanner) {
			if s.Kind() != strictjson.Object {
				return
			}
			for s.Enter(strictjson.Object); s.Next(); {
				if string(s.Key()) == "embeddings" {
					v.embedding(s)
				}
			}
		})
	case "usageMetadata":
		if u := readUsage(s); u.Known {
			v.tokens, v.known = u.Input+u.CacheRead, true
		}
	}
}

// elements calls f before each element of an array.
func elements(s *strictjson.Scanner, f func(*strictjson.Scanner)) {
	if s.Kind() != strictjson.Array {
		return
	}
	for s.Enter(strictjson.Array); s.Next(); {
		f(s)
	}
}

func (v *vectors) embedding(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "values":
			v.values(s)
		case "statistics":
			v.statistics(s)
		}
	}
}

func (v *vectors) values(s *strictjson.Scanner) {
	v.buf = v.buf[:0]
	elements(s, func(s *strictjson.Scanner) {
		if s.Kind() == strictjson.Number {
			f, _ := strconv.ParseFloat(view(s.Skip()), 32)
			v.buf = append(v.buf, float32(f))
		}
	})
	if len(v.buf) > 0 {
		v.list = append(v.list, append([]float32(nil), v.buf...))
	}
}

func (v *vectors) statistics(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		if key := s.Key(); string(key) == "token_count" || string(key) == "tokenCount" {
			v.known = true
			v.tokens += count(s)
		}
	}
}
