package cohere

import (
	"fmt"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// decoder reads a request that Parse has accepted, again in one pass. Its strings share the body's memory.
type decoder struct {
	*strictjson.Scanner
	req    *chat.Request
	strict *bool // strict_tools
}

// Decode reads the whole request. What has no neutral form is in Extra.
func (Codec) Decode(h *chat.Head) (*chat.Request, error) {
	d := decoder{
		Scanner: strictjson.NewLenient(h.Body),
		req:     &chat.Request{Schema: chat.Cohere, Stream: h.Stream, IncludeUsage: h.IncludeUsage},
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
	if d.strict != nil { // D19
		for i := range d.req.Tools {
			d.req.Tools[i].Strict = d.strict
		}
	}
	return d.req, nil
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
	case "max_tokens":
		r.MaxTokens = ptr(d.Int())
	case "stop_sequences":
		for d.Enter(strictjson.Array); d.Next(); {
			r.Stop = append(r.Stop, d.String())
		}
	case "tools":
		for d.Enter(strictjson.Array); d.Next(); {
			d.tool()
		}
	case "strict_tools":
		d.strict = ptr(d.Bool())
	case "tool_choice":
		r.ToolChoice = &chat.ToolChoice{Mode: chat.ToolNone}
		if d.String() == choiceRequired {
			r.ToolChoice.Mode = chat.ToolRequired
		}
	case "response_format":
		d.responseFormat()
	case "thinking":
		d.thinking()
	default:
		if !d.sampling(name) {
			d.other(string(name))
		}
	}
}

func (d *decoder) sampling(name []byte) bool {
	r := d.req
	switch string(name) {
	case "temperature":
		r.Temperature = ptr(d.Float())
	case "p":
		r.TopP = ptr(d.Float()) // D51
	case "k":
		if k := d.Int(); k > 0 { // 0 switches it off
			r.TopK = ptr(k)
		}
	case "frequency_penalty":
		r.FrequencyPenalty = ptr(d.Float())
	case "presence_penalty":
		r.PresencePenalty = ptr(d.Float())
	case "seed":
		r.Seed = ptr(d.Int())
	case "logprobs":
		r.LogProbs = ptr(d.Bool())
	default:
		return false
	}
	return true
}

// other keeps a member without a neutral form. Documents are what the answer is to be made from, and the strict safety mode
// is what it is to be held to: their loss would change the answer. citation_options and priority tune it.
func (d *decoder) other(name string) {
	raw := d.Skip()
	meaning := false
	switch name {
	case "documents":
		meaning = string(raw) != "[]"
	case "safety_mode":
		meaning = string(raw) == `"STRICT"`
	}
	d.extra(name, raw, meaning)
}

func (d *decoder) extra(path string, raw []byte, meaning bool) {
	if d.Err() == nil {
		d.req.Extra = append(d.req.Extra, chat.Extra{Name: path, JSON: raw, Meaning: meaning})
	}
}

// extraHere keeps the value before the cursor under its whole path.
func (d *decoder) extraHere() {
	path := d.Path()
	if !d.Null() {
		d.extra(path, d.Skip(), false)
	}
}

func (d *decoder) thinking() {
	r := &chat.Reasoning{}
	enabled := false
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "type":
			enabled = d.String() == "enabled"
		case "token_budget":
			if d.Kind() == strictjson.Number {
				r.Budget = d.Int()
			}
		}
	}
	r.Disabled = !enabled
	r.Adaptive = enabled && r.Budget == 0
	d.req.Reasoning = r
}

// responseFormat: text is the default and leaves no trace. schema is the older name of json_schema.
func (d *decoder) responseFormat() {
	kind := ""
	f := &chat.Format{}
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "type":
			kind = d.String()
		case "json_schema", "schema":
			if d.Kind() == strictjson.Object {
				f.Schema = d.Skip()
			}
		}
	}
	if kind == jsonObjectType {
		d.req.Format = f
	}
}

func (d *decoder) tool() {
	var t chat.Tool
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "type":
		case "function":
			for d.Enter(strictjson.Object); d.Next(); {
				d.function(&t)
			}
		default:
			d.extraHere()
		}
	}
	d.req.Tools = append(d.req.Tools, t)
}

func (d *decoder) function(t *chat.Tool) {
	if d.Kind() == strictjson.Null {
		return
	}
	switch string(d.Key()) {
	case "name":
		t.Name = d.String()
	case "description":
		t.Description = d.String()
	case "parameters":
		t.Parameters = d.Skip()
	default:
		d.extraHere()
	}
}

func (d *decoder) invalid(path, format string, args ...any) {
	if d.Err() == nil {
		d.Fail(fault.Invalid(path, "%s %s", path, fmt.Sprintf(format, args...)))
	}
}
