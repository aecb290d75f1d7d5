package anthropic

import (
	"encoding/base64"
	"strconv"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/wire"
)

// maxNested is how deep blocks may hold blocks: a turn, its tool result, that one's document. Each level is read once
// more, so that a bound is due.
const maxNested = 3

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func (d *decoder) messages(v gjson.Result) {
	i := 0
	v.ForEach(func(_, m gjson.Result) bool {
		d.message(i, m)
		i++
		return d.err == nil
	})
}

// message reads one turn. The results of tool calls become messages of their own, one each and before the rest of their
// turn, as every other schema has them.
func (d *decoder) message(i int, v gjson.Result) {
	msg := chat.Message{}
	path := at("messages", i)
	v.ForEach(func(key, m gjson.Result) bool {
		switch key.String() {
		case "role":
			msg.Role = chat.Role(m.String())
		case "content":
			msg.Parts = d.content(path+".content", m)
		default:
			d.extra(&d.req.Extra, path+"."+key.String(), m, false)
		}
		return d.err == nil
	})
	if d.err != nil {
		return
	}
	rest := msg.Parts[:0]
	for _, p := range msg.Parts {
		if p.Kind == chat.ToolResult && msg.Role != chat.User || p.Kind == chat.ToolCall && msg.Role != chat.Assistant {
			d.fail(fault.InvalidRequest, path+".content", "may hold tool_use only of the assistant and tool_result only of the user")
			return
		}
		if p.Kind == chat.ToolResult {
			d.req.Messages = append(d.req.Messages, chat.Message{Role: chat.ToolRole, Parts: []chat.Part{p}})
			continue
		}
		rest = append(rest, p)
	}
	if len(rest) > 0 || len(msg.Parts) == 0 {
		msg.Parts = rest
		d.req.Messages = append(d.req.Messages, msg)
	}
}

// content reads a string, or blocks.
func (d *decoder) content(path string, v gjson.Result) []chat.Part {
	if v.Type == gjson.String {
		return []chat.Part{{Kind: chat.Text, Text: v.String()}}
	}
	if d.nested == maxNested {
		d.fail(fault.InvalidRequest, path, "is nested too deep")
		return nil
	}
	d.nested++
	defer func() { d.nested-- }()
	var parts []chat.Part
	i := 0
	v.ForEach(func(_, b gjson.Result) bool {
		parts = d.block(parts, at(path, i), b)
		i++
		return d.err == nil
	})
	return parts
}

// block appends what one content block holds: one part, or for a document made of blocks, each of them.
func (d *decoder) block(parts []chat.Part, path string, v gjson.Result) []chat.Part {
	var p chat.Part
	switch kind := v.Get("type").String(); kind {
	case textBlock:
		p = chat.Part{Kind: chat.Text, Text: v.Get("text").String()}
		d.partExtras(&p, path, v, "text")
	case imageBlock:
		p = chat.Part{Kind: chat.Image, Media: d.media(path+".source", v.Get("source"), "")}
		d.partExtras(&p, path, v, "source")
	case documentBlock:
		return d.document(parts, path, v)
	case toolUseBlock:
		p = chat.Part{Kind: chat.ToolCall, Call: &chat.Call{
			ID: v.Get("id").String(), Name: v.Get("name").String(), Arguments: v.Get("input").Raw,
		}}
		d.partExtras(&p, path, v, "id", "name", "input")
	case toolResultBlock:
		p = d.result(path, v)
	case thinkingBlock:
		p = chat.Part{Kind: chat.Thinking, Text: v.Get("thinking").String(), Signature: v.Get("signature").String()}
	case redactedBlock:
		p = chat.Part{Kind: chat.RedactedThinking, Signature: v.Get("data").String()}
	default:
		d.fail(fault.Unsupported, path, "is a %q block, which only Anthropic's own models can read", wire.ClipText(kind))
	}
	p.Cache = cacheMark(v.Get("cache_control"))
	return append(parts, p)
}

