package gemini

import (
	"strconv"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

const (
	// maxContents bounds a conversation; the service's own limit is its context window.
	maxContents = 100_000
	// maxTokens bounds maxOutputTokens, an int32.
	maxTokens = 1<<31 - 1
	// maxCandidates is the service's limit of candidateCount.
	maxCandidates = 8
)

// parser reads a head in one pass over the body. The operations share it.
type parser struct {
	*strictjson.Scanner
	h        *chat.Head
	contents bool
	seenMax  bool
	seenN    bool
}

func newParser(body []byte) parser {
	return parser{Scanner: strictjson.New(body), h: &chat.Head{Schema: chat.Gemini, N: 1, IncludeUsage: true, Body: body}}
}

// Parse validates body and reads its head, but for the model and the streaming mode, which are in the path. A model in the
// body is read all the same. Members that it does not know are let through; null counts as absent, as in proto JSON.
func (Codec) Parse(body []byte) (*chat.Head, error) {
	p := newParser(body)
	defer p.Release()
	for p.Enter(strictjson.Object); p.Next(); {
		p.member(p.Key())
	}
	return p.finish()
}

// finish ends the scan. Two spellings of one member would be read differently by different readers.
func (p *parser) finish() (*chat.Head, error) {
	if err := p.End(); err != nil {
		return nil, err
	}
	if !p.contents {
		return nil, fault.Invalid("contents", "contents is required.")
	}
	p.h.Fields = p.Fields()
	for i := range p.h.Fields {
		name := p.h.Fields[i].Name
		if strings.IndexByte(name, '_') > 0 && p.h.Field(camel(name)) != nil {
			return nil, fault.Invalid(name, "%s is given twice, in two spellings.", name)
		}
	}
	return p.h, nil
}

// camel is the JSON name of a proto field: generation_config as generationConfig.
func camel(name string) string {
	if strings.IndexByte(name, '_') < 0 {
		return name
	}
	b := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] == '_' && i+1 < len(name) {
			i++
			if c := name[i]; c >= 'a' && c <= 'z' {
				b = append(b, c-'a'+'A')
				continue
			}
		}
		b = append(b, name[i])
	}
	return string(b)
}

func (p *parser) member(name []byte) {
	if p.Kind() == strictjson.Null {
		return
	}
	switch string(name) {
	case "model":
		p.h.Model = strings.TrimPrefix(p.String(), modelsPrefix)
	case "contents":
		p.readContents()
	case "systemInstruction", "system_instruction":
		p.content()
	case "tools":
		p.tools()
	case "toolConfig", "tool_config":
		p.toolConfig()
	case "generationConfig", "generation_config":
		p.generationConfig()
	case "cachedContent", "cached_content":
		p.RawString()
	}
}

func (p *parser) readContents() {
	p.contents = true
	for p.Enter(strictjson.Array); p.Next(); {
		if p.h.Messages++; p.h.Messages > maxContents {
			p.Invalid("contents", "must not have more than %d entries.", maxContents)
			return
		}
		p.content()
	}
	if p.h.Messages == 0 {
		p.Invalid("contents", "must have at least one entry.")
	}
}

func (p *parser) tools() {
	for p.Enter(strictjson.Array); p.Next(); {
		from, functions := p.Offset(), 0
		for p.Enter(strictjson.Object); p.Next(); {
			switch string(p.Key()) {
			case "functionDeclarations", "function_declarations":
				if p.Kind() == strictjson.Null {
					continue
				}
				for p.Enter(strictjson.Array); p.Next(); {
					functions++
					p.declaration()
				}
			}
		}
		p.h.Tools += max(functions, 1)
		p.h.TextBytes += p.Offset() - from
	}
}

func (p *parser) declaration() {
	named := false
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "name":
			named = len(p.RawString()) > len(`""`)
		case "description":
			if p.Kind() != strictjson.Null {
				p.RawString()
			}
		case "parameters", "parametersJsonSchema", "parameters_json_schema":
			if p.Kind() != strictjson.Null {
				p.Want(strictjson.Object)
			}
		}
	}
	if !named {
		p.Here("name", "is required.")
	}
}

func (p *parser) toolConfig() {
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "functionCallingConfig", "function_calling_config":
			if p.Kind() != strictjson.Null {
				p.callingConfig()
			}
		}
	}
}

func (p *parser) callingConfig() {
	for p.Enter(strictjson.Object); p.Next(); {
		switch string(p.Key()) {
		case "mode":
			if p.Kind() != strictjson.Null {
				p.RawString()
			}
		case "allowedFunctionNames", "allowed_function_names":
			p.words()
		}
	}
}

// words reads an array of strings.
func (p *parser) words() {
	if p.Kind() == strictjson.Null {
		return
	}
	for p.Enter(strictjson.Array); p.Next(); {
		p.RawString()
	}
}

func (p *parser) generationConfig() {
	for p.Enter(strictjson.Object); p.Next(); {
		if p.Kind() == strictjson.Null {
			continue
		}
		switch string(p.Key()) {
		case "maxOutputTokens", "max_output_tokens":
			p.once(&p.seenMax)
			if p.h.MaxTokens = p.int(); p.h.MaxTokens < 1 || p.h.MaxTokens > maxTokens {
				p.Invalid("generationConfig.maxOutputTokens", "must be between 1 and %d.", maxTokens)
			}
		case "candidateCount", "candidate_count":
			p.once(&p.seenN)
			if p.h.N = p.int(); p.h.N < 1 || p.h.N > maxCandidates {
				p.Invalid("generationConfig.candidateCount", "must be between 1 and %d.", maxCandidates)
			}
		case "temperature", "topP", "top_p", "topK", "top_k", "presencePenalty", "presence_penalty", "frequencyPenalty", "frequency_penalty":
			p.number()
		case "seed", "logprobs":
			p.int()
		case "stopSequences", "stop_sequences":
			p.words()
		case "responseLogprobs", "response_logprobs":
			p.Bool()
		case "responseMimeType", "response_mime_type":
			p.RawString()
		case "responseSchema", "response_schema", "responseJsonSchema", "response_json_schema", "thinkingConfig", "thinking_config":
			p.Want(strictjson.Object)
		}
	}
}

// once faults when a member comes in both spellings.
func (p *parser) once(seen *bool) {
	if *seen {
		p.Invalid(p.Path(), "is given twice, in two spellings.")
	}
	*seen = true
}

// int reads a whole number, which proto JSON also takes in quotes.
func (p *parser) int() int64 {
	if p.Kind() != strictjson.String {
		return p.Int()
	}
	n, err := strconv.ParseInt(p.String(), 10, 64)
	if err != nil {
		p.Invalid(p.Path(), "must be a whole number.")
	}
	return n
}

func (p *parser) number() {
	if p.Kind() != strictjson.String {
		p.Float()
		return
	}
	if _, err := strconv.ParseFloat(p.String(), 32); err != nil {
		p.Invalid(p.Path(), "must be a number.")
	}
}
