package cohere

import (
	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// parser reads a head in one pass over the body. The operations share it.
type parser struct {
	*strictjson.Scanner
	h *chat.Head
}

func newParser(body []byte) parser {
	return parser{Scanner: strictjson.New(body), h: &chat.Head{Schema: chat.Cohere, N: 1, Body: body}}
}

// required is a member that must be there.
type required struct {
	name string
	seen bool
}

// finish ends the scan and names the first required member that is not there.
func (p *parser) finish(members ...required) (*chat.Head, error) {
	if err := p.End(); err != nil {
		return nil, err
	}
	for _, m := range members {
		if !m.seen {
			return nil, fault.Invalid(m.name, "%s is required.", m.name)
		}
	}
	p.h.Fields = p.Fields()
	return p.h, nil
}

func (p *parser) model() {
	if p.h.Model = p.String(); p.h.Model == "" {
		p.Invalid("model", "must name a model.")
	}
}

// text notes a value's kind and counts it when it is text.
func (p *parser) text() strictjson.Kind {
	kind := p.Kind()
	if kind == strictjson.String {
		p.count(p.RawString())
	}
	return kind
}

// count adds a string, raw with its quotes, to the text that counts as input.
func (p *parser) count(raw []byte) { p.h.TextBytes += max(0, len(raw)-len(`""`)) }
