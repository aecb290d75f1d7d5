package openai

import (
	"slices"
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// tool reads one definition. What is no function is kept whole: only a provider of this schema can take it (D21).
func (d *decoder) tool() {
	path := d.Path()
	raw := d.Skip()
	s := strictjson.NewLenient(raw)
	defer s.Release()
	sub := decoder{Scanner: s, req: &chat.Request{}}
	var t chat.Tool
	kind := ""
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			kind = s.String()
		case "function":
			if s.Kind() == strictjson.Object {
				t = sub.function(t)
			}
		case "cache_control":
			t.Cache = cacheMark(s)
		}
	}
	if kind != functionType {
		t = chat.Tool{Kind: kind, Raw: raw, Cache: t.Cache, Name: toolName(raw, kind)}
	}
	for _, e := range sub.req.Extra {
		d.extra(path+"."+e.Name, e.JSON, e.Meaning)
	}
	d.req.Tools = append(d.req.Tools, t)
}

// toolName is the name of a tool that is no function: {"type":"custom","custom":{"name":…}}, or a member of the tool itself.
func toolName(raw []byte, kind string) (name string) {
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch key := string(s.Key()); {
		case key == kind && s.Kind() == strictjson.Object:
			name = readName(s)
		case key == "name" && s.Kind() == strictjson.String && name == "":
			name = s.String()
		}
	}
	return name
}

// readName is the name within the object before the cursor.
func readName(s *strictjson.Scanner) (name string) {
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "name" && s.Kind() == strictjson.String {
			name = s.String()
		}
	}
	return name
}

// function reads a function's definition into t.
func (d *decoder) function(t chat.Tool) chat.Tool {
	for d.Enter(strictjson.Object); d.Next(); {
		if d.Kind() == strictjson.Null {
			continue
		}
		switch string(d.Key()) {
		case "name":
			t.Name = d.String()
		case "description":
			t.Description = d.String()
		case "parameters":
			t.Parameters = d.Skip()
		case "strict":
			t.Strict = ptr(d.Bool())
		case "cache_control":
			t.Cache = cacheMark(d.Scanner)
		default:
			d.extraHere(false)
		}
	}
	return t
}

// cacheMark reads a cache_control of Anthropic's, nil when the value is none.
func cacheMark(s *strictjson.Scanner) *chat.CacheMark {
	if s.Kind() != strictjson.Object {
		return nil
	}
	mark := &chat.CacheMark{}
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "ttl" && s.Kind() == strictjson.String {
			mark.TTL = s.String()
		}
	}
	return mark
}

func (d *decoder) toolChoice() {
	if d.Kind() == strictjson.String {
		d.req.ToolChoice = &chat.ToolChoice{Mode: chat.ToolMode(d.String())} // the words are the same
		return
	}
	c := &chat.ToolChoice{Mode: chat.ToolNamed}
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case functionType, customType:
			if d.Kind() == strictjson.Object {
				c.Name = readName(d.Scanner)
			}
		case allowedType:
			if d.Kind() == strictjson.Object {
				c.Mode = d.allowedTools()
			}
		}
	}
	d.req.ToolChoice = c
}

// allowedTools narrows the tools down. No other schema has such a choice; leaving the other tools out means the same.
func (d *decoder) allowedTools() (mode chat.ToolMode) {
	d.restrict = true
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "mode":
			mode = chat.ToolMode(d.String())
		case "tools":
			for d.Enter(strictjson.Array); d.Next(); {
				d.allowedTool()
			}
		}
	}
	return mode
}

func (d *decoder) allowedTool() {
	for d.Enter(strictjson.Object); d.Next(); {
		if d.Kind() == strictjson.Object {
			d.allowed = append(d.allowed, readName(d.Scanner))
		}
	}
}

func (d *decoder) keepAllowed() {
	d.req.Tools = slices.DeleteFunc(d.req.Tools, func(t chat.Tool) bool { return !slices.Contains(d.allowed, t.Name) })
}

// functionChoice reads the legacy function_call of a request (D31).
func (d *decoder) functionChoice() {
	if d.Kind() == strictjson.String {
		d.req.ToolChoice = &chat.ToolChoice{Mode: chat.ToolMode(d.String())}
		return
	}
	d.req.ToolChoice = &chat.ToolChoice{Mode: chat.ToolNamed, Name: readName(d.Scanner)}
}

// legacyCall is a function_call of an assistant as a tool call. Its id is made from its place in the conversation, so that
// the same history always gives the same bytes (D83).
func (d *decoder) legacyCall(c chat.Call) chat.Part {
	c.ID = "call_legacy_" + strconv.Itoa(len(d.req.Messages))
	d.legacy = append(d.legacy, call{c.Name, c.ID})
	return chat.Part{Kind: chat.ToolCall, Call: &c}
}

// legacyResult finds the call that a function message answers: the oldest open one of its name.
func (d *decoder) legacyResult(name string) (id string, ok bool) {
	for i, c := range d.legacy {
		if c.name == name {
			d.legacy = slices.Delete(d.legacy, i, i+1)
			return c.id, true
		}
	}
	return "", false
}
