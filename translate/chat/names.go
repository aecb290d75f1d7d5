package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// NameRule is what a schema's providers take as a tool's name: letters, digits, underscore, hyphen and Other.
type NameRule struct {
	Max        int    // bytes
	Other      string // further ASCII characters
	FirstAlpha bool   // it begins with a letter or an underscore
	NoHyphen   bool   // it has no hyphen after all
}

func (n NameRule) fits(name string) bool {
	if name == "" || len(name) > n.Max || n.FirstAlpha && !n.first(name[0]) {
		return false
	}
	for i := range len(name) {
		if !n.takes(name[i]) {
			return false
		}
	}
	return true
}

func (n NameRule) first(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

func (n NameRule) takes(c byte) bool {
	return n.first(c) || c >= '0' && c <= '9' || c == '-' && !n.NoHyphen || strings.IndexByte(n.Other, c) >= 0
}

// Names is one request's bijection between the client's tool names and those that the provider takes (D14). nil is the
// identity, which is the common case and costs nothing.
type Names struct{ out, back map[string]string }

// NamesFor covers every tool name of a request: definitions, choice and history. It is nil when all of them fit. Equal
// names give equal results in every request, so that a provider's prompt cache stays valid (D83).
func NamesFor(r *Request, rule NameRule) *Names {
	var n *Names
	eachToolName(r, func(name string) {
		if rule.keeps(name) {
			return
		}
		if n == nil {
			n = &Names{out: map[string]string{}, back: map[string]string{}}
		}
		if _, done := n.out[name]; !done {
			short := rule.shorten(name)
			n.out[name], n.back[short] = short, name
		}
	})
	return n
}

func eachToolName(r *Request, f func(string)) {
	for i := range r.Tools {
		f(r.Tools[i].Name)
	}
	if r.ToolChoice != nil && r.ToolChoice.Mode == ToolNamed {
		f(r.ToolChoice.Name)
	}
	for i := range r.Messages {
		for j := range r.Messages[i].Parts {
			if call := r.Messages[i].Parts[j].Call; call != nil {
				f(call.Name)
			}
		}
	}
}

// hashLength keeps 48 bits of a name's hash: names of one request meet by accident once in 10^10.
const hashLength = 12

// hashed is how much of the hash fits behind an underscore.
func (n NameRule) hashed() int { return max(0, min(hashLength, n.Max-1)) }

// keeps says whether a name stays as it is. One that looks like what shorten makes does not, so that it can never meet the
// short form of another.
func (n NameRule) keeps(name string) bool {
	at := len(name) - n.hashed() - 1
	return n.fits(name) && (at < 0 || name[at] != '_' || !isHex(name[at+1:]))
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// shorten keeps what can be read of a name and ends it with a hash of the whole, so that foo/bar and foo.bar stay apart.
func (n NameRule) shorten(name string) string {
	sum := sha256.Sum256([]byte(name))
	room := n.Max - n.hashed() - 1
	b := make([]byte, 0, max(n.Max, 1))
	if n.FirstAlpha && name != "" && !n.first(name[0]) && room > 0 {
		b = append(b, '_')
	}
	for i := 0; i < len(name) && len(b) < room; i++ {
		c := name[i]
		if !n.takes(c) {
			c = '_'
		}
		b = append(b, c)
	}
	b = append(b, '_')
	return string(b) + hex.EncodeToString(sum[:])[:n.hashed()]
}

// Out is the provider's form of a client's name.
func (n *Names) Out(name string) string {
	if n != nil {
		if short, ok := n.out[name]; ok {
			return short
		}
	}
	return name
}

// Back is the client's name for a provider's.
func (n *Names) Back(name string) string {
	if n != nil {
		if long, ok := n.back[name]; ok {
			return long
		}
	}
	return name
}

// CallID is a tool call's id as a provider with a limit of max bytes takes it (letters, digits, underscore, hyphen): the
// same for a call and its result, another for every other id (D34).
func CallID(id string, max int) string {
	rule := NameRule{Max: max}
	if rule.keeps(id) {
		return id
	}
	return rule.shorten(id)
}
