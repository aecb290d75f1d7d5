package openai

import (
	"bytes"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/sse"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// tap watches a stream whose bytes pass.
type tap struct {
	r     *sse.Reader
	s     strictjson.Scanner
	a     answer
	seen  translate.Seen
	usage bool // the client asked for the usage chunk
	calls bool
	begun bool // ID and Model are known
	some  bool // a choice has come
	noise []byte
}

// NewTap makes the state of one stream.
func (Codec) NewTap(maxEvent int, o translate.Answer) translate.Tap {
	return &tap{r: sse.NewReader(maxEvent), usage: o.IncludeUsage}
}

// Seen is what has passed.
func (t *tap) Seen() *translate.Seen { return &t.seen }

// Write appends the complete events of p as they came, without the usage chunk that only the gateway asked for (D92).
func (t *tap) Write(dst, p []byte) ([]byte, error) {
	t.seen.FirstContent = false
	t.r.Feed(p)
	for t.r.Next() {
		var f *fault.Fault
		if dst, f = t.event(dst, t.r.Event()); f != nil {
			return dst, f
		}
	}
	return dst, t.r.Err()
}

// Close ends the stream. Behind [DONE] the blank line may be missing, and is added.
func (t *tap) Close(dst []byte) ([]byte, error) {
	t.seen.FirstContent = false
	t.r.Finish()
	for t.r.Next() {
		ev := t.r.Event()
		if ev.Partial {
			if ev.Data == nil {
				t.noise = addNoise(t.noise, ev.Raw)
			}
			if ev.Data == nil || !isDone(ev.Data) || t.seen.End || !t.some {
				break
			}
			t.seen.End = true
			dst = append(append(dst, ev.Raw...), "\n\n"...)
			break
		}
		var f *fault.Fault
		if dst, f = t.event(dst, ev); f != nil {
			return dst, f
		}
	}
	if t.seen.End || t.seen.Fault != nil {
		return dst, nil
	}
	return dst, cut(t.noise)
}

func (t *tap) event(dst []byte, ev *sse.Event) ([]byte, *fault.Fault) {
	if t.seen.End || t.seen.Fault != nil {
		return dst, nil // nothing follows the end
	}
	if ev.Data == nil && ev.Comment == nil && len(bytes.TrimSpace(ev.Raw)) > 0 {
		t.noise = addNoise(t.noise, ev.Raw) // a web page, perhaps: nothing that a client of the schema can read
		return dst, nil
	}
	if len(ev.Data) == 0 {
		return append(dst, ev.Raw...), nil // a comment
	}
	if isDone(ev.Data) {
		if !t.some {
			return dst, noAnswer()
		}
		t.seen.End = true
		t.seen.Events++
		return append(dst, ev.Raw...), nil
	}
	t.s.Reset(ev.Data, true)
	if !t.a.read(&t.s, false) {
		return dst, fault.New(fault.ProviderFailed, "The provider sent a stream event that is no JSON object: %s", wire.Clip(ev.Data))
	}
	t.seen.Events++
	if t.a.err != nil || string(ev.Name) == "error" {
		t.seen.Fault = errorEvent(&t.a, ev.Data)
		if text := string(ev.Data); wire.Redact(text) != text {
			return appendFaultEvent(dst, t.seen.Fault), nil // it repeats a credential
		}
		return append(dst, ev.Raw...), nil
	}
	t.note()
	if t.a.usage != nil && len(t.a.choices) == 0 && !t.usage {
		return dst, nil
	}
	return append(dst, ev.Raw...), nil
}

// note reads a chunk for the accounting.
func (t *tap) note() {
	a, seen := &t.a, &t.seen
	t.some = t.some || len(a.choices) > 0
	if !t.begun && (a.id != nil || len(a.choices) > 0) {
		t.begun = true
		seen.ID, seen.Model = string(strictjson.AppendText(nil, a.id)), string(strictjson.AppendText(nil, a.model))
	}
	if a.usage != nil {
		if u := readUsage(a.usage); u.Known {
			seen.Usage = u
		}
	}
	t.calls = t.calls || len(a.calls) > 0
	n := a.outputBytes()
	seen.OutputBytes += n
	content := n > 0
	for i := range a.choices {
		c := &a.choices[i]
		content = content || c.images != nil
		if c.finish != nil {
			seen.Finish, seen.RawFinish, _ = c.end(t.calls)
			content = true
		}
	}
	if content && !seen.Content {
		seen.Content, seen.FirstContent = true, true
	}
}
