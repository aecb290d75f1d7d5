package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"dragoman/translate/strictjson"
)

// FuzzScan holds the scanner against encoding/json: it accepts nothing that encoding/json refuses, and what it refuses
// beyond that has a repeated member, is nested too deep, or is not UTF-8.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":[1,2.5e-3,{"b":"c\u00e9\n"}],"d":null,"e":true}`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", `[[[[]]]]`,
		`{"a":"\ud800"}`, `{"a":1}}`, ` {"a" : [ ] } `, `"x"`, `-0.1E+5`, strings.Repeat("[", 130), `{"\u0061":1,"a":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := strictjson.Check(b)
		std := json.Valid(b)
		if err == nil && !std {
			t.Fatalf("%q: accepted, and encoding/json refuses it", b)
		}
		if err != nil && std && !repeats(b) && utf8.Valid(b) && depth(b) <= strictjson.MaxDepth {
			t.Fatalf("%q: refused for no reason: %v", b, err)
		}
		if _, lenient := strictjson.CheckLenient(b); lenient != nil && std && depth(b) <= strictjson.MaxDepth {
			t.Fatalf("%q: the lenient scan refuses it: %v", b, lenient)
		} else if lenient == nil && !std {
			t.Fatalf("%q: the lenient scan accepts what is not JSON", b)
		}
		fields, err := strictjson.Scan(b)
		if err != nil {
			return
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(b, &all); err != nil || len(all) != len(fields) {
			t.Fatalf("%q: %d fields, encoding/json has %d (%v)", b, len(fields), len(all), err)
		}
		for _, field := range fields {
			if !bytes.Equal(all[field.Name], b[field.Start:field.End]) {
				t.Fatalf("%q: field %q is %q, want %q", b, field.Name, b[field.Start:field.End], all[field.Name])
			}
		}
	})
}

// repeats finds repeated members by encoding/json's own tokens.
func repeats(b []byte) bool {
	type level struct {
		names map[string]bool // nil in an array
		key   bool
	}
	var stack []level
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) || err != nil {
			return false
		}
		top := len(stack) - 1
		switch v := tok.(type) {
		case json.Delim:
			switch v {
			case '{':
				stack = append(stack, level{map[string]bool{}, true})
				continue
			case '[':
				stack = append(stack, level{})
				continue
			default:
				stack = stack[:top]
				top--
			}
		case string:
			if top >= 0 && stack[top].key {
				if stack[top].names[v] {
					return true
				}
				stack[top].names[v] = true
				stack[top].key = false
				continue
			}
		}
		if top >= 0 && stack[top].names != nil {
			stack[top].key = true
		}
	}
}

func depth(b []byte) int {
	depth, most, quoted := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			most = max(most, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return most
}
