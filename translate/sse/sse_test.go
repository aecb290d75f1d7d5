package sse_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate/sse"
)

// read runs a stream in the given pieces and prints each event on a line.
func read(maxEvent int, pieces ...string) (events []string, raw string, err error) {
	r := sse.NewReader(maxEvent)
	var all strings.Builder
	drain := func() {
		for r.Next() {
			ev := r.Event()
			all.Write(ev.Raw)
			events = append(events, show(ev))
		}
	}
	for _, p := range pieces {
		b := []byte(p)
		r.Feed(b)
		drain()
		for i := range b {
			b[i] = '#' // the caller's buffer is the caller's again
		}
	}
	r.Finish()
	drain()
	return events, all.String(), r.Err()
}

func show(ev *sse.Event) string {
	var b strings.Builder
	if ev.Name != nil {
		fmt.Fprintf(&b, "event=%q ", ev.Name)
	}
	if ev.Data != nil {
		fmt.Fprintf(&b, "data=%q ", ev.Data)
	}
	if ev.Comment != nil {
		fmt.Fprintf(&b, "comment=%q ", ev.Comment)
	}
	if ev.Partial {
		b.WriteString("partial ")
	}
	return strings.TrimSpace(b.String())
}

var cases = []struct {
	name, in string
	want     []string
}{
	{"line feeds", "data: a\n\ndata: b\n\n", []string{`data="a"`, `data="b"`}},
	{"carriage returns and line feeds", "data: a\r\n\r\ndata: b\r\n\r\n", []string{`data="a"`, `data="b"`}},
	{"bare carriage returns", "data: a\r\rdata: b\r\r", []string{`data="a"`, `data="b"`}},
	{"mixed line ends", "event: x\rdata: a\n\r\ndata: b\r\n\n", []string{`event="x" data="a"`, `data="b"`}},
	{"no space behind the colon", "data:a\nevent:x\n\n", []string{`event="x" data="a"`}},
	{"one space only is cut", "data:  a \n\n", []string{`data=" a "`}},
	{"several data lines", "data: a\ndata\ndata:\ndata: b\n\n", []string{`data="a\n\n\nb"`}},
	{"data without a value", "data\n\n", []string{`data=""`}},
	{"a comment", ": OPENROUTER PROCESSING\n\ndata: a\n\n", []string{`comment="OPENROUTER PROCESSING"`, `data="a"`}},
	{"a comment within an event", "data: a\n:ping\ndata: b\n\n", []string{`data="a\nb" comment="ping"`}},
	{"other fields", "id: 7\nretry: 100\nDATA: no\ndatax: no\ndata: a\n\n", []string{`data="a"`}},
	{"a byte order mark", "\ufeffdata: a\n\n\ufeffdata: b\n\n", []string{`data="a"`, ``}},
	{"half a byte order mark", "\xef\xbbdata: a\n\n", []string{``}},
	{"a mark alone", "\ufeff\n", []string{``}},
	{"blank lines", "\n\r\n\rdata: a\n\n\n", []string{``, ``, ``, `data="a"`, ``}},
	{"colons in data", "data: {\"a\": 1}\n\n", []string{`data="{\"a\": 1}"`}},
	{"the last name counts", "event: x\nevent: y\ndata: a\n\n", []string{`event="y" data="a"`}},
	{"an end without a blank line", "data: a\n\ndata: [DONE]\n", []string{`data="a"`, `data="[DONE]" partial`}},
	{"an end within a line", "data: a\n\nevent: x\ndata: {\"b", []string{`data="a"`, `event="x" data="{\"b" partial`}},
	{"an end in a CR", "data: a\r\n\r", []string{`data="a"`}},
	{"an end in the CR of a line", "data: a\r", []string{`data="a" partial`}},
	{"nothing", "", nil},
	{"no stream at all", `{"error":{"message":"x"}}`, []string{`partial`}},
	{"a rune that a split may cut", "data: é漢😀\n\n", []string{`data="é漢😀"`}},
}

func TestReader(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			events, raw, err := read(1<<20, c.in)
			if err != nil || strings.Join(events, "\n") != strings.Join(c.want, "\n") || len(events) != len(c.want) {
				t.Errorf("%q: %q, %v, want %q", c.in, events, err, c.want)
			}
			if raw != c.in {
				t.Errorf("the raw bytes are %q, want %q", raw, c.in)
			}
		})
	}
}

func TestReader_any_split_gives_the_same_events(t *testing.T) {
	for _, c := range cases {
		for i := range len(c.in) + 1 {
			for j := i; j <= len(c.in); j++ {
				same(t, c.in, c.in[:i], c.in[i:j], c.in[j:])
			}
		}
		same(t, c.in, strings.Split(c.in, "")...)
	}
}

