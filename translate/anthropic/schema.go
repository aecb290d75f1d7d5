package anthropic

import (
	"strconv"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
)

// Bounds of a schema that is rewritten: each level is read once more. Structured output itself allows less than either.
const (
	maxSchemaDepth = 32
	maxSchemaBytes = 256 << 10
)

// schemaKeys and stringFormats are what structured output takes, as in the vendor's SDK (schemautil.go). What is not
// among them is told to the model in the description, where it still helps.
var (
	schemaKeys = set("$ref", "$defs", "definitions", "type", "anyOf", "oneOf", "allOf", "description", "title", "enum", "const",
		"properties", "additionalProperties", "required", "items", "minItems", "format", "pattern")
	stringFormats = set("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

// normalise rewrites a JSON Schema for structured output (D63), keeping the order of members: objects are closed, oneOf
// becomes anyOf, what is not supported goes to the description. $ref and $defs stay: the vendor's SDK sends them.
func normalise(schema []byte) ([]byte, *fault.Fault) {
	if len(schema) > maxSchemaBytes {
		return nil, fault.New(fault.Unsupported, "The schema is larger than %d bytes, more than Anthropic's models take.", maxSchemaBytes)
	}
	return appendSchema(make([]byte, 0, len(schema)+128), gjson.ParseBytes(schema), 0)
}

func appendSchema(b []byte, v gjson.Result, depth int) ([]byte, *fault.Fault) {
	if depth == maxSchemaDepth {
		return b, fault.New(fault.Unsupported, "The schema is nested too deep.")
	}
	if !v.IsObject() {
		return append(b, v.Raw...), nil // true and false are schemas
	}
	if ref := v.Get("$ref"); ref.Exists() && depth > 0 {
		return append(append(append(b, `{"$ref":`...), ref.Raw...), '}'), nil
	}
	w := schemaWriter{b: append(b, '{'), depth: depth, object: isType(v, "object"), both: v.Get("anyOf").Exists()}
	v.ForEach(func(key, m gjson.Result) bool {
		w.member(key.String(), m)
		return w.err == nil
	})
	w.finish()
	return append(w.b, '}'), w.err
}

// schemaWriter writes one schema object.
type schemaWriter struct {
	b           []byte
	depth       int
	object      bool
	both        bool // it has anyOf: a oneOf beside it has no place
	any         bool // a member has been written
	properties  bool
	additional  gjson.Result
	description string
	notes       []byte
	err         *fault.Fault
}

func (w *schemaWriter) member(key string, m gjson.Result) {
	switch key {
	case "description":
		w.description = m.String()
	case "additionalProperties":
		w.additional = m
	case "properties", "$defs", "definitions":
		if m.IsObject() {
			w.properties = w.properties || key == "properties"
			w.key(key)
			w.schemas(m)
		}
	case "anyOf", "allOf", "oneOf":
		w.variants(key, m)
	case "items":
		w.key(key)
		w.sub(m)
	default:
		if !schemaKeys[key] || key == "format" && !stringFormats[m.String()] || key == "minItems" && m.Num != 0 && m.Num != 1 {
			w.note(key, m.Raw)
			return
		}
		w.key(key)
		w.b = append(w.b, m.Raw...)
	}
}

func (w *schemaWriter) variants(key string, m gjson.Result) {
	if !m.IsArray() || key == "oneOf" && w.both {
		w.note(key, m.Raw)
		return
	}
	if key == "oneOf" {
		key = "anyOf"
	}
	w.key(key)
	sep := byte('[')
	m.ForEach(func(_, s gjson.Result) bool {
		w.b = append(w.b, sep)
		sep = ','
		w.sub(s)
		return w.err == nil
	})
	if sep == '[' {
		w.b = append(w.b, '[')
	}
	w.b = append(w.b, ']')
}

// schemas writes an object whose members are schemas.
func (w *schemaWriter) schemas(m gjson.Result) {
	sep := byte('{')
	m.ForEach(func(key, s gjson.Result) bool {
		w.b = append(append(append(w.b, sep), key.Raw...), ':')
		sep = ','
		w.sub(s)
		return w.err == nil
	})
	if sep == '{' {
		w.b = append(w.b, '{')
	}
	w.b = append(w.b, '}')
}

func (w *schemaWriter) sub(v gjson.Result) {
	if w.err == nil {
		w.b, w.err = appendSchema(w.b, v, w.depth+1)
	}
}

func (w *schemaWriter) key(name string) {
	if w.any {
		w.b = append(w.b, ',')
	}
	w.any = true
	w.b = append(strictjson.AppendString(w.b, name), ':')
}

func (w *schemaWriter) note(key, raw string) {
	if len(w.notes) > 0 {
		w.notes = append(w.notes, ", "...)
	}
	w.notes = append(append(append(w.notes, key...), ": "...), raw...)
}

// finish closes an object (a map, which has no properties of its own, keeps the schema of its values) and writes the
// description.
func (w *schemaWriter) finish() {
	if w.object {
		isMap := !w.properties && w.additional.Exists() && w.additional.Type != gjson.False
		if !w.properties && !isMap {
			w.key("properties")
			w.b = append(w.b, `{}`...)
		}
		w.key("additionalProperties")
		if isMap {
			w.sub(w.additional)
		} else {
			w.b = strconv.AppendBool(w.b, false)
		}
	}
	if len(w.notes) > 0 {
		if w.description != "" {
			w.description += "\n\n"
		}
		w.description += "{" + string(w.notes) + "}"
	}
	if w.description != "" {
		w.key("description")
		w.b = strictjson.AppendString(w.b, w.description)
	}
}

// isType says whether a schema is of a type, which may be one of several: ["object", "null"].
func isType(v gjson.Result, want string) bool {
	kind := v.Get("type")
	if !kind.IsArray() {
		return kind.String() == want
	}
	found := false
	kind.ForEach(func(_, k gjson.Result) bool {
		found = k.String() == want
		return !found
	})
	return found
}

// closed says whether a schema leaves nothing open: every object refuses other properties than its own and requires each
// of those. Other providers enforce only such schemas strictly, and refuse the rest in that mode; this one enforces any.
func closed(v gjson.Result, depth int) bool {
	if depth == maxSchemaDepth || len(v.Raw) > maxSchemaBytes || v.Get("oneOf").Exists() || v.Get("allOf").Exists() {
		return false
	}
	if isType(v, "object") && (v.Get("additionalProperties").Type != gjson.False || !allRequired(v)) {
		return false
	}
	ok := true
	each := func(_, s gjson.Result) bool {
		ok = closed(s, depth+1)
		return ok
	}
	for _, list := range [...]string{"properties", "anyOf", "\\$defs", "definitions"} {
		if ok {
			v.Get(list).ForEach(each)
		}
	}
	if items := v.Get("items"); ok && items.IsObject() {
		ok = closed(items, depth+1)
	}
	return ok
}

func allRequired(v gjson.Result) bool {
	required := map[string]bool{}
	v.Get("required").ForEach(func(_, name gjson.Result) bool {
		required[name.String()] = true
		return true
	})
	ok := true
	v.Get("properties").ForEach(func(name, _ gjson.Result) bool {
		ok = required[name.String()]
		return ok
	})
	return ok
}
