package config

import (
	"net/url"
	"slices"
	"strings"

	dragomanv1 "dragoman/proto/dragoman/v1"
	"dragoman/translate/chat"
)

// vendor is a provider that is known by name: its API, and the environment variables of its own SDKs.
type vendor struct {
	name    string // also of its part of the catalogue
	schema  chat.Schema
	dialect string // how it deviates from its schema, "" when it does not
	// endpoint as the vendor's own SDK has it, "" where it depends on a resource, a region or a location.
	endpoint string
	path     string   // of the API under a base URL without one, where it is not the schema's
	keys     []string // variables with an API key; the first that is set counts
	token    string   // variable with a bearer token, used without a key; "" for none
	bases    []string // variables with a base URL; the first that is set counts
	appended string   // what its SDK appends to such a base URL
	ignored  []string // variables that its SDKs obey and Dragoman does not
	apis     []string // that it serves beyond chat, in its schema
	local    bool     // a server of one's own: no key is needed, and the endpoint is only where one may listen
	header   string   // of an api_key, where it is not the schema's; without prefix

	hosts   func(host string) bool            // names of its API beside endpoint's; nil for none
	locate  func(*dragomanv1.Provider) string // the endpoint that its settings imply, "" for none; nil: endpoint
	find    func(lookup) (*dragomanv1.Credential, string)
	prepare func(lookup, *dragomanv1.Provider) string // fills in a discovered provider; what it says is lacking
}

// lookup reads the environment; "" for what is not set.
type lookup func(name string) string

func (env lookup) first(names ...string) (name, value string) {
	for _, n := range names {
		if v := env(n); v != "" {
			return n, v
		}
	}
	return "", ""
}

// openaiAPIs are the words of Provider.apis but the one that is Anthropic's.
var openaiAPIs = []string{"responses", "completions", "embeddings", "moderations", "images", "audio", "files", "batches"}

// apiWords are all words of Provider.apis.
var apiWords = append(slices.Clone(openaiAPIs), "rerank", "count_tokens", none)

// none is the word for "not even what is known by name".
const none = "none"

