package anthropic

import (
	"dragoman/translate/strictjson"
)

// The types of content blocks that have a neutral form.
const (
	textBlock       = "text"
	imageBlock      = "image"
	documentBlock   = "document"
	toolUseBlock    = "tool_use"
	toolResultBlock = "tool_result"
	thinkingBlock   = "thinking"
	redactedBlock   = "redacted_thinking"
)

// customTool is the type of a tool that the client runs itself; it may be left out.
const customTool = "custom"

func (p *parser) messages() {
	for p.Enter(strictjson.Array); p.Next(); {
		if p.h.Messages++; p.h.Messages > maxMessages {
			p.Invalid("messages", "must not have more than %d messages.", maxMessages)
			return
		}
		p.message()
	}
	if p.h.Messages == 0 {
		p.Invalid("messages", "must have at least one message.")
	}
}

// message reads one turn. The SDK's types know the role system beside user and assistant; which models take it is the
// provider's to say (D2).
func (p *parser) message() {
	role, content := "", false
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "role":
			role = p.String()
		case "content":
			content = true
			p.content(false)
		}
	}
	switch {
	case role != "user" && role != "assistant" && role != "system":
		p.Invalid(p.Path()+".role", "must be user or assistant.")
	case !content:
		p.Invalid(p.Path()+".content", "is required.")
	}
}

// content reads a string or an array of blocks; of a system prompt only text.
func (p *parser) content(onlyText bool) {
	switch p.Kind() {
	case strictjson.String:
		p.h.TextBytes += len(p.RawString()) - len(`""`)
	case strictjson.Array:
		for p.Enter(strictjson.Array); p.Next(); {
			if kind := p.block(); onlyText && kind != textBlock {
				p.Invalid(p.Path()+".type", "must be text.")
			}
		}
	default:
		if p.Err() == nil && p.Kind() != strictjson.None {
			p.Invalid(p.Path(), "must be a string or an array of content blocks, not %s.", p.Kind())
		}
		p.Skip()
	}
}

// blockKinds are the kinds of a block's members that some type of block requires.
type blockKinds struct {
	text, thinking, data, source, id, name, input, toolUseID strictjson.Kind
}

// block reads one content block. Its type may stand behind the members that it explains, so that they are noted first
// and judged at the end. Blocks of a type without a neutral form (a server-side tool's result) pass: a provider of this
// schema knows them.
func (p *parser) block() string {
	var k blockKinds
	kind := ""
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "text":
			k.text = p.text()
		case "thinking":
			k.thinking = p.text()
		case "data":
			k.data = p.Kind()
		case "id":
			k.id = p.NonEmpty()
		case "name":
			k.name = p.NonEmpty()
		case "tool_use_id":
			k.toolUseID = p.NonEmpty()
		case "input":
			k.input = p.Kind()
			p.h.TextBytes += len(p.Skip())
		case "source":
			if k.source = p.Kind(); k.source == strictjson.Object {
				p.source()
			}
		case "content":
			p.inner()
		}
	}
	p.judge(kind, &k)
	return kind
}

func (p *parser) judge(kind string, k *blockKinds) {
	switch kind {
	case textBlock:
		p.want("text", k.text, strictjson.String)
	case thinkingBlock:
		p.want("thinking", k.thinking, strictjson.String)
	case redactedBlock:
		p.want("data", k.data, strictjson.String)
	case imageBlock, documentBlock:
		p.h.Images++
		p.want("source", k.source, strictjson.Object)
	case toolUseBlock:
		p.want("id", k.id, strictjson.String)
		p.want("name", k.name, strictjson.String)
		p.want("input", k.input, strictjson.Object)
	case toolResultBlock:
		p.want("tool_use_id", k.toolUseID, strictjson.String)
	case "":
		p.want("type", strictjson.None, strictjson.String)
	}
}

// text notes a value's kind and counts it when it is text.
func (p *parser) text() strictjson.Kind {
	kind := p.Kind()
	if kind == strictjson.String {
		p.h.TextBytes += len(p.RawString()) - len(`""`)
	}
	return kind
}

// inner reads a block's own content: a tool_result's text or blocks, or what a server-side tool found.
func (p *parser) inner() {
	switch p.Kind() {
	case strictjson.String:
		p.text()
	case strictjson.Array:
		for p.Enter(strictjson.Array); p.Next(); {
			if p.Kind() == strictjson.Object {
				p.block()
			} else {
				p.Invalid(p.Path(), "must be a content block, not %s.", p.Kind())
			}
		}
	case strictjson.Object:
		p.h.TextBytes += len(p.Skip())
	}
}

// source reads where an image's or a document's bytes are. Base64 data is no text; a document may also be plain text, or
// blocks of its own.
func (p *parser) source() {
	kind, data := "", 0
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "data":
			if raw := p.RawString(); raw != nil {
				data = len(raw) - len(`""`)
			}
		case "content":
			p.inner()
		}
	}
	if kind == "text" {
		p.h.TextBytes += data
	}
}
