package openai

import (
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// noParameters is the schema of a tool without arguments (D15).
const noParameters = `{"type":"object","properties":{}}`

// tools writes the definitions and what goes with them: without tools, the schema allows neither a choice nor
// parallel_tool_calls.
func (e *encoder) tools(r *chat.Request) {
	from, written := len(e.b), 0
	e.b = append(e.b, `,"tools":[`...)
	only := e.onlyTool(r.ToolChoice)
	for i := range r.Tools {
		t := &r.Tools[i]
		if only != "" && t.Name != only {
			continue
		}
		if t.Kind != "" {
			e.refuse("tools", "A tool is of the type %s, which only one vendor's models have; a provider that this request would go to takes functions only.", wire.ClipText(t.Kind))
			continue
		}
		if written > 0 {
			e.b = append(e.b, ',')
		}
		e.function(t)
		written++
	}
	if written == 0 {
		e.b = e.b[:from]
		if r.ToolChoice != nil && r.ToolChoice.Mode != chat.ToolNone {
			e.drop("tool_choice")
		}
		return
	}
	e.b = append(e.b, ']')
	e.toolChoice(r)
	if p := r.ParallelToolCalls; p != nil && (!*p || e.d.member("parallel_tool_calls") != "") && e.own("parallel_tool_calls", false) {
		e.b = strconv.AppendBool(e.b, *p)
	}
}

// onlyTool is the tool that must be called, where the provider can only be told that one must: then it is given no other
// (D27). "" when all are sent.
func (e *encoder) onlyTool(c *chat.ToolChoice) string {
	if c == nil || c.Mode != chat.ToolNamed || e.d == nil || !e.d.unnamed {
		return ""
	}
	return c.Name
}

func (e *encoder) function(t *chat.Tool) {
	e.b = append(e.b, `{"type":"function","function":{"name":`...)
	e.b = strictjson.AppendString(e.b, e.names.Out(t.Name))
	if t.Description != "" {
		e.text("description", t.Description)
	}
	e.key("parameters")
	if t.Parameters == nil {
		e.b = append(e.b, noParameters...)
	} else {
		e.b = append(e.b, t.Parameters...)
	}
	e.bool("strict", t.Strict)
	e.b = append(e.b, '}', '}')
	if t.Cache != nil {
		e.drop(cacheMember)
	}
}

func (e *encoder) toolChoice(r *chat.Request) {
	c := r.ToolChoice
	if c == nil {
		return
	}
	mode := c.Mode
	if e.onlyTool(c) != "" {
		mode = chat.ToolRequired
	}
	if mode != chat.ToolNamed {
		if (mode != chat.ToolAuto || e.d.member("tool_choice") != "") && e.own("tool_choice", true) {
			e.b = strictjson.AppendString(e.b, string(mode)) // the words are the same (D24–D26)
		}
		return
	}
	for i := range r.Tools {
		if r.Tools[i].Name == c.Name && r.Tools[i].Kind != "" {
			e.drop("tool_choice") // its tool was left out
			return
		}
	}
	if !e.own("tool_choice", true) {
		return
	}
	e.b = append(e.b, `{"type":"function","function":{"name":`...)
	e.b = strictjson.AppendString(e.b, e.names.Out(c.Name))
	e.b = append(e.b, '}', '}')
}