// partExtras keeps the members of a block that have no neutral form: citations, a caller.
func (d *decoder) partExtras(p *chat.Part, path string, v gjson.Result, known ...string) {
	v.ForEach(func(key, m gjson.Result) bool {
		name := key.String()
		if name == "type" || name == "cache_control" {
			return true
		}
		for _, k := range known {
			if name == k {
				return true
			}
		}
		d.extra(&p.Extra, path+"."+name, m, false)
		return true
	})
}

func (d *decoder) result(path string, v gjson.Result) chat.Part {
	r := &chat.Result{CallID: v.Get("tool_use_id").String()}
	if c := v.Get("content"); c.Type != gjson.Null {
		r.Parts = d.content(path+".content", c)
	}
	if e := v.Get("is_error"); e.IsBool() {
		r.IsError = ptr(e.Bool())
	}
	for i := range r.Parts {
		switch r.Parts[i].Kind {
		case chat.Text, chat.Image, chat.Document:
		default:
			d.fail(fault.InvalidRequest, path+".content", "may hold text, images and documents only")
		}
	}
	p := chat.Part{Kind: chat.ToolResult, Result: r}
	d.partExtras(&p, path, v, "tool_use_id", "content", "is_error")
	return p
}

// media reads where bytes are; mediaType is what the block implies where the source does not say.
func (d *decoder) media(path string, v gjson.Result, mediaType string) *chat.Media {
	switch v.Get("type").String() {
	case "base64":
		return &chat.Media{Type: wire.MediaType(v.Get("media_type").String()), Data: v.Get("data").String()}
	case "url":
		return &chat.Media{Type: mediaType, URL: v.Get("url").String()}
	case "file":
		return &chat.Media{Type: mediaType, FileID: v.Get("file_id").String()}
	default:
		d.fail(fault.Unsupported, path+".type", "must be base64, url or file")
		return nil
	}
}

// document reads a PDF, a plain text, or a document made of blocks. The last two need no document in another schema:
// a text is Media of text/plain, and the blocks stand for themselves.
func (d *decoder) document(parts []chat.Part, path string, v gjson.Result) []chat.Part {
	source := v.Get("source")
	p := chat.Part{Kind: chat.Document, Cache: cacheMark(v.Get("cache_control"))}
	switch source.Get("type").String() {
	case "text":
		p.Media = &chat.Media{Type: "text/plain", Data: base64.StdEncoding.EncodeToString([]byte(source.Get("data").String()))}
	case "content":
		from := len(parts)
		parts = append(parts, d.content(path+".source.content", source.Get("content"))...)
		if n := len(parts); n > from {
			d.partExtras(&parts[n-1], path, v, "source")
			if p.Cache != nil {
				parts[n-1].Cache = p.Cache
			}
		}
		return parts
	default:
		p.Media = d.media(path+".source", source, wire.PDF)
	}
	if p.Media != nil {
		p.Media.Name = v.Get("title").String()
	}
	d.partExtras(&p, path, v, "source", "title")
	return append(parts, p)
}

func (d *decoder) tools(v gjson.Result) {
	i := 0
	v.ForEach(func(_, t gjson.Result) bool {
		d.req.Tools = append(d.req.Tools, d.tool(at("tools", i), t))
		i++
		return d.err == nil
	})
}

func (d *decoder) tool(path string, v gjson.Result) chat.Tool {
	t := chat.Tool{Name: v.Get("name").String(), Cache: cacheMark(v.Get("cache_control"))}
	if kind := v.Get("type").String(); kind != "" && kind != customTool {
		t.Kind, t.Raw = kind, []byte(v.Raw)
		return t
	}
	t.Description = v.Get("description").String()
	t.Parameters = []byte(v.Get("input_schema").Raw)
	if s := v.Get("strict"); s.IsBool() {
		t.Strict = ptr(s.Bool())
	}
	v.ForEach(func(key, m gjson.Result) bool {
		switch key.String() {
		case "type", "name", "description", "input_schema", "strict", "cache_control":
		default:
			d.extra(&d.req.Extra, path+"."+key.String(), m, false)
		}
		return true
	})
	return t
}
