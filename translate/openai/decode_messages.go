package openai

import (
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// rawMessage is a message before its role says what its members mean.
type rawMessage struct {
	role, name, callID string
	content            []chat.Part
	reasoning          string
	blocks             []chat.Part // thinking_blocks
	refusal            string
	calls              []chat.Part
	images             []chat.Part
	legacy             *chat.Call
	cache              *chat.CacheMark
}

func (d *decoder) message() {
	var m rawMessage
	for d.Enter(strictjson.Object); d.Next(); {
		if d.Kind() != strictjson.Null {
			d.messageMember(&m)
		}
	}
	if d.Err() == nil {
		d.build(&m)
	}
}

func (d *decoder) messageMember(m *rawMessage) {
	switch string(d.Key()) {
	case "role":
		m.role = d.String()
	case "name":
		m.name = d.String()
	case "tool_call_id":
		m.callID = d.String()
	case "content":
		m.content = d.content()
	case "refusal":
		m.refusal = d.String()
	case "reasoning_content":
		m.reasoning = d.String()
	case "thinking_blocks":
		m.blocks = d.thinkingBlocks()
	case "tool_calls":
		for d.Enter(strictjson.Array); d.Next(); {
			if p := d.toolCall(); d.Err() == nil {
				m.calls = append(m.calls, p)
			}
		}
	case "function_call":
		m.legacy = ptr(d.functionCall())
	case imagesMember:
		m.images = d.images()
	case "cache_control":
		m.cache = cacheMark(d.Scanner)
	case "audio":
		d.extraHere(true) // the words of an earlier spoken answer, by its id
	default:
		d.extraHere(false)
	}
}

// build appends the message in its neutral form.
func (d *decoder) build(m *rawMessage) {
	msg := chat.Message{Role: chat.Role(m.role), Name: m.name, Parts: m.content}
	switch m.role {
	case roleAssistant:
		msg.Parts = d.assistant(m)
	case roleTool:
		msg.Parts = []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{CallID: m.callID, Parts: m.content}}}
	case roleFunction:
		id, ok := d.legacyResult(m.name)
		if !ok {
			path := d.Path()
			d.invalid(path+".name", "names a function that no function_call before it called.")
			return
		}
		msg.Role, msg.Name = chat.ToolRole, ""
		msg.Parts = []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{CallID: id, Parts: m.content}}}
	}
	if m.cache != nil && len(msg.Parts) > 0 {
		msg.Parts[len(msg.Parts)-1].Cache = m.cache
	}
	d.req.Messages = append(d.req.Messages, msg)
}

// assistant puts a turn's parts in the order in which a model makes them: thinking before text and calls (D75).
func (d *decoder) assistant(m *rawMessage) []chat.Part {
	parts := m.blocks
	if len(parts) == 0 && m.reasoning != "" {
		parts = append(parts, chat.Part{Kind: chat.Thinking, Text: m.reasoning})
	}
	for _, p := range m.content {
		if p.Kind != chat.Text || p.Text != "" || p.Cache != nil {
			parts = append(parts, p) // "" beside calls is how some clients say null
		}
	}
	if m.refusal != "" {
		parts = append(parts, chat.Part{Kind: chat.Refusal, Text: m.refusal})
	}
	parts = append(append(parts, m.images...), m.calls...)
	if m.legacy != nil {
		parts = append(parts, d.legacyCall(*m.legacy))
	}
	return parts
}

// thinkingBlocks reads the signed blocks of an earlier answer as Anthropic makes them (D74).
func (d *decoder) thinkingBlocks() (parts []chat.Part) {
	for d.Enter(strictjson.Array); d.Next(); {
		if !d.Want(strictjson.Object) {
			break
		}
		if p, ok := readThinkingBlock(d.Scanner); ok {
			parts = append(parts, p)
		}
	}
	return parts
}

func (d *decoder) toolCall() chat.Part {
	var c chat.Call
	id, signature := "", ""
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "id":
			id = d.String()
		case extraContent:
			signature = chat.Sign(chat.Gemini, strictjson.Text(googleSignature(d.Scanner)))
		case functionType:
			if d.Kind() == strictjson.Object {
				c = d.functionCall()
			}
		case customType:
			if d.Kind() == strictjson.Object {
				c = d.customCall()
			}
		}
	}
	c.ID = id
	return chat.Part{Kind: chat.ToolCall, Call: &c, Signature: signature}
}

// functionCall reads a call's name and arguments, which other schemas take as an object and not as text (D32).
func (d *decoder) functionCall() chat.Call {
	var c chat.Call
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "name":
			c.Name = d.String()
		case "arguments":
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

// customCall reads the call of a tool that takes plain text: as the one argument of a function.
func (d *decoder) customCall() chat.Call {
	var c chat.Call
	input := ""
	for d.Enter(strictjson.Object); d.Next(); {
		switch string(d.Key()) {
		case "name":
			c.Name = d.String()
		case "input":
			input = d.String()
		}
	}
	c.Arguments = string(append(strictjson.AppendString([]byte(`{"input":`), input), '}'))
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
