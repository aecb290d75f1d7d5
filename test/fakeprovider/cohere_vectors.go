package fakeprovider

import (
	"slices"
	"strings"
)

// RerankModels are the models of the rerank operation, which every fake of Cohere has.
var RerankModels = []string{"rerank-v3.5", "rerank-v4.0-fast"}

func (v *cohere) operation(path string) func(map[string]any) (*ask, *apiError) {
	switch path {
	case "/v2/embed":
		return v.checkEmbed
	case "/v2/rerank":
		return v.checkRerank
	}
	return nil
}

// The shapes of the operations, from the same source as chat's.
var cohereEmbed = object(
	need("model", someText), need("input_type", literal("search_document", "search_query", "classification", "clustering", "image")),
	may("texts", array(anyText)), may("images", array(cohereImageURL)),
	may("inputs", array(object(need("content", array(tagged(map[string]shape{"text": cohereText, "image_url": cohereImage})))))),
	may("max_tokens", whole(1)), may("output_dimension", whole(1)),
	may("embedding_types", array(literal("float", "int8", "uint8", "binary", "ubinary", "base64"))),
	may("truncate", literal("NONE", "START", "END")), may("priority", whole(0)),
)

var cohereRerank = object(
	need("model", someText), need("query", anyText), need("documents", array(anyText)),
	may("top_n", whole(1)), may("max_tokens_per_doc", whole(1)), may("priority", whole(0)), may("relevant_spans", dictionary),
)

// maxCohereTexts is the documented number of texts and inputs of one call.
const maxCohereTexts = 96

func (v *cohere) checkEmbed(body map[string]any) (*ask, *apiError) {
	if body["input_type"] == nil {
		return nil, refuseCohere("invalid request: valid input_type must be provided with the provided model")
	}
	if e := cohereEmbed("", any(body)); e != nil {
		return nil, cohereWords(e, "embed")
	}
	model := str(body["model"])
	if !v.opts.embeds(model) {
		return nil, v.modelNotFound(model)
	}
	size := 1024
	if strings.HasPrefix(model, "embed-v4") {
		size = 1536
	}
	if n := int(integer(body["output_dimension"])); n > 0 {
		if size != 1536 || !slices.Contains([]int{256, 512, 1024, 1536}, n) {
			return nil, refuseCohere("invalid request: output_dimension is not supported for model %s or not one of 256, 512, 1024 and 1536.", model)
		}
		size = n
	}
	texts, e := cohereTexts(body)
	if e != nil {
		return nil, e
	}
	q := &ask{model: model}
	for _, t := range texts {
		q.words += max(countWords(t), 1)
	}
	q.body = func(id answerID) []byte { return cohereEmbeddings(body, texts, q.words, size, id) }
	return q, nil
}

// cohereTexts are what is to be embedded; images as their URIs.
func cohereTexts(body map[string]any) (texts []string, e *apiError) {
	given := 0
	for _, name := range []string{"texts", "images", "inputs"} {
		items := list(body[name])
		if len(items) == 0 {
			continue
		}
		if given++; len(items) > maxCohereTexts {
			return nil, refuseCohere("invalid request: total number of %s must be at most %d - received %d.", name, maxCohereTexts, len(items))
		}
		for _, i := range items {
			if s, ok := i.(string); ok {
				texts = append(texts, s)
			} else {
				texts = append(texts, textOf(obj(i)["content"]))
			}
		}
	}
	if given != 1 {
		return nil, refuseCohere("invalid request: exactly one of texts, images and inputs must be specified.")
	}
	return texts, nil
}

func cohereEmbeddings(body map[string]any, texts []string, tokens int64, size int, id answerID) []byte {
	types := list(body["embedding_types"])
	if len(types) == 0 {
		types = []any{"float"}
	}
	embeddings := map[string]any{}
	for _, kind := range types {
		vectors := make([]any, 0, len(texts))
		for _, t := range texts {
			vectors = append(vectors, cohereVector(str(kind), Vector(t, size)))
		}
		embeddings[str(kind)] = vectors
	}
	out := map[string]any{
		"id": id.make("embed-"), "response_type": "embeddings_by_type", "embeddings": embeddings,
		"meta": map[string]any{"api_version": map[string]any{"version": "2"}, "billed_units": map[string]any{"input_tokens": tokens}},
	}
	if body["texts"] != nil {
		out["texts"] = body["texts"]
	}
	return mustJSON(out)
}

// cohereVector is a vector in one of the vendor's forms.
func cohereVector(kind string, v []float32) any {
	switch kind {
	case "float":
		return v
	case "base64":
		return vector64(v)
	}
	out := make([]any, 0, len(v))
	for i := 0; i < len(v); i++ {
		switch kind {
		case "int8":
			out = append(out, int(v[i]*127))
		case "uint8":
			out = append(out, int(v[i]*127)+127)
		default:
			if i%8 == 0 { // packed, one bit for each number
				out = append(out, 1)
			}
		}
	}
	return out
}

func (v *cohere) checkRerank(body map[string]any) (*ask, *apiError) {
	if body["model"] == nil {
		return nil, refuseCohere("a model parameter is required for this endpoint.")
	}
	if e := cohereRerank("", any(body)); e != nil {
		return nil, cohereWords(e, "rerank")
	}
	model, query, documents := str(body["model"]), str(body["query"]), list(body["documents"])
	switch {
	case !slices.Contains(RerankModels, model):
		return nil, v.modelNotFound(model)
	case blank(query):
		return nil, refuseCohere("invalid request: query must not be empty or be only whitespace")
	case len(documents) == 0:
		return nil, refuseCohere("invalid request: list of documents must not be empty")
	}
	return &ask{model: model, body: func(id answerID) []byte { return cohereRanking(body, query, documents, id) }}, nil
}

// Score is how well a fake finds that a document answers a query: the share of the query's words that it holds.
func Score(query, document string) float64 {
	words, have := strings.Fields(strings.ToLower(query)), strings.Fields(strings.ToLower(document))
	if len(words) == 0 {
		return 0
	}
	n := 0
	for _, w := range words {
		if slices.Contains(have, w) {
			n++
		}
	}
	return float64(n) / float64(len(words))
}

func cohereRanking(body map[string]any, query string, documents []any, id answerID) []byte {
	type place struct {
		Index int     `json:"index"`
		Score float64 `json:"relevance_score"`
	}
	places := make([]place, len(documents))
	for i, d := range documents {
		places[i] = place{i, Score(query, str(d))}
	}
	slices.SortStableFunc(places, func(a, b place) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	if n := int(integer(body["top_n"])); n > 0 && n < len(places) {
		places = places[:n]
	}
	return mustJSON(map[string]any{
		"id": id.make("rerank-"), "results": places,
		"meta": map[string]any{"api_version": map[string]any{"version": "2"}, "billed_units": map[string]any{"search_units": (len(documents) + 99) / 100}},
	})
}
