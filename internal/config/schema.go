package config

import "dragoman/translate/chat"

// schemaSpec is what a configuration must know of a schema.
type schemaSpec struct {
	schema         chat.Schema
	base           baseRule
	header, prefix string // of an api_key
}

// baseRule says how a base URL becomes the path that a codec appends its own paths to.
type baseRule struct {
	path string // of the API under an endpoint that names no path
	// append says that the schema's SDK takes a base URL without path and appends it, as ANTHROPIC_BASE_URL.
	append   bool
	versions []string // with append: other paths that an endpoint may end in instead of path
	suffix   string   // of the API's main call, which people paste with the URL
}

// schemas is every schema that a provider may speak. A codec adds its line.
var schemas = []schemaSpec{
	{schema: chat.OpenAI, base: baseRule{path: "/v1", suffix: "/chat/completions"}, header: "authorization", prefix: "Bearer "},
	{schema: chat.Anthropic, base: baseRule{path: "/v1", append: true, suffix: "/messages"}, header: "x-api-key"},
	{schema: chat.Gemini, base: baseRule{path: "/v1beta", append: true, versions: []string{"/v1", "/v1alpha", "/v1beta1"}, suffix: ":generateContent"}, header: "x-goog-api-key"},
	{schema: chat.Bedrock, base: baseRule{suffix: "/converse"}, header: "authorization", prefix: "Bearer "},
	{schema: chat.Cohere, base: baseRule{path: "/v2", append: true, suffix: "/chat"}, header: "authorization", prefix: "Bearer "},
}

func schemaOf(name string) *schemaSpec {
	for i := range schemas {
		if string(schemas[i].schema) == name {
			return &schemas[i]
		}
	}
	return nil
}

func schemaNames() []string {
	var names []string
	for _, s := range schemas {
		names = append(names, string(s.schema))
	}
	return names
}
