package e2e

import (
	"slices"
	"strings"

	"dragoman/test/harness"
	"dragoman/test/sdk"
)

// The matrix: every official SDK as a client of every provider schema, by the same cases. What this file does not except must work.

// everyone is a configuration with a provider of each schema and nothing else.
const everyone = "{{everyone}}"

// pair is a client and a provider, "" for any.
type pair struct{ client, provider string }

func (p pair) covers(client, provider string) bool {
	return (p.client == "" || p.client == client) && (p.provider == "" || p.provider == provider)
}

// exception is a case that ends differently with some pairs, and why. It is run all the same, and must end differently.
type exception struct {
	pair
	name, why string
	prefix    bool // name is the beginning of the cases' names
}

const (
	noSerial = "the schema cannot forbid parallel calls; the field is dropped, and x-dragoman-dropped says so"
	mended   = "the case wants the 400 that only the client's own vendor has: a tool result without its call is made text (D39)"
	unseen   = "the model takes no images"
)

var exceptions = []exception{
	{pair{"", "gemini"}, "one call at a time", noSerial, false},
	{pair{"", "cohere"}, "one call at a time", noSerial, false},
	{pair{"", "cohere"}, "image", unseen, false},
	{pair{"openai", "anthropic"}, "bad request", mended, true},
	{pair{"openai", "gemini"}, "bad request", mended, true},
	{pair{"openai", "bedrock"}, "bad request", mended, true},
	{pair{"anthropic", "gemini"}, "bad request", mended, true},
	{pair{"anthropic", "bedrock"}, "bad request", mended, true},
}

// excepted says why a case ends differently, "" when it does not.
func excepted(client, provider, name string) string {
	for _, e := range exceptions {
		if e.covers(client, provider) && (e.name == name || e.prefix && strings.HasPrefix(name, e.name)) {
			return e.why
		}
	}
	return ""
}

// alsoNative are the pairs where what only a client's own vendor can do works too: Claude is Claude, and every model's tokens are
// counted or estimated.
var alsoNative = []struct {
	pair
	names []string
}{
	{pair{"anthropic", "bedrock"}, []string{"thinking", "thinking streamed", "stop sequence named"}},
	{pair{"gemini", ""}, []string{"count tokens"}},
}

// holds says whether a case is meant for a pair. The provider named responses serves that API alone.
func holds(c *sdk.Case, provider string) bool {
	if provider == "responses" {
		return c.Client == "responses"
	}
	if !c.Native || c.Client == provider {
		return true
	}
	for _, also := range alsoNative {
		if also.covers(c.Client, provider) && slices.Contains(also.names, c.Name) {
			return true
		}
	}
	return false
}

// thinkers are the models that think, where a provider's first one does not.
var thinkers = map[string]string{"openai": "gpt-5-mini", "cohere": "command-a-reasoning-08-2025"}

// modelFor is the model that a case asks a provider for. Model lists have plain names; other cases go by provider/model.
func modelFor(g *harness.Gateway, c *sdk.Case, provider string) string {
	model := g.Fakes[provider].Model()
	if thinker := thinkers[provider]; thinker != "" && strings.HasPrefix(c.Name, "thinking") {
		model = thinker
	}
	if c.Name == "models" {
		return model
	}
	return provider + "/" + model
}
