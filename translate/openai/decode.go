package openai

import (
	"fmt"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// decoder reads a request that Parse has accepted, again in one pass. Its strings share the body's memory.
type decoder struct {
	*strictjson.Scanner
	req        *chat.Request
	completion *int64 // max_completion_tokens
	safetyID   string
	allowed    []string // names of tool_choice.allowed_tools
	restrict   bool     // allowed is set
	legacy     []call   // function_calls without their result yet (D31)
}

// call is one function_call of the legacy form, which has no id of its own.
type call struct{ name, id string }

// Decode reads the whole request. What has no neutral form is in Extra. It finds faults that matter only to another
// schema, and so are not Parse's to find: arguments that are no JSON object, an image that is neither a web URL nor a data
// URI.
func (Codec) Decode(h *chat.Head) (*chat.Request, error) {
	d := decoder{
		Scanner: strictjson.NewLenient(h.Body),
		req:     &chat.Request{Schema: chat.OpenAI, Stream: h.Stream, IncludeUsage: h.IncludeUsage},
	}
	defer d.Release()
	d.req.Messages = make([]chat.Message, 0, h.Messages)
	for d.Enter(strictjson.Object); d.Next(); {
		if d.Kind() != strictjson.Null {
			d.member(d.Key())
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	d.settle()
	return d.req, nil
}

// settle applies what depends on several members.
func (d *decoder) settle() {
	r := d.req
	if d.completion != nil {
		r.MaxTokens = d.completion // D46
	}
	if r.User == "" {
		r.User = d.safetyID
	}
	if d.restrict {
		d.keepAllowed()
	}
}

func (d *decoder) member(name []byte) {
	r := d.req
	switch string(name) {
	case "model":
		r.Model = d.String()
	case "messages":
		for d.Enter(strictjson.Array); d.Next(); {
			d.message()
		}
	case "stream":
	case "stream_options":
		d.streamOptions()
	case "max_tokens":
		r.MaxTokens = ptr(d.Int())
	case "max_completion_tokens":
		d.completion = ptr(d.Int())
	case "n":
		r.N = ptr(d.Int())
	case "stop":
		d.stop()
	case "user":
		r.User = d.String()
	case "safety_identifier":
		d.safetyID = d.String()
	case "response_format":
		d.responseFormat()
	case "reasoning_effort":
		d.effort()
	case "thinking":
		d.thinking()
	default:
		if !d.sampling(name) && !d.toolMember(name) {
			d.other(name)
		}
	}
}

func (d *decoder) sampling(name []byte) bool {
	r := d.req
	switch string(name) {
	case "temperature":
		r.Temperature = ptr(d.Float())
	case "top_p":
		r.TopP = ptr(d.Float())
	case "top_k":
		if d.Kind() != strictjson.Number {
			return false
		}
		r.TopK = ptr(d.Int())
	case "frequency_penalty":
		r.FrequencyPenalty = ptr(d.Float())
	case "presence_penalty":
		r.PresencePenalty = ptr(d.Float())
	case "seed":
		r.Seed = ptr(d.Int())
	case "logprobs":
		r.LogProbs = ptr(d.Bool())
	case "top_logprobs":
		r.TopLogProbs = ptr(d.Int())
	default:
		return false
	}
	return true
}

func (d *decoder) toolMember(name []byte) bool {
	switch string(name) {
	case "tools":
		for d.Enter(strictjson.Array); d.Next(); {
			d.tool()
		}
	case "functions":
		for d.Enter(strictjson.Array); d.Next(); {
			d.req.Tools = append(d.req.Tools, d.function(chat.Tool{}))
		}
	case "tool_choice":
		d.toolChoice()
	case "function_call":
		d.functionChoice()
	case "parallel_tool_calls":
		d.req.ParallelToolCalls = ptr(d.Bool())
	default:
		return false
	}
	return true
}

// meaningful are the members whose loss would change what the answer is, what it is made from, or what is checked. The
// others tune cost, speed, storage and style (service_tier, prediction, store, metadata, prompt_cache_key, verbosity).
var meaningful = map[string]bool{"logit_bias": true, "web_search_options": true, "moderation": true, "audio": true, "n": true}

// other keeps a member without a neutral form.
func (d *decoder) other(name []byte) {
	key := string(name)
	raw := d.Skip()
	meaning := meaningful[key] && !empty(raw)
	if key == "modalities" {
		meaning = !textOnly(raw)
		if !meaning {
			return
		}
	}
	d.extra(key, raw, meaning)
}

func empty(raw []byte) bool { return string(raw) == "{}" || string(raw) == "[]" }

// textOnly says whether a list of modalities asks for nothing but text.
func textOnly(raw []byte) bool {
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.String || s.String() != "text" {
			return false
		}
	}
	return true
}

func (d *decoder) extra(path string, raw []byte, meaning bool) {
	if d.Err() == nil {
		d.req.Extra = append(d.req.Extra, chat.Extra{Name: path, JSON: raw, Meaning: meaning})
	}
}

// extraHere keeps the value before the cursor under its whole path.
func (d *decoder) extraHere(meaning bool) {
	path := d.Path()
	if d.Null() {
		return
	}
	d.extra(path, d.Skip(), meaning)
}

// streamOptions: include_usage is in the head, and include_obfuscation pads chunks of OpenAI's own stream.
func (d *decoder) streamOptions() {
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "include_usage", "include_obfuscation":
		default:
			d.extraHere(false)
		}
	}
}

