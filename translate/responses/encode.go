package responses

import (
	"slices"
	"strconv"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

const (
	// maxDropped bounds the names of dropped members: they travel in a response header.
	maxDropped = 32
	// maxCallID is how long a call's id may be (D34).
	maxCallID = 64
)

// nameRule is what the schema's providers take as a function's name (D14).
var nameRule = chat.NameRule{Max: 64}

// encoder writes one request. The bytes depend on the request alone, in a fixed order, so that equal conversations begin
// with equal bytes (D83).
type encoder struct {
	b       []byte
	t       translate.Target
	own     bool // the client speaks this schema: what only it can say may be said
	custom  map[string]bool
	customs map[string]bool // ids of calls of custom tools
	names   *chat.Names
	all     bool     // thinking of every maker is written: what it stands in is no request yet
	listed  *listing // set when items are shown as the vendor's list of input items shows them
	items   int
	dropped []string
	fault   *fault.Fault
}

// Encode writes a request that came in another schema, or one of this schema whose bytes cannot pass. Nothing is stored at
// the provider (store: false): who keeps what is the gateway's affair. What the schema has no place for is named in
// Dropped; where leaving it out would change the answer's meaning, the fault is fault.Unsupported unless the target is
// lossy.
func (Codec) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	e := encoder{b: make([]byte, 0, r.Size()), t: t, own: r.Schema == chat.Responses, names: chat.NamesFor(r, nameRule)}
	e.b = strictjson.AppendString(append(e.b, `{"model":`...), t.Model)
	e.noteCustom(r.Tools)
	e.b = append(e.b, `,"input":[`...)
	e.messages(r.Messages)
	e.b = append(e.b, ']')
	e.tools(r)
	e.sampling(r)
	e.format(r)
	e.reasoning(r)
	e.include(r)
	e.b = append(e.b, `,"store":false`...)
	if r.User != "" {
		e.identify(r.User)
	}
	e.extras(r.Extra)
	if r.Stream {
		e.b = append(e.b, `,"stream":true`...)
	}
	e.b = append(e.b, '}')
	if e.fault != nil {
		return nil, e.fault
	}
	return &translate.Upstream{Path: t.BasePath + responsesPath, Body: e.b, Dropped: e.dropped, Names: e.names}, nil
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

// noCounterpart refuses a member that the schema has no place for.
func (e *encoder) noCounterpart(path string) {
	e.refuse(path, "%s has no counterpart in the schema of a provider that this request would go to (OpenAI Responses).", wire.ClipText(path))
}

// extras writes what is this schema's own, and refuses or drops the rest.
func (e *encoder) extras(extras []chat.Extra) {
	for i := range extras {
		switch x := &extras[i]; {
		case e.own && !strings.ContainsAny(x.Name, ".["):
			e.key(x.Name)
			e.b = append(e.b, x.JSON...)
		case x.Meaning:
			e.noCounterpart(x.Name)
		default:
			e.drop(x.Name)
		}
	}
}

func (e *encoder) key(name string) {
	e.b = strictjson.AppendString(append(e.b, ','), name)
	e.b = append(e.b, ':')
}

func (e *encoder) text(name, value string) {
	e.key(name)
	e.b = strictjson.AppendString(e.b, value)
}

func (e *encoder) int(name string, v int64) {
	e.key(name)
	e.b = strconv.AppendInt(e.b, v, 10)
}

func (e *encoder) float(name string, v *float64) {
	if v != nil {
		e.key(name)
		e.b = strconv.AppendFloat(e.b, *v, 'g', -1, 64)
	}
}

// identify names the end user (D10); a longer name than the schema takes becomes one that is as much its own.
func (e *encoder) identify(user string) {
	if len(user) > maxIdentifier {
		user = chat.CallID(user, maxIdentifier)
	}
	e.text("safety_identifier", user)
}

// Limits of the schema's description.
const (
	minOutput     = 16 // tokens
	maxIdentifier = 64 // characters of safety_identifier
)

// sampling writes the cap and what the schema has of sampling. The cap is at least what the schema takes: a model that may
// write 5 tokens and one that may write 16 differ less than an answer and a 400.
func (e *encoder) sampling(r *chat.Request) {
	if r.MaxTokens != nil {
		n := max(*r.MaxTokens, minOutput)
		if e.t.MaxOutput > 0 {
			n = min(n, e.t.MaxOutput)
		}
		e.int(maxOutputTokens, n)
	}
	e.float("temperature", r.Temperature)
	e.float("top_p", r.TopP)
	if r.TopLogProbs != nil && r.LogProbs != nil && *r.LogProbs {
		e.int("top_logprobs", *r.TopLogProbs)
	}
	for _, m := range [...]struct {
		set  bool
		name string
	}{{r.TopK != nil, "top_k"}, {r.FrequencyPenalty != nil, "frequency_penalty"}, {r.PresencePenalty != nil, "presence_penalty"}} {
		if m.set {
			e.drop(m.name) // D51, D52
		}
	}
	if len(r.Stop) > 0 {
		e.noCounterpart("stop") // D53
	}
	if r.Seed != nil {
		e.noCounterpart("seed") // D55
	}
	if r.N != nil && *r.N > 1 {
		e.noCounterpart("n") // D56
	}
}

func (e *encoder) format(r *chat.Request) {
	f := r.Format
	switch {
	case f == nil:
		return
	case f.Schema == nil:
		e.b = append(e.b, `,"text":{"format":{"type":"json_object"}}`...)
		return
	}
	name := f.Name
	if name == "" {
		name = "response" // required here, unknown elsewhere
	}
	e.b = append(e.b, `,"text":{"format":{"type":"json_schema"`...)
	e.text("name", name)
	if f.Description != "" {
		e.text("description", f.Description)
	}
	if f.Strict != nil {
		e.key("strict")
		e.b = strconv.AppendBool(e.b, *f.Strict)
	}
	e.key("schema")
	e.b = append(e.b, f.Schema...)
	e.b = append(e.b, '}', '}')
}

// Budgets of thinking, in tokens, below which an effort is meant, as in chat completions (D58).
const (
	lowBudget    = 2048
	mediumBudget = 8192
)

// reasoning says how much to think in the one way that the schema has. Thinking switched off leaves the model's default:
// only some models take "none", and the others refuse it. A summary is asked for only where the client asks to be shown
// one: many accounts may not have it.
func (e *encoder) reasoning(r *chat.Request) {
	rs := r.Reasoning
	if rs == nil {
		return
	}
	effort := ""
	switch {
	case rs.Disabled && rs.Effort != "none":
		e.drop("thinking")
		return
	case rs.Effort != "":
		effort = rs.Effort
	case rs.Budget > mediumBudget:
		effort = "high"
	case rs.Budget > lowBudget:
		effort = "medium"
	case rs.Budget > 0:
		effort = "low"
	}
	sep := `,"reasoning":{`
	if effort != "" {
		e.b = strictjson.AppendString(append(append(e.b, sep...), `"effort":`...), effort)
		sep = `,`
	}
	if rs.Display == "summarized" {
		e.b = append(append(e.b, sep...), `"summary":"auto"`...)
		sep = `,`
	}
	if sep == `,` {
		e.b = append(e.b, '}')
	}
}

// include asks for log probabilities, and for the reasoning itself where there will be some: without it the next turn could
// not continue the model's thoughts. A model that does not reason refuses to be asked.
func (e *encoder) include(r *chat.Request) {
	reasons := r.Reasoning != nil && !r.Reasoning.Disabled
	if e.t.Capabilities != nil {
		reasons = e.t.Capabilities["reasoning"]
	}
	probs := r.LogProbs != nil && *r.LogProbs
	switch {
	case reasons && probs:
		e.b = append(e.b, `,"include":["reasoning.encrypted_content","message.output_text.logprobs"]`...)
	case reasons:
		e.b = append(e.b, `,"include":["reasoning.encrypted_content"]`...)
	case probs:
		e.b = append(e.b, `,"include":["message.output_text.logprobs"]`...)
	}
}
