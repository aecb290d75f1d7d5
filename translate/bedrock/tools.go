package bedrock

import (
	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
	"dragoman/translate/strictjson"
)

// nameRule is ToolName: ^[a-zA-Z0-9_-]{1,64}$ (D14).
var nameRule = chat.NameRule{Max: 64}

const emptySchema = `{"type":"object","properties":{}}`

// choice is how free the model is to call tools. mode is one of ToolChoice's members, "" for the default, auto.
type choice struct {
	mode, name string
	single     bool // in Anthropic's own terms, for they alone can forbid calls in parallel (D29)
}

// settleTools checks the definitions and the choice.
func (e *encoder) settleTools() {
	for i := range e.r.Tools {
		t := &e.r.Tools[i]
		if t.Kind != "" { // D21
			e.lose(toolPath(i), "The tool %q runs at the provider of another schema; Bedrock does not have it.", t.Kind)
			continue
		}
		e.plan.tools = true
		switch {
		case t.Name == "":
			e.fail(fault.InvalidRequest, toolPath(i)+".function.name", "A tool must have a name.")
		case t.Name == formatToolName:
			e.unsupported(toolPath(i)+".function.name", "The gateway needs the tool name %s for itself.", formatToolName)
		case len(t.Parameters) > 0 && !validSchema(t.Parameters):
			e.fail(fault.InvalidRequest, toolPath(i)+".function.parameters", "The parameters of a tool must be a JSON Schema of type object.")
		case t.Strict != nil && *t.Strict && !e.model.strict:
			e.drop(toolPath(i) + ".function.strict")
		}
	}
	if e.plan.tools && !e.model.tools {
		e.lose("tools", "This model of Bedrock calls no tools.")
		e.plan.tools = false
	}
	if e.plan.tools {
		e.settleChoice()
	}
}

// settleChoice says what of the client's choice the model can be told (D24–D29). Converse has no word for none: the tools
// are left out (D26).
func (e *encoder) settleChoice() {
	c := e.r.ToolChoice
	mode := chat.ToolAuto
	if c != nil {
		mode = c.Mode
	}
	switch mode {
	case chat.ToolNone:
		e.plan.tools = false
		return
	case chat.ToolRequired:
		e.require("")
	case chat.ToolNamed:
		e.require(c.Name)
	}
	if p := e.r.ParallelToolCalls; p != nil && !*p {
		if e.plan.choice.single = e.model.single; !e.model.single {
			e.drop("parallel_tool_calls")
		}
	}
}

// require demands a call, of one tool where it is named. A model that can only be made to call any tool is shown that one
// alone.
func (e *encoder) require(name string) {
	switch {
	case name != "" && !e.defines(name):
		e.fail(fault.InvalidRequest, "tool_choice", "The tool that must be called is not among the tools.")
	case name == "" && e.model.anyTool:
		e.plan.choice.mode = "any"
	case name != "" && e.model.oneTool:
		e.plan.choice.mode, e.plan.choice.name = "tool", name
	case name != "" && e.model.anyTool:
		e.plan.choice.mode, e.plan.only = "any", name
	default: // D28
		e.lose("tool_choice", "This model of Bedrock cannot be made to call a tool.")
	}
}

func (e *encoder) defines(name string) bool {
	for i := range e.r.Tools {
		if e.r.Tools[i].Kind == "" && e.r.Tools[i].Name == name {
			return true
		}
	}
	return false
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

// tools writes toolConfig, which is the beginning of every request's body.
func (e *encoder) tools(b []byte) []byte {
	if !e.plan.tools {
		return b
	}
	sep := `"toolConfig":{"tools":[`
	for i := range e.r.Tools {
		if t := &e.r.Tools[i]; t.Kind == "" && !e.plan.formatTool && (e.plan.only == "" || e.plan.only == t.Name) {
			b = e.tool(append(b, sep...), i)
			sep = `,`
		}
	}
	if e.plan.formatTool {
		b = append(b, sep...)
		b = append(b, `{"toolSpec":{"name":"`+formatToolName+`","description":"`+formatToolText+`","inputSchema":{"json":`...)
		b = append(append(b, e.plan.format...), `}}}`...)
	}
	b = append(b, ']')
	switch c := &e.plan.choice; {
	case c.single: // additionalModelRequestFields has the whole choice
	case c.mode == "any":
		b = append(b, `,"toolChoice":{"any":{}}`...)
	case c.mode == "tool":
		b = strictjson.AppendString(append(b, `,"toolChoice":{"tool":{"name":`...), e.names.Out(c.name))
		b = append(b, `}}`...)
	}
	return append(b, `},`...)
}

func (e *encoder) tool(b []byte, i int) []byte {
	t := &e.r.Tools[i]
	b = strictjson.AppendString(append(b, `{"toolSpec":{"name":`...), e.names.Out(t.Name))
	if !dialogue.Blank(t.Description) {
		b = strictjson.AppendString(append(b, `,"description":`...), t.Description)
	}
	b = append(b, `,"inputSchema":{"json":`...)
	strict := t.Strict != nil && *t.Strict && e.model.strict
	schema := objectSchema(t.Parameters)
	if strict {
		closed, err := normalise(schema)
		if err != nil {
			e.fail(err.Kind, toolPath(i)+".function.parameters", "%s", err.Message)
		}
		schema = closed
	}
	b = append(append(b, schema...), '}')
	if strict {
		b = append(b, `,"strict":true`...)
	}
	b = append(b, `}}`...)
	if e.model.cacheTop && (!e.plan.lastTool || i == e.lastMarked()) {
		b = e.cachePoint(b, t.Cache)
	}
	return b
}

func (e *encoder) lastMarked() int {
	for i := len(e.r.Tools) - 1; i >= 0; i-- {
		if e.r.Tools[i].Cache != nil {
			return i
		}
	}
	return -1
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
