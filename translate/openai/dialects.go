package openai

import (
	"net/url"
	"strings"

	"dragoman/translate"
)

// dialect is how the providers of one name deviate from OpenAI's schema. A nil *dialect is OpenAI itself. What a row leaves
// at its zero value is as OpenAI has it.
type dialect struct {
	// takes are the members of a request that the provider reads: of the schema's own, and of the two extensions that
	// clients of it may use (top_k, thinking). It refuses or overlooks the others. nil: all of the schema's. Members
	// that neither knows always pass: a client that sends one means this provider.
	takes   words
	renames map[string]string // its names for members of the schema
	cap     string            // the name of the output cap that each of its models takes
	formats words             // types of response_format, nil: all
	efforts []string          // words of reasoning_effort, the least first; nil: all
	unnamed bool              // tool_choice cannot name a tool

	developer bool // knows the role developer; else it is sent as system, which means the same
	names     bool // messages may have a name
	flat      bool // content that is only text must be a string
	bytes     bool // images must be data URIs
	refusals  bool // assistant messages may have a refusal; else it is sent as their text (D135)
	caches    bool // cache_control is read, on content parts
	images    bool // assistant messages may have the images that a model made
	shortIDs  bool // ids of tool calls are nine letters or digits
	prefix    bool // an assistant message at the end must say that it is to be continued (D8)
	// thoughts is where an assistant message has the reasoning of earlier turns: a member, content for a part of the
	// content, "" where the provider takes none back.
	thoughts string

	deployments bool // the classic API has the model in the path (Azure)
}

// words is a set of members or values.
type words map[string]bool

func wordList(text string, more ...string) words {
	set := words{}
	for _, w := range strings.Fields(text + " " + strings.Join(more, " ")) {
		set[w] = true
	}
	return set
}

// Members that every provider takes, and those that nearly all take.
const (
	coreMembers     = "model messages stream max_tokens temperature top_p stop response_format tools tool_choice"
	samplingMembers = "frequency_penalty presence_penalty seed n"
	chanceMembers   = "logprobs top_logprobs"
	legacyMembers   = "functions function_call"
	inContent       = "content"
)

var lowToHigh = []string{"low", "medium", "high"}

// dialects has a row for each name of internal/config's vendors that stands for a server of this schema. The sources are
// the vendors' own SDKs where they have one (Python, of August to November 2026), else the server's own code or what its
// documentation and error messages say.
var dialects = map[string]*dialect{
	// Source: openai-go v3.95.0, package azure; Azure's v1 API has OpenAI's own description.
	"azure": {developer: true, names: true, refusals: true, deployments: true},

	// Source: mistralai 3.7.0, ChatCompletionRequest. Its models forbid unknown members, in messages too (422
	// extra_forbidden), and usage is always in the last chunk. Call ids: "must be a-z, A-Z, 0-9, with a length of 9".
	"mistral": {
		takes: wordList(coreMembers, samplingMembers, chanceMembers, "random_seed metadata prediction parallel_tool_calls reasoning_effort top_k prompt_cache_key service_tier"),
		cap:   "max_tokens", renames: map[string]string{"seed": "random_seed"},
		thoughts: inContent, shortIDs: true, prefix: true,
	},

	// Source: groq 1.7.0, CompletionCreateParams; langchain-groq sends stream_options. The SDK and the compatibility page
	// name what is refused with a 400: logprobs, top_logprobs, logit_bias, messages[].name, n other than 1.
	"groq": {
		takes:   wordList(coreMembers, legacyMembers, "frequency_penalty presence_penalty seed stream_options max_completion_tokens metadata parallel_tool_calls reasoning_effort service_tier store user"),
		efforts: append([]string{"none"}, lowToHigh...), developer: true, flat: true, thoughts: "reasoning",
	},

	// Source: together 3.1.1, CompletionCreateParams. logprobs is a number there, and answers have them in another shape.
	"together": {
		takes: wordList(coreMembers, samplingMembers, "stream_options function_call logit_bias reasoning_effort top_k"),
		cap:   "max_tokens", efforts: lowToHigh, names: true, flat: true, thoughts: "reasoning",
	},

	// Source: fireworks-ai 1.2.30, CompletionCreateParams and ChatMessage; stream_options as langchain-fireworks sends it.
	// Unknown members are a 400: "Extra inputs are not permitted".
	"fireworks": {
		takes:   wordList(coreMembers, samplingMembers, chanceMembers, legacyMembers, "stream_options max_completion_tokens logit_bias metadata parallel_tool_calls prediction prompt_cache_key reasoning_effort service_tier thinking top_k user"),
		efforts: append([]string{"none"}, lowToHigh...), thoughts: "reasoning_content",
	},

	// Source: @ai-sdk/deepseek 2.0.69, and DeepSeek's API reference: penalties are deprecated and have no effect, the only
	// structured output is json_object.
	"deepseek": {
		takes: wordList(coreMembers, chanceMembers, "stream_options reasoning_effort thinking user"),
		cap:   "max_tokens", formats: wordList("text json_object"), efforts: append(append([]string(nil), lowToHigh...), "xhigh", "max"),
		names: true, flat: true, thoughts: "reasoning_content",
	},

	// Source: the reference of DashScope's compatible mode.
	"qwen": {
		takes: wordList(coreMembers, samplingMembers, chanceMembers, "stream_options parallel_tool_calls reasoning_effort top_k"),
		cap:   "max_tokens", thoughts: "reasoning_content",
	},

	// Source: openrouter 1.3.84, ChatRequest and its messages.
	"openrouter": {
		takes:     wordList(coreMembers, samplingMembers, chanceMembers, "stream_options max_completion_tokens logit_bias metadata modalities parallel_tool_calls prediction prompt_cache_key prompt_cache_options reasoning_effort service_tier top_k user"),
		developer: true, names: true, refusals: true, caches: true, images: true, thoughts: "reasoning",
	},

	// Source: @ai-sdk/xai 3.0.138 and the vendor's reference. stop and both penalties are a 400 for every reasoning model:
	// "does not support parameter presencePenalty".
	"xai": {
		takes: wordList("model messages stream max_tokens temperature top_p response_format tools tool_choice stream_options n",
			"max_completion_tokens seed", chanceMembers, "parallel_tool_calls reasoning_effort service_tier user web_search_options"),
		names: true,
	},

	// Source: perplexityai 0.46.1, CompletionCreateParams and ChatMessageInput: tool_choice is a word there, and there is no
	// json_object. Usage is in every chunk.
	"perplexity": {
		takes: wordList(coreMembers, "frequency_penalty presence_penalty n", chanceMembers, "parallel_tool_calls reasoning_effort top_k web_search_options"),
		cap:   "max_tokens", formats: wordList("text json_schema"), efforts: append([]string{"minimal"}, lowToHigh...), unnamed: true, flat: true,
	},

	// Source: the reference of the NIM for LLMs, whose server is vLLM behind the models' own checks.
	"nvidia": {
		takes: wordList(coreMembers, samplingMembers, chanceMembers, "stream_options logit_bias parallel_tool_calls reasoning_effort user"),
		cap:   "max_tokens", names: true, flat: true,
	},

	// Source: openai/openai.go of ollama. Content parts become messages of their own there; images are base64 only.
	"ollama": {
		takes: wordList("model messages stream stream_options max_tokens seed stop temperature frequency_penalty presence_penalty top_p response_format tools reasoning_effort"),
		cap:   "max_tokens", names: true, flat: true, bytes: true, thoughts: "reasoning",
	},

	// Source: entrypoints/openai/chat_completion/protocol.py of vLLM, whose max_completion_tokens is newer than max_tokens.
	"vllm": {
		takes: wordList(coreMembers, samplingMembers, chanceMembers, "stream_options max_completion_tokens logit_bias parallel_tool_calls reasoning_effort top_k user"),
		cap:   "max_tokens", names: true, thoughts: "reasoning",
	},

	// Source: LM Studio's reference of its compatible endpoint; json_object is a 400: "must be 'json_schema' or 'text'".
	"lmstudio": {
		takes: wordList(coreMembers, samplingMembers, "stream_options logit_bias reasoning_effort top_k"),
		cap:   "max_tokens", formats: wordList("text json_schema"), names: true, bytes: true,
	},
}

