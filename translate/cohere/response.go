package cohere

import (
	"bytes"
	"strconv"
	"strings"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// DecodeResponse reads a whole answer. It names no model: the schema has no place for one.
func (Codec) DecodeResponse(body []byte) (*chat.Response, error) {
	var a answer
	body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	if f := a.whole(body); f != nil {
		return nil, f
	}
	word := clone(a.finish)
	c := chat.Choice{Finish: finishOf(word, len(a.calls) > 0), RawFinish: word, LogProbs: readLogProbs(a.logprobs)}
	places := make([]int, len(a.items)) // of the content blocks among the parts
	for i := range a.items {
		places[i] = -1
		if p := a.items[i].part(); p.Text != "" {
			places[i] = len(c.Parts)
			c.Parts = append(c.Parts, p)
		}
	}
	plan := -1
	if a.plan != nil {
		plan = len(c.Parts)
		c.Parts = append(c.Parts, chat.Part{Kind: chat.Text, Text: clone(a.plan)}) // D44
	}
	cite(c.Parts, places, plan, a.citations)
	id := clone(a.id)
	for i := range a.calls {
		c.Parts = append(c.Parts, chat.Part{Kind: chat.ToolCall, Call: a.calls[i].call(id, i)})
	}
	return &chat.Response{ID: id, Choices: []chat.Choice{c}, Usage: a.counts.usage, Billed: a.counts.billed}, nil
}

func clone(raw []byte) string { return strings.Clone(strictjson.Text(raw)) }

func (i *item) part() chat.Part {
	if i.thinking {
		return chat.Part{Kind: chat.Thinking, Text: clone(i.text), Signature: ownThinking}
	}
	return chat.Part{Kind: chat.Text, Text: clone(i.text)}
}

// call is a whole tool call. A model can write arguments that are no JSON object; another schema's client gets them in
// one, so that it can show the model its mistake.
func (c *callPiece) call(answerID string, n int) *chat.Call {
	out := &chat.Call{ID: clone(c.id), Name: clone(c.name)}
	if out.ID == "" {
		out.ID = callID(answerID, n)
	}
	text := clone(c.arguments)
	arguments, ok := objectText(text)
	if !ok {
		arguments = string(append(strictjson.AppendString([]byte(`{"INVALID_JSON":`), text), '}'))
	}
	out.Arguments = arguments
	return out
}

// PeekResponse reads what accounting needs of a whole answer.
func (Codec) PeekResponse(body []byte) (translate.Seen, error) {
	var a answer
	if f := a.whole(body); f != nil {
		return translate.Seen{}, f
	}
	word := clone(a.finish)
	return translate.Seen{
		ID: clone(a.id), Usage: a.counts.usage, Billed: a.counts.billed, Finish: finishOf(word, len(a.calls) > 0), RawFinish: word,
		Content: true, End: true, OutputBytes: a.outputBytes(),
	}, nil
}

// cite gives the parts the citations that rest on them (D134): each names a content block, or the plan.
func cite(parts []chat.Part, places []int, plan int, raw []byte) {
	if raw == nil {
		return
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object {
			continue
		}
		c := readCitation(s)
		at := plan
		if !c.plan {
			at = c.place(places, parts)
		}
		if at >= 0 {
			p := &parts[at]
			p.Citations = append(p.Citations, c.neutral(p.Text)...)
		}
	}
}

// place is the part that a citation's content block became. Without an index it is the first text.
func (c *citation) place(places []int, parts []chat.Part) int {
	if c.index >= 0 {
		if c.index < len(places) {
			return places[c.index]
		}
		return -1
	}
	for _, at := range places {
		if at >= 0 && parts[at].Kind == chat.Text {
			return at
		}
	}
	return -1
}

// callID is an id for a call that came without one: from the answer's, which is unique (D34).
func callID(id string, n int) string { return chat.CallID("call_"+id+"_"+strconv.Itoa(n), 64) }
