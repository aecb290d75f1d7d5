package strictjson

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"dragoman/internal/fault"
)

// syntax faults with what is wrong at an offset.
func (s *Scanner) syntax(at int, what string) {
	s.report(at, "The request body is not valid JSON: "+what)
}

// failAt faults where the JSON is well-formed but refused.
func (s *Scanner) failAt(at int, what string) { s.report(at, "The request body "+what) }

func (s *Scanner) truncated() {
	if len(bytes.TrimSpace(s.b)) == 0 {
		s.Fail(fault.New(fault.InvalidRequest, "The request body is empty. Send a JSON object."))
		return
	}
	s.report(len(s.b), "The request body is not valid JSON: it ends too early")
}

func (s *Scanner) report(at int, what string) {
	if s.fault != nil {
		return
	}
	line := 1 + bytes.Count(s.b[:at], []byte{'\n'})
	column := at - bytes.LastIndexByte(s.b[:at], '\n')
	path := s.Path()
	where := ""
	if path != "" {
		where = ", in " + path
	}
	s.fault = fault.Invalid(path, "%s (line %d, column %d, byte %d%s).", what, line, column, at, where)
}

// found describes what stands at an offset.
func (s *Scanner) found(at int) string {
	if at >= len(s.b) {
		return "the end"
	}
	c := s.b[at]
	if c < 0x20 || c == 0x7f {
		return "the control character " + hexByte(c)
	}
	if r, n := utf8.DecodeRune(s.b[at:]); r != utf8.RuneError || n > 1 {
		return strconv.QuoteRune(r)
	}
	return "the byte " + hexByte(c)
}

func hexByte(c byte) string { return fmt.Sprintf("0x%02x", c) }

// maxPath bounds a path in bytes: names in it are the client's.
const maxPath = 200

// Path is where the cursor stands, as a path in the body: messages[0].content. It is "" at the outermost value, and cut
// after 200 bytes.
func (s *Scanner) Path() string {
	var p []byte
	for d := range s.depth {
		f := &s.frames[d]
		if f.count == 0 {
			break
		}
		if !f.object {
			p = append(strconv.AppendInt(append(p, '['), int64(f.count)-1, 10), ']')
		} else if f.keyStart > 0 {
			if len(p) > 0 {
				p = append(p, '.')
			}
			p = append(p, clip(s.names.text(s.b, f.key), 64)...)
		}
		if len(p) > maxPath {
			return string(append(p, "…"...))
		}
	}
	return string(p)
}

// clip cuts text to n bytes and makes it printable.
func clip(b []byte, n int) []byte {
	cut := len(b) > n
	if cut {
		b = b[:n]
	}
	out := bytes.Map(func(r rune) rune {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, b)
	if cut {
		out = append(out, "…"...)
	}
	return out
}

func quoted(name []byte) string { return `"` + string(clip(name, 64)) + `"` }
