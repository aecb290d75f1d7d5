package bedrock

import (
	"strconv"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
)

// formatToolName is the tool that stands for structured output at models without it. A decoder knows it by its name, for
// it is not told what was asked.
const formatToolName = "dragoman_structured_answer"

const formatToolText = "Gives the answer to the user. Always answer by calling it."

// jsonInstruction stands for OpenAI's json_object mode: the API has structured output only with a schema, and a
// permissive one is refused, so the model is told (D61).
const jsonInstruction = "Answer with one JSON object and nothing else: no text around it and no code fence."

// settleFormat asks for structured output: natively where the model has it (D62), else by a tool that it must call (D64),
// which excludes tools of the client's own.
func (e *encoder) settleFormat() {
	f := e.r.Format
	switch {
	case f == nil:
		return
	case f.Schema == nil:
		e.instruct(jsonInstruction)
		return
	case e.model.strict:
		schema, err := normalise(f.Schema)
		if err != nil {
			e.fail(err.Kind, "response_format.json_schema.schema", "%s", err.Message)
		}
		e.plan.format = schema
		return
	case e.plan.tools || !e.model.anyTool || !validSchema(f.Schema):
		e.lose("response_format", "This model of Bedrock has structured output, if at all, only without tools and for a schema of type object.")
		return
	}
	e.plan.format, e.plan.formatTool, e.plan.tools = objectSchema(f.Schema), true, true
	e.plan.choice.mode = "any"
}

// Bounds of a schema that is rewritten: each level is read once more. Structured output itself allows less than either.
const (
	maxSchemaDepth = 32
	maxSchemaBytes = 256 << 10
)

// schemaKeys and stringFormats are what structured output takes (user guide, "Structured outputs": the subset of JSON Schema
// Draft 2020-12). What is not among them is told to the model in the description, where it still helps.
var (
	schemaKeys = set("$ref", "$defs", "definitions", "type", "anyOf", "allOf", "description", "title", "enum", "const", "default",
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
// becomes anyOf, what is not supported goes to the description. $ref and $defs stay.
func normalise(schema []byte) ([]byte, *fault.Fault) {
	if len(schema) > maxSchemaBytes {
		return nil, fault.New(fault.Unsupported, "The schema is larger than %d bytes, more than Bedrock's models take.", maxSchemaBytes)
	}
	w := schemaWriter{b: make([]byte, 0, len(schema)+128)}
	w.schema(gjson.ParseBytes(schema), 0)
	return w.b, w.err
}

type schemaWriter struct {
	b   []byte
	err *fault.Fault
}

func (w *schemaWriter) schema(v gjson.Result, depth int) {
	switch {
	case w.err != nil:
		return
	case depth == maxSchemaDepth:
		w.err = fault.New(fault.Unsupported, "The schema is nested too deep.")
		return
	case !v.IsObject():
		w.b = append(w.b, v.Raw...) // true and false are schemas
		return
	}
	properties := v.Get("properties").IsObject()
	if more := v.Get("additionalProperties"); !properties && more.Exists() && more.Type != gjson.False {
		w.err = fault.New(fault.Unsupported, "The schema has an object of any members; Bedrock's structured output has none.")
		return
	}
	o := schemaObject{schemaWriter: w, depth: depth, both: v.Get("anyOf").Exists(), m: members{b: w.b}}
	v.ForEach(func(key, m gjson.Result) bool {
		o.member(key.String(), m)
		return w.err == nil
	})
	kind := v.Get("type")
	if properties && !kind.Exists() { // meant, and often not said; the API closes every object that it sees
		o.key("type")
		o.m.b = append(o.m.b, `"object"`...)
	}
	o.finish(isObject(kind) || properties && !kind.Exists(), properties)
}

// schemaObject writes one schema that is an object.
type schemaObject struct {
	*schemaWriter
	depth       int
	m           members
	both        bool // it has anyOf: a oneOf beside it has no place
	description string
	notes       []byte
}

func (o *schemaObject) member(key string, m gjson.Result) {
	switch key {
	case "description":
		o.description = m.String()
	case "additionalProperties":
	case "properties", "$defs", "definitions":
		if m.IsObject() {
			o.key(key)
			o.each(m, "{", "}")
		}
	case "anyOf", "allOf", "oneOf":
		o.variants(key, m)
	case "items":
		o.key(key)
		o.sub(m)
	default:
		if !schemaKeys[key] || key == "format" && !stringFormats[m.String()] || key == "minItems" && m.Num != 0 && m.Num != 1 {
			o.note(key, m.Raw)
			return
		}
		o.key(key)
		o.m.b = append(o.m.b, m.Raw...)
	}
}

func (o *schemaObject) variants(key string, m gjson.Result) {
	if !m.IsArray() || key == "oneOf" && o.both {
		o.note(key, m.Raw)
		return
	}
	if key == "oneOf" {
		key = "anyOf"
	}
	o.key(key)
	o.each(m, "[", "]")
}

func (o *schemaObject) key(name string) {
	if o.m.any {
		o.m.b = append(o.m.b, ',')
	} else {
		o.m.b = append(o.m.b, '{')
	}
	o.m.any = true
	o.m.b = append(strictjson.AppendString(o.m.b, name), ':')
}

func (o *schemaObject) each(list gjson.Result, open, shut string) {
	o.m.b = append(o.m.b, open...)
	first := true
	list.ForEach(func(key, s gjson.Result) bool {
		if !first {
			o.m.b = append(o.m.b, ',')
		}
		first = false
		if open == "{" {
			o.m.b = append(append(o.m.b, key.Raw...), ':')
		}
		o.sub(s)
		return o.err == nil
	})
	o.m.b = append(o.m.b, shut...)
}

func (o *schemaObject) sub(v gjson.Result) {
	o.schemaWriter.b = o.m.b
	o.schema(v, o.depth+1)
	o.m.b = o.schemaWriter.b
}

func (o *schemaObject) note(key, raw string) {
	if len(o.notes) > 0 {
		o.notes = append(o.notes, ", "...)
	}
	o.notes = append(append(append(o.notes, key...), ": "...), raw...)
}

func (o *schemaObject) finish(object, properties bool) {
	if object {
		if !properties {
			o.key("properties")
			o.m.b = append(o.m.b, `{}`...)
		}
		o.key("additionalProperties")
		o.m.b = strconv.AppendBool(o.m.b, false)
	}
	if len(o.notes) > 0 {
		if o.description != "" {
			o.description += "\n\n"
		}
		o.description += "{" + string(o.notes) + "}"
	}
	if o.description != "" {
		o.key("description")
		o.m.b = strictjson.AppendString(o.m.b, o.description)
	}
	if !o.m.any {
		o.m.b = append(o.m.b, '{')
	}
	o.schemaWriter.b = append(o.m.b, '}')
}

// isObject says whether a type is, or may be, an object: "object", ["object", "null"].
func isObject(kind gjson.Result) bool {
	if !kind.IsArray() {
		return kind.String() == "object"
	}
	found := false
	kind.ForEach(func(_, k gjson.Result) bool {
		found = k.String() == "object"
		return !found
	})
	return found
}