func (d *decoder) stop() {
	if d.Kind() == strictjson.String {
		d.req.Stop = []string{d.String()}
		return
	}
	for d.Enter(strictjson.Array); d.Next(); {
		d.req.Stop = append(d.req.Stop, d.String())
	}
}

func (d *decoder) reasoning() *chat.Reasoning {
	if d.req.Reasoning == nil {
		d.req.Reasoning = &chat.Reasoning{}
	}
	return d.req.Reasoning
}

func (d *decoder) effort() {
	switch effort := d.String(); effort {
	case "none":
		d.reasoning().Effort, d.reasoning().Disabled = effort, true
	case "minimal", "low", "medium", "high", "xhigh", "max":
		d.reasoning().Effort = effort
	default:
		d.invalid("reasoning_effort", "must be none, minimal, low, medium, high, xhigh or max.")
	}
}

// thinking is Anthropic's member, which clients of this schema send to say what reasoning_effort cannot.
func (d *decoder) thinking() {
	if d.Kind() != strictjson.Object {
		d.extraHere(false)
		return
	}
	r := d.reasoning()
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "type":
			switch d.String() {
			case "disabled":
				r.Disabled = true
			case "adaptive":
				r.Adaptive = true
			}
		case "budget_tokens":
			r.Budget = d.between("thinking.budget_tokens", 1, maxTokens)
		case "display":
			r.Display = d.String()
		}
	}
}

func (d *decoder) between(path string, low, high int64) int64 {
	n := d.Int()
	if n < low || n > high {
		d.invalid(path, "must be between %d and %d.", low, high)
	}
	return n
}

// responseFormat: text is the default and leaves no trace.
func (d *decoder) responseFormat() {
	var f chat.Format
	kind := ""
	raw := d.Skip()
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			kind = s.String()
		case "json_schema":
			if s.Kind() == strictjson.Object {
				readFormat(s, &f)
			}
		}
	}
	switch kind {
	case "text":
	case jsonObjectType:
		d.req.Format = &chat.Format{}
	case jsonSchemaType:
		if f.Schema == nil {
			f.Schema = []byte(`{}`)
		}
		d.req.Format = &f
	default:
		d.extra("response_format", raw, true)
	}
}

func readFormat(s *strictjson.Scanner, f *chat.Format) {
	for s.Enter(strictjson.Object); s.Next(); {
		if s.Kind() == strictjson.Null {
			continue
		}
		switch string(s.Key()) {
		case "name":
			f.Name = s.String()
		case "description":
			f.Description = s.String()
		case "schema":
			f.Schema = s.Skip()
		case "strict":
			f.Strict = ptr(s.Bool())
		}
	}
}

func (d *decoder) invalid(path, format string, args ...any) {
	if d.Err() == nil {
		d.Fail(fault.Invalid(path, "%s %s", path, fmt.Sprintf(format, args...)))
	}
}
