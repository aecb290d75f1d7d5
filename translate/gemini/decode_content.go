package gemini

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/wire"
)

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func (d *decoder) contents(v gjson.Result) {
	i := 0
	v.ForEach(func(_, c gjson.Result) bool {
		d.content(at("contents", i), c)
		i++
		return d.err == nil
	})
}

// content reads one turn. Responses of functions become messages of their own, one each and before the rest of their
// turn, as every other schema has them. Turns of the model that follow each other are one: SDKs keep each chunk of a
// stream as a turn.
func (d *decoder) content(path string, v gjson.Result) {
	role := chat.User
	switch field(v, "role").String() {
	case "model":
		role = chat.Assistant
	case "system":
		role = chat.System
	}
	parts := d.parts(path, field(v, "parts"))
	if d.err != nil {
		return
	}
	rest := parts[:0]
	for _, p := range parts {
		if p.Kind == chat.ToolResult && role == chat.Assistant || p.Kind == chat.ToolCall && role != chat.Assistant {
			d.fail(fault.InvalidRequest, path+".parts", "may hold a functionCall only of the model and a functionResponse only of the user")
			return
		}
		if p.Kind == chat.ToolResult {
			d.req.Messages = append(d.req.Messages, chat.Message{Role: chat.ToolRole, Parts: []chat.Part{p}})
			continue
		}
		rest = append(rest, p)
	}
	n := len(d.req.Messages)
	switch {
	case role == chat.Assistant && n > 0 && d.req.Messages[n-1].Role == chat.Assistant:
		last := &d.req.Messages[n-1]
		last.Parts = append(last.Parts, rest...)
	case len(rest) > 0:
		d.req.Messages = append(d.req.Messages, chat.Message{Role: role, Parts: rest})
	}
}

func (d *decoder) parts(path string, v gjson.Result) []chat.Part {
	var parts []chat.Part
	i := 0
	v.ForEach(func(_, p gjson.Result) bool {
		parts = d.part(parts, at(path+".parts", i), p)
		i++
		return d.err == nil
	})
	return parts
}

// joinThoughts joins the pieces of a thought up to the one that is signed.
func joinThoughts(parts []chat.Part) []chat.Part {
	out := parts[:0]
	for i := 0; i < len(parts); i++ {
		p := parts[i]
		if p.Kind == chat.Thinking && p.Text != "" {
			var text strings.Builder
			for p.Signature == "" && i+1 < len(parts) && parts[i+1].Kind == chat.Thinking && !ownSignature(&parts[i+1]) {
				if text.Len() == 0 {
					text.WriteString(p.Text)
				}
				i++
				text.WriteString(parts[i].Text)
				p.Signature = parts[i].Signature
			}
			if text.Len() > 0 {
				p.Text = text.String()
			}
		}
		out = append(out, p)
	}
	return out
}

// ownSignature says whether p is the service's signature of a neighbour, and no thought.
func ownSignature(p *chat.Part) bool {
	_, own := chat.SignedBy(chat.Gemini, p.Signature)
	return own && p.Text == ""
}

// wirePart is a part's members.
type wirePart struct {
	kind      string
	data      gjson.Result
	thought   bool
	signature string
}

// part appends what one part holds: itself, and its signature.
func (d *decoder) part(parts []chat.Part, path string, v gjson.Result) []chat.Part {
	var w wirePart
	var extras []chat.Extra
	each(v, func(key string, m gjson.Result) {
		switch key {
		case "thought":
			w.thought = m.Bool()
		case "thoughtSignature":
			w.signature = m.String()
		case "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult", "toolCall", "toolResponse":
			w.kind, w.data = key, m
		default:
			d.extra(&extras, path+"."+key, m, false)
		}
	})
	from := len(parts)
	switch w.kind {
	case "text", "":
		return d.textPart(parts, &w, extras)
	case "inlineData", "fileData":
		parts = append(parts, d.mediaPart(path+"."+w.kind, w.data))
	case "functionCall":
		if w.signature != "" {
			parts = append(parts, signaturePart(w.signature))
			from++
		}
		parts = append(parts, d.call(w.data))
	case "functionResponse":
		parts = append(parts, d.response(path+".functionResponse", w.data))
	default:
		d.fail(fault.Unsupported, path+"."+w.kind, "is of a tool that runs at Google, which only Google's own models can read")
		return parts
	}
	parts[from].Extra = extras
	return parts
}

func signaturePart(text string) chat.Part {
	kind, signature := hearSignature(text)
	return chat.Part{Kind: kind, Signature: signature}
}

