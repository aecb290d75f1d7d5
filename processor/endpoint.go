package processor

import (
	"strings"

	"dragoman/internal/config"
	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/bedrock"
	"dragoman/translate/chat"
	"dragoman/translate/cohere"
	"dragoman/translate/openai"
	"dragoman/translate/responses"
)

// operation is what a path asks for.
type operation uint8

const (
	opChat operation = iota + 1
	opEmbed
	opRerank
	opCount  // the tokens of a chat request
	opModels // the list of models
	opModel  // one model, its name in the path
)

// endpoint is one path of the gateway.
type endpoint struct {
	path   string // as metrics and logs name it
	method string
	op     operation
	client translate.Client

	// Of a path that holds what a body holds elsewhere (Gemini).
	model  string
	stream bool
	array  bool // the stream is one JSON array
}

// The codecs: one line each.
var (
	openaiCodec    = openai.Codec{}
	anthropicCodec = anthropic.Codec{}
	responsesCodec = responses.Codec{}
	cohereCodec    = cohere.Codec{}

	// providers are the schemas in which an operation can be asked of a provider.
	providers = map[operation]map[chat.Schema]translate.Provider{
		opChat: {
			chat.OpenAI:    openaiCodec,
			chat.Anthropic: anthropicCodec,
			chat.Bedrock:   bedrock.Codec{},
			chat.Cohere:    cohereCodec,
		},
		opEmbed: {
			chat.OpenAI:  openai.Embeddings{},
			chat.Cohere:  cohere.Embeddings{},
			chat.Bedrock: bedrock.Embeddings{},
		},
		opRerank: {
			chat.Cohere: cohere.Rerank{},
		},
		opCount: {
			chat.Anthropic: anthropic.CountTokens{},
		},
	}
)

// The paths. An SDK whose base URL was given without /v1 posts to the short form.
var endpoints = []endpoint{
	{path: "/v1/chat/completions", method: "POST", op: opChat, client: openaiCodec},
	{path: "/chat/completions", method: "POST", op: opChat, client: openaiCodec},
	{path: "/v1/messages", method: "POST", op: opChat, client: anthropicCodec},
	{path: "/v1/responses", method: "POST", op: opChat, client: responsesCodec},
	{path: "/responses", method: "POST", op: opChat, client: responsesCodec},
	{path: "/v2/chat", method: "POST", op: opChat, client: cohereCodec},
	{path: "/v1/embeddings", method: "POST", op: opEmbed, client: openai.Embeddings{}},
	{path: "/embeddings", method: "POST", op: opEmbed, client: openai.Embeddings{}},
	{path: "/v2/embed", method: "POST", op: opEmbed, client: cohere.Embeddings{}},
	{path: "/v1/rerank", method: "POST", op: opRerank, client: cohere.Rerank{}},
	{path: "/v2/rerank", method: "POST", op: opRerank, client: cohere.Rerank{}},
	{path: "/v1/messages/count_tokens", method: "POST", op: opCount, client: anthropic.CountTokens{}},
	{path: "/v1/models", method: "GET", op: opModels, client: openaiCodec},
	{path: "/models", method: "GET", op: opModels, client: openaiCodec},
}

// modelPrefix is the path of one model; what follows is its name, which may hold slashes.
const modelPrefix = "/v1/models/"

// find looks an endpoint up by its path, the query cut off already; nil when there is none.
func find(path string) *endpoint {
	for i := range endpoints {
		if endpoints[i].path == path {
			return &endpoints[i]
		}
	}
	if len(path) > len(modelPrefix) && strings.HasPrefix(path, modelPrefix) {
		return &endpoint{path: modelPrefix + "{id}", method: "GET", op: opModel, client: openaiCodec}
	}
	return nil
}

// clientFor guesses the schema of a caller whose path says nothing, so that even a 404 is in its words.
func clientFor(path string, anthropicVersion string) translate.Client {
	switch {
	case strings.HasPrefix(path, "/v1/messages") || anthropicVersion != "":
		return anthropicCodec
	case strings.HasPrefix(path, "/v2/"):
		return cohereCodec
	default:
		return openaiCodec
	}
}

// codec is what a provider is asked in, nil when it cannot be asked this.
func (ex *Exchange) codec(p *config.Provider) translate.Provider {
	if ex.head.Schema == chat.Responses && p.APIs["responses"] {
		return responsesCodec
	}
	return providers[ex.endpoint.op][p.Schema]
}
