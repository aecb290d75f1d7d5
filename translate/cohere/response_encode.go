package cohere

import (
	"strconv"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// EncodeResponse writes a whole answer. Text before tool calls is their plan (D44); other choices than the first have no
// place, and nobody could have asked for them.
func (Codec) EncodeResponse(r *chat.Response, o translate.Answer) ([]byte, error) {
	var c chat.Choice
	if len(r.Choices) > 0 {
		c = r.Choices[0]
	}
	w := messageWriter{b: make([]byte, 0, sizeOfAnswer(&c))}
	w.b = strictjson.AppendString(append(w.b, `{"id":`...), answerID(r.ID, o))
	w.b = strictjson.AppendString(append(w.b, `,"finish_reason":`...), finishWord(c.Finish, c.RawFinish))
	w.message(c.Parts)
	if r.Usage.Known {
		w.b = appendUsage(append(w.b, `,"usage":`...), &r.Usage, &r.Billed)
	}
	if c.LogProbs != nil {
		w.b = append(appendLogProbs(append(w.b, `,"logprobs":[`...), c.LogProbs), ']')
	}
	return append(w.b, '}'), nil
}

// answerID is the provider's id where it gave one (D132), else one made from the request's.
func answerID(id string, o translate.Answer) string {
	if id == "" {
		return o.RequestID
	}
	return id
}

func sizeOfAnswer(c *chat.Choice) int {
	n := 512 + len(c.LogProbs)
	for i := range c.Parts {
		n += 2 * c.Parts[i].Size()
	}
	return n
}

// messageWriter writes the message of an answer.
type messageWriter struct{ b []byte }

func (w *messageWriter) message(parts []chat.Part) {
	w.b = append(w.b, `,"message":{"role":"assistant"`...)
	calls := 0
	for i := range parts {
		if parts[i].Kind == chat.ToolCall && parts[i].Call != nil {
			calls++
		}
	}
	w.content(parts, calls > 0)
	if calls > 0 {
		w.plan(parts)
		w.calls(parts)
	}
	w.citations(parts, calls > 0)
	w.b = append(w.b, '}')
}

// shown says whether a part is a content block of the message. What is signed or hidden for another schema's models has no
// place here.
func shown(p *chat.Part, calls bool) bool {
	switch p.Kind {
	case chat.Text, chat.Refusal:
		return !calls && p.Text != ""
	case chat.Image, chat.Audio, chat.Document:
		return !calls && p.Media != nil
	case chat.Thinking:
		return p.Text != ""
	default:
		return false
	}
}

// spokenOf is a part's text. An answer has no place for what a model made beside text; that it was made must not be lost.
func spokenOf(p *chat.Part) string {
	if p.Media == nil {
		return p.Text
	}
	return "[The model made a file of the type " + strconv.Quote(wire.ClipText(p.Media.Type)) + " here, which an answer of this API has no place for.]"
}

func (w *messageWriter) content(parts []chat.Part, calls bool) {
	sep := `,"content":[`
	for i := range parts {
		p := &parts[i]
		if !shown(p, calls) {
			continue
		}
		w.b = append(w.b, sep...)
		sep = `,`
		kind := textType
		if p.Kind == chat.Thinking {
			kind = thinkingType
		}
		w.b = append(append(append(w.b, `{"type":"`...), kind...), `","`...)
		w.b = append(append(w.b, kind...), `":`...)
		w.b = append(strictjson.AppendString(w.b, spokenOf(p)), '}')
	}
	switch {
	case sep == `,`:
		w.b = append(w.b, ']')
	case !calls: // an answer without a word
		w.b = append(w.b, `,"content":[{"type":"text","text":""}]`...)
	}
}

func (w *messageWriter) plan(parts []chat.Part) {
	var texts []chat.Part
	for i := range parts {
		if p := &parts[i]; (p.Kind == chat.Text || p.Kind == chat.Refusal) && p.Text != "" {
			texts = append(texts, *p)
		}
	}
	e := encoder{b: w.b}
	e.plan(texts)
	w.b = e.b
}

func (w *messageWriter) calls(parts []chat.Part) {
	sep := `,"tool_calls":[`
	for i := range parts {
		if c := parts[i].Call; parts[i].Kind == chat.ToolCall && c != nil {
			w.b = append(w.b, sep...)
			sep = `,`
			w.b = appendCall(w.b, c.ID, c.Name, c.Arguments)
		}
	}
	w.b = append(w.b, ']')
}

func (w *messageWriter) citations(parts []chat.Part, calls bool) {
	sep, index := `,"citations":[`, 0
	for i := range parts {
		p := &parts[i]
		if !shown(p, calls) {
			continue
		}
		if len(p.Citations) > 0 {
			w.b = append(w.b, sep...)
			sep = `,`
			w.b = appendCitations(w.b, p.Citations, p.Text, index)
		}
		index++
	}
	if sep == `,` {
		w.b = append(w.b, ']')
	}
}
