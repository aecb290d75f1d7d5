package gemini

import (
	"fmt"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

func toolPath(i int) string { return fmt.Sprintf("tools[%d]", i) }

// refuseTool looks at one definition.
func (e *encoder) refuseTool(i int) {
	t := &e.r.Tools[i]
	if t.Kind != "" { // D21
		if e.r.Schema != chat.Gemini {
			e.lose(toolPath(i), "The tool %q runs at the provider of another schema; Google's models do not have it.", t.Kind)
		}
		return
	}
	if t.Name == "" {
		e.fail(fault.InvalidRequest, toolPath(i)+".function.name", "A tool must have a name.")
	}
	if t.Cache != nil {
		e.drop("cache_control")
	}
	if len(t.Parameters) == 0 {
		return
	}
	v := gjson.ParseBytes(t.Parameters)
	if kind := v.Get("type"); v.Type != gjson.Null && (!v.IsObject() || kind.Type == gjson.String && kind.Str != "object") { // D15
		e.fail(fault.InvalidRequest, toolPath(i)+".function.parameters", "The parameters of a tool must be a JSON Schema of type object.")
	}
}

// declares says whether the request has functions that the client runs.
func (e *encoder) declares() bool {
	for i := range e.r.Tools {
		if e.r.Tools[i].Kind == "" {
			return true
		}
	}
	return false
}

// tools writes all functions in one Tool, and each of Google's own tools in one of its own (D20).
func (e *encoder) tools(b []byte) []byte {
	sep := `,"tools":[`
	if e.declares() {
		b = append(append(b, sep...), `{"functionDeclarations":[`...)
		sep = ``
		for i := range e.r.Tools {
			if e.r.Tools[i].Kind == "" {
				b = e.function(append(b, sep...), i)
				sep = `,`
			}
		}
		b = append(b, `]}`...)
		sep = `,`
	}
	for i := range e.r.Tools {
		if t := &e.r.Tools[i]; t.Kind != "" && e.r.Schema == chat.Gemini {
			b = append(append(b, sep...), t.Raw...)
			sep = `,`
		}
	}
	if sep == `,` {
		b = append(b, ']')
	}
	return b
}

// function writes a declaration. One without parameters has none (the SDK: "For function with no parameters, this can be
// left unset"): an object without properties has been refused (D15). strict has no place (D19).
func (e *encoder) function(b []byte, i int) []byte {
	t := &e.r.Tools[i]
	b = strictjson.AppendString(append(b, `{"name":`...), e.names.Out(t.Name))
	if t.Description != "" {
		b = strictjson.AppendString(append(b, `,"description":`...), t.Description)
	}
	if hasParameters(t.Parameters) {
		key := `,"parameters":`
		if e.traits.jsonSchema {
			key = `,"parametersJsonSchema":`
		}
		b = append(append(b, key...), e.rewrite(toolPath(i)+".function.parameters", typed(t.Parameters))...)
	}
	return append(b, '}')
}

// hasParameters says whether a schema allows any.
func hasParameters(schema []byte) bool {
	has := false
	gjson.ParseBytes(schema).ForEach(func(key, m gjson.Result) bool {
		switch key.String() {
		case "properties":
			has = m.IsObject() && m.Get("@keys.0").Exists()
		case "additionalProperties":
			has = m.IsObject()
		case "$ref", "allOf", "anyOf", "oneOf", "patternProperties":
			has = true
		}
		return !has
	})
	return has
}

// typed is a schema that names its type: the services want to be told that it is an object (D15). properties that are
// null count as absent (D16).
func typed(schema []byte) []byte {
	if gjson.GetBytes(schema, "type").Type == gjson.String {
		return schema
	}
	b := append(make([]byte, 0, len(schema)+20), `{"type":"object"`...)
	gjson.ParseBytes(schema).ForEach(func(key, m gjson.Result) bool {
		if key.String() != "type" {
			b = append(append(append(append(b, ','), key.Raw...), ':'), m.Raw...)
		}
		return true
	})
	return append(b, '}')
}

// toolConfig writes how free the model is (D24–D27).
func (e *encoder) toolConfig(b []byte) []byte {
	c := e.r.ToolChoice
	if c == nil || !e.declares() {
		return b
	}
	b = append(b, `,"toolConfig":{"functionCallingConfig":{"mode":"`...)
	switch c.Mode {
	case chat.ToolNone:
		b = append(b, `NONE"`...)
	case chat.ToolRequired:
		b = append(b, `ANY"`...)
	case chat.ToolNamed:
		b = append(strictjson.AppendString(append(b, `ANY","allowedFunctionNames":[`...), e.names.Out(c.Name)), ']')
	default:
		b = append(b, `AUTO"`...)
	}
	return append(b, `}}`...)
}
