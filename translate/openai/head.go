package openai

import (
	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

const (
	// maxMessages bounds what Decode builds from a body of tiny messages.
	maxMessages = 100_000
	// maxTokens bounds the output cap, so that sums over many requests stay far from overflow.
	maxTokens = 1 << 31
	// maxStops is the schema's own limit (D53).
	maxStops = 4
)

// parser reads a head in one pass over the body.
type parser struct {
	*strictjson.Scanner
	h               *chat.Head
	completion      int64 // max_completion_tokens, which wins over max_tokens (D46)
	model, messages bool  // seen
}

// Parse validates body and reads its head. Members that it does not know are let through, and null counts as absent where
// a member is optional. Ranges are those of the schema's description.
func (Codec) Parse(body []byte) (*chat.Head, error) {
	p := parser{Scanner: strictjson.New(body), h: &chat.Head{Schema: chat.OpenAI, N: 1, Body: body}}
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
	if !p.messages {
		return nil, fault.Invalid("messages", "messages is required.")
	}
	if p.completion > 0 {
		p.h.MaxTokens = p.completion
	}
	p.h.Fields = p.Fields()
	return p.h, nil
}

func (p *parser) member(name []byte) {
	switch string(name) {
	case "model":
		p.model = true
		if p.h.Model = p.String(); p.h.Model == "" {
			p.Invalid("model", "must name a model.")
		}
	case "messages":
		p.messages = true
		p.messageList()
	default:
		if p.Kind() != strictjson.Null {
			p.optional(name)
		}
	}
}

// optional reads the members on which policy or another schema depends.
func (p *parser) optional(name []byte) {
	switch string(name) {
	case "stream":
		p.h.Stream = p.Bool()
	case "stream_options":
		p.streamOptions()
	case "max_tokens":
		p.h.MaxTokens = p.Between("max_tokens", 1, maxTokens)
	case "max_completion_tokens":
		p.completion = p.Between("max_completion_tokens", 1, maxTokens)
	case "n":
		p.h.N = p.Between("n", 1, 128)
	case "user":
		p.h.User = p.String()
	case "safety_identifier":
		if id := p.String(); p.h.User == "" {
			p.h.User = id // the newer name; `user` wins where both are given (D10)
		}
	case "tools":
		p.tools()
	case "functions":
		p.functions()
	case "tool_choice":
		p.toolChoice()
	case "function_call":
		p.functionChoice()
	case "response_format":
		p.responseFormat()
	default:
		p.sampling(name)
	}
}

// sampling checks the members that shape the answer's text.
func (p *parser) sampling(name []byte) {
	switch string(name) {
	case "temperature":
		p.InRange("temperature", 0, 2)
	case "top_p":
		p.InRange("top_p", 0, 1)
	case "frequency_penalty":
		p.InRange("frequency_penalty", -2, 2)
	case "presence_penalty":
		p.InRange("presence_penalty", -2, 2)
	case "top_logprobs":
		p.Between("top_logprobs", 0, 20)
	case "seed":
		p.Int()
	case "logprobs", "parallel_tool_calls":
		p.Bool()
	case "reasoning_effort":
		p.RawString()
	case "logit_bias", "metadata":
		p.Want(strictjson.Object)
	case "modalities":
		p.Want(strictjson.Array)
	case "stop":
		p.stop()
	}
}

func (p *parser) stop() {
	if p.Kind() == strictjson.String {
		p.RawString()
		return
	}
	for p.Enter(strictjson.Array); p.Next(); {
		p.RawString()
		if p.Index() == maxStops {
			p.Invalid("stop", "may hold at most %d strings.", maxStops)
		}
	}
}

func (p *parser) streamOptions() {
	for p.Enter(strictjson.Object); p.Next(); {
		if string(p.Key()) == "include_usage" && p.Kind() != strictjson.Null {
			p.h.IncludeUsage = p.Bool()
		}
	}
}

// text reads a string that counts as input.
func (p *parser) text() {
	p.h.TextBytes += max(0, len(p.RawString())-len(`""`))
}

// optionalText is text, or null.
func (p *parser) optionalText() {
	if p.Kind() != strictjson.Null {
		p.text()
	}
}
