package bedrock

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

// answer checks that a 2xx body is a Converse answer and returns it. The service answers some of its framework's errors with
// a 200 (D127), and a blocked request without a message.
func answer(body []byte) (gjson.Result, *fault.Fault) {
	v, f := object(body)
	if f != nil {
		return v, f
	}
	reason := v.Get("stopReason")
	if v.Get("output.message.content").IsArray() && reason.Type == gjson.String {
		return v, nil
	}
	if !v.Get("output.message").IsObject() && finishOf(reason.Str) == chat.FinishContentFilter {
		return v, nil
	}
	return v, notAnswer(v, body)
}

// object is a 2xx body that is a JSON object.
func object(body []byte) (gjson.Result, *fault.Fault) {
	if len(bytes.TrimSpace(body)) == 0 {
		return gjson.Result{}, fault.New(fault.ProviderFailed, "The provider answered with an empty body.")
	}
	if kind, err := strictjson.CheckLenient(body); err != nil || kind != strictjson.Object {
		return gjson.Result{}, fault.New(fault.ProviderFailed, "The provider's answer is not a JSON object: %s", wire.Clip(body))
	}
	return gjson.ParseBytes(body), nil
}

// notAnswer makes the fault for a 2xx that is none.
func notAnswer(v gjson.Result, body []byte) *fault.Fault {
	if out := v.Get("Output"); out.IsObject() { // {"Output":{"__type":"…#UnknownOperationException"},"Version":"1.0"}
		v = out
	}
	if kind, text := errorOf(v); kind != "" || text != "" {
		return heard(kind, text, 0)
	}
	return fault.New(fault.ProviderFailed, "The provider's answer holds no output: %s", wire.Clip(body))
}

// PeekResponse reads an answer's usage and reason to stop. Converse names neither an id nor the model (D131).
func (Codec) PeekResponse(body []byte) (translate.Seen, error) {
	v, f := answer(body)
	if f != nil {
		return translate.Seen{}, f
	}
	s := translate.Seen{Content: true, End: true, Usage: readUsage(v.Get("usage"))}
	var parts answerParts
	parts.read(v)
	s.RawFinish = v.Get("stopReason").Str
	s.Finish = parts.finish(s.RawFinish)
	for i := range parts.list {
		s.OutputBytes += len(parts.list[i].Text)
		if c := parts.list[i].Call; c != nil {
			s.OutputBytes += len(c.Name) + len(c.Arguments)
		}
	}
	return s, nil
}

// DecodeResponse reads a whole answer. Blocks without a neutral form (images, calls of AWS's own tools) are in Extra as
// output.message.content[i].
func (Codec) DecodeResponse(body []byte) (*chat.Response, error) {
	v, f := answer(body)
	if f != nil {
		return nil, f
	}
	r := &chat.Response{Usage: readUsage(v.Get("usage"))}
	var parts answerParts
	parts.read(v)
	c := chat.Choice{Parts: parts.list, RawFinish: v.Get("stopReason").Str}
	c.Finish = parts.finish(c.RawFinish)
	c.StopSequence = v.Get("additionalModelResponseFields.stop_sequence").String()
	r.Choices = []chat.Choice{c}
	r.Extra = parts.extra
	keep(&r.Extra, "trace", v.Get("trace"))
	keep(&r.Extra, "serviceTier", v.Get("serviceTier"))
	return r, nil
}

func keep(list *[]chat.Extra, name string, v gjson.Result) {
	if v.Exists() && v.Type != gjson.Null {
		*list = append(*list, chat.Extra{Name: name, JSON: []byte(v.Raw)})
	}
}

// answerParts gathers an answer's parts and joins text that the service split to hang citations on (D134).
type answerParts struct {
	list  []chat.Part
	last  []byte // the text of list's last part, which may go on
	extra []chat.Extra
	asked bool // a call is the structured output's: it is shown as text
	calls bool // there are other calls
}

func (a *answerParts) read(v gjson.Result) {
	i := 0
	v.Get("output.message.content").ForEach(func(_, b gjson.Result) bool {
		if !a.block(b) {
			keep(&a.extra, fmt.Sprintf("output.message.content[%d]", i), b)
		}
		i++
		return true
	})
	a.flush()
}

func (a *answerParts) flush() {
	if len(a.last) > 0 {
		a.list[len(a.list)-1].Text = string(a.last)
	}
	a.last = nil
}

// add begins another part.
func (a *answerParts) add(p chat.Part) {
	a.flush()
	a.list = append(a.list, p)
}

// finish: a call of the tool that stands for structured output is no call (D64).
func (a *answerParts) finish(raw string) chat.Finish {
	f := finishOf(raw)
	if f == chat.FinishToolCalls && a.asked && !a.calls {
		return chat.FinishStop
	}
	return f
}

// block adds one content block; false for one without a neutral form.
func (a *answerParts) block(b gjson.Result) bool {
	if text := b.Get("text"); text.Type == gjson.String {
		a.text(text.String(), nil)
		return true
	}
	if c := b.Get("toolUse"); c.IsObject() {
		return a.call(c)
	}
	if c := b.Get("citationsContent"); c.IsObject() {
		var text []byte
		c.Get("content").ForEach(func(_, t gjson.Result) bool {
			text = append(text, t.Get("text").String()...)
			return true
		})
		var cites []chat.Citation
		c.Get("citations").ForEach(func(_, one gjson.Result) bool {
			cites = append(cites, citation(one))
			return true
		})
		a.text(string(text), cites)
		return true
	}
	return a.reasoning(b.Get("reasoningContent"))
}

func (a *answerParts) reasoning(v gjson.Result) bool {
	if t := v.Get("reasoningText"); t.IsObject() {
		sign := chat.Sign(chat.Bedrock, t.Get("signature").String())
		a.add(chat.Part{Kind: chat.Thinking, Text: t.Get("text").String(), Signature: sign})
		return true
	}
	if d := v.Get("redactedContent"); d.Type == gjson.String {
		a.add(chat.Part{Kind: chat.RedactedThinking, Signature: chat.Sign(chat.Bedrock, d.String())})
		return true
	}
	return false
}

func (a *answerParts) call(c gjson.Result) bool {
	if c.Get("type").Exists() { // server_tool_use: the service has made the call itself
		return false
	}
	args, name := c.Get("input").Raw, c.Get("name").String()
	if args == "" || args == "null" {
		args = "{}"
	}
	if name == formatToolName {
		a.asked = true
		a.text(args, nil)
		return true
	}
	a.calls = true
	call := &chat.Call{ID: c.Get("toolUseId").String(), Name: name, Arguments: args}
	a.add(chat.Part{Kind: chat.ToolCall, Call: call})
	return true
}

func (a *answerParts) text(text string, cites []chat.Citation) {
	if n := len(a.list); n == 0 || a.list[n-1].Kind != chat.Text {
		a.add(chat.Part{Kind: chat.Text})
	}
	from := len(a.last)
	a.last = append(a.last, text...)
	for i := range cites {
		cites[i].Start, cites[i].End = from, len(a.last)
	}
	p := &a.list[len(a.list)-1]
	p.Citations = append(p.Citations, cites...)
}

// citation reads Citation and CitationsDelta, which have the same members.
func citation(v gjson.Result) chat.Citation {
	c := chat.Citation{Title: v.Get("title").String(), URL: v.Get("location.web.url").String()}
	if c.URL == "" {
		c.URL = v.Get("source").String()
	}
	var quote []byte
	v.Get("sourceContent").ForEach(func(_, t gjson.Result) bool {
		quote = append(quote, t.Get("text").String()...)
		return true
	})
	c.Quote = string(quote)
	return c
}
