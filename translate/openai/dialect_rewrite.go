package openai

import (
	"slices"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// rewriter puts a client's body into a provider's dialect. What the dialect does not speak of stays as it is, byte for byte.
type rewriter struct {
	splices
	h      *chat.Head
	t      translate.Target
	d      *dialect
	losses losses
	marked bool // cache_control stands somewhere, and has to go
}

// losses are the client's members that a request does without.
type losses struct {
	lossy   bool // even what changes the meaning may go
	dropped []string
	fault   *fault.Fault
}

// drop names a member that was left out; each name once.
func (l *losses) drop(path string) {
	if len(l.dropped) < maxDropped && !slices.Contains(l.dropped, path) {
		l.dropped = append(l.dropped, path)
	}
}

// refuse faults with Unsupported, or drops the member when that is allowed.
func (l *losses) refuse(path, format string, args ...any) {
	if l.lossy {
		l.drop(path)
		return
	}
	l.unsupported(path, "", format, args...)
}

func (l *losses) unsupported(path, code, format string, args ...any) {
	if l.fault == nil {
		l.fault = fault.New(fault.Unsupported, format, args...)
		l.fault.Param, l.fault.Code = path, code
	}
}

// lose settles a member that the provider does not take.
func (l *losses) lose(name string, raw []byte) {
	said, meaning := weigh(name, raw)
	switch {
	case meaning:
		l.refuse(name, "%s is not supported by a provider that this request would go to.", name)
	case said:
		l.drop(name)
	}
}

// weigh tells what is lost with a member of a request: said is false for a value that means the same as none, meaning is true
// where the answer would be another one.
func weigh(name string, raw []byte) (said, meaning bool) {
	value := string(raw)
	if value == "null" || empty(raw) || value == `""` {
		return false, false
	}
	switch name {
	case "n":
		return value != "1", value != "1"
	case "logprobs":
		return value == "true", value == "true"
	case "tool_choice", "function_call":
		return value != `"auto"`, value != `"auto"`
	case "modalities":
		text := textOnly(raw)
		return !text, !text
	case "response_format":
		text := formatType(raw) == "text"
		return !text, !text
	case "frequency_penalty", "presence_penalty", "top_logprobs":
		return value != "0" && value != "0.0", false
	case "store":
		return value == "true", false
	case "parallel_tool_calls":
		return value == "false", false
	case "stream_options":
		return false, false
	case "stop", "tools", "functions":
		return true, true
	}
	return true, meaningful[name]
}

// formatType is the type of a response_format.
func formatType(raw []byte) (kind string) {
	s := strictjson.NewLenient(raw)
	defer s.Release()
	if s.Kind() != strictjson.Object {
		return ""
	}
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "type" && s.Kind() == strictjson.String {
			kind = string(strictjson.AppendText(nil, s.RawString()))
		}
	}
	return kind
}

// rewrite is Rewrite for a provider that deviates from the schema.
func (d *dialect) rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	r := rewriter{splices: splices{body: h.Body}, h: h, t: t, d: d, losses: losses{lossy: t.Lossy}}
	r.marked = !d.caches && containsMark(h.Body)
	o := r.editObject(r.space(0))
	options := false
	for i := range h.Fields {
		f := &h.Fields[i]
		options = options || f.Name == "stream_options"
		if err := r.top(&o, f); err != nil {
			return nil, err
		}
	}
	if h.Stream && !options && d.member("stream_options") != "" {
		o.add(r.end(), `"stream_options":`+string(includeUsage))
	}
	if r.losses.fault != nil {
		return nil, r.losses.fault
	}
	return &translate.Upstream{Path: d.path(t, completionsPath), Body: r.apply(), Dropped: r.losses.dropped}, nil
}

// end is behind the body's closing brace.
func (r *rewriter) end() int {
	for i := len(r.body); i > 0; i-- {
		if r.body[i-1] == '}' {
			return i
		}
	}
	return len(r.body)
}

