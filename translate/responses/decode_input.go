package responses

import (
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

func (d *decoder) input() {
	if d.Kind() == strictjson.String {
		d.message(chat.User, chat.Part{Kind: chat.Text, Text: d.String()})
		return
	}
	for d.Enter(strictjson.Array); d.Next(); {
		d.item()
	}
}

// message appends a message of its own.
func (d *decoder) message(role chat.Role, parts ...chat.Part) {
	d.req.Messages = append(d.req.Messages, chat.Message{Role: role, Parts: parts})
}

// said appends parts to the assistant's turn, which is the last message, or begins one.
func (d *decoder) said(parts ...chat.Part) {
	if n := len(d.req.Messages); n > 0 && d.req.Messages[n-1].Role == chat.Assistant {
		m := &d.req.Messages[n-1]
		m.Parts = append(m.Parts, parts...)
		return
	}
	d.message(chat.Assistant, parts...)
}

// rawItem is an item before its type says what its members mean.
type rawItem struct {
	kind, role, id, callID, name string
	arguments, input, encrypted  string
	result, format               string // of an image that a model made
	content, output, summary     []chat.Part
	argumentsAt                  string
}

func (d *decoder) item() {
	path := d.Path()
	raw := d.Skip()
	sub := decoder{Scanner: strictjson.NewLenient(raw), req: &chat.Request{}}
	defer sub.Release()
	var it rawItem
	for sub.Enter(strictjson.Object); sub.Next(); {
		if sub.Kind() != strictjson.Null {
			sub.itemMember(&it, path)
		}
	}
	if f := sub.Err(); f != nil {
		d.Fail(f)
		return
	}
	d.build(&it, path, raw, sub.req.Extra)
}

func (d *decoder) itemMember(it *rawItem, path string) {
	switch string(d.Key()) {
	case "type":
		it.kind = d.String()
	case "role":
		it.role = d.String()
	case "id":
		it.id = d.textOf()
	case "call_id":
		it.callID = d.textOf()
	case "name":
		it.name = d.textOf()
	case "arguments":
		it.arguments, it.argumentsAt = d.textOf(), path+".arguments"
	case "input":
		it.input = d.textOf()
	case "encrypted_content":
		it.encrypted = d.textOf()
	case "result":
		it.result = d.textOf()
	case "output_format":
		it.format = d.textOf()
	case "content":
		it.content = d.content(path + ".content")
	case "output":
		it.output = d.content(path + ".output")
	case "summary":
		it.summary = d.content(path + ".summary")
	case "status":
	default:
		name := path + "." + string(d.Key())
		d.extra(name, d.Skip(), false)
	}
}

// textOf is a string, "" for another kind: items of types that only one vendor knows have members of the same names.
func (d *decoder) textOf() string {
	if d.Kind() != strictjson.String {
		d.Skip()
		return ""
	}
	return d.String()
}

// build appends an item in its neutral form.
func (d *decoder) build(it *rawItem, path string, raw []byte, extras []chat.Extra) {
	switch it.kind {
	case messageItem:
		d.buildMessage(it)
	case callItem:
		d.buildCall(it)
	case customItem:
		d.said(chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: it.callID, Name: it.name, Arguments: wrapped("input", it.input)}})
	case outputItem, customOutItem:
		d.message(chat.ToolRole, chat.Part{Kind: chat.ToolResult, Result: &chat.Result{CallID: it.callID, Parts: it.output}})
	case reasoningItem:
		if p, ok := reasoningPart(it.id, it.encrypted, it.summary, it.content); ok {
			d.said(p)
		}
	case imageItem:
		p, ok := madeImage(it.result, it.format)
		if !ok {
			d.extra(path, raw, true)
			return
		}
		d.said(p)
	case "":
		if it.role != "" {
			d.buildMessage(it)
			break
		}
		d.extra(path, raw, true) // item_reference without its type
		return
	default:
		d.extra(path, raw, true) // what a built-in tool did, or a reference to what is not here
		return
	}
	d.req.Extra = append(d.req.Extra, extras...)
}

func (d *decoder) buildMessage(it *rawItem) {
	if it.role == roleAssistant {
		d.said(it.content...)
		return
	}
	d.message(chat.Role(it.role), it.content...)
}

// buildCall: other schemas take arguments as an object and not as text (D32, D33).
func (d *decoder) buildCall(it *rawItem) {
	arguments, ok := objectText(it.arguments)
	if !ok {
		d.invalid(it.argumentsAt, "must be the text of a JSON object, or empty; the model that is to answer takes nothing else.")
		return
	}
	d.said(chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: it.callID, Name: it.name, Arguments: arguments}})
}

// reasoningPart makes thinking of a reasoning item: the paragraphs of its summary, or its text where a model shows that. An
// item with nothing in it says nothing (D77).
func reasoningPart(id, encrypted string, summary, content []chat.Part) (chat.Part, bool) {
	text := paragraphs(summary)
	if text == "" {
		text = paragraphs(content)
	}
	kind, signature := signatureOf(id, encrypted)
	if kind == chat.RedactedThinking {
		text = ""
	}
	return chat.Part{Kind: kind, Text: text, Signature: signature}, text != "" || signature != ""
}

// paragraph is what stands between the parts of a summary when they are one text.
const paragraph = "\n\n"

func paragraphs(parts []chat.Part) string {
	text := ""
	for i := range parts {
		if i > 0 {
			text += paragraph
		}
		text += parts[i].Text
	}
	return text
}

// wrapped is an object with one string.
func wrapped(name, text string) string {
	b := strictjson.AppendString([]byte{'{'}, name)
	return string(append(strictjson.AppendString(append(b, ':'), text), '}'))
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
