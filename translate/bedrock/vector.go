package bedrock

import (
	"math"
	"strconv"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Embeddings is the codec of the embedding models behind InvokeModel: Amazon Titan (one text a call) and Cohere Embed (up to
// 96). Each has a body of its own; the answer tells which by its form.
type Embeddings struct{ translate.WholeOnly }

// Rerank is the codec of the rerank models behind InvokeModel: Cohere Rerank and Amazon Rerank.
type Rerank struct{ translate.WholeOnly }

var (
	_ translate.Provider = Embeddings{}
	_ translate.Provider = Rerank{}
)

func invoke(t translate.Target, body []byte) *translate.Upstream {
	return &translate.Upstream{Path: modelPath(t, "/invoke"), Headers: []translate.Header{{Name: "accept", Value: "application/json"}}, Body: body}
}

// Schema is chat.Bedrock.
func (Embeddings) Schema() chat.Schema { return chat.Bedrock }

// ClientHeaders is none.
func (Embeddings) ClientHeaders() []string { return nil }

// Rewrite passes the client's bytes: the model is in the path.
func (Embeddings) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	return invoke(t, h.Body), nil
}

// DecodeFault classifies as Codec does.
func (Embeddings) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return Codec{}.DecodeFault(status, header, body)
}

// vectorExtras: these models have no guardrails.
func (e *encoder) vectorExtras(list []chat.Extra) {
	if e.extras(list); e.plan.guardrail != nil {
		e.lose(guardrailMember, "Guardrails of Bedrock are for its chat models.")
	}
}

// maxTexts is how many texts Cohere Embed takes in a call.
const maxTexts = 96

// Encode writes the body of the model's vendor. Texts only: tokens are one tokenizer's own.
func (Embeddings) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	e := encoder{r: r, t: t}
	q := r.Embedding
	if q == nil || len(q.Inputs) == 0 {
		return nil, fault.Invalid("input", "input must hold a text.")
	}
	e.vectorExtras(q.Extra)
	if q.User != "" {
		e.drop("user")
	}
	for i := range q.Inputs {
		if q.Inputs[i].Tokens != nil {
			e.unsupported("input", "Bedrock's embedding models take texts, not tokens.")
		}
	}
	var body []byte
	switch id := baseModel(t.Model); {
	case strings.HasPrefix(id, "amazon.titan-embed-text"):
		body = e.titan(q, strings.HasPrefix(id, "amazon.titan-embed-text-v2"))
	case strings.HasPrefix(id, "cohere.embed"):
		body = e.cohereEmbed(q, strings.HasPrefix(id, "cohere.embed-v4"))
	default:
		e.unsupported("model", "Of Bedrock's embedding models only amazon.titan-embed-text and cohere.embed are known here.")
	}
	if e.err != nil {
		return nil, e.err
	}
	up := invoke(t, body)
	up.Dropped = e.dropped
	return up, nil
}

// titan has one text in a call; a batch exists only as a job over files.
func (e *encoder) titan(q *chat.EmbeddingRequest, v2 bool) []byte {
	if len(q.Inputs) > 1 {
		e.unsupported("input", "Amazon Titan embeds one text per request: send each input in a request of its own.")
	}
	b := strictjson.AppendString(append(make([]byte, 0, len(q.Inputs[0].Text)+64), `{"inputText":`...), q.Inputs[0].Text)
	if d := q.Dimensions; d != nil {
		switch {
		case v2 && (*d == 256 || *d == 512 || *d == 1024):
			b = strconv.AppendInt(append(b, `,"dimensions":`...), *d, 10)
		case v2:
			e.unsupported("dimensions", "Amazon Titan's vectors have 256, 512 or 1024 dimensions.")
		default:
			e.lose("dimensions", "The vectors of this model of Bedrock have one size only.")
		}
	}
	if v2 {
		b = append(b, `,"normalize":true`...)
	}
	return append(b, '}')
}

func (e *encoder) cohereEmbed(q *chat.EmbeddingRequest, v4 bool) []byte {
	if len(q.Inputs) > maxTexts {
		e.unsupported("input", "Cohere's embedding models take at most %d texts in a request.", maxTexts)
	}
	size := 128
	for i := range q.Inputs {
		size += len(q.Inputs[i].Text) + 8
	}
	b := append(make([]byte, 0, size), `{"texts":`...)
	for i := range q.Inputs {
		b = strictjson.AppendString(append(b, "[,"[min(i, 1)]), q.Inputs[i].Text)
	}
	b = append(b, `],"input_type":"search_`...)
	if q.Purpose == "query" {
		b = append(b, `query"`...)
	} else {
		b = append(b, `document"`...)
	}
	b = append(b, `,"embedding_types":["float"]`...)
	if d := q.Dimensions; d != nil {
		if v4 {
			b = strconv.AppendInt(append(b, `,"output_dimension":`...), *d, 10)
		} else {
			e.lose("dimensions", "The vectors of this model of Bedrock have one size only.")
		}
	}
	return append(b, '}')
}