// top rewrites one top-level member.
func (r *rewriter) top(o *objectEdit, f *chat.Field) error {
	if !inTable(f.Name) {
		o.keep(f.End)
		return nil
	}
	raw := r.body[f.Start:f.End]
	as := r.d.member(f.Name)
	if f.Name == maxTokensMember && r.d.cap != "" && r.given(completionMember) {
		as = "" // the newer name wins (D46)
		raw = nil
	}
	if as == "" || as != f.Name && string(raw) == "null" {
		if raw != nil {
			r.losses.lose(f.Name, raw)
		}
		o.remove(f.End)
		return nil
	}
	if as != f.Name {
		o.rename(f.Start, as)
	}
	stays, err := r.value(f, raw)
	if err != nil {
		return err
	}
	if stays {
		o.keep(f.End)
	} else {
		o.remove(f.End)
	}
	return nil
}

// given says whether the request has a member that is not null.
func (r *rewriter) given(name string) bool {
	raw := r.h.Field(name)
	return raw != nil && string(raw) != "null"
}

// value rewrites a top-level member's value; false when the member has to go.
func (r *rewriter) value(f *chat.Field, raw []byte) (stays bool, err error) {
	switch f.Name {
	case "model":
		if r.t.Model != r.h.Model {
			r.put(f.Start, f.End, strictjson.AppendString(make([]byte, 0, len(r.t.Model)+2), r.t.Model))
		}
	case "messages":
		r.messages(f.Start, f.End)
	case "tools":
		if r.marked {
			r.unmarkTools(f.Start, f.End)
		}
	case "stream_options":
		if !r.h.Stream || r.h.IncludeUsage {
			break
		}
		options, err := streamOptions(raw)
		if err != nil {
			return false, err
		}
		r.put(f.Start, f.End, options)
	case "response_format":
		if kind := formatType(raw); kind != "" && r.d.formats != nil && !r.d.formats[kind] {
			r.losses.refuse(f.Name+".type", "response_format of the type %s is not supported by a provider that this request would go to.", kind)
			return false, nil
		}
	case "reasoning_effort":
		return r.effort(f, raw), nil
	case "tool_choice":
		if r.d.unnamed && len(raw) > 0 && raw[0] == '{' {
			r.losses.refuse(f.Name, "A provider that this request would go to cannot be told which tool to call; tool_choice must be auto, none or required.")
			return false, nil
		}
	}
	return true, nil
}

func (r *rewriter) effort(f *chat.Field, raw []byte) (stays bool) {
	word := strictjson.Text(raw)
	as := r.d.effort(word)
	switch as {
	case word:
	case "":
		r.losses.drop(f.Name)
		return false
	default:
		r.put(f.Start, f.End, strictjson.AppendString(nil, as))
	}
	return true
}

// unmarkTools takes the cache marks off the definitions.
func (r *rewriter) unmarkTools(from, to int) {
	r.elements(from, to, func(from, to int) {
		r.unmark(from, to, func(f *chat.Field) {
			if f.Name == functionType && r.body[f.Start] == '{' {
				r.unmark(f.Start, f.End, nil)
			}
		})
	})
}

// unmark takes cache_control out of an object, and shows its other members to also.
func (r *rewriter) unmark(from, to int, also func(*chat.Field)) {
	o := r.editObject(from)
	for _, f := range r.fields(from, to) {
		if f.Name == cacheMember {
			r.losses.drop(cacheMember)
			o.remove(f.End)
			continue
		}
		if also != nil {
			also(&f)
		}
		o.keep(f.End)
	}
}

// elements shows where each object of an array is.
func (r *rewriter) elements(from, to int, each func(from, to int)) {
	s := strictjson.NewLenient(r.body[from:to])
	defer s.Release()
	if s.Kind() != strictjson.Array {
		return
	}
	for s.Enter(strictjson.Array); s.Next(); {
		at, object := from+s.Offset(), s.Kind() == strictjson.Object
		n := len(s.Skip())
		if object {
			each(at, at+n)
		}
	}
}

// fields are the members of the object body[from:to].
func (r *rewriter) fields(from, to int) []chat.Field {
	var list []chat.Field
	s := strictjson.NewLenient(r.body[from:to])
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		name, at := string(s.Key()), from+s.Offset()
		list = append(list, chat.Field{Name: name, Start: at, End: at + len(s.Skip())})
	}
	return list
}
