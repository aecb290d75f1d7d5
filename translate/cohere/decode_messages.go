package cohere

import (
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// rawMessage is a message before its role says what its members mean.
type rawMessage struct {
	role, callID, plan string
	content, calls     []chat.Part
}

func (d *decoder) message() {
	var m rawMessage
	for d.Enter(strictjson.Object); d.Next(); {
		if d.Kind() == strictjson.Null {
			continue
		}
		switch string(d.Key()) {
		case "role":
			m.role = d.String()
		case "content":
			m.content = d.content()
		case "tool_plan":
			m.plan = d.String()
		case "tool_calls":
			for d.Enter(strictjson.Array); d.Next(); {
				call := d.toolCall()
				m.calls = append(m.calls, chat.Part{Kind: chat.ToolCall, Call: &call})
			}
		case "tool_call_id":
			m.callID = d.String()
		default:
			d.extraHere() // citations of an earlier answer among them
		}
	}
	if d.Err() == nil {
		d.req.Messages = append(d.req.Messages, m.build())
	}
}

// build gives the message its neutral form. A turn's parts come in the order in which a model makes them: thinking, text,
// the plan, calls.
func (m *rawMessage) build() chat.Message {
	msg := chat.Message{Role: chat.Role(m.role), Parts: m.content}
	switch m.role {
	case roleAssistant:
		msg.Parts = nil
		for _, p := range m.content {
			if p.Text != "" {
				msg.Parts = append(msg.Parts, p)
			}
		}
		if m.plan != "" {
			msg.Parts = append(msg.Parts, chat.Part{Kind: chat.Text, Text: m.plan})
		}
		msg.Parts = append(msg.Parts, m.calls...)
	case roleTool:
		msg.Parts = []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{CallID: m.callID, Parts: m.content}}}
	}
	return msg
}

func (d *decoder) content() []chat.Part {
	if d.Kind() == strictjson.String {
		return []chat.Part{{Kind: chat.Text, Text: d.String()}}
	}
	parts := []chat.Part{}
	for d.Enter(strictjson.Array); d.Next(); {
		parts = append(parts, d.part())
	}
	return parts
}

func (d *decoder) part() chat.Part {
	p := chat.Part{Kind: chat.Text}
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "type":
			switch d.String() {
			case thinkingType:
				p.Kind, p.Signature = chat.Thinking, ownThinking
			case imageType:
				p.Kind = chat.Image
			}
		case "text", "thinking":
			if d.Kind() == strictjson.String {
				p.Text = d.String()
			}
		case "image_url":
			if d.Kind() == strictjson.Object {
				p.Media = d.image()
			}
		case "document":
			if d.Kind() == strictjson.Object {
				p.Text = d.document()
			}
		default:
			d.extraHere()
		}
	}
	return p
}

func (d *decoder) image() *chat.Media {
	m := &chat.Media{}
	path := d.Path()
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "url":
			m.URL = d.String()
		case "detail":
			if d.Kind() == strictjson.String {
				m.Detail = d.String()
			}
		}
	}
	if wire.IsDataURI(m.URL) {
		mediaType, data, ok := wire.SplitDataURI(m.URL)
		if !ok {
			d.invalid(path+".url", "must be a web URL or a base64 data URI.")
		}
		m.Type, m.Data, m.URL = mediaType, data, ""
	} else if !wire.IsWebURL(m.URL) {
		d.invalid(path+".url", "must be a web URL or a base64 data URI.")
	}
	return m
}

// document is a tool's result in Cohere's own form: its data is the text (D42). The id only names it in citations.
func (d *decoder) document() string {
	text := ""
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "data":
			if d.Kind() == strictjson.String {
				text = d.String()
			} else {
				text = view(d.Skip())
			}
		case "id":
			d.extraHere()
		}
	}
	return text
}

// toolCall reads a call. Other schemas take the arguments as an object and not as text (D32).
func (d *decoder) toolCall() (c chat.Call) {
	id := ""
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "id":
			id = d.String()
		case "function":
			c = d.callFunction()
		}
	}
	c.ID = id
	return c
}

func (d *decoder) callFunction() chat.Call {
	c := chat.Call{Arguments: "{}"}
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "name":
			c.Name = d.String()
		case "arguments":
			if d.Null() {
				continue
			}
			path := d.Path()
			arguments, ok := objectText(d.String())
			if !ok {
				d.invalid(path, "must be the text of a JSON object, or empty; the model that is to answer takes nothing else.")
			}
			c.Arguments = arguments
		}
	}
	return c
}

// objectText is text when it is a JSON object, "{}" when it is blank (D33). A model wrote it: a repeated member passes.
func objectText(text string) (string, bool) {
	blank := true
	for i := 0; i < len(text) && blank; i++ {
		blank = text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r'
	}
	if blank {
		return "{}", true
	}
	kind, err := strictjson.CheckLenient([]byte(text))
	return text, err == nil && kind == strictjson.Object
}
