package openai_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"dragoman/translate"
	"dragoman/translate/chat"
)

// seeds are the inputs of the golden cases.
func seeds(f *testing.F, folders ...string) (out [][]byte) {
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s: %v", folder, err)
		}
		for _, file := range files {
			a, err := txtar.ParseFile(file)
			if err != nil {
				f.Fatal(err)
			}
			out = append(out, a.Files[0].Data)
		}
	}
	return out
}

// A request that Parse accepts is JSON for everybody, can be rewritten, and when Decode accepts it too, encodes to a
// request that Parse accepts.
func FuzzRequest(f *testing.F) {
	for _, s := range seeds(f, "decode", "encode") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := codec.Parse(in)
		if err != nil {
			return
		}
		var std map[string]json.RawMessage
		if err := json.Unmarshal(in, &std); err != nil || !utf8.Valid(in) {
			t.Fatalf("Parse accepts what is not JSON: %v", err)
		}
		var model string
		if err := json.Unmarshal(std["model"], &model); err != nil || model != h.Model {
			t.Fatalf("the model is %q, encoding/json says %q (%v)", h.Model, model, err)
		}
		up, err := codec.Rewrite(h, translate.Target{Model: "other"})
		if err != nil {
			t.Fatal(err)
		}
		again, err := codec.Parse(up.Body)
		if err != nil || again.Model != "other" || again.Stream && !again.IncludeUsage || again.Messages != h.Messages {
			t.Fatalf("the rewritten request is %s: %v", up.Body, err)
		}
		r, err := codec.Decode(h)
		if err != nil {
			return
		}
		up, err = codec.Encode(r, translate.Target{Model: "other", Lossy: true})
		if err != nil {
			t.Fatalf("a lossy target refuses: %v", err)
		}
		if _, err := codec.Parse(up.Body); err != nil {
			t.Fatalf("the encoded request is refused: %v\n%s", err, up.Body)
		}
	})
}

// Any bytes in any split give the same events and the same output, in the order that chat.EventKind promises.
func FuzzStream(f *testing.F) {
	for _, s := range seeds(f, "stream") {
		f.Add(s, uint16(7), uint16(40))
	}
	f.Fuzz(func(t *testing.T, in []byte, a, b uint16) {
		events, out, err := throughDecoder(in)
		i := min(int(a), len(in))
		j := min(i+int(b), len(in))
		bytes := make([][]byte, len(in))
		for k := range in {
			bytes[k] = append([]byte(nil), in[k])
		}
		for _, pieces := range [][][]byte{{in[:i], in[i:j], in[j:]}, bytes} {
			e2, o2, err2 := throughDecoder(pieces...)
			if anonymous(e2) != anonymous(events) || anonymous(o2) != anonymous(out) || (err == nil) != (err2 == nil) {
				t.Fatalf("split %d %d: %v\n%s\nwhole: %v\n%s", i, j, err2, e2, err, events)
			}
		}
		if !utf8.ValidString(out) {
			t.Fatalf("the output is not UTF-8: %q", out)
		}
		ordered(t, in)
		tapped(t, in, i, j)
	})
}

// anonymous hides the ids that are made by chance.
func anonymous(s string) string {
	for {
		i := strings.Index(s, "call_")
		if i < 0 {
			return s
		}
		end := i + 5
		for end < len(s) && s[end] != '"' {
			end++
		}
		s = s[:i] + "id" + s[end:]
	}
}

// ordered checks the events' order: Start first, blocks opened before their deltas and closed once, nothing after End.
func ordered(t *testing.T, in []byte) {
	t.Helper()
	type place struct{ choice, index int }
	open, next := map[place]bool{}, map[int]int{}
	finished := map[int]bool{}
	started, over := false, false
	bad := func(ev *chat.Event, why string) { t.Fatalf("%s: %s\n%q", why, show(ev), in) }
	emit := func(ev *chat.Event) {
		at := place{ev.Choice, ev.Index}
		if over {
			bad(ev, "something follows the end")
		}
		if !started && ev.Kind != chat.EventStart && ev.Kind != chat.EventPing && ev.Kind != chat.EventError {
			bad(ev, "before the start")
		}
		switch ev.Kind {
		case chat.EventStart:
			if started {
				bad(ev, "a second start")
			}
			started = true
		case chat.EventBlockStart:
			if ev.Index != next[ev.Choice] || finished[ev.Choice] {
				bad(ev, "a block out of order")
			}
			next[ev.Choice]++
			open[at] = true
		case chat.EventDelta, chat.EventSignature:
			if !open[at] || ev.Text == "" {
				bad(ev, "a delta without its block, or empty")
			}
		case chat.EventBlockStop:
			if !open[at] {
				bad(ev, "closed twice")
			}
			delete(open, at)
		case chat.EventFinish:
			for p := range open {
				if p.choice == ev.Choice {
					bad(ev, "a block is still open")
				}
			}
			if finished[ev.Choice] {
				bad(ev, "finished twice")
			}
			finished[ev.Choice] = true
		case chat.EventEnd, chat.EventError:
			over = true
		}
	}
	dec := codec.NewDecoder(1 << 20)
	if dec.Decode(in, emit) == nil {
		if dec.Close(emit) == nil && !over {
			t.Fatalf("a stream without an end was taken as whole: %q", in)
		}
	}
}

// tapped checks that a tap passes the same bytes for any split.
func tapped(t *testing.T, in []byte, i, j int) {
	t.Helper()
	run := func(pieces ...[]byte) (string, string, bool) {
		tap := codec.NewTap(1<<20, translate.Answer{})
		var out []byte
		var err error
		for _, p := range pieces {
			if out, err = tap.Write(out, p); err != nil {
				break
			}
		}
		if err == nil {
			out, err = tap.Close(out)
		}
		seen := *tap.Seen()
		seen.FirstContent = false
		return string(out), dump(seen), err == nil
	}
	out, seen, ok := run(in)
	o2, s2, ok2 := run(in[:i], in[i:j], in[j:])
	if out != o2 || seen != s2 || ok != ok2 {
		t.Fatalf("split %d %d: %q\n%s\nwhole: %q\n%s", i, j, o2, s2, out, seen)
	}
}

// Whatever a provider answers gives a fault or an answer that encodes to JSON.
func FuzzResponse(f *testing.F) {
	for _, s := range seeds(f, "response") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := codec.DecodeResponse(in)
		if _, peeked := codec.PeekResponse(in); (err == nil) != (peeked == nil) && utf8.Valid(in) {
			t.Fatalf("DecodeResponse says %v, PeekResponse %v", err, peeked)
		}
		f := codec.DecodeFault(500, noHeader, in)
		if f.Message == "" || len(f.Message) > 4*330+80 || !utf8.ValidString(f.Message) {
			t.Fatalf("the message is %q", f.Message)
		}
		if err != nil {
			return
		}
		body, err := codec.EncodeResponse(r, reply)
		if err != nil || !json.Valid(body) || !utf8.Valid(body) {
			t.Fatalf("%s is not JSON: %v", body, err)
		}
		for _, c := range r.Choices {
			for _, p := range c.Parts {
				if p.Call != nil && !json.Valid([]byte(p.Call.Arguments)) {
					t.Fatalf("arguments %q", p.Call.Arguments)
				}
			}
		}
	})
}
