package processor

import (
	"strings"

	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
)

// operation is what a path asks for.
type operation uint8

const (
	opChat operation = iota + 1
	opModels
	opModel // one model, its name in the path
)

// endpoint is one path of the gateway.
type endpoint struct {
	path   string
	method string
	op     operation
	client translate.Client
}

// The codecs: one line each.
var (
	openaiCodec    = openai.Codec{}
	anthropicCodec = anthropic.Codec{}

	providers = map[chat.Schema]translate.Provider{
		chat.OpenAI:    openaiCodec,
		chat.Anthropic: anthropicCodec,
	}
)

// The paths. An SDK whose base URL was given without /v1 posts to the short form.
var endpoints = []endpoint{
	{"/v1/chat/completions", "POST", opChat, openaiCodec},
	{"/chat/completions", "POST", opChat, openaiCodec},
	{"/v1/messages", "POST", opChat, anthropicCodec},
	{"/v1/models", "GET", opModels, openaiCodec},
	{"/models", "GET", opModels, openaiCodec},
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
		return &endpoint{modelPrefix + "{id}", "GET", opModel, openaiCodec}
	}
	return nil
}

// clientFor guesses the schema of a caller whose path says nothing, so that even a 404 is in its words.
func clientFor(path string, anthropicVersion string) translate.Client {
	if strings.HasPrefix(path, "/v1/messages") || anthropicVersion != "" {
		return anthropicCodec
	}
	return openaiCodec
}
