package responses

import (
	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

const (
	// maxItems bounds what Decode builds from a body of tiny items.
	maxItems = 100_000
	// maxTokens bounds the output cap, so that sums over many requests stay far from overflow.
	maxTokens = 1 << 31
)

// parser reads a head in one pass over the body.
type parser struct {
	*strictjson.Scanner
	h            *chat.Head
	model, input bool // seen
	elsewhere    bool // what is asked stands elsewhere: previous_response_id, prompt
}

// Parse validates body and reads its head. Members that it does not know are let through, and null counts as absent where
// a member is optional. Ranges are those of the schema's description. What a gateway cannot keep apart by tenant
// (conversation) or serve at all (background) is refused.
func (Codec) Parse(body []byte) (*chat.Head, error) {
	p := parser{Scanner: strictjson.New(body), h: &chat.Head{Schema: chat.Responses, N: 1, Body: body}}
	defer p.Release()
	for p.Enter(strictjson.Object); p.Next(); {
		p.member(p.Key())
	}
	if err := p.End(); err != nil {
		return nil, err
	}
	if !p.model {
		return nil, fault.Invalid("model", "model is required.")
	}
	if !p.input && !p.elsewhere {
		return nil, fault.Invalid(inputMember, "input is required: a string or an array of items.")
	}
	p.h.Fields = p.Fields()
	return p.h, nil
}

func (p *parser) member(name []byte) {
	if string(name) == "model" {
		p.model = true
		if p.h.Model = p.String(); p.h.Model == "" {
			p.Invalid("model", "must name a model.")
		}
		return
	}
	if p.Kind() != strictjson.Null {
		p.optional(name)
	}
}

// optional reads the members on which policy or another schema depends.
func (p *parser) optional(name []byte) {
	switch string(name) {
	case inputMember:
		p.input = true
		p.inputMember()
	case instructionsMember:
		p.text()
	case previousMember:
		p.elsewhere = true
		p.RawString()
	case "prompt":
		p.elsewhere = true
		p.Want(strictjson.Object)
	case "stream":
		p.h.Stream = p.Bool()
	case maxOutputTokens:
		p.h.MaxTokens = p.Between(maxOutputTokens, 1, maxTokens)
	case "user":
		p.h.User = p.String()
	case "safety_identifier":
		if id := p.String(); p.h.User == "" {
			p.h.User = id // the newer name; `user` wins where both are given (D10)
		}
	case "tools":
		p.tools()
	case "tool_choice":
		p.toolChoice()
	case "text":
		p.textMember()
	case "reasoning":
		p.reasoning()
	default:
		p.setting(name)
	}
}

// setting checks the members that shape the answer.
func (p *parser) setting(name []byte) {
	switch string(name) {
	case "temperature":
		p.InRange("temperature", 0, 2)
	case "top_p":
		p.InRange("top_p", 0, 1)
	case "top_logprobs":
		p.Between("top_logprobs", 0, 20)
	case "parallel_tool_calls", "store":
		p.Bool()
	case "max_tool_calls":
		p.Int()
	case "background":
		if p.Bool() {
			p.unsupported("background", "This gateway answers requests while the client waits, not in the background.")
		}
	case "conversation":
		p.unsupported("conversation", "This gateway keeps no conversations: send the input itself, or the previous_response_id of an earlier answer.")
	case "include":
		for p.Enter(strictjson.Array); p.Next(); {
			p.RawString()
		}
	case "metadata":
		p.metadata()
	case "stream_options":
		p.Want(strictjson.Object)
	case "truncation", "service_tier", "prompt_cache_key":
		p.RawString()
	}
}

// metadata: the answer repeats it, so every value must be what the schema says.
func (p *parser) metadata() {
	for p.Enter(strictjson.Object); p.Next(); {
		p.RawString()
	}
}

func (p *parser) reasoning() {
	for p.Enter(strictjson.Object); p.Next(); {
		if p.Kind() == strictjson.Null {
			continue
		}
		switch string(p.Key()) {
		case "effort", "summary", "generate_summary", "context", "mode":
			p.RawString()
		}
	}
}

// textMember reads text: the format of the answer and its verbosity.
func (p *parser) textMember() {
	for p.Enter(strictjson.Object); p.Next(); {
		if p.Kind() == strictjson.Null {
			continue
		}
		switch string(p.Key()) {
		case "format":
			p.format()
		case "verbosity":
			p.RawString()
		}
	}
}

func (p *parser) format() {
	kind := ""
	var name, schema strictjson.Kind
	from := p.Offset()
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "name":
			name = p.NonEmpty()
		case "schema":
			schema = p.Kind()
		case "strict":
			if p.Kind() != strictjson.Null {
				p.Bool()
			}
		case "description":
			if p.Kind() != strictjson.Null {
				p.RawString()
			}
		}
	}
	switch kind {
	case "":
		p.Here("type", "is required.")
	case jsonSchemaType:
		p.Need("name", name, strictjson.String)
		p.Need("schema", schema, strictjson.Object)
		p.h.TextBytes += p.Offset() - from
	}
}

func (p *parser) unsupported(path, message string) {
	if p.Err() == nil {
		p.Fail(&fault.Fault{Kind: fault.Unsupported, Param: path, Message: message})
	}
}

// text reads a string that counts as input.
func (p *parser) text() {
	p.h.TextBytes += max(0, len(p.RawString())-len(`""`))
}

// textKind is text for a member whose kind a later rule is about.
func (p *parser) textKind() strictjson.Kind {
	kind := p.Kind()
	if kind == strictjson.String {
		p.text()
	}
	return kind
}
