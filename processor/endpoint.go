package processor

import (
	"net/url"
	"strings"

	"dragoman/internal/config"
	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/bedrock"
	"dragoman/translate/chat"
	"dragoman/translate/cohere"
	"dragoman/translate/gemini"
	"dragoman/translate/openai"
	"dragoman/translate/responses"
)

// operation is what a path asks for.
type operation uint8

const (
	opChat operation = iota + 1
	opEmbed
	opRerank
	opCount    // the tokens of a chat request
	opComplete // the older completions
	opPass     // what passes to providers of the same schema: see pass.go
	opModels   // the list of models
	opModel    // one model, its name in the path
	opTurn     // a stored response, its id in the path
	opTurnInput
	opCheck // what the gateway asks of a provider to see whether it is there
)

// endpoint is one path of the gateway.
type endpoint struct {
	path   string // as metrics and logs name it
	method string
	also   string // another method that it takes
	op     operation
	client translate.Client
	pass   *passage // of what passes; nil for what is translated

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
	geminiCodec    = gemini.Codec{}

	// providers are the schemas in which an operation can be asked of a provider.
	providers = map[operation]map[chat.Schema]translate.Provider{
		opChat: {
			chat.OpenAI:    openaiCodec,
			chat.Anthropic: anthropicCodec,
			chat.Bedrock:   bedrock.Codec{},
			chat.Cohere:    cohereCodec,
			chat.Gemini:    geminiCodec,
		},
		opEmbed: {
			chat.OpenAI:  openai.Embeddings{},
			chat.Cohere:  cohere.Embeddings{},
			chat.Bedrock: bedrock.Embeddings{},
			chat.Gemini:  gemini.Embeddings{},
		},
		opRerank: {
			chat.Cohere:  cohere.Rerank{},
			chat.Bedrock: bedrock.Rerank{},
		},
		opCount: {
			chat.Anthropic: anthropic.CountTokens{},
			chat.Gemini:    gemini.CountTokens{},
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
	{path: "/v1/rerank", method: "POST", op: opRerank, client: cohere.CommonRerank{}},
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
	if name, ok := strings.CutPrefix(path, modelPrefix); ok && name != "" {
		if e := geminiMethod(name); e != nil { // Google's newer SDKs say v1, not v1beta
			return e
		}
		return &endpoint{path: modelPrefix + "{id}", method: "GET", op: opModel, client: openaiCodec, model: name}
	}
	if id, ok := strings.CutPrefix(path, turnPrefix); ok && id != "" {
		if strings.HasSuffix(id, inputItems) {
			return &endpoint{path: turnPrefix + "{id}" + inputItems, method: "GET", op: opTurnInput, client: responsesCodec}
		}
		return &endpoint{path: turnPrefix + "{id}", method: "GET", also: "DELETE", op: opTurn, client: responsesCodec}
	}
	if strings.HasPrefix(path, geminiPrefix) {
		return findGemini(path[len(geminiPrefix):])
	}
	return nil
}

// geminiPrefix is the path of Google's models; what follows is a model's name and, for all but the list, a method.
const geminiPrefix = "/v1beta/models"

// findGemini looks at models/{model}:{method}, models/{model} and models.
func findGemini(rest string) *endpoint {
	if rest == "" {
		return &endpoint{path: geminiPrefix, method: "GET", op: opModels, client: geminiCodec}
	}
	name, ok := strings.CutPrefix(rest, "/")
	if !ok || name == "" {
		return nil
	}
	if e := geminiMethod(name); e != nil {
		return e
	}
	model, err := url.PathUnescape(name)
	if err != nil || isMethod(name[strings.LastIndexByte(name, ':')+1:]) && strings.Contains(name, ":") {
		return nil
	}
	return &endpoint{path: geminiPrefix + "/{id}", method: "GET", op: opModel, client: geminiCodec, model: model}
}

// geminiMethod looks at {model}:{method}, nil when there is no such method.
func geminiMethod(name string) *endpoint {
	i := strings.LastIndexByte(name, ':')
	if i <= 0 {
		return nil
	}
	model, err := url.PathUnescape(name[:i])
	if err != nil {
		return nil
	}
	e := &endpoint{path: geminiPrefix + "/{id}" + name[i:], method: "POST", op: opChat, client: geminiCodec, model: model}
	switch name[i:] {
	case ":generateContent":
	case ":streamGenerateContent":
		e.stream, e.array = true, true // until the query says alt=sse
	case ":countTokens":
		e.op, e.client = opCount, gemini.CountTokens{}
	default:
		return nil
	}
	return e
}

// isMethod: methods are words, while the ids of some models end in a colon and a number (Bedrock).
func isMethod(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// clientFor guesses the schema of a caller whose path says nothing, so that even a 404 is in its words.
func clientFor(path string, anthropicVersion string) translate.Client {
	switch {
	case strings.HasPrefix(path, "/v1/messages") || anthropicVersion != "":
		return anthropicCodec
	case strings.HasPrefix(path, "/v2/"):
		return cohereCodec
	case strings.HasPrefix(path, "/v1beta/"):
		return geminiCodec
	default:
		return openaiCodec
	}
}

// codec is what a provider is asked in, nil when it cannot be asked this.
func (ex *Exchange) codec(p *config.Provider) translate.Provider {
	if ex.endpoint.pass != nil {
		return ex.endpoint.pass.provider(p)
	}
	if ex.head.Schema == chat.Responses && p.APIs["responses"] {
		return responsesCodec
	}
	return providers[ex.endpoint.op][p.Schema]
}