func (d *decoder) textPart(parts []chat.Part, w *wirePart, extras []chat.Extra) []chat.Part {
	s := w.data.String()
	if w.thought {
		p := signaturePart(w.signature)
		p.Text, p.Extra = s, extras
		return append(parts, p)
	}
	if s != "" || w.signature == "" {
		parts = append(parts, chat.Part{Kind: chat.Text, Text: s, Extra: extras})
	}
	if w.signature != "" {
		parts = append(parts, signaturePart(w.signature))
	}
	return parts
}

// call reads a functionCall. One without an id (older models give none, D34) gets one by its place in the conversation:
// the same each time the history comes.
func (d *decoder) call(v gjson.Result) chat.Part {
	c := &chat.Call{ID: v.Get("id").String(), Name: v.Get("name").String(), Arguments: "{}"}
	if args := v.Get("args"); args.IsObject() {
		c.Arguments = args.Raw
	}
	if c.ID == "" {
		c.ID = "call_" + strconv.Itoa(d.calls)
	}
	d.calls++
	d.open.add(c)
	return chat.Part{Kind: chat.ToolCall, Call: c}
}

// openCalls are calls whose responses have not come.
type openCalls struct{ byID, byName map[string][]*openCall }

type openCall struct {
	id       string
	answered bool
}

func (o *openCalls) add(c *chat.Call) {
	if o.byID == nil {
		o.byID, o.byName = map[string][]*openCall{}, map[string][]*openCall{}
	}
	open := &openCall{id: c.ID}
	o.byID[c.ID] = append(o.byID[c.ID], open)
	o.byName[c.Name] = append(o.byName[c.Name], open)
}

// answer is the id of the call that a response answers: by id, else by name and order (D35).
func (o *openCalls) answer(id, name string) string {
	list, key := o.byID, id
	if id == "" {
		list, key = o.byName, name
	}
	for queue := list[key]; len(queue) > 0; queue = queue[1:] {
		if first := queue[0]; !first.answered {
			first.answered = true
			list[key] = queue[1:]
			return first.id
		}
	}
	if id == "" {
		id = "call_of_" + name
	}
	return id
}

// response reads a functionResponse. By Google's convention `output` holds a result and `error` what went wrong; without
// either the whole object is the result.
func (d *decoder) response(path string, v gjson.Result) chat.Part {
	r := &chat.Result{CallID: d.open.answer(v.Get("id").String(), v.Get("name").String())}
	body := v.Get("response")
	members, output, failed := 0, gjson.Result{}, gjson.Result{}
	each(body, func(key string, m gjson.Result) {
		members++
		switch key {
		case "output":
			output = m
		case "error":
			failed = m
		}
	})
	said := body
	switch {
	case members == 1 && output.Exists():
		said = output
	case members == 1 && failed.Exists():
		said, r.IsError = failed, ptr(true)
	}
	if members > 0 || said.Raw != "{}" && said.Exists() {
		r.Parts = append(r.Parts, chat.Part{Kind: chat.Text, Text: textOf(said)})
	}
	i := 0
	v.Get("parts").ForEach(func(_, p gjson.Result) bool {
		each(p, func(key string, m gjson.Result) {
			if key == "inlineData" || key == "fileData" {
				r.Parts = append(r.Parts, d.mediaPart(at(path+".parts", i)+"."+key, m))
			}
		})
		i++
		return d.err == nil
	})
	return chat.Part{Kind: chat.ToolResult, Result: r}
}

func textOf(v gjson.Result) string {
	if v.Type == gjson.String {
		return v.String()
	}
	return v.Raw
}

// mediaPart reads inlineData or fileData. A URI within Google's own stores is a file's id: no other provider can fetch it.
func (d *decoder) mediaPart(path string, v gjson.Result) chat.Part {
	m := &chat.Media{}
	each(v, func(key string, x gjson.Result) {
		switch key {
		case "mimeType":
			m.Type = wire.MediaType(x.String())
		case "data":
			m.Data = standard(x.String())
		case "displayName":
			m.Name = x.String()
		case "fileUri":
			if uri := x.String(); wire.IsWebURL(uri) && !strings.HasPrefix(uri, "https://generativelanguage.googleapis.com/") {
				m.URL = uri
			} else {
				m.FileID = uri
			}
		}
	})
	p := chat.Part{Media: m}
	switch family, _, _ := strings.Cut(m.Type, "/"); family {
	case "image", "":
		p.Kind = chat.Image
		if m.Type == "" && strings.HasSuffix(strings.ToLower(wire.URLPath(m.URL)), ".pdf") {
			p.Kind = chat.Document
		}
	case "audio":
		p.Kind = chat.Audio
	case "application", "text":
		p.Kind = chat.Document
	default:
		d.fail(fault.Unsupported, path, "is of type %q, which other providers' models cannot read", wire.ClipText(m.Type))
	}
	return p
}
