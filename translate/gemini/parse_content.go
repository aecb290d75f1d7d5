package gemini

import (
	"strings"

	"dragoman/translate/strictjson"
)

// content reads a Content: a turn, or the system instruction.
func (p *parser) content() {
	parts := false
	for p.Enter(strictjson.Object); p.Next(); {
		if p.Kind() == strictjson.Null {
			continue
		}
		switch string(p.Key()) {
		case "role":
			switch p.String() {
			case "user", "model", "function", "system", "":
			default:
				p.Invalid(p.Path(), "must be user or model.")
			}
		case "parts":
			for p.Enter(strictjson.Array); p.Next(); {
				parts = true
				p.part()
			}
		}
	}
	if !parts {
		p.Here("parts", "must have at least one part.")
	}
}

// part reads one part. Those without a neutral form (a server-side tool's) pass: a provider of this schema knows them.
func (p *parser) part() {
	data := 0
	for p.Enter(strictjson.Object); p.Next(); {
		if p.Kind() == strictjson.Null {
			continue
		}
		switch string(p.Key()) {
		case "text":
			data++
			p.h.TextBytes += max(len(p.RawString())-len(`""`), 0)
		case "inlineData", "inline_data":
			data++
			p.media()
		case "fileData", "file_data":
			data++
			p.media()
		case "functionCall", "function_call":
			data++
			p.function("args")
		case "functionResponse", "function_response":
			data++
			p.function("response")
		case "executableCode", "executable_code", "codeExecutionResult", "code_execution_result", "toolCall", "tool_call", "toolResponse", "tool_response":
			data++
			p.h.TextBytes += len(p.Skip())
		case "thought":
			p.Bool()
		case "thoughtSignature", "thought_signature":
			p.RawString()
		}
	}
	if data > 1 { // a oneof of the proto file
		p.Invalid(p.Path(), "must have one of text, inlineData, fileData, functionCall and functionResponse, not several.")
	}
}

// function reads a call or a response. Its body counts as text.
func (p *parser) function(body string) {
	named := false
	for p.Enter(strictjson.Object); p.Next(); {
		if p.Kind() == strictjson.Null {
			continue
		}
		switch key := p.Key(); {
		case string(key) == "name":
			named = len(p.RawString()) > len(`""`)
		case string(key) == "id":
			p.RawString()
		case string(key) == body:
			if p.Want(strictjson.Object) {
				p.h.TextBytes += len(p.Skip())
			}
		case string(key) == "parts":
			for p.Enter(strictjson.Array); p.Next(); {
				p.responsePart()
			}
		}
	}
	if !named {
		p.Here("name", "is required.")
	}
}

// responsePart reads an image or a document that a function returned.
func (p *parser) responsePart() {
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "inlineData", "inline_data", "fileData", "file_data":
			if p.Kind() != strictjson.Null {
				p.media()
			}
		}
	}
}

// media reads inlineData or fileData. Base64 is no text, unless it holds one.
func (p *parser) media() {
	data, text, there := 0, false, false
	for p.Enter(strictjson.Object); p.Next(); {
		if p.Kind() == strictjson.Null {
			continue
		}
		switch string(p.Key()) {
		case "mimeType", "mime_type":
			text = strings.HasPrefix(p.String(), "text/")
		case "data":
			raw := p.RawString()
			data, there = len(raw), len(raw) > len(`""`)
		case "fileUri", "file_uri":
			there = len(p.RawString()) > len(`""`)
		}
	}
	switch {
	case !there:
		p.Invalid(p.Path(), "must have data or a fileUri.")
	case text:
		p.h.TextBytes += data * 3 / 4
	default:
		p.h.Images++
	}
}
