package gemini

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/jsonschema"
	"dragoman/translate/strictjson"
)

// decoder reads a request that Parse has accepted. Its strings share the body's memory.
type decoder struct {
	req    *chat.Request
	system *chat.Message
	open   openCalls
	calls  int
	err    *fault.Fault
}

// Decode reads the whole request. What no other schema can say is in Extra; content that none can say (a server-side
// tool's parts, video) is fault.Unsupported: leaving it out would change the conversation.
func (Codec) Decode(h *chat.Head) (*chat.Request, error) {
	d := newDecoder(h)
	for i := range h.Fields {
		f := &h.Fields[i]
		d.member(f.Name, gjson.Parse(view(h.Body[f.Start:f.End])))
	}
	return d.finish()
}

func newDecoder(h *chat.Head) *decoder {
	return &decoder{req: &chat.Request{
		Schema: chat.Gemini, Model: h.Model, User: h.User, Stream: h.Stream, IncludeUsage: h.IncludeUsage,
		Messages: make([]chat.Message, 0, h.Messages+1),
	}}
}

func (d *decoder) finish() (*chat.Request, error) {
	if d.err != nil {
		return nil, d.err
	}
	for i := range d.req.Messages {
		d.req.Messages[i].Parts = joinThoughts(d.req.Messages[i].Parts)
	}
	if d.system != nil {
		d.req.Messages = append(d.req.Messages, chat.Message{})
		copy(d.req.Messages[1:], d.req.Messages)
		d.req.Messages[0] = *d.system
	}
	return d.req, nil
}

func (d *decoder) member(name string, v gjson.Result) {
	if v.Type == gjson.Null || d.err != nil {
		return
	}
	switch camel(name) {
	case "model":
	case "contents":
		d.contents(v)
	case "systemInstruction":
		s := strictjson.NewLenient(bytesOf(v.Raw))
		defer s.Release()
		_, parts := d.turn(spot{"systemInstruction", -1, -1}, s)
		d.system = &chat.Message{Role: chat.System, Parts: parts}
	case "tools":
		d.tools(v)
	case "toolConfig":
		d.toolConfig(v)
	case "generationConfig":
		each(v, func(key string, m gjson.Result) { d.setting(key, m) })
	case "cachedContent":
		d.extra(&d.req.Extra, name, v, v.String() != "")
	default: // safetySettings, labels, serviceTier: they tune what is served, or are notes
		d.extra(&d.req.Extra, name, v, false)
	}
}

// each calls f with every member of an object that is not null, by its JSON name.
func each(v gjson.Result, f func(key string, m gjson.Result)) {
	v.ForEach(func(key, m gjson.Result) bool {
		if m.Type != gjson.Null {
			f(camel(key.String()), m)
		}
		return true
	})
}

// field finds a member by its JSON name or its proto name.
func field(v gjson.Result, name string) (found gjson.Result) {
	v.ForEach(func(key, m gjson.Result) bool {
		if k := key.String(); k == name || camel(k) == name {
			found = m
			return false
		}
		return true
	})
	return found
}

// setting reads a member of generationConfig. Kinds of answers that no other schema has (images, sound) change what the
// answer is.
func (d *decoder) setting(name string, v gjson.Result) {
	r := d.req
	switch name {
	case "maxOutputTokens":
		r.MaxTokens = ptr(v.Int())
	case "temperature":
		r.Temperature = ptr(v.Float())
	case "topP":
		r.TopP = ptr(v.Float())
	case "topK":
		r.TopK = ptr(v.Int())
	case "candidateCount":
		if n := v.Int(); n > 1 {
			r.N = ptr(n)
		}
	case "presencePenalty":
		r.PresencePenalty = ptr(v.Float())
	case "frequencyPenalty":
		r.FrequencyPenalty = ptr(v.Float())
	case "seed":
		r.Seed = ptr(v.Int())
	case "responseLogprobs":
		r.LogProbs = ptr(v.Bool())
	case "logprobs":
		r.TopLogProbs = ptr(v.Int())
	case "stopSequences":
		for _, s := range v.Array() {
			r.Stop = append(r.Stop, s.String())
		}
	case "responseMimeType":
		d.mimeType(v.String())
	case "responseSchema", "responseJsonSchema":
		d.format().Schema = d.schema("generationConfig."+name, v)
	case "thinkingConfig":
		d.thinking(v)
	case "responseModalities":
		d.extra(&r.Extra, "generationConfig."+name, v, !onlyText(v))
	case "speechConfig":
		d.extra(&r.Extra, "generationConfig."+name, v, true)
	default:
		d.extra(&r.Extra, "generationConfig."+name, v, false)
	}
}

func onlyText(v gjson.Result) bool {
	for _, m := range v.Array() {
		if !strings.EqualFold(m.String(), "TEXT") {
			return false
		}
	}
	return true
}

