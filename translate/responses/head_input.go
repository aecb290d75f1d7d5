package responses

import (
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// inputMember reads a string, which is one message of the user's, or items.
func (p *parser) inputMember() {
	switch kind := p.Kind(); kind {
	case strictjson.String:
		p.h.Messages++
		p.text()
	case strictjson.Array:
		for p.Enter(strictjson.Array); p.Next(); {
			if p.h.Messages == maxItems {
				p.Invalid(inputMember, "may hold at most %d items.", maxItems)
				return
			}
			p.h.Messages++
			p.item()
		}
	case strictjson.None:
		p.Skip() // says what is wrong
	default:
		p.Invalid(inputMember, "must be a string or an array of items, not %s.", kind)
	}
}

// itemSeen is what the rules on a whole item need.
type itemSeen struct {
	kind, role                           string
	content, callID, name, arguments, id strictjson.Kind
	input, output, summary               strictjson.Kind
}

func (p *parser) item() {
	var it itemSeen
	for p.Enter(strictjson.Object); p.Next(); {
		p.itemMember(&it)
	}
	p.itemRules(&it)
}

func (p *parser) itemMember(it *itemSeen) {
	switch string(p.Key()) {
	case "type":
		if p.Kind() != strictjson.Null {
			it.kind = p.String()
		}
	case "role":
		it.role = p.String()
	case "content":
		it.content = p.content()
	case "call_id":
		it.callID = p.NonEmpty()
	case "name":
		it.name = p.NonEmpty()
	case "arguments":
		it.arguments = p.textKind()
	case "input":
		it.input = p.textKind()
	case "output":
		it.output = p.content()
	case "summary":
		it.summary = p.content()
	case "encrypted_content":
		if p.Kind() != strictjson.Null {
			p.RawString()
		}
	case "id":
		it.id = p.NonEmpty()
	}
}

func (p *parser) itemRules(it *itemSeen) {
	switch it.kind {
	case messageItem:
		p.messageRules(it)
	case "":
		if it.role != "" {
			p.messageRules(it)
			return
		}
		p.Need("id", it.id, strictjson.String) // item_reference without its type
	case callItem:
		p.Need("call_id", it.callID, strictjson.String)
		p.Need("name", it.name, strictjson.String)
		p.Need("arguments", it.arguments, strictjson.String)
	case customItem:
		p.Need("call_id", it.callID, strictjson.String)
		p.Need("name", it.name, strictjson.String)
		p.Need("input", it.input, strictjson.String)
	case outputItem, customOutItem:
		p.Need("call_id", it.callID, strictjson.String)
		p.required("output", it.output)
	case reasoningItem:
		p.Need("summary", it.summary, strictjson.Array)
		if it.content != strictjson.None && it.content != strictjson.Null {
			p.Need("content", it.content, strictjson.Array)
		}
	case referenceItem:
		p.Need("id", it.id, strictjson.String)
	}
}

func (p *parser) messageRules(it *itemSeen) {
	switch it.role {
	case roleUser, roleAssistant, roleSystem, roleDeveloper:
		p.required("content", it.content)
	case "":
		p.Here("role", "is required.")
	default:
		p.Here("role", "must be user, assistant, system or developer, not %q.", wire.ClipText(it.role))
	}
}

// required is for what content has read: a string or parts.
func (p *parser) required(name string, got strictjson.Kind) {
	switch got {
	case strictjson.String, strictjson.Array:
	case strictjson.Object:
		p.Here(name, "must be a string or an array of content parts, not %s.", got)
	default:
		p.Here(name, "is required: a string or an array of content parts.")
	}
}

// content reads a string, or parts; null is left to the caller to fault.
func (p *parser) content() strictjson.Kind {
	kind := p.Kind()
	switch kind {
	case strictjson.String:
		p.text()
	case strictjson.Array:
		for p.Enter(strictjson.Array); p.Next(); {
			p.part()
		}
	case strictjson.None:
		p.Skip() // says what is wrong
	case strictjson.Null:
	case strictjson.Object: // of an item that only one vendor knows
	default:
		p.Here("", "must be a string or an array of content parts, not %s.", kind)
	}
	return kind
}

// partSeen is what the rules on a whole content part need.
type partSeen struct {
	kind                          string
	text, refusal, url, id, audio strictjson.Kind
	data, fileURL                 strictjson.Kind
}

// part checks one content part. Parts of unknown types are let through: providers have their own.
func (p *parser) part() {
	var c partSeen
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			c.kind = p.String()
		case "text":
			c.text = p.textKind()
		case "refusal":
			c.refusal = p.textKind()
		case "image_url":
			c.url = p.NonEmpty()
		case "file_id":
			c.id = p.NonEmpty()
		case "file_data":
			c.data = p.NonEmpty()
		case "file_url":
			c.fileURL = p.NonEmpty()
		case "input_audio":
			c.audio = p.audio()
		}
	}
	p.partRules(&c)
}

func (p *parser) partRules(c *partSeen) {
	switch c.kind {
	case "":
		p.Here("type", "is required.")
	case inputText, outputText, summaryText, reasoningText, textType:
		p.Need("text", c.text, strictjson.String)
	case refusalPart:
		p.Need("refusal", c.refusal, strictjson.String)
	case inputImage:
		p.h.Images++
		if c.id != strictjson.String {
			p.Need("image_url", c.url, strictjson.String)
		}
	case inputFile:
		if c.id != strictjson.String && c.data != strictjson.String && c.fileURL != strictjson.String {
			p.Here("", "must have file_data, file_url or file_id.")
		}
	case inputAudio:
		p.Need("input_audio", c.audio, strictjson.Object)
	}
}

func (p *parser) audio() strictjson.Kind {
	kind := p.Kind()
	if kind != strictjson.Object {
		return kind
	}
	var data, format strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "data":
			data = p.NonEmpty()
		case "format":
			format = p.NonEmpty()
		}
	}
	p.Need("data", data, strictjson.String)
	p.Need("format", format, strictjson.String)
	return kind
}
