package anthropic_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

const maxEvent = 1 << 20

func recorded(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/stream.sse")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// events decodes a stream in pieces of n bytes and shows each event as a line.
func events(stream []byte, n int) (lines []string, err error) {
	d := codec.NewDecoder(maxEvent)
	note := func(ev *chat.Event) { lines = append(lines, show(ev)) }
	for len(stream) > 0 {
		k := min(n, len(stream))
		piece := append([]byte(nil), stream[:k]...)
		if err := d.Decode(piece, note); err != nil {
			return lines, err
		}
		for i := range piece { // what an event holds must not be the caller's buffer
			piece[i] = 'X'
		}
		stream = stream[k:]
	}
	return lines, d.Close(note)
}

func show(ev *chat.Event) string {
	s := fmt.Sprintf("%d/%d", ev.Kind, ev.Index)
	switch ev.Kind {
	case chat.EventStart:
		s += fmt.Sprintf(" %s %s %+v", ev.ID, ev.Model, ev.Usage)
	case chat.EventBlockStart:
		s += fmt.Sprintf(" %d %s", ev.Block.Kind, ev.Block.Signature)
		if c := ev.Block.Call; c != nil {
			s += fmt.Sprintf("%s %s", c.ID, c.Name)
		}
	case chat.EventDelta, chat.EventSignature:
		s += fmt.Sprintf(" %q", ev.Text)
	case chat.EventFinish:
		s += fmt.Sprintf(" %s %s %q", ev.Finish, ev.RawFinish, ev.StopSequence)
	case chat.EventUsage:
		s += fmt.Sprintf(" %+v", ev.Usage)
	case chat.EventError:
		s += " " + ev.Fault.Error()
	}
	return s
}

func TestD81_D93_D105_D107_stream_decode(t *testing.T) {
	got, err := events(recorded(t), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1/0 msg_01 claude-haiku-4-5-20251001 {Known:true Input:472 CacheRead:5 CacheWrite:10 CacheWrite1h:20 Output:0 Reasoning:0 AudioInput:0 AudioOutput:0}",
		"10/0",
		"2/0 7 ", `3/0 "Let me "`, `3/0 "see …"`, `4/0 "EqQB"`, "5/0",
		"2/1 8 zz==", "5/1",
		"2/2 1 ", `3/2 "Okay"`, `3/2 ", \"żółw\" 😀\n"`, "5/2",
		"2/3 5 toolu_1 get_weather", `3/3 "{\"location\":"`, `3/3 " \"San Francisco\"}"`, "5/3",
		"2/4 5 toolu_2 foo/bar", `3/4 "{}"`, "5/4",
		`6/0 tool_calls tool_use ""`,
		"7/0 {Known:true Input:472 CacheRead:5 CacheWrite:10 CacheWrite1h:20 Output:89 Reasoning:12 AudioInput:0 AudioOutput:0}",
		"8/0",
	}
	same(t, got, want)
}

func TestD116_every_split_gives_the_same_events(t *testing.T) {
	stream := recorded(t)
	want, err := events(stream, len(stream))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 300; n++ {
		got, err := events(stream, n)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("pieces of %d bytes give\n%s", n, strings.Join(got, "\n"))
		}
	}
}

func data(lines ...string) []byte {
	var b bytes.Buffer
	for _, l := range lines {
		fmt.Fprintf(&b, "data: %s\n\n", l)
	}
	return b.Bytes()
}

const (
	messageStart = `{"type":"message_start","message":{"id":"m","usage":{"input_tokens":1,"output_tokens":1}}}`
	textStart    = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
	textDelta    = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}`
	messageDelta = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}`
	messageStop  = `{"type":"message_stop"}`
)

func TestD118_a_stream_without_its_end_is_a_fault(t *testing.T) {
	for name, stream := range map[string][]byte{
		"nothing":          nil,
		"cut":              data(messageStart, textStart, textDelta),
		"cut before stop":  data(messageStart, textStart, textDelta, messageDelta),
		"cut inside":       []byte("data: " + messageStart + "\n\ndata: {\"type\":\"message_st"),
		"openai's end":     data(messageStart, "[DONE]"),
		"comment only":     []byte(": hello\n\n"),
		"half a blank one": []byte("data: " + messageStop[:len(messageStop)-1]),
	} {
		_, err := events(stream, 7)
		if err == nil {
			t.Errorf("%s: a clean end", name)
			continue
		}
		paramOf(t, err, fault.ProviderFailed)
	}
}

func TestStream_that_is_odd_but_whole(t *testing.T) {
	for name, c := range map[string]struct {
		stream []byte
		want   []string
	}{
		"no blank line at the end": {append(data(messageStart, messageDelta), "event: message_stop\ndata: "+messageStop...), nil},
		"no start":                 {data(textStart, textDelta, messageDelta, messageStop), nil},
		"block left open":          {data(messageStart, textStart, textDelta, messageDelta, messageStop), nil},
		"type in the name only":    {[]byte("event: message_start\ndata: {}\n\nevent: message_stop\ndata: {}\n\n"), nil},
		"more after the end":       {data(messageStop, "<html>"), nil},
		"two starts":               {data(messageStart, messageStart, messageStop), nil},
		"text in the block start":  {data(`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"x","signature":"s"}}`, messageStop), nil},
		"input in the block start": {data(`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{"x":1}}}`, messageStop), nil},
		"stop of nothing":          {data(`{"type":"content_block_stop","index":7}`, messageStop), nil},
		"wrong kinds":              {data(`{"type":"content_block_start","index":0,"content_block":"x"}`, `{"type":"content_block_delta","index":0,"delta":[]}`, `{"type":"message_delta","delta":{"stop_reason":5},"usage":7}`, messageStop), nil},
	} {
		got, err := events(c.stream, 5)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		starts, ends, finishes, open := 0, 0, 0, 0
		for _, l := range got {
			switch strings.SplitN(l, "/", 2)[0] {
			case "1":
				starts++
			case "2":
				open++
			case "5":
				open--
			case "6":
				finishes++
			case "8":
				ends++
			}
		}
		if starts != 1 || ends != 1 || finishes != 1 || open != 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestStream_faults(t *testing.T) {
	many := []string{messageStart}
	for i := range 200 {
		many = append(many, fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":{"type":"text"}}`, i))
	}
	for name, stream := range map[string][]byte{
		"not JSON":          data("<html>"),
		"not an object":     data("[]"),
		"content of no one": data(messageStart, textDelta),
		"too many open":     data(many...),
		"endless line":      []byte("data: " + strings.Repeat("x", maxEvent+1)),
	} {
		_, err := events(stream, 1<<16)
		paramOf(t, err, fault.ProviderFailed)
		if len(err.Error()) > 400 {
			t.Errorf("%s: long message", name)
		}
	}
}

func TestD119_errors_inside_the_stream(t *testing.T) {
	for in, want := range map[string]string{
		`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`:         "overloaded: Overloaded",
		`{"type":"error","error":{"type":"api_error","message":"sk-ant-api03-AAAABBBBCCCC"}}`: "provider_error: [redacted]",
		`{"type":"error"}`: `provider_error: The provider ended its answer with an error: {"type":"error"}`,
	} {
		stream := append(data(messageStart, textStart), "event: error\n"...)
		stream = append(append(stream, data(in)...), data(textDelta, messageStop)...)
		got, err := events(stream, 9)
		if err != nil || got[len(got)-1] != "9/0 "+want {
			t.Errorf("%v: %q, want %s", err, got, want)
		}
	}
}
