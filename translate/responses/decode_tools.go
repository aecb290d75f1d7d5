package responses

import (
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

func index(n int) string { return "[" + strconv.Itoa(n) + "]" }

// tool reads one definition. What is no function is kept whole: only a provider of this schema can take it (D21).
func (d *decoder) tool() {
	path := d.Path()
	raw := d.Skip()
	s := strictjson.NewLenient(raw)
	defer s.Release()
	var t chat.Tool
	kind := ""
	for s.Enter(strictjson.Object); s.Next(); {
		if s.Kind() == strictjson.Null {
			continue
		}
		switch string(s.Key()) {
		case "type":
			kind = s.String()
		case "name":
			if s.Kind() == strictjson.String {
				t.Name = s.String()
			}
		case "description":
			if s.Kind() == strictjson.String {
				t.Description = s.String()
			}
		case "parameters":
			t.Parameters = s.Skip()
		case "strict":
			if s.Kind() == strictjson.Bool {
				t.Strict = ptr(s.Bool())
			}
		default:
			t.Raw = raw // marks that there is more
		}
	}
	if kind != functionType {
		d.req.Tools = append(d.req.Tools, chat.Tool{Kind: kind, Raw: raw, Name: t.Name})
		return
	}
	if t.Raw != nil {
		t.Raw = nil
		d.toolExtras(path, raw)
	}
	d.req.Tools = append(d.req.Tools, t)
}

// toolExtras keeps a function's members that only this schema knows.
func (d *decoder) toolExtras(path string, raw []byte) {
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch key := string(s.Key()); key {
		case "type", "name", "description", "parameters", "strict":
		default:
			if s.Kind() != strictjson.Null {
				d.extra(path+"."+key, s.Skip(), false)
			}
		}
	}
}

func (d *decoder) toolChoice() {
	if d.Kind() == strictjson.String {
		d.req.ToolChoice = &chat.ToolChoice{Mode: chat.ToolMode(d.String())} // the words are the same (D24–D26)
		return
	}
	path := d.Path()
	raw := d.Skip()
	s := strictjson.NewLenient(raw)
	defer s.Release()
	kind, mode, name := "", "", ""
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			kind = s.String()
		case "mode":
			mode = s.String()
		case "name":
			name = s.String()
		case "tools":
			if s.Kind() == strictjson.Array {
				d.allowed = names(s, d.allowed)
			}
		}
	}
	switch kind {
	case functionType, customType:
		d.req.ToolChoice = &chat.ToolChoice{Mode: chat.ToolNamed, Name: name}
	case allowedType:
		// No other schema has such a choice; leaving the other tools out means the same.
		d.req.ToolChoice, d.restrict = &chat.ToolChoice{Mode: chat.ToolMode(mode)}, true
	default:
		d.extra(path, raw, true)
	}
}

// names reads the names of a list of tools.
func names(s *strictjson.Scanner, list []string) []string {
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object {
			continue
		}
		for s.Enter(strictjson.Object); s.Next(); {
			if string(s.Key()) == "name" && s.Kind() == strictjson.String {
				list = append(list, s.String())
			}
		}
	}
	return list
}
