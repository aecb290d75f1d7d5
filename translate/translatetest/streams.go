package translatetest

import (
	"bytes"
	"fmt"
	"testing"

	"dragoman/translate"
	"dragoman/translate/chat"
)

// eventLines decodes a stream cut into pieces at the given offsets, shows each event as a line, and writes the events
// with the codec's own encoder.
func eventLines(c Codec, stream []byte, cuts ...int) (lines []string, sent []byte, err error) {
	d, e := c.NewDecoder(maxEvent), c.NewEncoder(Answer)
	failed := false
	emit := func(ev *chat.Event) {
		lines = append(lines, line(ev))
		if !failed {
			sent = e.Encode(sent, ev)
		}
		failed = failed || ev.Kind == chat.EventError
	}
	from := 0
	for _, to := range append(cuts, len(stream)) {
		piece := append([]byte(nil), stream[from:to]...)
		if err := d.Decode(piece, emit); err != nil {
			return lines, sent, err
		}
		for i := range piece {
			piece[i] = '\n' // an event must not hold the caller's bytes
		}
		from = to
	}
	return lines, sent, d.Close(emit)
}

// line shows an event whole. It is called for every event of every split, so that it formats only what is set.
func line(ev *chat.Event) string {
	b := fmt.Appendf(nil, "%d %d/%d", ev.Kind, ev.Choice, ev.Index)
	for _, text := range [...]string{ev.Text, ev.ID, ev.Model, string(ev.Finish), ev.RawFinish, ev.StopSequence, string(ev.LogProbs), ev.Block.Text, ev.Block.Signature} {
		b = append(append(b, '|'), text...)
	}
	if ev.Created != 0 || ev.Usage != (chat.Usage{}) {
		b = fmt.Appendf(b, " %d %+v", ev.Created, ev.Usage)
	}
	if ev.Kind == chat.EventBlockStart {
		b = fmt.Appendf(b, " block %d %v %+v", ev.Block.Kind, ev.Block.Call, ev.Block.Extra)
	}
	if ev.Fault != nil {
		b = fmt.Appendf(b, " fault %+v", *ev.Fault)
	}
	return string(b)
}

// stream: each byte is a place where the stream may be cut in two, and one byte at a time is well, too.
func stream(t *testing.T, c Codec, k *Case) {
	want, sent, err := eventLines(c, k.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if _, again, _ := eventLines(c, k.Stream); !bytes.Equal(sent, again) {
		t.Errorf("not the same bytes:\n%s\n%s", sent, again)
	}
	for at := range len(k.Stream) {
		got, gotSent, err := eventLines(c, k.Stream, at)
		if err != nil || !bytes.Equal(gotSent, sent) {
			t.Fatalf("cut at %d: %v\n%s", at, err, gotSent)
		}
		same(t, fmt.Sprintf("cut at %d", at), got, want)
	}
	every := make([]int, len(k.Stream))
	for i := range every {
		every[i] = i
	}
	got, _, err := eventLines(c, k.Stream, every...)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "byte by byte", got, want)

	if crlf, _, err := eventLines(c, bytes.ReplaceAll(k.Stream, []byte("\n"), []byte("\r\n"))); err != nil {
		t.Error(err)
	} else {
		same(t, "with CRLF", crlf, want)
	}
	if k.Status == 200 {
		streamOfAnswer(t, c, sent)
	}
}

// streamOfAnswer: what the codec writes as a stream, it reads as the same answer.
func streamOfAnswer(t *testing.T, c Codec, sent []byte) {
	t.Helper()
	read := func(stream []byte) *chat.Response {
		acc, d := chat.NewAccumulator(1<<20), c.NewDecoder(maxEvent)
		if err := d.Decode(stream, acc.Add); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(acc.Add); err != nil {
			t.Fatalf("%v:\n%s", err, stream)
		}
		r, ok := acc.Response()
		if !ok {
			t.Fatalf("no answer in\n%s", stream)
		}
		return r
	}
	first := read(sent)
	e := c.NewEncoder(Answer)
	var replayed []byte
	chat.Replay(first, func(ev *chat.Event) { replayed = e.Encode(replayed, ev) })
	same(t, "replayed stream", read(replayed), first)
}

// cutStream: a stream that ends anywhere before its terminal event is a fault (D118), for the decoder and for the tap. A
// provider's own error event is an end as well.
func cutStream(t *testing.T, c Codec, k *Case) {
	if k.Status != 200 {
		return
	}
	body := bytes.TrimRight(k.Stream, "\n")
	last := bytes.LastIndex(body, []byte("\n\n"))
	for n := range last {
		if _, _, err := eventLines(c, body[:n:n]); err == nil {
			t.Fatalf("cut at %d is a clean end", n)
		} else {
			mustFault(t, err, "cut stream")
		}
		tap := c.NewTap(maxEvent, Answer)
		out, err := tap.Write(nil, body[:n:n])
		if err == nil {
			out, err = tap.Close(out)
		}
		mustFault(t, err, "cut tap")
		if !bytes.HasPrefix(body, out) {
			t.Fatalf("cut at %d: the tap passed %s", n, out)
		}
	}
}

// tap passes every byte in any split, and sees what the decoder tells.
func tap(t *testing.T, c translate.Provider, k *Case) {
	var want translate.Seen
	d := c.NewDecoder(maxEvent)
	if err := d.Decode(k.Stream, want.Note); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(want.Note); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= len(k.Stream); n = n*3/2 + 1 {
		tap := c.NewTap(maxEvent, Answer)
		var out []byte
		var err error
		for from := 0; from < len(k.Stream); from += n {
			if out, err = tap.Write(out, append([]byte(nil), k.Stream[from:min(from+n, len(k.Stream))]...)); err != nil {
				t.Fatal(err)
			}
		}
		if out, err = tap.Close(out); err != nil || !bytes.Equal(out, k.Stream) {
			t.Fatalf("pieces of %d (%v):\n%s", n, err, out)
		}
		s := tap.Seen()
		if s.ID != want.ID || s.Model != want.Model || s.Usage != want.Usage || s.Finish != want.Finish || s.RawFinish != want.RawFinish ||
			s.Content != want.Content || s.End != want.End || (s.Fault == nil) != (want.Fault == nil) ||
			s.OutputBytes < want.OutputBytes || s.OutputBytes > 2*want.OutputBytes+64 { // an estimate: it may count escapes and names
			t.Fatalf("pieces of %d: the tap saw %+v, the decoder %+v", n, *s, want)
		}
	}
}
