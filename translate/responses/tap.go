package responses

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
	in    streamEvent
	seen  translate.Seen
	noise []byte
}

// NewTap makes the state of one stream. Its usage stands in the terminal event, which every client wants.
func (Codec) NewTap(maxEvent int, _ translate.Answer) translate.Tap {
	return &tap{r: sse.NewReader(maxEvent)}
}

// Seen is what has passed.
func (t *tap) Seen() *translate.Seen { return &t.seen }

// Write appends the complete events of p as they came.
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

// Close ends the stream. Behind the terminal event the blank line may be missing, and is added.
func (t *tap) Close(dst []byte) ([]byte, error) {
	t.seen.FirstContent = false
	t.r.Finish()
	for t.r.Next() {
		ev := t.r.Event()
		if ev.Partial && ev.Data != nil && (readEvent(&t.s, &t.in, ev.Data) != nil || !t.in.terminal()) {
			break
		}
		var f *fault.Fault
		if dst, f = t.event(dst, ev); f != nil {
			return dst, f
		}
		if ev.Partial && t.seen.End {
			dst = append(dst, "\n\n"...)
		}
	}
	if t.seen.End || t.seen.Fault != nil {
		return dst, nil
	}
	return dst, cut(t.noise)
}

func (t *tap) event(dst []byte, ev *sse.Event) ([]byte, *fault.Fault) {
	switch {
	case t.seen.End || t.seen.Fault != nil && len(ev.Data) == 0:
		return dst, nil // nothing follows the end
	case ev.Data == nil && ev.Comment == nil && len(bytes.TrimSpace(ev.Raw)) > 0:
		t.noise = addNoise(t.noise, ev.Raw) // a web page, perhaps: nothing that a client of the schema can read
		return dst, nil
	case len(ev.Data) == 0 || string(bytes.TrimSpace(ev.Data)) == "[DONE]":
		return append(dst, ev.Raw...), nil // a comment
	}
	f := readEvent(&t.s, &t.in, ev.Data)
	if t.seen.Fault != nil {
		if f == nil && t.in.kind == eventFailed { // it repeats the error event
			return t.pass(dst, ev), nil
		}
		return dst, nil
	}
	if f != nil {
		return dst, f
	}
	t.seen.Events++
	if f = t.in.failure(ev.Name, ev.Data); f != nil {
		t.seen.Fault = f
		return t.pass(dst, ev), nil
	}
	if t.in.terminal() && t.in.response == nil {
		return dst, fault.New(fault.ProviderFailed, "The provider ended its stream without a response in it.")
	}
	t.note()
	return append(dst, ev.Raw...), nil
}

// pass lets an error event through, unless it repeats a credential: then it is said in the gateway's own words.
func (t *tap) pass(dst []byte, ev *sse.Event) []byte {
	if text := string(ev.Data); wire.Redact(text) != text {
		e := &streamEncoder{seq: t.seen.Events}
		return e.Fault(dst, t.seen.Fault)
	}
	return append(dst, ev.Raw...)
}

// note reads an event for the accounting.
func (t *tap) note() {
	in, seen := &t.in, &t.seen
	content := false
	switch in.kind {
	case eventCreated:
		t.identify()
	case eventText, eventRefusal, eventArguments, eventInput, eventSummary, eventReasoning:
		if in.delta != nil {
			seen.OutputBytes += len(in.delta) - len(`""`)
			content = true
		}
	case eventItemAdded:
		it := readOutput(in.item)
		kind := strictjson.Text(it.kind)
		content = kind == callItem || kind == customItem
		seen.OutputBytes += len(it.name)
	case eventCompleted, eventIncomplete:
		t.end()
		content = true
	}
	if content && !seen.Content {
		seen.Content, seen.FirstContent = true, true
	}
}

// identify reads who answers.
func (t *tap) identify() {
	if t.seen.ID != "" || t.in.response == nil {
		return
	}
	var o object
	s := strictjson.NewLenient(t.in.response)
	defer s.Release()
	o.read(s)
	t.seen.ID, t.seen.Model = clone(o.id), clone(o.model)
}

// end reads what only the terminal event says.
func (t *tap) end() {
	t.identify()
	var o object
	s := strictjson.NewLenient(t.in.response)
	defer s.Release()
	o.read(s)
	size, calls := measure(o.output)
	if t.seen.OutputBytes == 0 {
		t.seen.OutputBytes = size
	}
	t.seen.Finish, t.seen.RawFinish = finishOf(clone(o.status), clone(o.reason), calls)
	t.seen.Usage, t.seen.End = readUsage(o.usage), true
}