// PeekResponse reads the tokens that the answer counts.
func (m Embeddings) PeekResponse(body []byte) (translate.Seen, error) {
	r, err := m.DecodeResponse(body)
	if err != nil {
		return translate.Seen{}, err
	}
	return translate.SeenOf(r), nil
}

// DecodeResponse reads {"embedding":[…],"inputTextTokenCount":n} of Titan, and {"embeddings":[[…]]} or
// {"embeddings":{"float":[[…]]}} of Cohere, which counts no tokens in the body.
func (Embeddings) DecodeResponse(body []byte) (*chat.Response, error) {
	v, f := object(body)
	if f != nil {
		return nil, f
	}
	out := &chat.EmbeddingResponse{}
	s := strictjson.NewLenient(body)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "embedding":
			out.Vectors = append(out.Vectors, vector(s))
		case "embeddings":
			out.Vectors = vectorsByType(s)
		case "inputTextTokenCount":
			out.Usage.Input, out.Usage.Known = min(max(s.Int(), 0), maxCount), true
		}
	}
	if err := s.End(); err != nil || len(out.Vectors) == 0 {
		return nil, notAnswer(v, body)
	}
	return &chat.Response{Embedding: out, Usage: out.Usage}, nil
}

// vectorsByType reads a list of vectors, or an object of lists of which float is the one.
func vectorsByType(s *strictjson.Scanner) (list [][]float32) {
	if s.Kind() != strictjson.Object {
		return vectors(s)
	}
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "float" {
			list = vectors(s)
		}
	}
	return list
}

func vectors(s *strictjson.Scanner) (list [][]float32) {
	for s.Enter(strictjson.Array); s.Next(); {
		list = append(list, vector(s))
	}
	return list
}

func vector(s *strictjson.Scanner) []float32 {
	v := make([]float32, 0, 1024)
	for s.Enter(strictjson.Array); s.Next(); {
		f := s.Float()
		if f > math.MaxFloat32 || f < -math.MaxFloat32 {
			s.Fail(fault.New(fault.ProviderFailed, "The provider's vector holds a number beyond float32."))
			return nil
		}
		v = append(v, float32(f))
	}
	return v
}

// Schema is chat.Bedrock.
func (Rerank) Schema() chat.Schema { return chat.Bedrock }

// ClientHeaders is none.
func (Rerank) ClientHeaders() []string { return nil }

// Rewrite passes the client's bytes: the model is in the path.
func (Rerank) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	return invoke(t, h.Body), nil
}

// DecodeFault classifies as Codec does.
func (Rerank) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return Codec{}.DecodeFault(status, header, body)
}

// Encode writes the body that both vendors' models take (user guide, "Rerank models"); api_version is Cohere's alone.
// ReturnDocuments is the client codec's affair: it has them.
func (Rerank) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	e := encoder{r: r, t: t}
	q := r.Rerank
	if q == nil || len(q.Documents) == 0 {
		return nil, fault.Invalid("documents", "documents must hold a text.")
	}
	e.vectorExtras(q.Extra)
	b := strictjson.AppendString([]byte(`{"query":`), q.Query)
	b = append(b, `,"documents":`...)
	for i, d := range q.Documents {
		b = strictjson.AppendString(append(b, "[,"[min(i, 1)]), d)
	}
	b = append(b, ']')
	if q.TopN != nil {
		b = strconv.AppendInt(append(b, `,"top_n":`...), min(*q.TopN, int64(len(q.Documents))), 10)
	}
	cohere := strings.HasPrefix(baseModel(t.Model), "cohere.")
	if cohere {
		b = append(b, `,"api_version":2`...)
	}
	switch {
	case q.MaxTokensPerDoc == nil:
	case cohere:
		b = strconv.AppendInt(append(b, `,"max_tokens_per_doc":`...), *q.MaxTokensPerDoc, 10)
	default:
		e.drop("max_tokens_per_doc")
	}
	if e.err != nil {
		return nil, e.err
	}
	up := invoke(t, append(b, '}'))
	up.Dropped = e.dropped
	return up, nil
}

// PeekResponse says that an answer is one; it counts nothing.
func (m Rerank) PeekResponse(body []byte) (translate.Seen, error) {
	r, err := m.DecodeResponse(body)
	if err != nil {
		return translate.Seen{}, err
	}
	return translate.SeenOf(r), nil
}

// DecodeResponse reads {"results":[{"index":0,"relevance_score":0.9}]}, the best first.
func (Rerank) DecodeResponse(body []byte) (*chat.Response, error) {
	v, f := object(body)
	if f != nil {
		return nil, f
	}
	results := v.Get("results")
	if !results.IsArray() {
		return nil, notAnswer(v, body)
	}
	out := &chat.RerankResponse{ID: v.Get("id").String()}
	for _, one := range results.Array() {
		index := one.Get("index").Int()
		if index < 0 || index > maxCount {
			return nil, notAnswer(v, body)
		}
		out.Results = append(out.Results, chat.RerankResult{Index: int(index), Score: one.Get("relevance_score").Float()})
	}
	return &chat.Response{ID: out.ID, Rerank: out}, nil
}
