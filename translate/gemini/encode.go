package gemini

import (
	"slices"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/jsonschema"
	"dragoman/translate/strictjson"
)

// names is what both services take as a function's name (the SDK's FunctionDeclaration), with the length that older
// models take (D14).
var names = chat.NameRule{Max: 64, FirstAlpha: true, Other: "."}

// encoder writes one request. Its turns are settled first, so that what is refused costs no writing.
type encoder struct {
	r       *chat.Request
	t       translate.Target
	traits  traits
	names   *chat.Names
	system  []string
	turns   []turn
	schema  []byte // of structured output
	dropped []string
	err     *fault.Fault
}

// Encode writes a request that came in another schema. Equal requests give equal bytes, in one fixed order.
//
// What the schema cannot say is refused with fault.Unsupported where it would change the answer's meaning, unless
// Target.Lossy; otherwise it is left out and named in Upstream.Dropped. A value out of range is brought into it and
// named, too.
func (Codec) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	e := newEncoder(r, t)
	e.refuse()
	if e.err != nil {
		return nil, e.err
	}
	b := append(make([]byte, 0, e.size()), '{')
	b = e.conversation(b)
	b = e.tools(b)
	b = e.toolConfig(b)
	b = e.generationConfig(b)
	return e.finish(append(b, '}'), method(r.Stream))
}

func newEncoder(r *chat.Request, t translate.Target) *encoder {
	e := &encoder{r: r, t: t, traits: traitsOf(t.Model), names: chat.NamesFor(r, names)}
	e.converse()
	return e
}

func (e *encoder) finish(body []byte, method string) (*translate.Upstream, error) {
	if e.err != nil {
		return nil, e.err
	}
	return &translate.Upstream{Path: path(e.t, method), Body: body, Dropped: e.dropped, Names: e.names}, nil
}

// size guesses the body's length, so that it grows at most once.
func (e *encoder) size() int {
	n := 512
	for i := range e.turns {
		for j := range e.turns[i].parts {
			p := &e.turns[i].parts[j]
			n += 128 + len(p.text) + len(p.text)/16
			if p.part != nil {
				n += sizeOf(p.part)
			}
		}
	}
	for i := range e.r.Tools {
		n += 128 + len(e.r.Tools[i].Description) + 2*len(e.r.Tools[i].Parameters)
	}
	for _, s := range e.system {
		n += len(s) + len(s)/16
	}
	return n
}

// conversation writes contents and systemInstruction: one Content whose parts are the system's texts (D4).
func (e *encoder) conversation(b []byte) []byte {
	b = append(b, `"contents":[`...)
	for i := range e.turns {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.turn(b, &e.turns[i])
	}
	b = append(b, ']')
	if len(e.system) == 0 {
		return b
	}
	b = append(b, `,"systemInstruction":{"parts":[`...)
	for i, s := range e.system {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strictjson.AppendString(append(b, `{"text":`...), s), '}')
	}
	return append(b, `]}`...)
}

// refuse looks at the members that have no counterpart.
func (e *encoder) refuse() {
	r := e.r
	if r.N != nil && *r.N > maxCandidates {
		e.unsupported("n", "Google's models give at most %d answers per request.", maxCandidates)
	}
	if r.ParallelToolCalls != nil && !*r.ParallelToolCalls && len(r.Tools) > 0 { // D29
		e.drop("parallel_tool_calls")
	}
	if r.User != "" {
		e.drop("user")
	}
	for i := range r.Tools {
		e.refuseTool(i)
	}
	e.extras(r.Extra)
	e.settleFormat()
}

// settleFormat: models before Gemini 3 refuse structured output beside functions.
func (e *encoder) settleFormat() {
	f := e.r.Format
	if f == nil {
		return
	}
	if !e.traits.formatWithTools && e.declares() {
		e.lose("response_format", "%s cannot give structured output in a request with tools.", e.t.Model)
		e.r = withoutFormat(e.r)
		return
	}
	if f.Description != "" {
		e.drop("response_format.json_schema.description")
	}
	if f.Schema != nil {
		e.schema = e.rewrite("response_format.json_schema.schema", f.Schema)
	}
}

// withoutFormat is r without its format; r itself is the caller's.
func withoutFormat(r *chat.Request) *chat.Request {
	c := *r
	c.Format = nil
	return &c
}

// rewrite is a schema in the dialect that the model takes (D17).
func (e *encoder) rewrite(path string, schema []byte) []byte {
	dialect := jsonschema.Gemini
	if e.traits.jsonSchema {
		dialect = jsonschema.GeminiJSON
	}
	out, dropped, err := jsonschema.For(dialect, schema)
	if err != nil {
		e.fail(fault.Unsupported, path, "%s", err.(*fault.Fault).Message)
		return nil
	}
	for _, name := range dropped {
		e.drop(path + "." + name)
	}
	return out
}

// maxDropped bounds what is named: the list becomes a header.
const maxDropped = 32

// drop names a field of the client's that is left out, once.
func (e *encoder) drop(path string) {
	switch n := len(e.dropped); {
	case n > maxDropped || slices.Contains(e.dropped, path):
	case n < maxDropped:
		e.dropped = append(e.dropped, path)
	default:
		e.dropped = append(e.dropped, "...") // in ASCII, as a header must be
	}
}

// lose is for a field whose loss changes the meaning: it is dropped only where the target allows that.
func (e *encoder) lose(path, format string, args ...any) {
	if e.t.Lossy {
		e.drop(path)
		return
	}
	e.unsupported(path, format, args...)
}

func (e *encoder) unsupported(path, format string, args ...any) {
	e.fail(fault.Unsupported, path, format, args...)
}

func (e *encoder) fail(kind fault.Kind, path, format string, args ...any) {
	if e.err == nil {
		e.err = fault.New(kind, format, args...)
		e.err.Param = path
	}
}

// extras names or refuses what only the client's schema knows.
func (e *encoder) extras(list []chat.Extra) {
	for i := range list {
		if x := &list[i]; x.Meaning {
			e.lose(x.Name, "%s has no counterpart at Google's models.", x.Name)
		} else {
			e.drop(x.Name)
		}
	}
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }
