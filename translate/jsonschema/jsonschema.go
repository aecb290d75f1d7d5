// Package jsonschema rewrites a JSON Schema for a provider's dialect of it: tool parameters and structured output
// (D15–D18, D62, D63). The result depends on the schema's bytes alone and has one fixed order of members, so that prompt
// caches stay valid (D83). Whatever the schema, the work is bounded: a recursive one is cut or keeps its references, and
// one whose references multiply is refused.
package jsonschema

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
)

// Dialect is what a reader of the result understands.
type Dialect uint8

// The dialects.
const (
	// Gemini is the subset of OpenAPI 3.0 that Google calls Schema (`parameters`, `responseSchema`): types in capitals,
	// nullable instead of a type null, no references, enum of strings only, anyOf beside nothing else.
	Gemini Dialect = iota + 1
	// GeminiJSON is JSON Schema as newer Gemini models read it (`parametersJsonSchema`, `responseJsonSchema`): references
	// may stay, const and allOf are not known. Keywords that the models do not know are allowed and ignored.
	GeminiJSON
	// Standard is JSON Schema 2020-12. For makes it of a schema in any of these dialects, Google's own included.
	Standard
)

// rules are what sets a dialect apart.
type rules struct {
	subset bool // Google's: see Gemini
	refs   bool // $ref and $defs stay
	consts bool // const is known
}

var dialects = [...]rules{
	Gemini:     {subset: true},
	GeminiJSON: {refs: true},
	Standard:   {refs: true, consts: true},
}

const (
	// maxDepth bounds nesting, references followed included. Google's own limit is lower.
	maxDepth = 48
	// maxWork bounds the bytes that are read, each as often as it is read: what references could multiply without end.
	maxWork = 4 << 20
	// maxDropped bounds the names that are returned.
	maxDropped = 32
)

// For rewrites schema, which must be valid JSON. out is a schema of the dialect. dropped names the keywords that
// constrain a value and could not be kept, as paths in the schema (properties.age.multipleOf); annotations that say
// nothing about values ($schema, $id, $comment, title where there is a description) are left out unnamed. The error is a
// *fault.Fault of kind Unsupported without Param: no object, nested too deep, or references that multiply.
func For(d Dialect, schema []byte) (out []byte, dropped []string, err error) {
	root := gjson.ParseBytes(schema)
	if !root.IsObject() {
		return nil, nil, fault.New(fault.Unsupported, "The schema must be a JSON object.")
	}
	w := writer{rules: dialects[d], root: root, work: maxWork}
	w.b = make([]byte, 0, len(schema)+len(schema)/4+64)
	w.schema([]layer{{v: root}}, nil, 0)
	if w.err != nil {
		return nil, nil, w.err
	}
	return w.b, w.dropped, nil
}

// writer writes one schema.
type writer struct {
	rules   rules
	root    gjson.Result
	targets map[string]gjson.Result // of references, as far as they were looked up
	work    int                     // bytes that may still be read
	b       []byte
	dropped []string
	err     *fault.Fault
}

// place is where in the schema the writer is, for names of what is dropped.
type place struct {
	name string
	up   *place
}

func (p *place) at(name string) *place { return &place{name, p} }

func (p *place) String() string {
	var names []string
	for ; p != nil; p = p.up {
		names = append(names, p.name)
	}
	var b strings.Builder
	for i := len(names) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strings.ToValidUTF8(names[i], "\uFFFD"))
	}
	return b.String()
}

func (w *writer) drop(at *place, keyword string) {
	if len(w.dropped) >= maxDropped {
		return
	}
	name := at.at(keyword).String()
	for _, d := range w.dropped {
		if d == name {
			return
		}
	}
	w.dropped = append(w.dropped, name)
}

func (w *writer) fail(message string) {
	if w.err == nil {
		w.err = fault.New(fault.Unsupported, "%s", message)
	}
}

// spend takes n bytes of reading from the budget.
func (w *writer) spend(n int) bool {
	if w.work -= n; w.work < 0 {
		w.fail("The schema is too large: its references multiply it beyond what a provider takes.")
	}
	return w.err == nil
}

// layer is one of the objects that a schema is made of: itself, what it refers to, what its allOf holds.
type layer struct {
	v     gjson.Result
	via   *chain // the references that led here
	noAny bool   // its anyOf is being written: only the rest counts
}

// chain is a reference that was followed, and those before it.
type chain struct {
	ref string
	up  *chain
}

func (c *chain) has(ref string) bool {
	for ; c != nil; c = c.up {
		if c.ref == ref {
			return true
		}
	}
	return false
}

// target is what a local reference points to; ok is false when it is none, or leads nowhere.
func (w *writer) target(ref string) (v gjson.Result, ok bool) {
	if v, known := w.targets[ref]; known {
		return v, v.Exists()
	}
	v = w.lookUp(ref)
	if w.targets == nil {
		w.targets = map[string]gjson.Result{}
	}
	w.targets[ref] = v
	return v, v.Exists()
}

// lookUp follows a JSON pointer (RFC 6901) in a URI fragment.
func (w *writer) lookUp(ref string) gjson.Result {
	pointer, local := strings.CutPrefix(ref, "#")
	if !local || pointer != "" && pointer[0] != '/' {
		return gjson.Result{}
	}
	v := w.root
	for pointer != "" && w.spend(len(v.Raw)) {
		var token string
		token, pointer, _ = strings.Cut(pointer[1:], "/")
		if pointer != "" {
			pointer = "/" + pointer
		}
		v = child(v, unescape(token))
	}
	if !v.IsObject() && !v.IsBool() {
		return gjson.Result{}
	}
	return v
}

func child(v gjson.Result, name string) (found gjson.Result) {
	i := 0
	array := v.IsArray()
	v.ForEach(func(key, m gjson.Result) bool {
		if array && strconv.Itoa(i) == name || !array && key.String() == name {
			found = m
			return false
		}
		i++
		return true
	})
	return found
}

// unescape undoes the escapes of a pointer's token: %25 of the URI, then ~1 and ~0.
func unescape(token string) string {
	if strings.IndexByte(token, '%') >= 0 {
		var b strings.Builder
		for i := 0; i < len(token); i++ {
			if token[i] == '%' && i+2 < len(token) {
				if c, err := strconv.ParseUint(token[i+1:i+3], 16, 8); err == nil {
					b.WriteByte(byte(c))
					i += 2
					continue
				}
			}
			b.WriteByte(token[i])
		}
		token = b.String()
	}
	if strings.IndexByte(token, '~') >= 0 {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return token
}

// member begins a member of the object in progress.
func (w *writer) member(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(strictjson.AppendString(w.b, name), ':')
}

func (w *writer) text(name, value string) {
	w.member(name)
	w.b = strictjson.AppendString(w.b, value)
}
