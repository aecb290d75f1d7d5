package sdk

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/anthropics/anthropic-sdk-go"
	cohere "github.com/cohere-ai/cohere-go/v2"
	"github.com/openai/openai-go/v3"
)

// EmbeddingCases are those of the SDKs that ask for vectors; Target.Model is a model for embeddings, whose vectors have
// Target.Size dimensions or as many as are asked for.
func EmbeddingCases() []Case {
	c := func(client, name string, run func(context.Context, Target) error) Case {
		return Case{Client: client, Name: name, Run: run}
	}
	return []Case{
		c("openai", "embeddings", openaiEmbeddings), c("openai", "one embedding", openaiOneEmbedding),
		c("openai", "embeddings in base64", openaiEmbeddings64), c("openai", "dimensions", openaiDimensions),
		c("openai", "unknown embedding model", openaiUnknownEmbedding), c("openai", "bad embedding request", openaiBadEmbedding),
		c("cohere", "embeddings", cohereEmbeddings), c("cohere", "embeddings in base64", cohereEmbeddings64),
		c("cohere", "dimensions", cohereDimensions), c("cohere", "bad embedding request", cohereBadEmbedding),
	}
}

// RerankCases are those of Cohere's SDK that ask for a ranking; Target.Model is a model for that.
func RerankCases() []Case {
	return []Case{{Client: "cohere", Name: "rerank", Run: cohereRerank}, {Client: "cohere", Name: "rerank top", Run: cohereRerankTop}}
}

// CountCases are those of Anthropic's SDK that count tokens.
func CountCases() []Case {
	return []Case{{Client: "anthropic", Name: "count tokens", Run: anthropicCount}, {Client: "anthropic", Name: "count tokens of tools", Run: anthropicCountTools}}
}

// texts are what is embedded, the first two alike.
var texts = []string{"the weather in Paris", "the weather in Paris", "quantum chromodynamics"}

// checkVectors wants unit vectors, equal for equal texts and others for others.
func checkVectors(vectors [][]float64, size int) error {
	if len(vectors) != len(texts) {
		return fmt.Errorf("%d vectors", len(vectors))
	}
	for i, v := range vectors {
		if math.Abs(dot(v, v)-1) > 1e-3 || len(v) != size {
			return fmt.Errorf("vector %d: %d dimensions, length %g", i, len(v), math.Sqrt(dot(v, v)))
		}
	}
	if same, other := dot(vectors[0], vectors[1]), dot(vectors[0], vectors[2]); math.Abs(same-1) > 1e-3 || math.Abs(other) > 0.5 {
		return fmt.Errorf("likeness of equal texts %g, of others %g", same, other)
	}
	return nil
}

func dot(a, b []float64) (sum float64) {
	for i := range min(len(a), len(b)) {
		sum += a[i] * b[i]
	}
	return sum
}

// unpack reads a vector in base64: float32, little-endian.
func unpack(text string) ([]float64, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return nil, fmt.Errorf("no vector in base64: %w", err)
	}
	v := make([]float64, len(raw)/4)
	for i := range v {
		v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
	}
	return v, nil
}

func openaiEmbed(ctx context.Context, t Target, p openai.EmbeddingNewParams) (*openai.CreateEmbeddingResponse, error) {
	client := openaiClient(t)
	p.Model = openai.EmbeddingModel(t.Model)
	if p.Input.OfArrayOfStrings == nil && !p.Input.OfString.Valid() {
		p.Input.OfArrayOfStrings = texts
	}
	return client.Embeddings.New(ctx, p)
}

func checkOpenAIEmbeddings(t *Target, got *openai.CreateEmbeddingResponse, size int) error {
	var vectors [][]float64
	for i, d := range got.Data {
		if err := equal("index", d.Index, int64(i)); err != nil {
			return err
		}
		vectors = append(vectors, d.Embedding)
	}
	return errors.Join(checkVectors(vectors, size), present("model", got.Model),
		t.metered("prompt tokens", got.Usage.PromptTokens), equal("total tokens", got.Usage.TotalTokens, got.Usage.PromptTokens))
}

