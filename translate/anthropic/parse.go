package anthropic

import (
	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

const (
	// maxMessages is the vendor's own limit.
	maxMessages = 100_000
	// maxTokens bounds max_tokens, so that sums over many requests stay far from overflow.
	maxTokens = 1 << 31
)

// parser reads a head in one pass over the body.
type parser struct {
	*strictjson.Scanner
	h    *chat.Head
	seen struct{ model, maxTokens, messages bool }
}

// Parse validates body and reads its head. Members that it does not know are let through, and null counts as absent where
// a member is optional. max_tokens 0 is allowed: it fills the prompt cache and asks for no answer.
func (Codec) Parse(body []byte) (*chat.Head, error) {
	p := parser{Scanner: strictjson.New(body), h: &chat.Head{Schema: chat.Anthropic, N: 1, Body: body}}
	defer p.Release()
	for p.Enter(strictjson.Object); p.Next(); {
		p.member(p.Key())
	}
	if err := p.End(); err != nil {
		return nil, err
	}
	if f := p.missing(); f != nil {
		return nil, f
	}
	p.h.Fields = p.Fields()
	p.h.IncludeUsage = p.h.Stream // a Messages stream always carries it
	return p.h, nil
}

// missing names the first required member that is not there.
func (p *parser) missing() *fault.Fault {
	for _, m := range []struct {
		there bool
		name  string
	}{{p.seen.model, "model"}, {p.seen.messages, "messages"}, {p.seen.maxTokens, "max_tokens"}} {
		if !m.there {
			return fault.Invalid(m.name, "%s is required.", m.name)
		}
	}
	return nil
}

func (p *parser) member(name []byte) {
	switch string(name) {
	case "model":
		p.seen.model = true
		if p.h.Model = p.String(); p.h.Model == "" {
			p.Invalid("model", "must name a model.")
		}
		return
	case "max_tokens":
		p.seen.maxTokens = true
		if p.h.MaxTokens = p.Int(); p.h.MaxTokens < 0 || p.h.MaxTokens > maxTokens {
			p.Invalid("max_tokens", "must be between 0 and %d.", maxTokens)
		}
		return
	case "messages":
		p.seen.messages = true
		p.messages()
		return
	}
	if p.Kind() != strictjson.Null {
		p.optional(name)
	}
}

func (p *parser) optional(name []byte) {
	switch string(name) {
	case "system":
		p.content(true)
	case "stream":
		p.h.Stream = p.Bool()
	case "temperature", "top_p":
		if f := p.Float(); f < 0 || f > 1 {
			p.Invalid(string(name), "must be between 0 and 1.")
		}
	case "top_k":
		if p.Int() < 0 {
			p.Invalid(string(name), "must not be negative.")
		}
	case "stop_sequences":
		for p.Enter(strictjson.Array); p.Next(); {
			p.RawString()
		}
	case "tools":
		p.tools()
	case "tool_choice":
		p.toolChoice()
	case "metadata":
		p.metadata()
	case "thinking":
		p.thinking()
	case "output_config":
		p.outputConfig()
	}
}

func (p *parser) metadata() {
	for p.Enter(strictjson.Object); p.Next(); {
		if string(p.Key()) == "user_id" && p.Kind() != strictjson.Null {
			p.h.User = p.String()
		}
	}
}

func (p *parser) thinking() {
	kind := ""
	budget := false
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "budget_tokens":
			budget = true
			if n := p.Int(); n < 0 || n > maxTokens {
				p.Invalid("thinking.budget_tokens", "must be between 0 and %d.", maxTokens)
			}
		}
	}
	switch {
	case kind == "":
		p.Invalid("thinking.type", "is required.")
	case kind == "enabled" && !budget:
		p.Invalid("thinking.budget_tokens", "is required when thinking is enabled.")
	}
}

func (p *parser) outputConfig() {
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "effort":
			if p.Kind() != strictjson.Null {
				p.RawString()
			}
		case "format":
			if p.Kind() != strictjson.Null {
				p.Want(strictjson.Object)
			}
		}
	}
}

func (p *parser) tools() {
	for p.Enter(strictjson.Array); p.Next(); {
		p.h.Tools++
		from := p.Offset()
		p.tool()
		p.h.TextBytes += p.Offset() - from
	}
}

// tool checks one definition. A server-side tool is only seen to be an object: its members are the provider's to check.
func (p *parser) tool() {
	var name, schema strictjson.Kind
	kind := ""
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			if p.Kind() != strictjson.Null {
				kind = p.String()
			}
		case "name":
			name = p.NonEmpty()
		case "input_schema":
			schema = p.Kind()
		}
	}
	if kind != "" && kind != customTool {
		return
	}
	p.want("name", name, strictjson.String)
	p.want("input_schema", schema, strictjson.Object)
}

func (p *parser) toolChoice() {
	kind := ""
	var name strictjson.Kind
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "type":
			kind = p.String()
		case "name":
			name = p.NonEmpty()
		case "disable_parallel_tool_use":
			if p.Kind() != strictjson.Null {
				p.Bool()
			}
		}
	}
	switch kind {
	case "auto", "any", "none":
	case "tool":
		p.want("name", name, strictjson.String)
	default:
		p.Invalid("tool_choice.type", "must be auto, any, tool or none.")
	}
}

// want faults unless a member of the object read last was of the kind. It is for members whose rule depends on another
// one that may stand behind them.
func (p *parser) want(name string, got, want strictjson.Kind) {
	if got == want || p.Err() != nil {
		return
	}
	path := p.Path() + "." + name
	if got == strictjson.None {
		p.Fail(fault.Invalid(path, "%s is required.", path))
		return
	}
	p.Fail(fault.Invalid(path, "%s must be %s, not %s.", path, want, got))
}
