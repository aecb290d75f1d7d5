package cohere

import (
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// nameRule is what the vendor documents for the name of a tool: letters, digits and underscores, not beginning with a
// digit. It names no length; 64 is the least that any other vendor takes.
var nameRule = chat.NameRule{Max: 64, FirstAlpha: true, NoHyphen: true}

// noParameters is the schema of a tool without arguments (D15): the member is required.
const noParameters = `{"type":"object","properties":{}}`

// tools writes the definitions and what goes with them. A named choice has no form of its own: only that tool is sent, and
// one is required (D27).
func (e *encoder) tools(r *chat.Request) {
	only := ""
	if c := r.ToolChoice; c != nil && c.Mode == chat.ToolNamed {
		only = c.Name
	}
	from, written := len(e.b), 0
	e.b = append(e.b, `,"tools":[`...)
	for i := range r.Tools {
		t := &r.Tools[i]
		if t.Kind != "" {
			e.refuse("tools", "A tool is of the type %s, which only one vendor's models have; a provider that this request would go to takes functions only (Cohere).", wire.ClipText(t.Kind))
			continue
		}
		if only != "" && t.Name != only {
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
		e.withoutTools(r)
		return
	}
	e.b = append(e.b, ']')
	e.strict(r.Tools, only)
	e.toolChoice(r.ToolChoice)
	if r.ParallelToolCalls != nil && !*r.ParallelToolCalls { // D29
		e.drop("parallel_tool_calls")
	}
}

// withoutTools names what has no meaning then.
func (e *encoder) withoutTools(r *chat.Request) {
	if r.ToolChoice != nil && r.ToolChoice.Mode != chat.ToolNone && r.ToolChoice.Mode != chat.ToolAuto {
		e.refuse("tool_choice", "This request forces a tool call without defining the tool as a function.")
	}
}

func (e *encoder) function(t *chat.Tool) {
	e.b = append(e.b, `{"type":"function","function":{"name":`...)
	e.b = strictjson.AppendString(e.b, e.names.Out(t.Name)) // D14
	if t.Description != "" {
		e.text("description", t.Description)
	}
	e.key("parameters")
	if t.Parameters == nil {
		e.b = append(e.b, noParameters...)
	} else {
		e.b = append(e.b, t.Parameters...)
	}
	e.b = append(e.b, '}', '}')
	if t.Cache != nil {
		e.drop(cacheMember)
	}
}

// strict writes the one flag that the schema has for all tools (D19): when they agree, and, to switch it on, when each of
// them requires an argument, without which the vendor refuses it.
func (e *encoder) strict(tools []chat.Tool, only string) {
	on, off, able := 0, 0, true
	n := 0
	for i := range tools {
		t := &tools[i]
		if t.Kind != "" || only != "" && t.Name != only {
			continue
		}
		n++
		switch {
		case t.Strict == nil:
		case *t.Strict:
			on++
		default:
			off++
		}
		able = able && requires(t.Parameters)
	}
	switch {
	case on == n && able:
		e.b = append(e.b, `,"strict_tools":true`...)
	case off == n:
		e.b = append(e.b, `,"strict_tools":false`...)
	case on > 0:
		e.drop("tools[].function.strict")
	}
}

// requires says whether a tool's schema demands at least one argument.
func requires(schema []byte) bool {
	if schema == nil {
		return false
	}
	s := strictjson.NewLenient(schema)
	defer s.Release()
	found := false
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "required" && s.Kind() == strictjson.Array {
			for s.Enter(strictjson.Array); s.Next(); {
				found = true
			}
		}
	}
	return found
}

func (e *encoder) toolChoice(c *chat.ToolChoice) {
	if c == nil {
		return
	}
	switch c.Mode {
	case chat.ToolRequired, chat.ToolNamed: // D25, D27
		e.b = append(e.b, `,"tool_choice":"REQUIRED"`...)
	case chat.ToolNone: // D26
		e.b = append(e.b, `,"tool_choice":"NONE"`...)
	case chat.ToolAuto: // D24: that is to say nothing
	}
}