func openaiEmbeddings(ctx context.Context, t Target) error {
	got, err := openaiEmbed(ctx, t, openai.EmbeddingNewParams{EncodingFormat: openai.EmbeddingNewParamsEncodingFormatFloat})
	if err != nil {
		return err
	}
	return checkOpenAIEmbeddings(&t, got, t.size())
}

func openaiOneEmbedding(ctx context.Context, t Target) error {
	got, err := openaiEmbed(ctx, t, openai.EmbeddingNewParams{Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String(texts[0])}})
	if err != nil {
		return err
	}
	if len(got.Data) != 1 {
		return fmt.Errorf("%d vectors", len(got.Data))
	}
	return equal("dimensions", len(got.Data[0].Embedding), t.size())
}

// openaiEmbeddings64: the SDK has no type for vectors in base64; their text is in the raw answer.
func openaiEmbeddings64(ctx context.Context, t Target) error {
	got, err := openaiEmbed(ctx, t, openai.EmbeddingNewParams{EncodingFormat: openai.EmbeddingNewParamsEncodingFormatBase64})
	if err != nil {
		return err
	}
	var vectors [][]float64
	for _, d := range got.Data {
		raw := d.JSON.Embedding.Raw()
		if len(raw) < 2 || raw[0] != '"' {
			return fmt.Errorf("no base64: %.60s", raw)
		}
		v, err := unpack(raw[1 : len(raw)-1])
		if err != nil {
			return err
		}
		vectors = append(vectors, v)
	}
	return checkVectors(vectors, t.size())
}

func openaiDimensions(ctx context.Context, t Target) error {
	got, err := openaiEmbed(ctx, t, openai.EmbeddingNewParams{Dimensions: openai.Int(256)})
	if err != nil {
		return err
	}
	return checkOpenAIEmbeddings(&t, got, 256)
}

func openaiUnknownEmbedding(ctx context.Context, t Target) error {
	t.Model = "no-such-model"
	_, err := openaiEmbed(ctx, t, openai.EmbeddingNewParams{})
	return wantStatus(err, 404, openaiStatus)
}

func openaiBadEmbedding(ctx context.Context, t Target) error {
	_, err := openaiEmbed(ctx, t, openai.EmbeddingNewParams{Dimensions: openai.Int(-1)})
	return wantStatus(err, 400, openaiStatus)
}

func cohereEmbed(ctx context.Context, t Target, r *cohere.V2EmbedRequest) (*cohere.EmbedByTypeResponse, error) {
	r.Model, r.Texts = t.Model, texts
	if r.InputType == "" {
		r.InputType = cohere.EmbedInputTypeSearchDocument
	}
	return cohereClient(t).V2.Embed(ctx, r)
}

func checkCohereEmbeddings(t *Target, got *cohere.EmbedByTypeResponse, size int) error {
	if t.NoUsage {
		return errors.Join(checkVectors(got.Embeddings.Float, size), present("id", got.Id))
	}
	if got.Meta == nil || got.Meta.BilledUnits == nil || got.Meta.BilledUnits.InputTokens == nil {
		return errors.New("nothing is said to be billed")
	}
	return errors.Join(checkVectors(got.Embeddings.Float, size), present("id", got.Id), positive("input tokens", int64(*got.Meta.BilledUnits.InputTokens)))
}

func cohereEmbeddings(ctx context.Context, t Target) error {
	got, err := cohereEmbed(ctx, t, &cohere.V2EmbedRequest{EmbeddingTypes: []cohere.EmbeddingType{cohere.EmbeddingTypeFloat}})
	if err != nil {
		return err
	}
	return errors.Join(checkCohereEmbeddings(&t, got, t.size()), equal("texts", len(got.Texts), len(texts)))
}

