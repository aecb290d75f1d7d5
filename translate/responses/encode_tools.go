package responses

import (
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// noParameters is the schema of a tool without arguments (D15).
const noParameters = `{"type":"object","properties":{}}`

// tools writes the definitions and what goes with them: without tools, neither a choice nor parallel_tool_calls says
// anything.
func (e *encoder) tools(r *chat.Request) {
	from, written := len(e.b), 0
	e.b = append(e.b, `,"tools":[`...)
	for i := range r.Tools {
		t := &r.Tools[i]
		if t.Kind != "" && !e.own {
			e.refuse("tools", "A tool is of the type %s, which only one vendor's models have; a provider that this request would go to takes functions only.", wire.ClipText(t.Kind))
			continue
		}
		if written > 0 {
			e.b = append(e.b, ',')
		}
		written++
		if t.Kind != "" {
			e.b = append(e.b, t.Raw...)
		} else {
			e.function(t)
		}
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
	if r.ParallelToolCalls != nil {
		e.key("parallel_tool_calls")
		e.b = strconv.AppendBool(e.b, *r.ParallelToolCalls)
	}
}

// function writes a definition. strict must be said: absent, it means true here and false everywhere else (D19).
func (e *encoder) function(t *chat.Tool) {
	e.b = append(e.b, `{"type":"function"`...)
	e.text("name", e.names.Out(t.Name))
	if t.Description != "" {
		e.text("description", t.Description)
	}
	e.key("parameters")
	if t.Parameters == nil {
		e.b = append(e.b, noParameters...)
	} else {
		e.b = append(e.b, t.Parameters...)
	}
	e.key("strict")
	switch {
	case t.Strict != nil:
		e.b = strconv.AppendBool(e.b, *t.Strict)
	case e.own:
		e.b = append(e.b, "null"...)
	default:
		e.b = append(e.b, "false"...)
	}
	e.b = append(e.b, '}')
	if t.Cache != nil {
		e.drop(cacheMember)
	}
}

func (e *encoder) toolChoice(r *chat.Request) {
	c := r.ToolChoice
	if c == nil {
		return
	}
	if c.Mode != chat.ToolNamed {
		e.text("tool_choice", string(c.Mode)) // the words are the same (D24–D26)
		return
	}
	kind := functionType
	for i := range r.Tools {
		if t := &r.Tools[i]; t.Name == c.Name && t.Kind != "" {
			if !e.own {
				e.drop("tool_choice") // its tool was left out
				return
			}
			kind = t.Kind
		}
	}
	e.b = append(strictjson.AppendString(append(e.b, `,"tool_choice":{"type":`...), kind), `,"name":`...)
	e.b = strictjson.AppendString(e.b, e.names.Out(c.Name))
	e.b = append(e.b, '}')
}
