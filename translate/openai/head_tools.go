package openai

import "dragoman/translate/strictjson"

func (p *parser) tools() {
	for p.Enter(strictjson.Array); p.Next(); {
		p.h.Tools++
		from := p.Offset()
		p.tool()
		p.h.TextBytes += p.Offset() - from
	}
}

// tool checks one definition. A custom or server-side tool is only seen to have a type: its members are the provider's to
// check.
func (p *parser) tool() {
	var function strictjson.Kind
	kind := ""
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "function":
			if function = p.Kind(); function == strictjson.Object {
				p.function()
			}
		}
	}
	switch kind {
	case "":
		p.Here("type", "is required.")
	case functionType:
		p.Need("function", function, strictjson.Object)
	}
}

// function checks a function's definition.
func (p *parser) function() {
	var name strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		key := p.Key()
		if string(key) == "name" {
			name = p.NonEmpty()
			continue
		}
		if p.Kind() == strictjson.Null {
			continue
		}
		switch string(key) {
		case "description":
			p.RawString()
		case "parameters":
			p.Want(strictjson.Object)
		case "strict":
			p.Bool()
		}
	}
	p.Need("name", name, strictjson.String)
}

func (p *parser) functions() {
	for p.Enter(strictjson.Array); p.Next(); {
		p.h.Tools++
		from := p.Offset()
		p.function()
		p.h.TextBytes += p.Offset() - from
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
	kind := ""
	var function, custom, allowed strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "function":
			function = p.named()
		case "custom":
			custom = p.named()
		case "allowed_tools":
			allowed = p.allowedTools()
		}
	}
	switch kind {
	case functionType:
		p.Need("function", function, strictjson.Object)
	case customType:
		p.Need("custom", custom, strictjson.Object)
	case allowedType:
		p.Need("allowed_tools", allowed, strictjson.Object)
	default:
		p.Here("type", "must be function, custom or allowed_tools.")
	}
}

// named reads an object whose name matters; another kind is left to the caller to fault.
func (p *parser) named() strictjson.Kind {
	kind := p.Kind()
	if kind != strictjson.Object {
		return kind
	}
	var name strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		if string(p.Key()) == "name" {
			name = p.NonEmpty()
		}
	}
	p.Need("name", name, strictjson.String)
	return kind
}

func (p *parser) allowedTools() strictjson.Kind {
	kind := p.Kind()
	if kind != strictjson.Object {
		return kind
	}
	mode := ""
	var tools strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
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
	if mode != "auto" && mode != "required" {
		p.Here("mode", "must be auto or required.")
	}
	p.Need("tools", tools, strictjson.Array)
	return kind
}

// functionChoice reads the legacy function_call of a request.
func (p *parser) functionChoice() {
	if p.Kind() != strictjson.String {
		p.Want(strictjson.Object)
		p.named()
		return
	}
	if mode := p.String(); mode != "auto" && mode != "none" {
		p.Invalid("function_call", "must be none, auto or an object that names a function.")
	}
}

func (p *parser) responseFormat() {
	kind := ""
	var schema strictjson.Kind
	from := p.Offset()
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "json_schema":
			schema = p.jsonSchema()
		}
	}
	switch kind {
	case "":
		p.Here("type", "is required.")
	case jsonSchemaType:
		p.Need("json_schema", schema, strictjson.Object)
		p.h.TextBytes += p.Offset() - from
	}
}

func (p *parser) jsonSchema() strictjson.Kind {
	kind := p.Kind()
	if kind != strictjson.Object {
		return kind
	}
	var name strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		key := p.Key()
		if string(key) == "name" {
			name = p.NonEmpty()
			continue
		}
		if p.Kind() == strictjson.Null {
			continue
		}
		switch string(key) {
		case "schema":
			p.Want(strictjson.Object)
		case "description":
			p.RawString()
		case "strict":
			p.Bool()
		}
	}
	p.Need("name", name, strictjson.String)
	return kind
}
