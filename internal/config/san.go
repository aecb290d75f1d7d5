package config

import (
	"fmt"
	"slices"
	"strings"
)

// maxParts bounds the parts in braces of one pattern.
const maxParts = 8

// sanPattern is a subject alternative name with parts in braces. It is cut into segments (of a URI at /, of a DNS name at .), of which
// each holds one part at most: so a name fits in one way or not at all.
type sanPattern struct {
	uri      bool
	segments []segment
}

// segment is what stands between two delimiters: text, a part, text.
type segment struct {
	before, after string
	part          int // -1: before is all
}

const wantSAN = "must be a URI (spiffe://cluster.local/ns/{team}/sa/{user}) or a DNS name ({team}.clients.example.com); a name in braces stands " +
	"for the rest of what is between two / (of a DNS name: two dots), once in each"

// compile reads a pattern and returns the names of its parts.
func (p *sanPattern) compile(text string) (parts []string, fault string) {
	p.uri = strings.Contains(text, ":")
	if text == "" || len(text) > 1024 || !visible(text) {
		return nil, wantSAN
	}
	for s := range strings.SplitSeq(text, p.delimiter()) {
		before, rest, found := strings.Cut(s, "{")
		if !found {
			if strings.Contains(s, "}") {
				return nil, wantSAN
			}
			p.segments = append(p.segments, segment{before: s, part: -1})
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		switch {
		case !closed || !isName(name) || strings.ContainsAny(before+after, "{}"):
			return nil, wantSAN
		case slices.Contains(parts, name):
			return nil, fmt.Sprintf("holds {%s} twice", name)
		case len(parts) == maxParts:
			return nil, fmt.Sprintf("holds more than %d parts in braces", maxParts)
		}
		p.segments = append(p.segments, segment{before: before, after: after, part: len(parts)})
		parts = append(parts, name)
	}
	return parts, ""
}

func (p *sanPattern) delimiter() string {
	if p.uri {
		return "/"
	}
	return "."
}

// matchEither looks at the name of the pattern's kind.
func (p *sanPattern) matchEither(uri, dns string, parts *[maxParts]string) bool {
	if p.uri {
		return uri != "" && p.match(uri, parts)
	}
	return dns != "" && p.match(dns, parts)
}

// match says whether the whole name fits, and fills in the parts. DNS names have no case.
func (p *sanPattern) match(name string, parts *[maxParts]string) bool {
	rest, more := name, true
	for i := range p.segments {
		if !more {
			return false
		}
		var s string
		s, rest, more = strings.Cut(rest, p.delimiter())
		if !p.segments[i].match(s, !p.uri, parts) {
			return false
		}
	}
	return !more
}

func (s *segment) match(text string, fold bool, parts *[maxParts]string) bool {
	if s.part < 0 {
		return equal(text, s.before, fold)
	}
	end := len(text) - len(s.after)
	if end <= len(s.before) || !equal(text[:len(s.before)], s.before, fold) || !equal(text[end:], s.after, fold) {
		return false // a part is never empty
	}
	parts[s.part] = text[len(s.before):end]
	return true
}

func equal(a, b string, fold bool) bool { return a == b || fold && strings.EqualFold(a, b) }

// visible says that text is ASCII that can be seen.
func visible(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// template is text with parts of a pattern in it.
type template []piece

type piece struct {
	text string
	part int // -1: text
}

// compileTemplate reads text with names in braces, each of which must be one of parts.
func compileTemplate(text string, parts []string) (t template, fault string) {
	const unbalanced = "must have a } for each {"
	for text != "" {
		before, rest, found := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return nil, unbalanced
		}
		if before != "" {
			t = append(t, piece{before, -1})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, unbalanced
		}
		part := slices.Index(parts, name)
		if part < 0 {
			return nil, fmt.Sprintf("{%s} is not in the san%s", clip(name), didYouMean(name, parts))
		}
		t = append(t, piece{part: part})
		text = after
	}
	return t, ""
}

// fill is the text with its parts. One that is a part alone, the common case, costs nothing.
func (t template) fill(parts *[maxParts]string) string {
	out := ""
	for _, p := range t {
		s := p.text
		if p.part >= 0 {
			s = parts[p.part]
		}
		if out == "" {
			out = s
		} else {
			out += s
		}
	}
	return out
}

// isIssuer is for what an issuer calls itself, its audiences and claims.
func isIssuer(s string) bool { return s != "" && len(s) <= 255 && visible(s) }
