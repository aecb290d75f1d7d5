package openai

import (
	"slices"
	"strconv"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// maxDropped bounds the names of dropped members: they travel in a response header.
const maxDropped = 32

// maxName is how long a tool's name may be (D14).
const maxName = 64

// encoder writes one request. The bytes depend on the request alone, in a fixed order, so that equal conversations begin
// with equal bytes (D83).
type encoder struct {
	b       []byte
	t       translate.Target
	dropped []string
	hoisted []chat.Part // images of tool results, waiting for a user message to go into (D42)
	fault   *fault.Fault
}

// Encode writes a request that came in another schema. The output cap goes out as max_completion_tokens, which every
// model of OpenAI's takes and its reasoning models insist on (D46), never above the model's own cap. What the schema has
// no place for is named in Dropped; where leaving it out would change the answer's meaning, the fault is
// fault.Unsupported unless the target is lossy.
func (Codec) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	e := encoder{b: make([]byte, 0, sizeOf(r)), t: t}
	e.b = append(e.b, `{"model":`...)
	e.b = strictjson.AppendString(e.b, t.Model)
	e.messages(r.Messages)
	e.tools(r)
	e.sampling(r)
	e.format(r.Format)
	e.reasoning(r.Reasoning)
	if r.User != "" {
		e.text("user", r.User) // D10
	}
	if r.Stream {
		e.b = append(e.b, `,"stream":true,"stream_options":`...)
		e.b = append(e.b, includeUsage...) // D92
	}
	e.b = append(e.b, '}')
	e.extras(r.Extra)
	if e.fault != nil {
		return nil, e.fault
	}
	return &translate.Upstream{Path: t.BasePath + completionsPath, Body: e.b, Dropped: e.dropped}, nil
}

// sizeOf guesses a little above the body's size, so that it is written into one allocation.
func sizeOf(r *chat.Request) int {
	n := 512
	for i := range r.Messages {
		n += 48
		for j := range r.Messages[i].Parts {
			n += sizeOfPart(&r.Messages[i].Parts[j])
		}
	}
	for i := range r.Tools {
		n += 128 + len(r.Tools[i].Name) + len(r.Tools[i].Description) + len(r.Tools[i].Parameters)
	}
	if r.Format != nil {
		n += len(r.Format.Schema)
	}
	return n
}

func sizeOfPart(p *chat.Part) int {
	n := 64 + len(p.Text) + len(p.Text)/16
	if p.Media != nil {
		n += len(p.Media.Data) + len(p.Media.URL)
	}
	if p.Call != nil {
		n += len(p.Call.Arguments) + len(p.Call.Arguments)/8 + 64
	}
	if p.Result != nil {
		for i := range p.Result.Parts {
			n += sizeOfPart(&p.Result.Parts[i])
		}
	}
	return n
}

// drop names a member that was left out; each name once.
func (e *encoder) drop(path string) {
	if len(e.dropped) < maxDropped && !slices.Contains(e.dropped, path) {
		e.dropped = append(e.dropped, path)
	}
}

// refuse faults with Unsupported, or drops the member when the target is lossy.
func (e *encoder) refuse(path, format string, args ...any) {
	if e.t.Lossy {
		e.drop(path)
		return
	}
	if e.fault == nil {
		e.fault = fault.New(fault.Unsupported, format, args...)
		e.fault.Param = path
	}
}

func (e *encoder) extras(extras []chat.Extra) {
	for i := range extras {
		x := &extras[i]
		if x.Meaning {
			e.refuse(x.Name, "%s has no counterpart in the schema of a provider that this request would go to (OpenAI chat completions).", wire.ClipText(x.Name))
			continue
		}
		e.drop(x.Name)
	}
}

func (e *encoder) key(name string) {
	e.b = append(e.b, ',', '"')
	e.b = append(e.b, name...)
	e.b = append(e.b, '"', ':')
}

func (e *encoder) text(name, value string) {
	e.key(name)
	e.b = strictjson.AppendString(e.b, value)
}

func (e *encoder) int(name string, v *int64) {
	if v != nil {
		e.key(name)
		e.b = strconv.AppendInt(e.b, *v, 10)
	}
}

func (e *encoder) float(name string, v *float64) {
	if v != nil {
		e.key(name)
		e.b = strconv.AppendFloat(e.b, *v, 'g', -1, 64)
	}
}

func (e *encoder) bool(name string, v *bool) {
	if v != nil {
		e.key(name)
		e.b = strconv.AppendBool(e.b, *v)
	}
}

func (e *encoder) sampling(r *chat.Request) {
	if r.MaxTokens != nil {
		n := *r.MaxTokens
		if e.t.MaxOutput > 0 {
			n = min(n, e.t.MaxOutput) // more is a 400 at OpenAI, and never more output
		}
		e.int("max_completion_tokens", &n)
	}
	e.float("temperature", r.Temperature)
	e.float("top_p", r.TopP)
	if r.TopK != nil {
		e.drop("top_k") // D51
	}
	e.float("frequency_penalty", r.FrequencyPenalty)
	e.float("presence_penalty", r.PresencePenalty)
	e.stop(r.Stop)
	e.int("seed", r.Seed)
	e.int("n", r.N)
	e.bool("logprobs", r.LogProbs)
	e.int("top_logprobs", r.TopLogProbs)
}

func (e *encoder) stop(stop []string) {
	if len(stop) == 0 {
		return
	}
	if len(stop) > maxStops {
		e.refuse("stop_sequences", "This request has %d stop sequences; a provider that it would go to takes at most %d (OpenAI chat completions).", len(stop), maxStops)
		stop = stop[:maxStops]
	}
	e.key("stop")
	e.b = append(e.b, '[')
	for i, s := range stop {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = strictjson.AppendString(e.b, s)
	}
	e.b = append(e.b, ']')
}

func (e *encoder) format(f *chat.Format) {
	if f == nil {
		return
	}
	if f.Schema == nil {
		e.b = append(e.b, `,"response_format":{"type":"json_object"}`...)
		return
	}
	name := f.Name
	if name == "" {
		name = "response" // required here, unknown elsewhere
	}
	e.b = append(e.b, `,"response_format":{"type":"json_schema","json_schema":{"name":`...)
	e.b = strictjson.AppendString(e.b, name)
	if f.Description != "" {
		e.text("description", f.Description)
	}
	e.bool("strict", f.Strict)
	e.key("schema")
	e.b = append(e.b, f.Schema...)
	e.b = append(e.b, '}', '}')
}

// Budgets of thinking, in tokens, below which an effort is meant. The way back from D58's 1024 for low, 2048 for medium:
// in between, because agents ask for round numbers such as 4096 and 10000.
const (
	lowBudget    = 2048
	mediumBudget = 8192
)

// reasoning says how much to think in the one way that the schema has. Thinking switched off leaves the default of the
// model: only some of them take "none", and the others refuse it.
func (e *encoder) reasoning(r *chat.Reasoning) {
	switch {
	case r == nil:
	case r.Disabled && r.Effort != "none":
		e.drop("thinking")
	case r.Effort != "":
		e.text("reasoning_effort", r.Effort)
	case r.Budget > mediumBudget:
		e.text("reasoning_effort", "high")
	case r.Budget > lowBudget:
		e.text("reasoning_effort", "medium")
	case r.Budget > 0:
		e.text("reasoning_effort", "low")
	}
}