// vendors is the table of what is known. Sources: the vendors' own SDKs (the variables they read and their default URLs).
var vendors = []vendor{
	{name: "openai", schema: chat.OpenAI, endpoint: "https://api.openai.com", keys: []string{"OPENAI_API_KEY"}, bases: []string{"OPENAI_BASE_URL"},
		ignored: []string{"OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS"}, apis: openaiAPIs},
	{name: "azure", schema: chat.OpenAI, dialect: "azure", keys: []string{"AZURE_OPENAI_API_KEY"}, bases: []string{"AZURE_OPENAI_ENDPOINT"}, header: "api-key",
		apis: []string{"responses", "completions", "embeddings", "images", "audio", "files", "batches"}, hosts: azureHost, find: azureCredential, prepare: prepareAzure},
	{name: "anthropic", schema: chat.Anthropic, endpoint: "https://api.anthropic.com", keys: []string{"ANTHROPIC_API_KEY"}, token: "ANTHROPIC_AUTH_TOKEN",
		bases: []string{"ANTHROPIC_BASE_URL"}, ignored: []string{"ANTHROPIC_PROFILE", "ANTHROPIC_CUSTOM_HEADERS"}, apis: []string{"count_tokens", "files", "batches"}},
	{name: "gemini", schema: chat.Gemini, endpoint: "https://generativelanguage.googleapis.com", keys: []string{"GOOGLE_API_KEY", "GEMINI_API_KEY"},
		bases: []string{"GOOGLE_GEMINI_BASE_URL"}, ignored: []string{"GOOGLE_GENAI_API_VERSION"}, apis: []string{"embeddings", "count_tokens"}, find: geminiCredential},
	{name: "vertex", schema: chat.Gemini, dialect: "vertex", bases: []string{"GOOGLE_VERTEX_BASE_URL"}, apis: []string{"embeddings", "count_tokens"},
		hosts: vertexHost, locate: vertexEndpoint, find: vertexCredential, prepare: prepareVertex},
	{name: "bedrock", schema: chat.Bedrock, token: "AWS_BEARER_TOKEN_BEDROCK", bases: []string{"AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL"},
		hosts: bedrockHost, locate: bedrockEndpoint, find: bedrockCredential, prepare: prepareBedrock},
	{name: "cohere", schema: chat.Cohere, endpoint: "https://api.cohere.com", keys: []string{"CO_API_KEY", "COHERE_API_KEY"}, bases: []string{"CO_API_URL"},
		apis: []string{"embeddings", "rerank"}},
	{name: "mistral", schema: chat.OpenAI, dialect: "mistral", endpoint: "https://api.mistral.ai", keys: []string{"MISTRAL_API_KEY"}, bases: []string{"MISTRAL_BASE_URL"},
		appended: "/v1", apis: []string{"embeddings", "moderations", "audio", "files"}},
	{name: "groq", schema: chat.OpenAI, dialect: "groq", endpoint: "https://api.groq.com", path: "/openai/v1", keys: []string{"GROQ_API_KEY"}, bases: []string{"GROQ_BASE_URL"},
		appended: "/openai/v1", ignored: []string{"GROQ_CUSTOM_HEADERS"}, apis: []string{"responses", "audio", "files", "batches"}},
	{name: "together", schema: chat.OpenAI, dialect: "together", endpoint: "https://api.together.ai", keys: []string{"TOGETHER_API_KEY"}, bases: []string{"TOGETHER_BASE_URL"},
		appended: "/v1", ignored: []string{"TOGETHER_CUSTOM_HEADERS"}, apis: []string{"completions", "embeddings", "images", "audio", "rerank", "files", "batches"}},
	{name: "fireworks", schema: chat.OpenAI, dialect: "fireworks", endpoint: "https://api.fireworks.ai", path: "/inference/v1", keys: []string{"FIREWORKS_API_KEY"},
		bases: []string{"FIREWORKS_BASE_URL"}, appended: "/v1", ignored: []string{"FIREWORKS_CUSTOM_HEADERS"}, apis: []string{"responses", "completions", "embeddings", "rerank"}},
	{name: "deepseek", schema: chat.OpenAI, dialect: "deepseek", endpoint: "https://api.deepseek.com", keys: []string{"DEEPSEEK_API_KEY"}, bases: []string{"DEEPSEEK_BASE_URL", "DEEPSEEK_API_BASE"}},
	{name: "qwen", schema: chat.OpenAI, dialect: "qwen", endpoint: "https://dashscope.aliyuncs.com", path: "/compatible-mode/v1", keys: []string{"DASHSCOPE_API_KEY"},
		bases: []string{"DASHSCOPE_COMPATIBLE_BASE_URL", "DASHSCOPE_BASE_URL"}, ignored: []string{"DASHSCOPE_API_REGION", "DASHSCOPE_WORKSPACE_ID", "DASHSCOPE_HTTP_BASE_URL"},
		apis: []string{"embeddings", "files", "batches"}, hosts: dashscopeHost},
	{name: "openrouter", schema: chat.OpenAI, dialect: "openrouter", endpoint: "https://openrouter.ai", path: "/api/v1", keys: []string{"OPENROUTER_API_KEY"},
		bases: []string{"OPENROUTER_BASE_URL"}, apis: []string{"responses", "completions", "embeddings"}},
	{name: "xai", schema: chat.OpenAI, dialect: "xai", endpoint: "https://api.x.ai", keys: []string{"XAI_API_KEY"}, bases: []string{"XAI_BASE_URL"},
		apis: []string{"responses", "completions", "images", "files"}},
	{name: "perplexity", schema: chat.OpenAI, dialect: "perplexity", endpoint: "https://api.perplexity.ai", path: rootPath, keys: []string{"PERPLEXITY_API_KEY", "PPLX_API_KEY"},
		bases: []string{"PERPLEXITY_BASE_URL"}, ignored: []string{"PERPLEXITY_CUSTOM_HEADERS"}},
	{name: "nvidia", schema: chat.OpenAI, dialect: "nvidia", endpoint: "https://integrate.api.nvidia.com", keys: []string{"NVIDIA_API_KEY"}, bases: []string{"NVIDIA_BASE_URL"},
		apis: []string{"completions", "embeddings"}},
	{name: "ollama", schema: chat.OpenAI, dialect: "ollama", endpoint: "http://127.0.0.1:11434", keys: []string{"OLLAMA_API_KEY"}, local: true,
		apis: []string{"completions", "embeddings"}, prepare: prepareOllama},
	{name: "vllm", schema: chat.OpenAI, dialect: "vllm", endpoint: "http://127.0.0.1:8000", keys: []string{"VLLM_API_KEY", "HOSTED_VLLM_API_KEY"}, local: true,
		bases: []string{"VLLM_BASE_URL", "HOSTED_VLLM_API_BASE"}, apis: []string{"responses", "completions", "embeddings", "rerank", "audio"}},
	{name: "lmstudio", schema: chat.OpenAI, dialect: "lmstudio", endpoint: "http://127.0.0.1:1234", keys: []string{"LM_STUDIO_API_KEY", "LM_API_TOKEN"}, local: true,
		bases: []string{"LMSTUDIO_BASE_URL", "LM_STUDIO_API_BASE"}, apis: []string{"responses", "completions", "embeddings"}},
}

