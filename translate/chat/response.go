package chat

import "dragoman/internal/fault"

// Finish says why the model stopped.
type Finish string

// The reasons. An unknown one travels in RawFinish and never costs the answer (D105).
const (
	FinishStop          Finish = "stop"
	FinishStopSequence  Finish = "stop_sequence" // which one is in StopSequence
	FinishLength        Finish = "length"
	FinishToolCalls     Finish = "tool_calls"
	FinishContentFilter Finish = "content_filter"
	FinishRefusal       Finish = "refusal"
	FinishPause         Finish = "pause"          // the client must resend to go on (Anthropic pause_turn)
	FinishContext       Finish = "context_length" // the window was full
	FinishOther         Finish = "other"
)

// Response is a whole answer.
type Response struct {
	ID      string
	Model   string // as the provider said, "" when it did not
	Created int64  // Unix seconds, 0 when the schema has none (D136)
	Choices []Choice
	Usage   Usage
	Billed  Billed
	Extra   []Extra // service_tier, system_fingerprint …

	// Of an operation other than chat, which has no Choices.
	Embedding *EmbeddingResponse
	Rerank    *RerankResponse
	Count     *int64 // input tokens, of count_tokens
}

// Choice is one of the answers asked for by n.
type Choice struct {
	Parts        []Part // Text, Thinking, RedactedThinking, ToolCall, Refusal, in the model's order; Image or Audio that it made
	Finish       Finish
	RawFinish    string // the provider's word
	StopSequence string
	LogProbs     []byte // OpenAI's logprobs object, nil when absent
}

// Usage counts tokens in disjoint classes (D84): Input excludes what was read from or written to a prompt cache, Output
// includes Reasoning. Known says that the provider reported it: a reported zero is data, an absent count is not (D91).
type Usage struct {
	Known        bool
	Input        int64
	CacheRead    int64
	CacheWrite   int64 // 5-minute (default) entries
	CacheWrite1h int64
	Output       int64 // Reasoning included (D88)
	Reasoning    int64
	AudioInput   int64 // part of Input
	AudioOutput  int64 // part of Output
}

// Billed is what a provider charges for where it counts that apart from the tokens (Cohere, D90). The zero value says that
// Usage is what is charged.
type Billed struct {
	Known         bool
	Input, Output int64   // tokens
	Units         float64 // search units of a rerank
}

// Total is every token that counts against a limit.
func (u Usage) Total() int64 { return u.Input + u.CacheRead + u.CacheWrite + u.CacheWrite1h + u.Output }

// Prompt is the input in OpenAI's sense: cached tokens included (D85).
func (u Usage) Prompt() int64 { return u.Input + u.CacheRead + u.CacheWrite + u.CacheWrite1h }

// EventKind says what a stream event is.
type EventKind uint8

// The events, in the only order a decoder may emit them:
// Start (BlockStart Delta* BlockStop)* Finish Usage? End. Choices may interleave; within a choice blocks do not, except
// parallel tool calls of OpenAI providers (D109). Usage may also come earlier and again: the last one counts (D93).
const (
	EventStart      EventKind = iota + 1 // ID, Model, Created, Usage when known
	EventBlockStart                      // Index, Block: Text, Thinking, RedactedThinking (Signature), ToolCall (Call.ID, Call.Name), Refusal, Image, Audio (Media)
	EventDelta                           // Index, Text: text, thinking, refusal, or a fragment of the call's JSON arguments
	EventSignature                       // Index, Text: the thinking block's signature (D81)
	EventBlockStop                       // Index; Block.Citations of a Text whose sources are known now (D134)
	EventFinish                          // Finish, RawFinish, StopSequence
	EventUsage                           // Usage and Billed, cumulative
	EventEnd                             // the provider's terminal event: the stream is whole
	EventError                           // Fault: the provider said so inside the stream (D119)
	EventPing                            // a comment or ping; clients may be shown one
)

// Event is one step of a streamed answer. The receiver must not keep it or its byte slices after the callback returns.
type Event struct {
	Kind         EventKind
	Choice       int
	Index        int // the block's, counted per choice over all kinds, ascending from 0
	Block        Part
	Text         string
	ID           string
	Model        string
	Created      int64
	Finish       Finish
	RawFinish    string
	StopSequence string
	LogProbs     []byte // of a Delta: OpenAI's logprobs object
	Usage        Usage
	Billed       Billed
	Fault        *fault.Fault
}

// Content says whether the event carries something a client would show: after it a retry would repeat output.
func (e *Event) Content() bool {
	switch e.Kind {
	case EventDelta:
		return e.Text != ""
	case EventBlockStart:
		return e.Block.Kind == ToolCall || e.Block.Kind == RedactedThinking || e.Block.Media != nil
	case EventFinish:
		return true
	default:
		return false
	}
}
