package cohere

import (
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

const (
	// maxMessages bounds what Decode builds from a body of tiny messages.
	maxMessages = 100_000
	// maxTokens bounds the output cap, so that sums over many requests stay far from overflow.
	maxTokens = 1 << 31
	// maxStops is the schema's own limit (D53).
	maxStops = 5
	// maxK and the range of p are the schema's own (D51).
	maxK       = 500
	minP, maxP = 0.01, 0.99
)

// chatParser reads a chat request.
type chatParser struct {
	parser
	hasModel, hasMessages bool
}

// Parse validates body and reads its head. Members that it does not know are let through, and null counts as absent where
// a member is optional. Ranges are those that the vendor documents.
func (Codec) Parse(body []byte) (*chat.Head, error) {
	p := chatParser{parser: newParser(body)}
	defer p.Release()
	for p.Enter(strictjson.Object); p.Next(); {
		p.member(p.Key())
	}
	h, err := p.finish(required{"model", p.hasModel}, required{"messages", p.hasMessages})
	if err != nil {
		return nil, err
	}
	h.IncludeUsage = h.Stream // a stream of this schema always carries it
	return h, nil
}

func (p *chatParser) member(name []byte) {
	switch string(name) {
	case "model":
		p.hasModel = true
		p.model()
	case "messages":
		p.hasMessages = true
		p.messages()
	default:
		if p.Kind() != strictjson.Null {
			p.optional(name)
		}
	}
}

// optional reads the members on which policy or another schema depends.
func (p *chatParser) optional(name []byte) {
	switch string(name) {
	case "stream":
		p.h.Stream = p.Bool()
	case "max_tokens":
		p.h.MaxTokens = p.Between("max_tokens", 1, maxTokens)
	case "tools":
		p.tools()
	case "tool_choice":
		if c := p.String(); c != choiceRequired && c != choiceNone {
			p.Invalid("tool_choice", "must be REQUIRED or NONE, or left out.")
		}
	case "strict_tools", "logprobs":
		p.Bool()
	case "documents":
		p.documents()
	case "response_format":
		p.responseFormat()
	case "thinking":
		p.thinking()
	case "citation_options":
		p.Want(strictjson.Object)
	case "safety_mode":
		p.RawString()
	default:
		p.sampling(name)
	}
}

// sampling checks the members that shape the answer's text.
func (p *chatParser) sampling(name []byte) {
	switch string(name) {
	case "temperature":
		if p.Float() < 0 {
			p.Invalid("temperature", "must not be negative.")
		}
	case "p":
		p.InRange("p", 0, 1)
	case "k":
		p.Between("k", 0, maxK)
	case "frequency_penalty", "presence_penalty":
		p.InRange(string(name), 0, 1)
	case "seed":
		p.Int()
	case "stop_sequences":
		for p.Enter(strictjson.Array); p.Next(); {
			p.RawString()
			if p.Index() == maxStops {
				p.Invalid("stop_sequences", "may hold at most %d strings.", maxStops)
			}
		}
	}
}

func (p *chatParser) thinking() {
	kind := ""
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "token_budget":
			if p.Kind() != strictjson.Null {
				p.Between("thinking.token_budget", 1, maxTokens)
			}
		}
	}
	if kind != "enabled" && kind != "disabled" {
		p.Invalid("thinking.type", "must be enabled or disabled.")
	}
}

// documents are strings, or objects with data.
func (p *chatParser) documents() {
	for p.Enter(strictjson.Array); p.Next(); {
		if p.Kind() == strictjson.String {
			p.text()
			continue
		}
		p.document()
	}
}

// document reads {"id":…,"data":{…}}; data may also be a string.
func (p *chatParser) document() {
	data := strictjson.None
	for p.Enter(strictjson.Object); p.Next(); {
		if string(p.Key()) == "data" {
			if data = p.text(); data == strictjson.Object {
				p.h.TextBytes += len(p.Skip())
			}
		}
	}
	if data != strictjson.String {
		p.Need("data", data, strictjson.Object)
	}
}

func (p *chatParser) tools() {
	for p.Enter(strictjson.Array); p.Next(); {
		p.h.Tools++
		from := p.Offset()
		p.tool()
		p.h.TextBytes += p.Offset() - from
	}
}

func (p *chatParser) tool() {
	kind, function := functionType, strictjson.None
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
	if kind != functionType {
		p.Here("type", "must be function, not %q.", wire.ClipText(kind))
	}
	p.Need("function", function, strictjson.Object)
}

func (p *chatParser) function() {
	name := strictjson.None
	for p.Enter(strictjson.Object); p.Next(); {
		switch key := p.Key(); {
		case string(key) == "name":
			name = p.NonEmpty()
		case p.Kind() == strictjson.Null:
		case string(key) == "description":
			p.RawString()
		case string(key) == "parameters":
			p.Want(strictjson.Object)
		}
	}
	p.Need("name", name, strictjson.String)
}

func (p *chatParser) responseFormat() {
	kind := ""
	from := p.Offset()
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "json_schema", "schema":
			if p.Kind() != strictjson.Null {
				p.Want(strictjson.Object)
			}
		}
	}
	switch kind {
	case textType:
	case jsonObjectType:
		p.h.TextBytes += p.Offset() - from
	default:
		p.Invalid("response_format.type", "must be text or json_object.")
	}
}
