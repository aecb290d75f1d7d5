package cohere

import (
	"fmt"

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
		p.invalid("model", "must name a model.")
	}
}

// between reads a whole number.
func (p *parser) between(path string, low, high int64) int64 {
	n := p.Int()
	if n < low || n > high {
		p.invalid(path, "must be between %d and %d.", low, high)
	}
	return n
}

func (p *parser) inRange(path string, low, high float64) {
	if f := p.Float(); f < low || f > high {
		p.invalid(path, "must be between %g and %g.", low, high)
	}
}

// invalid faults about a member; the first fault stays.
func (p *parser) invalid(path, format string, args ...any) {
	if p.Err() == nil {
		p.Fail(fault.Invalid(path, "%s %s", path, fmt.Sprintf(format, args...)))
	}
}

// here is invalid for a member of the object that the cursor has just left, or for that object itself when name is "".
func (p *parser) here(name, format string, args ...any) {
	if p.Err() != nil {
		return
	}
	path := p.Path()
	if path != "" && name != "" {
		path += "."
	}
	p.invalid(path+name, format, args...)
}

// need faults unless a member of the object left last was of the kind. It is for rules that depend on a member which may
// stand behind the one they are about.
func (p *parser) need(name string, got, want strictjson.Kind) {
	switch {
	case got == want:
	case got == strictjson.None || got == strictjson.Null:
		p.here(name, "is required.")
	default:
		p.here(name, "must be %s, not %s.", want, got)
	}
}

// nonEmpty notes the kind of the value before the cursor; an empty string counts as absent.
func (p *parser) nonEmpty() strictjson.Kind {
	kind := p.Kind()
	if kind == strictjson.String && len(p.RawString()) <= len(`""`) {
		return strictjson.None
	}
	return kind
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
