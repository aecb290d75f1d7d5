package anthropic

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

// decoder reads a request that Parse has accepted. Its strings share the body's memory.
type decoder struct {
	req    *chat.Request
	system *chat.Message
	marked *chat.CacheMark // the top-level cache_control
	nested int             // depth of blocks within blocks
	err    *fault.Fault
}

// Decode reads the whole request. What no other schema can say is in Extra; content that none can say (a server-side
// tool's blocks) is fault.Unsupported: leaving it out would change the conversation.
func (Codec) Decode(h *chat.Head) (*chat.Request, error) {
	d := decoder{req: &chat.Request{Schema: chat.Anthropic, Model: h.Model, User: h.User, Stream: h.Stream, IncludeUsage: h.IncludeUsage}}
	d.req.Messages = make([]chat.Message, 0, h.Messages+1)
	for i := range h.Fields {
		f := &h.Fields[i]
		d.member(f.Name, gjson.Parse(view(h.Body[f.Start:f.End])))
		if d.err != nil {
			return nil, d.err
		}
	}
	if d.system != nil {
		d.req.Messages = append(d.req.Messages, chat.Message{})
		copy(d.req.Messages[1:], d.req.Messages)
		d.req.Messages[0] = *d.system
	}
	d.markLast()
	return d.req, nil
}

func (d *decoder) member(name string, v gjson.Result) {
	if v.Type == gjson.Null {
		return
	}
	r := d.req
	switch name {
	case "model", "stream":
	case "messages":
		d.messages(v)
	case "system":
		d.system = &chat.Message{Role: chat.System, Parts: d.content("system", v)}
	case "max_tokens":
		d.maxTokens(v)
	case "temperature":
		r.Temperature = ptr(v.Num)
	case "top_p":
		r.TopP = ptr(v.Num)
	case "top_k":
		r.TopK = ptr(v.Int())
	case "stop_sequences":
		for _, s := range v.Array() {
			r.Stop = append(r.Stop, s.String())
		}
	case "tools":
		d.tools(v)
	case "tool_choice":
		d.toolChoice(v)
	case "metadata":
		d.others(v, name, "user_id")
	case "thinking":
		d.thinking(v)
	case "output_config":
		d.outputConfig(v)
	case "output_format": // the beta's name for output_config.format
		d.format(name, v)
	case "cache_control":
		d.marked = cacheMark(v)
	default:
		d.extra(&r.Extra, name, v, meaningful[name] && !empty(v))
	}
}

// meaningful are the members whose loss would change what the answer is, what it is made from or where it is made. The
// others tune cost and speed (service_tier, context_management, speed), or only add to the answer (diagnostics).
var meaningful = map[string]bool{"container": true, "mcp_servers": true, "inference_geo": true}

func empty(v gjson.Result) bool { return v.Raw == "[]" || v.Raw == "{}" || v.Raw == `""` }

// maxTokens: 0 asks for no answer at all, only for a filled prompt cache; no other schema can say it.
func (d *decoder) maxTokens(v gjson.Result) {
	if n := v.Int(); n > 0 {
		d.req.MaxTokens = ptr(n)
		return
	}
	d.extra(&d.req.Extra, "max_tokens", v, true)
}

func (d *decoder) thinking(v gjson.Result) {
	switch v.Get("type").String() {
	case "enabled":
		d.reasoning().Budget = v.Get("budget_tokens").Int()
	case "adaptive":
		d.reasoning().Adaptive = true
	case "disabled", "between_tools": // the latter adds progress notes between tool calls, which no other schema has
		d.reasoning().Disabled = true
	default:
		d.extra(&d.req.Extra, "thinking", v, false)
		return
	}
	d.reasoning().Display = v.Get("display").String()
}

func (d *decoder) reasoning() *chat.Reasoning {
	if d.req.Reasoning == nil {
		d.req.Reasoning = &chat.Reasoning{}
	}
	return d.req.Reasoning
}

func (d *decoder) outputConfig(v gjson.Result) {
	v.ForEach(func(key, m gjson.Result) bool {
		switch {
		case m.Type == gjson.Null:
		case key.String() == "effort":
			d.reasoning().Effort = m.String()
		case key.String() == "format":
			d.format("output_config.format", m)
		default:
			d.extra(&d.req.Extra, "output_config."+key.String(), m, false)
		}
		return d.err == nil
	})
}

func (d *decoder) format(path string, v gjson.Result) {
	schema := v.Get("schema")
	if v.Get("type").String() != "json_schema" || !schema.IsObject() {
		d.fail(fault.Unsupported, path, "must be of type json_schema, with a schema")
		return
	}
	d.req.Format = &chat.Format{Schema: []byte(schema.Raw)}
	if closed(schema, 0) {
		d.req.Format.Strict = ptr(true)
	}
}

func (d *decoder) toolChoice(v gjson.Result) {
	c := &chat.ToolChoice{Name: v.Get("name").String()}
	switch v.Get("type").String() {
	case "auto":
		c.Mode = chat.ToolAuto
	case "any":
		c.Mode = chat.ToolRequired
	case "none":
		c.Mode = chat.ToolNone
	case "tool":
		c.Mode = chat.ToolNamed
	}
	d.req.ToolChoice = c
	if off := v.Get("disable_parallel_tool_use"); off.IsBool() {
		d.req.ParallelToolCalls = ptr(!off.Bool())
	}
}

// markLast puts the top-level cache_control where the vendor's service does: behind the last block.
func (d *decoder) markLast() {
	if d.marked == nil {
		return
	}
	for i := len(d.req.Messages) - 1; i >= 0; i-- {
		if parts := d.req.Messages[i].Parts; len(parts) > 0 {
			if last := &parts[len(parts)-1]; last.Cache == nil {
				last.Cache = d.marked
			}
			return
		}
	}
}

// cacheMark reads a cache_control, nil when v is none.
func cacheMark(v gjson.Result) *chat.CacheMark {
	if !v.IsObject() {
		return nil
	}
	return &chat.CacheMark{TTL: v.Get("ttl").String()}
}

// others keeps the members of an object that are not known by name.
func (d *decoder) others(v gjson.Result, path string, known ...string) {
	v.ForEach(func(key, m gjson.Result) bool {
		for _, k := range known {
			if key.String() == k {
				return true
			}
		}
		d.extra(&d.req.Extra, path+"."+key.String(), m, false)
		return true
	})
}

func (d *decoder) extra(list *[]chat.Extra, name string, v gjson.Result, meaning bool) {
	if v.Type == gjson.Null {
		return
	}
	*list = append(*list, chat.Extra{Name: strings.ToValidUTF8(name, "\uFFFD"), JSON: []byte(v.Raw), Meaning: meaning})
}

func (d *decoder) fail(kind fault.Kind, path, format string, args ...any) {
	if d.err == nil {
		d.err = fault.New(kind, "%s %s.", path, fmt.Sprintf(format, args...))
		d.err.Param = path
	}
}

func ptr[T any](v T) *T { return &v }