func cohereEmbeddings64(ctx context.Context, t Target) error {
	got, err := cohereEmbed(ctx, t, &cohere.V2EmbedRequest{EmbeddingTypes: []cohere.EmbeddingType{cohere.EmbeddingTypeBase64}, InputType: cohere.EmbedInputTypeSearchQuery})
	if err != nil {
		return err
	}
	var vectors [][]float64
	for _, text := range got.Embeddings.Base64 {
		v, err := unpack(text)
		if err != nil {
			return err
		}
		vectors = append(vectors, v)
	}
	return checkVectors(vectors, t.size())
}

func cohereDimensions(ctx context.Context, t Target) error {
	got, err := cohereEmbed(ctx, t, &cohere.V2EmbedRequest{OutputDimension: cohere.Int(512)})
	if err != nil {
		return err
	}
	return checkCohereEmbeddings(&t, got, 512)
}

func cohereBadEmbedding(ctx context.Context, t Target) error {
	_, err := cohereEmbed(ctx, t, &cohere.V2EmbedRequest{OutputDimension: cohere.Int(-1)})
	var e *cohere.BadRequestError
	if !errors.As(err, &e) {
		return fmt.Errorf("not a BadRequestError: %w", err)
	}
	return nil
}

// documents are ranked for the query `capital of France`: the third answers it, the first is the next best.
var documents = []string{"Lyon is a city of France", "bananas are yellow", "Paris is the capital of France", "the sea"}

func cohereRank(ctx context.Context, t Target, top *int) (*cohere.V2RerankResponse, error) {
	return cohereClient(t).V2.Rerank(ctx, &cohere.V2RerankRequest{Model: t.Model, Query: "capital of France", Documents: documents, TopN: top})
}

func cohereRerank(ctx context.Context, t Target) error {
	got, err := cohereRank(ctx, t, nil)
	if err != nil {
		return err
	}
	if len(got.Results) != len(documents) {
		return fmt.Errorf("%d results", len(got.Results))
	}
	for i := 1; i < len(got.Results); i++ {
		if got.Results[i].RelevanceScore > got.Results[i-1].RelevanceScore {
			return fmt.Errorf("result %d is better than the one before", i)
		}
	}
	return errors.Join(equal("best", got.Results[0].Index, 2), equal("second", got.Results[1].Index, 0))
}

func cohereRerankTop(ctx context.Context, t Target) error {
	got, err := cohereRank(ctx, t, cohere.Int(1))
	if err != nil {
		return err
	}
	if len(got.Results) != 1 {
		return fmt.Errorf("%d results", len(got.Results))
	}
	return errors.Join(equal("best", got.Results[0].Index, 2), positive("score in percent", int64(100*got.Results[0].RelevanceScore)))
}

func anthropicCountOf(ctx context.Context, t Target, p anthropic.MessageCountTokensParams) (int64, error) {
	client := anthropicClient(t)
	p.Model = anthropic.Model(t.Model)
	p.Messages = []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(prompt))}
	got, err := client.Messages.CountTokens(ctx, p)
	if err != nil {
		return 0, err
	}
	return got.InputTokens, nil
}

func anthropicCount(ctx context.Context, t Target) error {
	n, err := anthropicCountOf(ctx, t, anthropic.MessageCountTokensParams{})
	return errors.Join(err, positive("input tokens", n))
}

// anthropicCountTools: a tool and a system prompt take tokens.
func anthropicCountTools(ctx context.Context, t Target) error {
	plain, err := anthropicCountOf(ctx, t, anthropic.MessageCountTokensParams{})
	if err != nil {
		return err
	}
	s := weatherSchema()
	more, err := anthropicCountOf(ctx, t, anthropic.MessageCountTokensParams{
		System: anthropic.MessageCountTokensParamsSystemUnion{OfString: anthropic.String("You are terse and speak of the weather alone.")},
		Tools: []anthropic.MessageCountTokensToolUnionParam{{OfTool: &anthropic.ToolParam{
			Name: "get_weather", Description: anthropic.String("The weather in a city"),
			InputSchema: anthropic.ToolInputSchemaParam{Properties: s["properties"], Required: []string{"city"}},
		}}},
	})
	if err != nil {
		return err
	}
	return positive("tokens of the tool and the system prompt", more-plain)
}
