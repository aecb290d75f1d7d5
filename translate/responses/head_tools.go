package responses

import "dragoman/translate/strictjson"

func (p *parser) tools() {
	for p.Enter(strictjson.Array); p.Next(); {
		p.h.Tools++
		from := p.Offset()
		p.tool()
		p.h.TextBytes += p.Offset() - from
	}
}

// tool checks one definition. A custom or built-in tool is only seen to have a type: its members are the provider's to
// check.
func (p *parser) tool() {
	kind := ""
	var name, description, parameters, strict strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "name":
			name = p.NonEmpty()
		case "description":
			description = p.Kind()
		case "parameters":
			parameters = p.Kind()
		case "strict":
			strict = p.Kind()
		}
	}
	switch kind {
	case "":
		p.Here("type", "is required.")
	case functionType:
		p.Need("name", name, strictjson.String)
		p.optionally("description", description, strictjson.String)
		p.optionally("parameters", parameters, strictjson.Object)
		p.optionally("strict", strict, strictjson.Bool)
	}
}

// optionally is need for a member that may be absent or null.
func (p *parser) optionally(name string, got, want strictjson.Kind) {
	if got != strictjson.None && got != strictjson.Null {
		p.Need(name, got, want)
	}
}

func (p *parser) toolChoice() {
	if p.Kind() == strictjson.String {
		switch p.String() {
		case "auto", "none", "required":
		default:
			p.Invalid("tool_choice", "must be none, auto, required or an object that names a tool.")
		}
		return
	}
	kind, mode := "", ""
	var name, tools strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "name":
			name = p.NonEmpty()
		case "mode":
			mode = p.String()
		case "tools":
			if tools = p.Kind(); tools == strictjson.Array {
				for p.Enter(strictjson.Array); p.Next(); {
					p.Want(strictjson.Object)
				}
			}
		}
	}
	switch kind {
	case "":
		p.Here("type", "is required.")
	case functionType, customType:
		p.Need("name", name, strictjson.String)
	case allowedType:
		if mode != "auto" && mode != "required" {
			p.Here("mode", "must be auto or required.")
		}
		p.Need("tools", tools, strictjson.Array)
	}
}
