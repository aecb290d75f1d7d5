package cohere

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

// encoder writes one request. The bytes depend on the request alone, in a fixed order, so that equal conversations begin
// with equal bytes (D83).
type encoder struct {
	b       []byte
	t       translate.Target
	names   *chat.Names
	dropped []string
	held    []chat.Part // of the next user's message: files of tool results, system text from within the conversation
	fault   *fault.Fault
}

// Encode writes a request that came in another schema. What the schema has no place for is named in Dropped, and so is a
// value that had to be brought into the schema's range (temperature, p, k, penalties); where leaving it out would change
// the answer's meaning, the fault is fault.Unsupported unless the target is lossy. n above 1, sound, PDFs and other
// providers' file ids are always refused: nothing like them could come back or be read.
func (Codec) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	e := encoder{b: make([]byte, 0, r.Size()), t: t, names: chat.NamesFor(r, nameRule)}
	e.b = append(e.b, `{"model":`...)
	e.b = strictjson.AppendString(e.b, t.Model)
	e.b = append(e.b, `,"stream":`...)
	e.b = strconv.AppendBool(e.b, r.Stream)
	e.messages(r.Messages)
	e.tools(r)
	e.format(r)
	e.sampling(r)
	e.reasoning(r.Reasoning)
	e.b = append(e.b, '}')
	if r.User != "" {
		e.drop("user")
	}
	e.extras(r.Extra)
	if e.fault != nil {
		return nil, e.fault
	}
	return &translate.Upstream{Path: t.BasePath + chatPath, Body: e.b, Dropped: e.dropped, Names: e.names}, nil
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
	e.never(path, format, args...)
}

// never faults with Unsupported whatever the target allows.
func (e *encoder) never(path, format string, args ...any) {
	if e.fault == nil {
		e.fault = fault.New(fault.Unsupported, format, args...)
		e.fault.Param = path
	}
}

func (e *encoder) extras(extras []chat.Extra) {
	for i := range extras {
		x := &extras[i]
		if x.Meaning {
			e.refuse(x.Name, "%s has no counterpart in the schema of a provider that this request would go to (Cohere).", wire.ClipText(x.Name))
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

// float writes a number within the schema's range, and names the client's member when it had to be moved there.
func (e *encoder) float(name, clients string, v *float64, low, high float64) {
	if v == nil {
		return
	}
	f := min(max(*v, low), high)
	if f != *v {
		e.drop(clients)
	}
	e.key(name)
	e.b = strconv.AppendFloat(e.b, f, 'g', -1, 64)
}

func (e *encoder) sampling(r *chat.Request) {
	if r.MaxTokens != nil {
		n := *r.MaxTokens
		if e.t.MaxOutput > 0 {
			n = min(n, e.t.MaxOutput)
		}
		e.int("max_tokens", &n)
	}
	e.float("temperature", "temperature", r.Temperature, 0, 1) // D48
	e.float("p", "top_p", r.TopP, minP, maxP)                  // D51
	if r.TopK != nil {
		k := min(max(*r.TopK, 0), maxK)
		if k != *r.TopK {
			e.drop("top_k")
		}
		e.int("k", &k)
	}
	e.float("frequency_penalty", "frequency_penalty", r.FrequencyPenalty, 0, 1) // D52
	e.float("presence_penalty", "presence_penalty", r.PresencePenalty, 0, 1)
	e.stop(r.Stop)
	if r.Seed != nil && *r.Seed < 0 {
		e.drop("seed")
	} else {
		e.int("seed", r.Seed) // D55
	}
	if r.N != nil && *r.N > 1 { // D56
		e.never("n", "Cohere's models give one answer to a request, and this one asks for %d (n).", *r.N)
	}
	if r.LogProbs != nil && *r.LogProbs { // D57
		e.b = append(e.b, `,"logprobs":true`...)
	}
	if r.TopLogProbs != nil && *r.TopLogProbs > 0 {
		e.drop("top_logprobs")
	}
}

func (e *encoder) stop(stop []string) {
	if len(stop) == 0 {
		return
	}
	if len(stop) > maxStops { // D53
		e.refuse("stop", "This request has %d stop sequences; a provider that it would go to takes at most %d (Cohere).", len(stop), maxStops)
		stop = stop[:maxStops]
	}
	e.key("stop_sequences")
	e.b = append(e.b, '[')
	for i, s := range stop {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = strictjson.AppendString(e.b, s)
	}
	e.b = append(e.b, ']')
}

// format writes the wanted output (D61, D62). The schema's API takes it neither beside tools nor beside documents.
func (e *encoder) format(r *chat.Request) {
	if r.Format == nil {
		return
	}
	if len(r.Tools) > 0 {
		e.refuse("response_format", "This request has tools and a response format; a provider that it would go to takes only one of them (Cohere).")
		return
	}
	e.b = append(e.b, `,"response_format":{"type":"json_object"`...)
	if r.Format.Schema != nil {
		e.key("json_schema")
		e.b = append(e.b, r.Format.Schema...)
	}
	e.b = append(e.b, '}')
}

// reasoning says whether and how much to think. Models that can, do so unless they are told not to.
func (e *encoder) reasoning(r *chat.Reasoning) {
	if r == nil {
		return
	}
	off := r.Disabled || r.Effort == "none"
	if able := e.t.Capabilities; able != nil && !able["reasoning"] {
		if !off {
			e.drop("reasoning")
		}
		return
	}
	if off {
		e.b = append(e.b, `,"thinking":{"type":"disabled"}`...)
		return
	}
	e.b = append(e.b, `,"thinking":{"type":"enabled"`...)
	if budget := r.Tokens(); budget > 0 {
		e.int("token_budget", &budget)
	}
	e.b = append(e.b, '}')
	if r.Display == "omitted" {
		e.drop("thinking.display")
	}
}
