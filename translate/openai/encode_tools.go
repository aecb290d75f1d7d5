package openai

import (
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
	for i := range r.Tools {
		t := &r.Tools[i]
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
	e.bool("parallel_tool_calls", r.ParallelToolCalls)
}

func (e *encoder) function(t *chat.Tool) {
	e.nameFits(t.Name)
	e.b = append(e.b, `{"type":"function","function":{"name":`...)
	e.b = strictjson.AppendString(e.b, t.Name)
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

// nameFits refuses what every OpenAI endpoint refuses, so that the request can go to a provider with longer names (D14).
func (e *encoder) nameFits(name string) {
	if len(name) > maxName && !e.t.Lossy {
		e.refuse("tools", "The tool name %q is longer than %d characters, the most that a provider takes which this request would go to.", wire.ClipText(name), maxName)
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
	for i := range r.Tools {
		if r.Tools[i].Name == c.Name && r.Tools[i].Kind != "" {
			e.drop("tool_choice") // its tool was left out
			return
		}
	}
	e.b = append(e.b, `,"tool_choice":{"type":"function","function":{"name":`...)
	e.b = strictjson.AppendString(e.b, c.Name)
	e.b = append(e.b, '}', '}')
}
