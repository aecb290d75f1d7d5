package chat

// EmbeddingRequest asks for vectors of texts. It is the neutral form of OpenAI's /v1/embeddings.
type EmbeddingRequest struct {
	Model      string
	Inputs     []EmbeddingInput
	Dimensions *int64
	Base64     bool   // the client wants little-endian float32 in base64 instead of an array of numbers
	Purpose    string // "", query or document: providers that embed the two differently default to document
	User       string
	Extra      []Extra
}

// EmbeddingInput is a text, or its tokens where the client has them already.
type EmbeddingInput struct {
	Text   string
	Tokens []int64 // set instead of Text
}

// EmbeddingResponse holds one vector for each input, in order.
type EmbeddingResponse struct {
	Model   string
	Vectors [][]float32
	Usage   Usage // Input only
}

// RerankRequest asks which documents answer a query best. It is the neutral form of Cohere's and Jina's rerank.
type RerankRequest struct {
	Model           string
	Query           string
	Documents       []string
	TopN            *int64
	ReturnDocuments bool
	MaxTokensPerDoc *int64
	Extra           []Extra
}

// RerankResponse is sorted, the best first.
type RerankResponse struct {
	ID      string
	Model   string
	Results []RerankResult
	Usage   Usage
	Units   float64 // search units billed, where the provider counts those
}

// RerankResult is one document's place. Score is between 0 and 1.
type RerankResult struct {
	Index int
	Score float64
}
