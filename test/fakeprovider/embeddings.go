package fakeprovider

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// EmbeddingModels are the models of the embeddings operations, which every fake of the schema has beside Options.Models.
var EmbeddingModels = map[Schema][]string{
	OpenAI: {"text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"},
	Cohere: {"embed-v4.0", "embed-english-v3.0", "embed-multilingual-v3.0"},
}

// embeds says whether the vendor has a model for embeddings.
func (o *Options) embeds(model string) bool {
	return slices.Contains(EmbeddingModels[o.Schema], model) || !slices.Contains(DefaultModels[o.Schema], model) && o.knows(model)
}

// Vector is the embedding that a fake gives a text: a hash of it as a point on the unit sphere of so many dimensions.
func Vector(text string, dimensions int) []float32 {
	v := make([]float32, dimensions)
	var block [sha256.Size]byte
	var sum float64
	for i := range v {
		if i%8 == 0 {
			block = sha256.Sum256(fmt.Appendf(nil, "%d\x00%s", i/8, text))
		}
		x := float64(int32(binary.LittleEndian.Uint32(block[4*(i%8):]))) / math.MaxInt32
		v[i] = float32(x)
		sum += x * x
	}
	norm := float32(math.Sqrt(sum))
	for i := range v {
		v[i] /= norm
	}
	return v
}

func vector64(v []float32) string {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// operation answers what is no chat: always whole.
func (a *answer) operation(body []byte, lim *limits) {
	if a.rule.Reply != nil {
		for k, v := range a.rule.Reply.Header {
			a.w.Header().Set(k, v)
		}
	}
	switch {
	case lim == nil:
		a.complete = a.whole(http.StatusOK, "application/json", body)
	case lim.encoding != "":
		a.complete = a.compressed(lim.encoding, "application/json", body)
	default:
		a.half(body, lim)
	}
}

//go:embed testdata/openai.embeddings.json
var openaiEmbeddingsDescription []byte

// openaiEmbeddingsSchemas are those of the description's part about embeddings.
var openaiEmbeddingsSchemas = sync.OnceValues(func() (*openaiSpec, error) {
	spec := &openaiSpec{}
	return spec, spec.compile(openaiEmbeddingsDescription, "CreateEmbeddingRequest", map[string]**jsonschema.Schema{
		"CreateEmbeddingRequest": &spec.request, "CreateEmbeddingResponse": &spec.response,
	})
})

// openaiOperations are the vendor's operations beside chat completions, by path.
var openaiOperations = map[string]func(*openai, map[string]any) (*ask, *apiError){
	"/v1/embeddings": (*openai).checkEmbeddings,
}

func (v *openai) operation(path string) func(map[string]any) (*ask, *apiError) {
	check := openaiOperations[path]
	if check == nil {
		return nil
	}
	return func(body map[string]any) (*ask, *apiError) { return check(v, body) }
}

// embeddingSizes are how many dimensions the vendor's models have.
var embeddingSizes = map[string]int{"text-embedding-3-large": 3072}

func (v *openai) checkEmbeddings(body map[string]any) (*ask, *apiError) {
	spec, err := openaiEmbeddingsSchemas()
	if err != nil {
		return nil, v.refuse(http.StatusInternalServerError, "", err.Error())
	}
	var unknown []string
	for name := range body {
		if !spec.fields[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	model := str(body["model"])
	switch {
	case len(unknown) > 0:
		return nil, invalid("", "", "Unrecognized request argument supplied: %s", unknown[0])
	case body["model"] == nil:
		return nil, invalid("", "", "you must provide a model parameter")
	}
	if err := spec.request.Validate(any(body)); err != nil {
		return nil, schemaError(err)
	}
	if !v.opts.embeds(model) {
		return nil, v.modelNotFound(model)
	}
	size := embeddingSizes[model]
	if size == 0 {
		size = 1536
	}
	if n := int(integer(body["dimensions"])); n > 0 {
		if !strings.HasPrefix(model, "text-embedding-3") {
			return nil, invalid("", "", "This model does not support specifying dimensions.")
		}
		if n > size {
			return nil, invalid("", "", "Invalid value for 'dimensions' = %d. Must be less than or equal to %d.", n, size)
		}
		size = n
	}
	texts, tokens, e := embeddingTexts(body["input"])
	if e != nil {
		return nil, e
	}
	packed := str(body["encoding_format"]) == "base64"
	return &ask{model: model, words: tokens, body: func(answerID) []byte {
		return openaiEmbeddings(model, texts, tokens, size, packed)
	}}, nil
}

// embeddingTexts are the inputs, tokens written as text, and how many tokens (words) they have.
func embeddingTexts(input any) (texts []string, tokens int64, e *apiError) {
	one := []any{input}
	if l := list(input); l != nil {
		one = l
		if _, numbers := number(l[0]); numbers {
			one = []any{input}
		}
	}
	for _, item := range one {
		if text, ok := item.(string); ok {
			if text == "" {
				return nil, 0, invalid("input", "", "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.")
			}
			texts, tokens = append(texts, text), tokens+max(countWords(text), 1)
			continue
		}
		texts, tokens = append(texts, fmt.Sprint(item)), tokens+int64(len(list(item)))
	}
	return texts, tokens, nil
}

func openaiEmbeddings(model string, texts []string, tokens int64, size int, packed bool) []byte {
	data := make([]any, 0, len(texts))
	for i, text := range texts {
		v := Vector(text, size)
		item := map[string]any{"object": "embedding", "index": i, "embedding": v}
		if packed {
			item["embedding"] = vector64(v)
		}
		data = append(data, item)
	}
	return mustJSON(map[string]any{
		"object": "list", "data": data, "model": model, "usage": map[string]any{"prompt_tokens": tokens, "total_tokens": tokens},
	})
}

// countTokens are the members of a Messages request that count_tokens takes (MessageCountTokensParams of the official SDK).
var countTokens = []string{
	"messages", "model", "cache_control", "output_config", "system", "thinking", "tool_choice", "tools",
}

func (v *anthropic) operation(path string) func(map[string]any) (*ask, *apiError) {
	if path == v.path()+"/count_tokens" {
		return v.checkCount
	}
	return nil
}

// checkCount holds the prompt to the rules of Messages.
func (v *anthropic) checkCount(body map[string]any) (*ask, *apiError) {
	for name := range body {
		if !slices.Contains(countTokens, name) {
			return nil, refuseAt(name, "Extra inputs are not permitted")
		}
	}
	message := map[string]any{"max_tokens": json.Number(strconv.Itoa(maxOutput))}
	for name, value := range body {
		message[name] = value
	}
	q, e := v.check(http.Header{}, message)
	if e != nil {
		return nil, e
	}
	q.stream = false
	q.body = func(answerID) []byte { return mustJSON(map[string]any{"input_tokens": max(q.words, 1)}) }
	return q, nil
}
