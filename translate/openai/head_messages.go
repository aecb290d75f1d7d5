package openai

import (
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

func (p *parser) messageList() {
	for p.Enter(strictjson.Array); p.Next(); {
		if p.h.Messages == maxMessages {
			p.Invalid("messages", "may hold at most %d messages.", maxMessages)
			return
		}
		p.h.Messages++
		p.message()
	}
	if p.h.Messages == 0 {
		p.Invalid("messages", "must not be empty.")
	}
}

// messageSeen is what the rules on a whole message need.
type messageSeen struct {
	role               string
	content            strictjson.Kind
	parts              int
	callID, name, call strictjson.Kind
}

func (p *parser) message() {
	var m messageSeen
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "role":
			m.role = p.String()
		case "content":
			m.content, m.parts = p.content()
		case "tool_calls":
			p.toolCalls()
		case "function_call":
			m.call = p.functionCall()
		case "tool_call_id":
			m.callID = p.NonEmpty()
		case "name":
			m.name = p.NonEmpty()
		case "refusal":
			p.optionalText()
		case "reasoning_content":
			p.optionalText()
		case imagesMember:
			if p.Kind() == strictjson.Array {
				p.content()
			}
		}
	}
	p.messageRules(&m)
}

func (p *parser) messageRules(m *messageSeen) {
	switch m.role {
	case roleSystem, roleDeveloper, roleUser:
		p.contentRequired(m)
		if m.content == strictjson.Array && m.parts == 0 {
			p.Here("content", "must not be empty.")
		}
	case roleAssistant:
		if m.call != strictjson.None && m.call != strictjson.Null {
			p.Need("function_call", m.call, strictjson.Object)
		}
	case roleTool:
		p.contentRequired(m)
		p.Need("tool_call_id", m.callID, strictjson.String)
		return
	case roleFunction:
		p.Need("name", m.name, strictjson.String)
		return
	case "":
		p.Here("role", "is required.")
	default:
		p.Here("role", "must be system, developer, user, assistant, tool or function, not %q.", wire.ClipText(m.role))
	}
	if m.name != strictjson.None && m.name != strictjson.Null {
		p.Need("name", m.name, strictjson.String)
	}
}

func (p *parser) contentRequired(m *messageSeen) {
	if m.content == strictjson.None || m.content == strictjson.Null {
		p.Here("content", "is required: a string or an array of content parts.")
	}
}

// content reads a string, or parts.
func (p *parser) content() (kind strictjson.Kind, parts int) {
	kind = p.Kind()
	switch kind {
	case strictjson.String:
		p.text()
	case strictjson.Array:
		for p.Enter(strictjson.Array); p.Next(); {
			parts++
			p.part()
		}
	case strictjson.None:
		p.Skip() // says what is wrong
	case strictjson.Null:
	default:
		p.Here("", "must be a string or an array of content parts, not %s.", kind)
	}
	return kind, parts
}

// part checks one content part. Parts of unknown types are let through: providers have their own.
func (p *parser) part() {
	kind := ""
	var text, refusal, image, audio, file strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "text":
			if text = p.Kind(); text == strictjson.String {
				p.text()
			}
		case "refusal":
			if refusal = p.Kind(); refusal == strictjson.String {
				p.text()
			}
		case "image_url":
			image = p.object("url")
		case "input_audio":
			audio = p.object("data", "format")
		case "file":
			file = p.object()
		}
	}
	switch kind {
	case "":
		p.Here("type", "is required.")
	case "text":
		p.Need("text", text, strictjson.String)
	case "refusal":
		p.Need("refusal", refusal, strictjson.String)
	case "image_url":
		p.h.Images++
		p.Need("image_url", image, strictjson.Object)
	case "input_audio":
		p.Need("input_audio", audio, strictjson.Object)
	case "file":
		p.Need("file", file, strictjson.Object)
	}
}

// object reads an object of which some members must be strings, none of them empty. Another kind is left to the caller to
// fault.
func (p *parser) object(strings ...string) strictjson.Kind {
	kind := p.Kind()
	if kind != strictjson.Object {
		return kind
	}
	var got [2]strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		for i, name := range strings {
			if string(p.Key()) == name {
				got[i] = p.NonEmpty()
				break
			}
		}
	}
	for i, name := range strings {
		p.Need(name, got[i], strictjson.String)
	}
	return kind
}

func (p *parser) toolCalls() {
	if p.Kind() == strictjson.Null {
		return
	}
	for p.Enter(strictjson.Array); p.Next(); {
		p.toolCall()
	}
}

func (p *parser) toolCall() {
	kind := functionType
	var id, function, custom strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "id":
			id = p.NonEmpty()
		case "type":
			kind = p.String()
		case "function":
			function = p.functionCall()
		case "custom":
			custom = p.object("name")
		}
	}
	p.Need("id", id, strictjson.String)
	switch kind {
	case functionType:
		p.Need("function", function, strictjson.Object)
	case customType:
		p.Need("custom", custom, strictjson.Object)
	default:
		p.Here("type", "must be function or custom.")
	}
}

// functionCall reads the name and arguments of a call.
func (p *parser) functionCall() strictjson.Kind {
	kind := p.Kind()
	if kind != strictjson.Object {
		return kind
	}
	var name, arguments strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "name":
			name = p.NonEmpty()
		case "arguments":
			if arguments = p.Kind(); arguments == strictjson.String {
				p.text()
			}
		}
	}
	p.Need("name", name, strictjson.String)
	p.Need("arguments", arguments, strictjson.String)
	return kind
}
