package gemini

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// spot is a place in the request, which is put into words only where something is wrong with it.
type spot struct {
	list string // contents, or systemInstruction, which has no index
	i    int
	part int // -1: none
}

func (s spot) String() string {
	path := s.list
	if s.i >= 0 {
		path = at(path, s.i)
	}
	if s.part >= 0 {
		path = at(path+".parts", s.part)
	}
	return path
}

func (d *decoder) contents(v gjson.Result) {
	s := strictjson.NewLenient(bytesOf(v.Raw))
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next() && d.err == nil; {
		at := spot{"contents", s.Index(), -1}
		role, parts := d.turn(at, s)
		d.content(at, role, parts)
	}
}

// turn reads one Content.
func (d *decoder) turn(at spot, s *strictjson.Scanner) (role string, parts []chat.Part) {
	if s.Kind() != strictjson.Object {
		s.Skip()
		return "", nil
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch {
		case s.Kind() == strictjson.String && string(s.Key()) == "role":
			role = strictjson.Text(s.RawString())
		case s.Kind() == strictjson.Array && string(s.Key()) == "parts":
			for s.Enter(strictjson.Array); s.Next(); {
				at.part = s.Index()
				if d.err == nil && s.Kind() == strictjson.Object {
					parts = d.part(parts, at, s)
				}
			}
		}
	}
	return role, parts
}

// content reads one turn. Responses of functions become messages of their own, one each and before the rest of their
// turn, as every other schema has them. Turns of the model that follow each other are one: SDKs keep each chunk of a
// stream as a turn.
func (d *decoder) content(at spot, who string, parts []chat.Part) {
	role := chat.User
	switch who {
	case "model":
		role = chat.Assistant
	case "system":
		role = chat.System
	}
	if d.err != nil {
		return
	}
	rest := parts[:0]
	for _, p := range parts {
		if p.Kind == chat.ToolResult && role == chat.Assistant || p.Kind == chat.ToolCall && role != chat.Assistant {
			d.fail(fault.InvalidRequest, at.String()+".parts", "may hold a functionCall only of the model and a functionResponse only of the user")
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
	text      string
	data      gjson.Result // of every other kind
	thought   bool
	signature string
}

// part appends what one part holds: itself, and its signature.
func (d *decoder) part(parts []chat.Part, where spot, s *strictjson.Scanner) []chat.Part {
	var w wirePart
	var extras []chat.Extra
	for s.Enter(strictjson.Object); s.Next(); {
		if s.Kind() == strictjson.Null {
			continue
		}
		if string(s.Key()) == "text" {
			w.kind, w.text = "text", textAt(s)
			continue
		}
		switch key := camel(string(s.Key())); key {
		case "thought":
			w.thought = string(s.Skip()) == "true"
		case "thoughtSignature":
			w.signature = textAt(s)
		case "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult", "toolCall", "toolResponse":
			w.kind, w.data = key, gjson.Parse(view(s.Skip()))
		default:
			d.extra(&extras, where.String()+"."+key, gjson.Parse(view(s.Skip())), false)
		}
	}
	from := len(parts)
	switch w.kind {
	case "text", "":
		return d.textPart(parts, &w, extras)
	case "inlineData", "fileData":
		parts = append(parts, d.mediaPart(where.String()+"."+w.kind, w.data))
	case "functionCall":
		if w.signature != "" {
			parts = append(parts, signaturePart(w.signature))
			from++
		}
		parts = append(parts, d.call(w.data))
	case "functionResponse":
		parts = append(parts, d.response(where, w.data))
	default:
		d.fail(fault.Unsupported, where.String()+"."+w.kind, "is of a tool that runs at Google, which only Google's own models can read")
		return parts
	}
	parts[from].Extra = extras
	return parts
}

// textAt is the string before the cursor; it shares the body's memory unless there are escapes.
func textAt(s *strictjson.Scanner) string {
	if s.Kind() != strictjson.String {
		s.Skip()
		return ""
	}
	return strictjson.Text(s.RawString())
}

func signaturePart(text string) chat.Part {
	kind, signature := hearSignature(text)
	return chat.Part{Kind: kind, Signature: signature}
}

func (d *decoder) textPart(parts []chat.Part, w *wirePart, extras []chat.Extra) []chat.Part {
	s := w.text
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

// response reads a functionResponse.
func (d *decoder) response(where spot, v gjson.Result) chat.Part {
	name := v.Get("name").String()
	r := &chat.Result{CallID: d.open.answer(v.Get("id").String(), name)}
	said, members, failed := outcome(v.Get("response"), name)
	if failed {
		r.IsError = ptr(true)
	}
	if members > 0 || said.Raw != "{}" && said.Exists() {
		r.Parts = append(r.Parts, chat.Part{Kind: chat.Text, Text: textOf(said)})
	}
	i := 0
	v.Get("parts").ForEach(func(_, p gjson.Result) bool {
		each(p, func(key string, m gjson.Result) {
			if key == "inlineData" || key == "fileData" {
				r.Parts = append(r.Parts, d.mediaPart(at(where.String()+".functionResponse.parts", i)+"."+key, m))
			}
		})
		i++
		return d.err == nil
	})
	return chat.Part{Kind: chat.ToolResult, Result: r}
}

// outcome is what a function's response says, and how many members the response has. By Google's convention `output` holds a
// result and `error` what went wrong; in its earlier examples, and of Vercel's AI SDK, the function's name again and the result as
// `content` (github.com/google-gemini/cookbook, quickstarts/rest/Function_calling_REST.ipynb). Else the whole object is the result.
func outcome(response gjson.Result, function string) (said gjson.Result, members int, failed bool) {
	var output, problem, content gjson.Result
	named := false
	each(response, func(key string, m gjson.Result) {
		members++
		switch key {
		case "output":
			output = m
		case "error":
			problem = m
		case "content":
			content = m
		case "name":
			named = m.Type == gjson.String && m.Str == function
		}
	})
	switch {
	case members == 1 && output.Exists():
		return output, members, false
	case members == 1 && problem.Exists():
		return problem, members, true
	case members == 2 && named && content.Exists():
		return content, members, false
	}
	return response, members, false
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