// dialectOf is nil for OpenAI itself, and for a name without a row.
func dialectOf(t translate.Target) *dialect {
	if t.Dialect == "" {
		return nil
	}
	return dialects[t.Dialect]
}

// extensions are the members of a request that the schema does not know and its clients may use all the same.
var extensions = words{"top_k": true, "thinking": true}

// member is the provider's name for a member of the schema, "" when it has none.
func (d *dialect) member(name string) string {
	if d == nil {
		if extensions[name] {
			return ""
		}
		return name
	}
	if d.cap != "" && (name == maxTokensMember || name == completionMember) {
		return d.cap
	}
	if as := d.renames[name]; as != "" {
		return as
	}
	if d.takes == nil {
		if extensions[name] {
			return ""
		}
		return name
	}
	if d.takes[name] {
		return name
	}
	return ""
}

// inTable says whether a member is one that the table speaks of.
func inTable(name string) bool { return schemaMembers[name] || extensions[name] }

// schemaMembers are those of the schema's description.
var schemaMembers = wordList("audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages metadata",
	"modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention",
	"reasoning_effort response_format safety_identifier seed service_tier stop store stream stream_options temperature tool_choice tools",
	"top_logprobs top_p user verbosity web_search_options")

const (
	maxTokensMember  = "max_tokens"
	completionMember = "max_completion_tokens"
)

// effort is the nearest word that the provider has for how much to think, "" for none: the next higher one for less than
// its least, the next lower one for more than its most.
func (d *dialect) effort(word string) string {
	if d == nil || d.efforts == nil {
		return word
	}
	rank := effortRank(word)
	best := ""
	for _, w := range d.efforts {
		if w == word {
			return w
		}
		if w == "none" || word == "none" {
			continue
		}
		if best == "" || effortRank(w) <= rank {
			best = w
		}
	}
	if rank < 0 {
		return "" // a word that nobody knows yet: the model's own default
	}
	return best
}

var effortWords = [...]string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}

func effortRank(word string) int {
	for i, w := range effortWords {
		if w == word {
			return i
		}
	}
	return -1
}

// path is where an operation of the API is, below the endpoint's base path. Azure's classic API has the deployment, which is
// the model's name there, in the path, and its version in the query.
func (d *dialect) path(t translate.Target, operation string) string {
	if d == nil || !d.deployments || t.APIVersion == "" {
		return t.BasePath + operation
	}
	return t.BasePath + "/deployments/" + url.PathEscape(t.Model) + operation + "?api-version=" + url.QueryEscape(t.APIVersion)
}
