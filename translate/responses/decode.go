package responses

import (
	"fmt"
	"slices"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// decoder reads a request that Parse has accepted, again in one pass. Its strings share the body's memory.
type decoder struct {
	*strictjson.Scanner
	req         *chat.Request
	safetyID    string
	topLogProbs *int64
	logprobs    bool     // include asks for them
	allowed     []string // names of tool_choice.allowed_tools
	restrict    bool     // allowed is set
}

// Decode reads the whole request. The instructions become its first message, and every run of an assistant's items
// (reasoning, messages, calls) one message. What has no neutral form is in Extra: previous_response_id and item_reference
// too, so that a request whose history is not in it is refused by other schemas unless Continue has put it there.
func (Codec) Decode(h *chat.Head) (*chat.Request, error) {
	d := decoder{
		Scanner: strictjson.NewLenient(h.Body),
		req:     &chat.Request{Schema: chat.Responses, Stream: h.Stream, IncludeUsage: true},
	}
	defer d.Release()
	d.req.Messages = make([]chat.Message, 0, h.Messages+1)
	if raw := h.Field(instructionsMember); len(raw) > 0 && raw[0] == '"' {
		d.message(chat.System, chat.Part{Kind: chat.Text, Text: strictjson.Text(raw)})
	}
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
	if r.User == "" {
		r.User = d.safetyID
	}
	switch {
	case d.logprobs:
		r.LogProbs, r.TopLogProbs = ptr(true), d.topLogProbs
	case d.topLogProbs != nil && *d.topLogProbs > 0:
		// Without the include the answer shows none.
		d.extra("top_logprobs", fmt.Append(nil, *d.topLogProbs), false)
	}
	if d.restrict {
		r.Tools = slices.DeleteFunc(r.Tools, func(t chat.Tool) bool { return !slices.Contains(d.allowed, t.Name) })
	}
}

func (d *decoder) member(name []byte) {
	r := d.req
	switch string(name) {
	case "model":
		r.Model = d.String()
	case instructionsMember, "stream", "stream_options":
	case "store", "metadata": // the gateway's to keep, and the answer's to repeat
	case inputMember:
		d.input()
	case "temperature":
		r.Temperature = ptr(d.Float())
	case "top_p":
		r.TopP = ptr(d.Float())
	case "top_logprobs":
		d.topLogProbs = ptr(d.Int())
	case maxOutputTokens:
		r.MaxTokens = ptr(d.Int())
	case "user":
		r.User = d.String()
	case "safety_identifier":
		d.safetyID = d.String()
	case "tools":
		for d.Enter(strictjson.Array); d.Next(); {
			d.tool()
		}
	case "tool_choice":
		d.toolChoice()
	case "parallel_tool_calls":
		r.ParallelToolCalls = ptr(d.Bool())
	case "text":
		d.textMember()
	case "reasoning":
		d.reasoning()
	case "include":
		d.include()
	default:
		d.other(string(name))
	}
}

// meaningful are the members whose loss would change what the answer is or what it is made from. The others tune cost,
// speed and style (service_tier, prompt_cache_key, truncation).
var meaningful = map[string]bool{previousMember: true, "prompt": true, "moderation": true}

// other keeps a member without a neutral form, unless it says what is the default.
func (d *decoder) other(name string) {
	raw := d.Skip()
	switch {
	case name == "background", name == "truncation" && string(raw) == `"disabled"`, name == "service_tier" && string(raw) == `"auto"`:
		return
	}
	d.extra(name, raw, meaningful[name])
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

// include: encrypted reasoning is always shown, and what built-in tools found exists only where they do.
func (d *decoder) include() {
	for d.Enter(strictjson.Array); d.Next(); {
		path := d.Path()
		raw := d.Skip()
		switch strictjson.Text(raw) {
		case includeEncrypted:
		case includeLogProbs:
			d.logprobs = true
		default:
			d.extra(path, raw, false)
		}
	}
}

// reasoning: a summary that is asked for is thinking that is shown. Clients that ask for none are shown it all the same
// where a model tells it.
func (d *decoder) reasoning() {
	var r chat.Reasoning
	for d.Enter(strictjson.Object); d.Next(); {
		if d.Kind() == strictjson.Null {
			continue
		}
		switch string(d.Key()) {
		case "effort":
			switch r.Effort = d.String(); r.Effort {
			case "none":
				r.Disabled = true
			case "minimal", "low", "medium", "high", "xhigh", "max":
			default:
				d.invalid("reasoning.effort", "must be none, minimal, low, medium, high, xhigh or max.")
			}
		case "summary", "generate_summary":
			d.Skip()
			r.Display = "summarized"
		default:
			d.extraHere(false)
		}
	}
	if r != (chat.Reasoning{}) {
		d.req.Reasoning = &r
	}
}

func (d *decoder) textMember() {
	for d.Enter(strictjson.Object); d.Next(); {
		if string(d.Key()) == "format" && d.Kind() == strictjson.Object {
			d.format()
			continue
		}
		d.extraHere(false) // verbosity
	}
}

// format: text is the default and leaves no trace.
func (d *decoder) format() {
	var f chat.Format
	kind, path := "", d.Path()
	raw := d.Skip()
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		if s.Kind() == strictjson.Null {
			continue
		}
		switch string(s.Key()) {
		case "type":
			kind = s.String()
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
	switch kind {
	case textType:
	case jsonObjectType:
		d.req.Format = &chat.Format{}
	case jsonSchemaType:
		d.req.Format = &f
	default:
		d.extra(path, raw, true)
	}
}

func (d *decoder) invalid(path, format string, args ...any) {
	if d.Err() == nil {
		d.Fail(fault.Invalid(path, "%s %s", path, fmt.Sprintf(format, args...)))
	}
}
