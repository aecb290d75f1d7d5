package anthropic

import (
	"bytes"
	"fmt"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// message checks that a 2xx body is an answer of the schema and returns it.
func message(body []byte) (gjson.Result, *fault.Fault) {
	if len(bytes.TrimSpace(body)) == 0 {
		return gjson.Result{}, fault.New(fault.ProviderFailed, "The provider answered with an empty body.")
	}
	if kind, err := strictjson.CheckLenient(body); err != nil || kind != strictjson.Object {
		return gjson.Result{}, fault.New(fault.ProviderFailed, "The provider's answer is not a JSON object: %s", wire.Clip(body))
	}
	v := gjson.ParseBytes(body)
	switch v.Get("type").String() {
	case "message":
		if v.Get("content").IsArray() {
			return v, nil
		}
	case "error":
		kind, text := errorOf(body)
		return v, heard(kind, text, 0)
	}
	return v, fault.New(fault.ProviderFailed, "The provider's answer is not a message: %s", wire.Clip(body))
}

// PeekResponse reads an answer's head, usage and reason to stop.
func (Codec) PeekResponse(body []byte) (translate.Seen, error) {
	v, f := message(body)
	if f != nil {
		return translate.Seen{}, f
	}
	s := translate.Seen{ID: v.Get("id").String(), Model: v.Get("model").String(), Content: true, End: true}
	s.RawFinish = v.Get("stop_reason").String()
	s.Finish = finishOf(s.RawFinish)
	readUsage(&s.Usage, v.Get("usage"))
	v.Get("content").ForEach(func(_, b gjson.Result) bool {
		switch b.Get("type").Str {
		case textBlock:
			s.OutputBytes += textLen(b.Get("text"))
		case thinkingBlock:
			s.OutputBytes += textLen(b.Get("thinking"))
		case toolUseBlock:
			s.OutputBytes += textLen(b.Get("name")) + len(b.Get("input").Raw)
		}
		return true
	})
	return s, nil
}

// textLen is a string's length in bytes, escapes included.
func textLen(v gjson.Result) int { return max(len(v.Raw)-len(`""`), 0) }

// DecodeResponse reads a whole answer. Blocks of server-side tools have no neutral form; they are in Extra as
// content[i], and the text around them is the answer.
func (Codec) DecodeResponse(body []byte) (*chat.Response, error) {
	v, f := message(body)
	if f != nil {
		return nil, f
	}
	r := &chat.Response{ID: v.Get("id").String(), Model: v.Get("model").String()}
	c := chat.Choice{RawFinish: v.Get("stop_reason").String(), StopSequence: v.Get("stop_sequence").String()}
	c.Finish = finishOf(c.RawFinish)
	readUsage(&r.Usage, v.Get("usage"))
	var parts answerParts
	i := 0
	v.Get("content").ForEach(func(_, b gjson.Result) bool {
		if p, ok := answerPart(b); !ok {
			keep(&r.Extra, fmt.Sprintf("content[%d]", i), b)
		} else {
			parts.add(p)
		}
		i++
		return true
	})
	parts.flush()
	c.Parts = parts.list
	r.Choices = []chat.Choice{c}
	keep(&r.Extra, "stop_details", v.Get("stop_details"))
	keep(&r.Extra, "container", v.Get("container"))
	keep(&r.Extra, "service_tier", v.Get("usage.service_tier"))
	keep(&r.Extra, "server_tool_use", v.Get("usage.server_tool_use"))
	return r, nil
}

func keep(list *[]chat.Extra, name string, v gjson.Result) {
	if v.Exists() && v.Type != gjson.Null {
		*list = append(*list, chat.Extra{Name: name, JSON: []byte(v.Raw)})
	}
}

// answerPart reads one block of an answer; ok is false for one without a neutral form.
func answerPart(b gjson.Result) (p chat.Part, ok bool) {
	switch b.Get("type").String() {
	case textBlock:
		p = chat.Part{Kind: chat.Text, Text: b.Get("text").String()}
		if c := b.Get("citations"); c.IsArray() && len(c.Array()) > 0 {
			p.Extra = []chat.Extra{{Name: citationsMember, JSON: []byte(c.Raw)}}
			p.Citations = citations(nil, c, 0, len(p.Text))
		}
	case thinkingBlock:
		p = chat.Part{Kind: chat.Thinking, Text: b.Get("thinking").String(), Signature: b.Get("signature").String()}
	case redactedBlock:
		p = chat.Part{Kind: chat.RedactedThinking, Signature: b.Get("data").String()}
	case toolUseBlock:
		args := b.Get("input").Raw
		if args == "" || args == "null" {
			args = "{}"
		}
		p = chat.Part{Kind: chat.ToolCall, Call: &chat.Call{
			ID: b.Get("id").String(), Name: decodeName(b.Get("name").String()), Arguments: args,
		}}
	default:
		return p, false
	}
	return p, true
}

// answerParts gathers an answer's parts and joins text that the service split to hang citations on (D134).
type answerParts struct {
	list  []chat.Part
	text  []byte // of the last part, once a second block has joined it
	cites []byte
}

func (a *answerParts) add(p chat.Part) {
	n := len(a.list)
	if n == 0 || p.Kind != chat.Text || a.list[n-1].Kind != chat.Text {
		a.flush()
		a.list = append(a.list, p)
		return
	}
	last := &a.list[n-1]
	if a.text == nil {
		a.text = append(a.text, last.Text...)
		a.cite(last.Extra)
	}
	for _, c := range p.Citations {
		if len(last.Citations) < maxCitations {
			c.Start, c.End = c.Start+len(a.text), c.End+len(a.text)
			last.Citations = append(last.Citations, c)
		}
	}
	a.text = append(a.text, p.Text...)
	a.cite(p.Extra)
}

// cite adds the entries of one array, which is not empty, to those of the part.
func (a *answerParts) cite(extra []chat.Extra) {
	if len(extra) == 0 {
		return
	}
	raw := bytes.TrimSpace(extra[0].JSON)
	sep := byte('[')
	if len(a.cites) > 0 {
		sep = ','
	}
	a.cites = append(append(a.cites, sep), raw[1:len(raw)-1]...)
}

func (a *answerParts) flush() {
	if a.text == nil {
		return
	}
	last := &a.list[len(a.list)-1]
	last.Text = string(a.text)
	if len(a.cites) > 0 {
		last.Extra = []chat.Extra{{Name: citationsMember, JSON: append(a.cites, ']')}}
	}
	a.text, a.cites = nil, nil
}