func (d *decoder) format() *chat.Format {
	if d.req.Format == nil {
		d.req.Format = &chat.Format{}
	}
	return d.req.Format
}

func (d *decoder) mimeType(kind string) {
	switch kind {
	case "application/json":
		d.format()
	case "", "text/plain":
	default: // text/x.enum: one word of the schema's enum and no JSON
		d.fail(fault.Unsupported, "generationConfig.responseMimeType", "must be text/plain or application/json for this model")
	}
}

// schema is a schema in whichever of Google's dialects as JSON Schema.
func (d *decoder) schema(path string, v gjson.Result) []byte {
	out, _, err := jsonschema.For(jsonschema.Standard, []byte(v.Raw))
	if err != nil {
		d.fail(fault.Unsupported, path, "cannot be read as a schema: %s", err.Error())
	}
	return out
}

// thinking: without includeThoughts the thoughts are not shown.
func (d *decoder) thinking(v gjson.Result) {
	rs := &chat.Reasoning{Display: "omitted"}
	said := false
	each(v, func(key string, m gjson.Result) {
		switch key {
		case "includeThoughts":
			if m.Bool() {
				rs.Display = ""
				said = true
			}
		case "thinkingBudget":
			said = true
			switch n := m.Int(); {
			case n > 0:
				rs.Budget = n
			case n == 0:
				rs.Disabled = true
			default:
				rs.Adaptive = true
			}
		case "thinkingLevel":
			if level := strings.ToLower(m.String()); level != "" && level != "thinking_level_unspecified" {
				rs.Effort, said = level, true
			}
		default:
			d.extra(&d.req.Extra, "generationConfig.thinkingConfig."+key, m, false)
		}
	})
	if !said {
		return
	}
	if rs.Budget == 0 && rs.Effort == "" && !rs.Disabled {
		rs.Adaptive = true
	}
	d.req.Reasoning = rs
}

func (d *decoder) tools(v gjson.Result) {
	for i, t := range v.Array() {
		each(t, func(key string, m gjson.Result) {
			if key != "functionDeclarations" {
				raw := append(strictjson.AppendString([]byte{'{'}, key), ':') // a name may hold what JSON has to escape
				d.req.Tools = append(d.req.Tools, chat.Tool{Name: key, Kind: key, Raw: append(append(raw, m.Raw...), '}')})
				return
			}
			for j, f := range m.Array() {
				d.req.Tools = append(d.req.Tools, d.function(fmt.Sprintf("tools[%d].functionDeclarations[%d]", i, j), f))
			}
		})
	}
}

func (d *decoder) function(path string, v gjson.Result) chat.Tool {
	var t chat.Tool
	each(v, func(key string, m gjson.Result) {
		switch key {
		case "name":
			t.Name = m.String()
		case "description":
			t.Description = m.String()
		case "parameters", "parametersJsonSchema":
			t.Parameters = d.schema(path+"."+key, m)
		default: // response, behavior
			d.extra(&d.req.Extra, path+"."+key, m, false)
		}
	})
	return t
}

func (d *decoder) toolConfig(v gjson.Result) {
	each(v, func(key string, m gjson.Result) {
		if key != "functionCallingConfig" {
			d.extra(&d.req.Extra, "toolConfig."+key, m, false)
			return
		}
		mode, allowed := field(m, "mode").String(), field(m, "allowedFunctionNames")
		names := allowed.Array()
		c := &chat.ToolChoice{}
		switch strings.ToUpper(mode) {
		case "", "MODE_UNSPECIFIED":
			return
		case "NONE":
			c.Mode = chat.ToolNone
		case "ANY":
			c.Mode = chat.ToolRequired
			if len(names) == 1 {
				c.Mode, c.Name = chat.ToolNamed, names[0].String()
			}
		default: // VALIDATED is AUTO with arguments by the schema
			c.Mode = chat.ToolAuto
		}
		d.req.ToolChoice = c
		if len(names) > 1 || len(names) == 1 && c.Mode != chat.ToolNamed {
			d.extra(&d.req.Extra, "toolConfig.functionCallingConfig.allowedFunctionNames", allowed, true)
		}
	})
}

func (d *decoder) extra(list *[]chat.Extra, name string, v gjson.Result, meaning bool) {
	if v.Type == gjson.Null {
		return
	}
	*list = append(*list, chat.Extra{Name: strings.ToValidUTF8(name, "\uFFFD"), JSON: []byte(v.Raw), Meaning: meaning})
}

func (d *decoder) fail(kind fault.Kind, path, format string, args ...any) {
	if d.err == nil {
		d.err = fault.New(kind, "%s %s.", path, fmt.Sprintf(format, args...))
		d.err.Param = path
	}
}

func ptr[T any](v T) *T { return &v }
