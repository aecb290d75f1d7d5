package anthropic

import (
	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

const emptySchema = `{"type":"object","properties":{}}`

// settleTools checks the definitions, and makes some up where the history has calls of tools that the request does not
// define: the API refuses such a history (D22). Made-up tools cannot be called, see toolChoice.
func (e *encoder) settleTools() {
	for i := range e.r.Tools {
		t := &e.r.Tools[i]
		if t.Kind != "" { // D21
			e.lose(toolPath(i), "The tool %q runs at the provider of another schema; Anthropic's models do not have it.", t.Kind)
			continue
		}
		e.plan.tools++
		switch {
		case t.Name == "":
			e.fail(fault.InvalidRequest, toolPath(i)+".function.name", "A tool must have a name.")
		case len(encodeName(t.Name)) > maxName:
			e.fail(fault.InvalidRequest, toolPath(i)+".function.name", "The name of a tool must not be longer than %d characters.", maxName)
		case len(t.Parameters) > 0 && !validSchema(t.Parameters):
			e.fail(fault.InvalidRequest, toolPath(i)+".function.parameters", "The parameters of a tool must be a JSON Schema of type object.")
		}
	}
	if e.plan.tools > 0 {
		return
	}
	seen := map[string]bool{}
	for i := range e.plan.turns {
		for j := range e.plan.turns[i].Blocks {
			if b := &e.plan.turns[i].Blocks[j]; b.Kind == chat.ToolCall {
				e.standIn(seen, b.Part.Call.Name)
			}
		}
	}
}

func (e *encoder) standIn(seen map[string]bool, name string) {
	if seen[name] {
		return
	}
	seen[name] = true
	if name == "" || len(encodeName(name)) > maxName {
		e.fail(fault.InvalidRequest, "messages", "A tool call in the conversation has no name, or one longer than %d characters.", maxName)
		return
	}
	e.plan.standIns = append(e.plan.standIns, name)
}

// validSchema: the API takes only objects at the top (D15).
func validSchema(raw []byte) bool {
	v := gjson.ParseBytes(raw)
	if !v.IsObject() {
		return v.Type == gjson.Null
	}
	kind := v.Get("type")
	return !kind.Exists() || kind.Type == gjson.Null || kind.String() == "object"
}

func (e *encoder) tools(b []byte) []byte {
	sep := `,"tools":[`
	for i := range e.r.Tools {
		if e.r.Tools[i].Kind != "" {
			continue
		}
		b = e.tool(append(b, sep...), i)
		sep = `,`
	}
	for _, name := range e.plan.standIns {
		b = strictjson.AppendString(append(append(b, sep...), `{"name":`...), encodeName(name))
		b = append(b, `,"input_schema":{"type":"object"}}`...)
		sep = `,`
	}
	if sep == `,` {
		b = append(b, ']')
	}
	return b
}

func (e *encoder) tool(b []byte, i int) []byte {
	t := &e.r.Tools[i]
	b = strictjson.AppendString(append(b, `{"name":`...), encodeName(t.Name))
	if t.Description != "" {
		b = strictjson.AppendString(append(b, `,"description":`...), t.Description)
	}
	b = append(b, `,"input_schema":`...)
	strict := t.Strict != nil && *t.Strict
	if strict && len(t.Parameters) > 0 {
		schema, err := normalise(objectSchema(t.Parameters))
		if err != nil {
			e.fail(err.Kind, toolPath(i)+".function.parameters", "%s", err.Message)
		}
		b = append(b, schema...)
	} else {
		b = append(b, objectSchema(t.Parameters)...)
	}
	if strict {
		b = append(b, `,"strict":true`...)
	}
	if e.plan.onlyTool == 0 || e.plan.onlyTool == i+1 {
		b = appendCache(b, t.Cache)
	}
	return append(b, '}')
}

// objectSchema is raw as a schema that the API takes: with a type, and without a null for properties (D15, D16).
func objectSchema(raw []byte) []byte {
	v := gjson.ParseBytes(raw)
	if !v.IsObject() {
		return []byte(emptySchema)
	}
	kind, properties := v.Get("type"), v.Get("properties")
	null := properties.Exists() && properties.Type == gjson.Null
	if kind.Type == gjson.String && !null {
		return raw
	}
	b := make([]byte, 0, len(raw)+len(emptySchema))
	b = append(b, `{"type":"object"`...)
	v.ForEach(func(key, m gjson.Result) bool {
		if k := key.String(); k != "type" && !(k == "properties" && null) {
			b = append(append(append(append(b, ','), key.Raw...), ':'), m.Raw...)
		}
		return true
	})
	return append(b, '}')
}

// toolChoice writes how free the model is (D24–D27), and where calls in parallel are not wanted, that too: the API has a
// place for it only inside the choice (D29).
func (e *encoder) toolChoice(b []byte) []byte {
	if e.plan.tools == 0 {
		if len(e.plan.standIns) > 0 {
			b = append(b, `,"tool_choice":{"type":"none"}`...)
		}
		return b
	}
	single := e.r.ParallelToolCalls != nil && !*e.r.ParallelToolCalls
	mode, name := chat.ToolAuto, ""
	if c := e.r.ToolChoice; c != nil {
		mode, name = c.Mode, c.Name
	} else if !single {
		return b
	}
	switch mode {
	case chat.ToolNone:
		return append(b, `,"tool_choice":{"type":"none"}`...)
	case chat.ToolRequired:
		b = append(b, `,"tool_choice":{"type":"any"`...)
	case chat.ToolNamed:
		b = strictjson.AppendString(append(b, `,"tool_choice":{"type":"tool","name":`...), encodeName(name))
	default:
		b = append(b, `,"tool_choice":{"type":"auto"`...)
	}
	if single {
		b = append(b, `,"disable_parallel_tool_use":true`...)
	}
	return append(b, '}')
}