func same(t *testing.T, in string, pieces ...string) {
	t.Helper()
	want, _, wantErr := read(64, in)
	got, raw, err := read(64, pieces...)
	if strings.Join(got, "\n") != strings.Join(want, "\n") || len(got) != len(want) || (err == nil) != (wantErr == nil) {
		t.Fatalf("%q in pieces %q: %q (%v), want %q (%v)", in, pieces, got, err, want, wantErr)
	}
	if err == nil && raw != in {
		t.Fatalf("%q in pieces %q: raw %q", in, pieces, raw)
	}
}

func FuzzReader_splits(f *testing.F) {
	for _, c := range cases {
		f.Add(c.in, uint8(1), uint8(3))
	}
	f.Add("data: "+strings.Repeat("x", 100)+"\n\n", uint8(60), uint8(7))
	f.Fuzz(func(t *testing.T, in string, a, b uint8) {
		i := min(int(a), len(in))
		j := min(i+int(b), len(in))
		same(t, in, in[:i], in[i:j], in[j:])
		bytes := make([]string, len(in))
		for k := range bytes {
			bytes[k] = in[k : k+1]
		}
		same(t, in, bytes...)
		if want, got := reference(in), dispatched(in); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("%q: %q, and by the standard's own steps %q", in, got, want)
		}
	})
}

// dispatched are the events that a browser would see.
func dispatched(in string) (out []string) {
	r := sse.NewReader(1 << 20)
	r.Feed([]byte(in))
	for range 2 {
		for r.Next() {
			if ev := r.Event(); ev.Data != nil && !ev.Partial {
				out = append(out, fmt.Sprintf("%q %q", ev.Name, ev.Data))
			}
		}
		r.Finish()
	}
	return out
}

// reference follows the standard line by line over the whole stream.
func reference(in string) (out []string) {
	in = strings.TrimPrefix(in, "\ufeff")
	in = strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(in, "\n")
	var name, data string
	has := false
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if has {
				out = append(out, fmt.Sprintf("%q %q", name, strings.TrimSuffix(data, "\n")))
			}
			name, data, has = "", "", false
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data, has = data+value+"\n", true
		}
	}
	return out
}

func TestReader_bounds_events(t *testing.T) {
	event := "data: 0123456789\n\n"
	if events, _, err := read(len(event), event, event); err != nil || len(events) != 2 {
		t.Errorf("events of just the largest size: %q, %v", events, err)
	}
	for name, pieces := range map[string][]string{
		"one byte over":               {event, "data: 0123456789x\n\n", event},
		"an endless line":             {event, strings.Repeat("x", 1000), strings.Repeat("x", 1000)},
		"endless lines":               {event, strings.Repeat("data: x\n", 1000)},
		"an endless line, bytes":      append([]string{event}, strings.Split(strings.Repeat("x", 1000), "")...),
		"no end, and a byte too many": {event, "data: 0123456789abc"},
	} {
		events, _, err := read(len(event), pieces...)
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.ProviderFailed || !strings.Contains(f.Message, "more than 18 bytes") {
			t.Errorf("%s: %v", name, err)
		}
		if len(events) != 1 {
			t.Errorf("%s: %d events before the fault, want 1", name, len(events))
		}
	}
}

func TestReader_stays_at_its_fault(t *testing.T) {
	r := sse.NewReader(4)
	r.Feed([]byte("data: too long\n\n"))
	for range 3 {
		if r.Next() || r.Err() == nil {
			t.Fatal("the reader went on behind its fault")
		}
		r.Feed([]byte("\n\n"))
	}
}

// An event within one chunk must be a part of that chunk: verbatim relaying costs no copy.
func TestReader_does_not_copy_whole_events(t *testing.T) {
	chunk := []byte("tail\n\ndata: a\n\ndata: b\n\ndata: cut")
	r := sse.NewReader(100)
	r.Feed([]byte("data: begun, "))
	if r.Next() {
		t.Fatal("half an event was returned")
	}
	r.Feed(chunk)
	at := []int{-1, 6, 15}
	for i, want := range at {
		if !r.Next() {
			t.Fatalf("no event %d", i)
		}
		if raw := r.Event().Raw; want >= 0 && &raw[0] != &chunk[want] {
			t.Errorf("event %d (%q) is a copy", i, raw)
		}
	}
	if r.Next() {
		t.Error("half an event was returned")
	}
}

func TestReader_hostile_line_ends_take_linear_time(t *testing.T) {
	for name, in := range map[string]string{
		"bare CRs between lines":  strings.Repeat("x\r", 1<<20),
		"bare CRs between events": strings.Repeat("x\r\r", 1<<19),
		"blank lines":             strings.Repeat("\n", 1<<20),
		"one-byte data lines":     strings.Repeat("data\n", 1<<18),
	} {
		if _, _, err := read(4<<20, in); err != nil { // quadratic work would take minutes
			t.Errorf("%s: %v", name, err)
		}
	}
}
