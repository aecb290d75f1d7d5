// Package chat holds the neutral request, response, stream event and usage that every schema is translated through.
// It knows no schema; beside the standard library it imports only internal/fault. A codec decodes into these types without loss of what any
// other schema could say; what only one schema can say travels in Extra, so that the encoder of another can refuse or
// name it (nothing is dropped in silence).
package chat

// Schema names the wire format of an API.
type Schema string

// The schemas.
const (
	OpenAI    Schema = "openai"    // chat completions
	Responses Schema = "responses" // OpenAI's Responses
	Anthropic Schema = "anthropic" // Messages
	Gemini    Schema = "gemini"    // Google's generateContent
	Bedrock   Schema = "bedrock"   // AWS Bedrock's Converse
	Cohere    Schema = "cohere"    // Cohere's chat v2
)

// Head is what policy needs to know of a request body, read in the one validating pass over its bytes. Everything else
// is decoded (Request) only when the provider speaks another schema.
type Head struct {
	Schema       Schema
	Model        string
	Stream       bool
	IncludeUsage bool  // the client asked for the usage chunk of a stream (stream_options.include_usage)
	MaxTokens    int64 // output cap, 0 when absent
	N            int64 // choices asked for, 1 when absent
	Messages     int
	Tools        int
	Images       int
	TextBytes    int    // bytes of text that count as input, JSON escapes included; media data excluded
	User         string // the end user's id, as the client gave it
	Body         []byte // the body as it came; never written to
	Fields       []Field
}

// Field is one top-level member of the body: Body[Start:End] is its value's JSON text, Body[KeyStart:Start] its key
// with quotes, colon and white space.
type Field struct {
	Name                 string
	KeyStart, Start, End int
}

// Field finds a top-level member's JSON text, nil when absent.
func (h *Head) Field(name string) []byte {
	for i := range h.Fields {
		if h.Fields[i].Name == name {
			return h.Body[h.Fields[i].Start:h.Fields[i].End]
		}
	}
	return nil
}

// InputTokens is a cheap estimate of the prompt's size in tokens. Against OpenAI's o200k it is 6 % over for English, 8 % to
// 10 % under for Go and JSON, 5 % under for Chinese and Japanese; but 60 % over for CJK that is escaped as \uXXXX, and 60 %
// under for base64 or hex inside of text. Llama, Qwen and Gemini are close to o200k; Claude takes 1.2 to 1.5 times as many.
// internal/tokens counts properly where it matters.
func (h *Head) InputTokens() int64 {
	return int64(h.TextBytes/4 + 4*h.Messages + 16*h.Tools + 1000*h.Images + 3)
}

// Role says who speaks. Developer stays distinct from System (D1): only an encoder for a schema without it merges them.
type Role string

// The roles.
const (
	System    Role = "system"
	Developer Role = "developer"
	User      Role = "user"
	Assistant Role = "assistant"
	ToolRole  Role = "tool" // results of tool calls, one message per OpenAI tool message
)

// Request is a whole decoded request. Pointers are nil and slices empty where the client said nothing.
type Request struct {
	Schema            Schema // the client's
	Model             string
	Messages          []Message // system and developer messages in their place; encoders hoist (D3)
	Tools             []Tool
	ToolChoice        *ToolChoice
	ParallelToolCalls *bool
	MaxTokens         *int64 // output cap, thinking included
	Temperature       *float64
	TopP              *float64
	TopK              *int64
	FrequencyPenalty  *float64
	PresencePenalty   *float64
	Stop              []string
	Seed              *int64
	N                 *int64
	LogProbs          *bool
	TopLogProbs       *int64
	Format            *Format
	Reasoning         *Reasoning
	User              string
	Stream            bool
	IncludeUsage      bool
	Extra             []Extra // members that have no neutral form, in the order they came

	// Of an operation other than chat, which sets nothing above but Schema and Model.
	Embedding *EmbeddingRequest
	Rerank    *RerankRequest
}

// Extra is a member only the client's schema knows. JSON is its value's text.
type Extra struct {
	Name string // path in the client's body: logit_bias, messages[2].name
	JSON []byte
	// Meaning says that leaving it out changes what the answer means (logit_bias), so that an encoder that cannot say it
	// must refuse; otherwise it drops the member and names it.
	Meaning bool
}

// Message is one turn.
type Message struct {
	Role  Role
	Name  string
	Parts []Part
}

// PartKind says what a Part is.
type PartKind uint8

// The kinds of parts.
const (
	Text             PartKind = iota + 1
	Image                     // Media
	Document                  // Media
	Audio                     // Media
	ToolCall                  // Call
	ToolResult                // Result
	Thinking                  // Text, Signature
	RedactedThinking          // Signature holds the opaque data
	Refusal                   // Text
)

// Part is one block of a message's content.
type Part struct {
	Kind      PartKind
	Text      string
	Signature string // opaque, bound to the provider that made it (D78); see Sign. Also of a ToolCall (D79)
	Media     *Media
	Call      *Call
	Result    *Result
	Cache     *CacheMark // a prompt-cache breakpoint after this part
	Citations []Citation // sources of a Text part of an answer (D134)
	Extra     []Extra    // members of this part that only its schema knows
}

// Citation is a source that an answer's text rests on.
type Citation struct {
	Title, URL string
	Quote      string // the source's words
	Start, End int    // what rests on it: UTF-8 byte offsets into the part's text, both 0 when unknown
}

// Media is an image, document or sound: exactly one of Data, URL and FileID is set.
type Media struct {
	Type   string // MIME, "" when the client did not say (a URL)
	Data   string // standard base64
	URL    string
	FileID string // provider-scoped (D71)
	Name   string
	Detail string // OpenAI's image detail
}

// Call is one tool call of an assistant. Arguments is JSON text: an object, "{}" when the model gave none (D33).
type Call struct {
	ID        string
	Name      string
	Arguments string
}

// Result answers a Call.
type Result struct {
	CallID  string
	Parts   []Part // Text, Image or Document
	IsError *bool  // nil when the schema cannot say (D43)
}

// CacheMark is a prompt-cache breakpoint. TTL is "" (the provider's default), "5m" or "1h".
type CacheMark struct{ TTL string }

// Tool is a function that the model may call. Kind is "" for a function; a provider's server-side tool keeps its own
// type there and its whole JSON in Raw, and only a provider of the same schema can take it (D21).
type Tool struct {
	Name        string
	Description string
	Parameters  []byte // JSON Schema, nil when absent (D15)
	Strict      *bool
	Cache       *CacheMark
	Kind        string
	Raw         []byte
}

// ToolMode says how free the model is to call tools.
type ToolMode string

// The modes.
const (
	ToolAuto     ToolMode = "auto"
	ToolNone     ToolMode = "none"
	ToolRequired ToolMode = "required"
	ToolNamed    ToolMode = "named" // Name
)

// ToolChoice is the client's wish.
type ToolChoice struct {
	Mode ToolMode
	Name string
}

// Format asks for structured output. Schema nil: any JSON object.
type Format struct {
	Name        string
	Description string
	Schema      []byte
	Strict      *bool
}

// Reasoning asks for thinking. Effort and Budget are two ways to say how much; a codec turns one into the other where
// its schema has only one (D58).
type Reasoning struct {
	Effort   string // "", none, minimal, low, medium, high, xhigh, max
	Budget   int64  // tokens, 0 when not said
	Disabled bool
	Adaptive bool   // the model decides how much
	Display  string // "", summarized, omitted: Anthropic's thinking.display
}
