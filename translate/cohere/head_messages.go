package cohere

import (
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

func (p *chatParser) messages() {
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
	role            string
	content, callID strictjson.Kind
	images          int // content parts that only a user may send
	documents       int // that only a tool may
	thinking        int // that only an assistant may
}

func (p *chatParser) message() {
	var m messageSeen
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "role":
			m.role = p.String()
		case "content":
			p.content(&m)
		case "tool_plan":
			if p.text() != strictjson.String && p.Kind() != strictjson.Null {
				p.Want(strictjson.String)
			}
		case "tool_calls":
			if p.Kind() != strictjson.Null {
				for p.Enter(strictjson.Array); p.Next(); {
					p.toolCall()
				}
			}
		case "tool_call_id":
			m.callID = p.NonEmpty()
		}
	}
	p.messageRules(&m)
}

func (p *chatParser) messageRules(m *messageSeen) {
	absent := m.content == strictjson.None || m.content == strictjson.Null
	switch {
	case m.role == "":
		p.Here("role", "is required.")
	case m.role != roleSystem && m.role != roleUser && m.role != roleAssistant && m.role != roleTool:
		p.Here("role", "must be system, user, assistant or tool, not %q.", wire.ClipText(m.role))
	case absent && m.role != roleAssistant:
		p.Here("content", "is required: a string or an array of content parts.")
	case m.images > 0 && m.role != roleUser:
		p.Here("content", "may hold images in a user's message only.")
	case m.documents > 0 && m.role != roleTool:
		p.Here("content", "may hold documents in a tool's message only.")
	case m.thinking > 0 && m.role != roleAssistant:
		p.Here("content", "may hold thinking in an assistant's message only.")
	case m.role == roleTool:
		p.Need("tool_call_id", m.callID, strictjson.String)
	}
}

// content reads a string, or parts.
func (p *chatParser) content(m *messageSeen) {
	m.content = p.Kind()
	switch m.content {
	case strictjson.String:
		p.text()
	case strictjson.Array:
		for p.Enter(strictjson.Array); p.Next(); {
			p.part(m)
		}
	case strictjson.None:
		p.Skip() // says what is wrong
	case strictjson.Null:
	default:
		p.Here("", "must be a string or an array of content parts, not %s.", m.content)
	}
}

func (p *chatParser) part(m *messageSeen) {
	kind := ""
	var text, thinking, image, document strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "text":
			text = p.text()
		case "thinking":
			thinking = p.text()
		case "image_url":
			if image = p.Kind(); image == strictjson.Object {
				p.imageURL()
			}
		case "document":
			if document = p.Kind(); document == strictjson.Object {
				p.document()
			}
		}
	}
	switch kind {
	case textType:
		p.Need("text", text, strictjson.String)
	case thinkingType:
		m.thinking++
		p.Need("thinking", thinking, strictjson.String)
	case imageType:
		m.images++
		p.h.Images++
		p.Need("image_url", image, strictjson.Object)
	case documentType:
		m.documents++
		p.Need("document", document, strictjson.Object)
	case "":
		p.Here("type", "is required.")
	default:
		p.Here("type", "must be text, image_url, thinking or document, not %q.", wire.ClipText(kind))
	}
}

func (p *chatParser) imageURL() {
	url := strictjson.None
	for p.Enter(strictjson.Object); p.Next(); {
		if string(p.Key()) == "url" {
			url = p.NonEmpty()
		}
	}
	p.Need("url", url, strictjson.String)
}

func (p *chatParser) toolCall() {
	var id, function strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "id":
			id = p.NonEmpty()
		case "function":
			if function = p.Kind(); function == strictjson.Object {
				p.callFunction()
			}
		}
	}
	p.Need("id", id, strictjson.String)
	p.Need("function", function, strictjson.Object)
}

func (p *chatParser) callFunction() {
	var name, arguments strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "name":
			name = p.NonEmpty()
		case "arguments":
			arguments = p.text()
		}
	}
	p.Need("name", name, strictjson.String)
	if arguments != strictjson.None && arguments != strictjson.Null {
		p.Need("arguments", arguments, strictjson.String)
	}
}
