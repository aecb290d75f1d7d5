package openai

import (
	"strconv"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// maxDropped bounds the names of dropped members: they travel in a response header.
const maxDropped = 32

// toolNames is what every OpenAI endpoint takes as a tool's name (D14).
var toolNames = chat.NameRule{Max: 64}

// encoder writes one request. The bytes depend on the request alone, in a fixed order, so that equal conversations begin
// with equal bytes (D83).
type encoder struct {
	losses
	b       []byte
	t       translate.Target
	d       *dialect
	names   *chat.Names
	hoisted []chat.Part // images of tool results, waiting for a user message to go into (D42)
}

// Encode writes a request that came in another schema. The output cap goes out as max_completion_tokens, which every
// model of OpenAI's takes and its reasoning models insist on (D46), never above the model's own cap. What the schema has
// no place for is named in Dropped; where leaving it out would change the answer's meaning, the fault is
// fault.Unsupported unless the target is lossy.
func (Codec) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	e := encoder{losses: losses{lossy: t.Lossy}, b: make([]byte, 0, r.Size()), t: t, d: dialectOf(t), names: chat.NamesFor(r, toolNames)}
	e.b = append(e.b, `{"model":`...)
	e.b = strictjson.AppendString(e.b, t.Model)
	e.messages(r.Messages)
	e.tools(r)
	e.sampling(r)
	e.format(r.Format)
	e.reasoning(r.Reasoning)
	if r.User != "" && e.own("user", false) { // D10
		e.b = strictjson.AppendString(e.b, r.User)
	}
	if r.Stream {
		e.b = append(e.b, `,"stream":true`...)
		if e.d.member("stream_options") != "" {
			e.b = append(append(e.b, `,"stream_options":`...), includeUsage...) // D92
		}
	}
	e.b = append(e.b, '}')
	e.extras(r.Extra)
	if e.fault != nil {
		return nil, e.fault
	}
	return &translate.Upstream{Path: e.d.path(t, completionsPath), Body: e.b, Dropped: e.dropped, Names: e.names}, nil
}

// own begins a member of the request under the provider's name for it. It is false where the provider has none: then the
// loss is settled, and meaning says that the answer would be another one.
func (e *encoder) own(name string, meaning bool) bool {
	as := e.d.member(name)
	switch {
	case as != "":
		e.key(as)
		return true
	case meaning:
		e.refuse(name, "%s is not supported by a provider that this request would go to.", name)
	default:
		e.drop(name)
	}
	return false
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
	if v != nil && e.own(name, meaningful[name]) {
		e.b = strconv.AppendInt(e.b, *v, 10)
	}
}

// float writes a penalty, a temperature or a probability. 0 is the default of a penalty, and lost without a word.
func (e *encoder) float(name string, v *float64) {
	if v != nil && (*v != 0 || e.d.member(name) != "") && e.own(name, false) {
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
		e.int(completionMember, &n)
	}
	e.float("temperature", r.Temperature)
	e.float("top_p", r.TopP)
	e.int("top_k", r.TopK) // D51
	e.float("frequency_penalty", r.FrequencyPenalty)
	e.float("presence_penalty", r.PresencePenalty)
	e.stop(r.Stop)
	e.int("seed", r.Seed)
	if r.N != nil && (*r.N != 1 || e.d.member("n") != "") {
		e.int("n", r.N) // D56
	}
	if r.LogProbs != nil && (*r.LogProbs || e.d.member("logprobs") != "") && e.own("logprobs", true) { // D57
		e.b = strconv.AppendBool(e.b, *r.LogProbs)
	}
	if r.TopLogProbs != nil && (*r.TopLogProbs > 0 || e.d.member("top_logprobs") != "") {
		e.int("top_logprobs", r.TopLogProbs)
	}
}

func (e *encoder) stop(stop []string) {
	if len(stop) == 0 {
		return
	}
	if len(stop) > maxStops {
		e.refuse("stop_sequences", "This request has %d stop sequences; a provider that it would go to takes at most %d (OpenAI chat completions).", len(stop), maxStops)
		stop = stop[:maxStops]
	}
	if !e.own("stop", true) {
		return
	}
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
		if e.formatFits(jsonObjectType) {
			e.b = append(e.b, `,"response_format":{"type":"json_object"}`...)
		}
		return
	}
	if !e.formatFits(jsonSchemaType) {
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

// formatFits settles the loss of a response_format that the provider does not have.
func (e *encoder) formatFits(kind string) bool {
	if e.d == nil || e.d.formats == nil || e.d.formats[kind] {
		return true
	}
	e.refuse("response_format.type", "response_format of the type %s is not supported by a provider that this request would go to.", kind)
	return false
}

// reasoning says how much to think in the one way that the schema has. Thinking switched off leaves the default of the
// model: only some of them take "none", and the others refuse it.
func (e *encoder) reasoning(r *chat.Reasoning) {
	if r == nil {
		return
	}
	word := r.Effort
	switch {
	case r.Disabled && word != "none":
		e.switchOff()
		return
	case word != "":
	case r.Budget > mediumBudget:
		word = "high"
	case r.Budget > lowBudget:
		word = "medium"
	case r.Budget > 0:
		word = "low"
	default:
		return
	}
	as := e.d.effort(word)
	if as == "" {
		e.drop("reasoning_effort")
		return
	}
	if e.own("reasoning_effort", false) {
		e.b = strictjson.AppendString(e.b, as)
	}
}

// switchOff says that the model is not to think, where the provider has Anthropic's member for it.
func (e *encoder) switchOff() {
	if e.d.member("thinking") == "" {
		e.drop("thinking")
		return
	}
	e.b = append(e.b, `,"thinking":{"type":"disabled"}`...)
}