// rootPath is the path of an API that stands at the root of its host.
const rootPath = "/"

func vendorOf(name string) *vendor {
	for i := range vendors {
		if vendors[i].name == name {
			return &vendors[i]
		}
	}
	return nil
}

func vendorNames() []string {
	var names []string
	for _, v := range vendors {
		names = append(names, v.name)
	}
	return names
}

// dialectNames are the vendors that deviate from their schema.
func dialectNames() []string {
	var names []string
	for _, v := range vendors {
		if v.dialect != "" {
			names = append(names, v.dialect)
		}
	}
	return names
}

// at says whether a URL is of the vendor's own API. A server of one's own is nobody's.
func (v *vendor) at(raw string) bool {
	if v.local {
		return false
	}
	u, err := url.Parse(raw)
	return err == nil && (sameHost(raw, v.endpoint) || v.hosts != nil && v.hosts(strings.ToLower(u.Hostname())))
}

// speaks says whether a provider of this vendor may have a schema: Vertex serves Claude too, as Anthropic does.
func (v *vendor) speaks(schema string) bool {
	return schema == string(v.schema) || v.dialect == "vertex" && schema == string(chat.Anthropic)
}

func azureHost(host string) bool {
	return strings.HasSuffix(host, ".openai.azure.com") || strings.HasSuffix(host, ".services.ai.azure.com") || strings.HasSuffix(host, ".cognitiveservices.azure.com")
}

func vertexHost(host string) bool {
	return host == "aiplatform.googleapis.com" || strings.HasSuffix(host, "-aiplatform.googleapis.com") ||
		strings.HasPrefix(host, "aiplatform.") && strings.HasSuffix(host, ".rep.googleapis.com")
}

func bedrockHost(host string) bool {
	return (strings.HasPrefix(host, "bedrock-runtime.") || strings.HasPrefix(host, "bedrock-runtime-fips.")) &&
		(strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn"))
}

func dashscopeHost(host string) bool {
	return strings.HasPrefix(host, "dashscope") && strings.HasSuffix(host, ".aliyuncs.com") || strings.HasSuffix(host, ".maas.aliyuncs.com")
}

// vertexEndpoint follows Google's SDK: a location has its own host, but for the global and the multi-regional ones.
func vertexEndpoint(p *dragomanv1.Provider) string {
	switch location := p.Location; {
	case location == "" || location == "global":
		return "https://aiplatform.googleapis.com"
	case location == "us" || location == "eu":
		return "https://aiplatform." + location + ".rep.googleapis.com"
	case !isName(location):
		return ""
	default:
		return "https://" + location + "-aiplatform.googleapis.com"
	}
}

func bedrockEndpoint(p *dragomanv1.Provider) string {
	switch {
	case p.Region == "" || !isName(p.Region):
		return ""
	case strings.HasPrefix(p.Region, "cn-"):
		return "https://bedrock-runtime." + p.Region + ".amazonaws.com.cn"
	}
	return "https://bedrock-runtime." + p.Region + ".amazonaws.com"
}

// regionOf reads the region from the name of AWS's own endpoint.
func regionOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || !bedrockHost(strings.ToLower(u.Hostname())) {
		return ""
	}
	return strings.Split(strings.ToLower(u.Hostname()), ".")[1]
}

// baseOf is how a provider's base URL is read.
func baseOf(p *dragomanv1.Provider, schema *schemaSpec) baseRule {
	rule := schema.base
	v := vendorByDialect(p.Dialect)
	switch {
	case v == nil:
	case v.dialect == "azure" && p.ApiVersion != "":
		rule.path, rule.append = "/openai", true
	case v.dialect == "azure":
		rule.path, rule.append = "/openai/v1", true
	case v.dialect == "vertex":
		rule.path, rule.append, rule.versions = vertexPath(p), true, nil
	case v.path != "":
		rule.path = v.path
	}
	return rule
}

// vertexPath is the publisher's, in a project unless an API key implies it (express mode).
func vertexPath(p *dragomanv1.Provider) string {
	version, publisher := "/v1beta1", "google" // as Google's SDK
	if p.Schema == string(chat.Anthropic) {
		version, publisher = "/v1", "anthropic" // as Anthropic's
	}
	if p.Project == "" {
		return version + "/publishers/" + publisher
	}
	return version + "/projects/" + p.Project + "/locations/" + p.Location + "/publishers/" + publisher
}

// vendorByDialect finds the vendor of a dialect, nil for none.
func vendorByDialect(dialect string) *vendor {
	if dialect == "" || dialect == none {
		return nil
	}
	return vendorOf(dialect) // a dialect has its vendor's name
}
