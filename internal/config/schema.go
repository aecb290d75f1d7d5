package config

import "dragoman/translate/chat"

// schemaSpec is what a configuration must know of a schema.
type schemaSpec struct {
	schema chat.Schema
	path   string // of the API under an endpoint that names no path
	// append says that the schema's SDK takes a base URL without path and appends it, as ANTHROPIC_BASE_URL.
	append         bool
	header, prefix string // of an api_key
	suffix         string // of the API's main call, which people paste with the URL
}

// schemas is every schema that a provider may speak. A codec adds its line.
var schemas = []schemaSpec{
	{schema: chat.OpenAI, path: "/v1", header: "authorization", prefix: "Bearer ", suffix: "/chat/completions"},
	{schema: chat.Anthropic, path: "/v1", append: true, header: "x-api-key", suffix: "/messages"},
}

// vendor is a provider that is known by name: the official API, and the environment variables of its own SDKs.
type vendor struct {
	name     string // also of its part of the catalogue
	schema   chat.Schema
	endpoint string
	keyEnv   string
	tokenEnv string // bearer token, used without a key; "" for none
	baseEnv  string
	ignored  []string // variables that its SDKs obey and Dragoman does not
}

var vendors = []vendor{
	{name: "openai", schema: chat.OpenAI, endpoint: "https://api.openai.com", keyEnv: "OPENAI_API_KEY",
		baseEnv: "OPENAI_BASE_URL", ignored: []string{"OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS"}},
	{name: "anthropic", schema: chat.Anthropic, endpoint: "https://api.anthropic.com", keyEnv: "ANTHROPIC_API_KEY",
		tokenEnv: "ANTHROPIC_AUTH_TOKEN", baseEnv: "ANTHROPIC_BASE_URL", ignored: []string{"ANTHROPIC_PROFILE", "ANTHROPIC_CUSTOM_HEADERS"}},
}

func schemaOf(name string) *schemaSpec {
	for i := range schemas {
		if string(schemas[i].schema) == name {
			return &schemas[i]
		}
	}
	return nil
}

func vendorOf(name string) *vendor {
	for i := range vendors {
		if vendors[i].name == name {
			return &vendors[i]
		}
	}
	return nil
}
