package anthropic_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/packages/ssestream"

	"dragoman/internal/fault"
	"dragoman/translate"
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

// through translates a provider's events into a client's stream.
func through(evs []chat.Event) []byte {
	e := codec.NewEncoder(translate.Answer{RequestID: "r1", Model: "asked"})
	var out []byte
	for i := range evs {
		out = e.Encode(out, &evs[i])
	}
	return out
}

// accumulate reads a stream as the vendor's SDK does, and checks the order of its events on the way.
func accumulate(t *testing.T, stream []byte) (sdk.Message, error) {
	t.Helper()
	s := ssestream.NewStream[sdk.MessageStreamEventUnion](sseDecoder(stream), nil)
	var m sdk.Message
	open, next, starts := int64(-1), int64(0), 0
	for s.Next() {
		ev := s.Current()
		switch ev.Type {
		case "message_start":
			starts++
		case "content_block_start":
			if open >= 0 || ev.Index != next {
				t.Errorf("block %d starts while %d is open", ev.Index, open)
			}
			open, next = ev.Index, next+1
		case "content_block_delta":
			if ev.Index != open {
				t.Errorf("delta for %d while %d is open", ev.Index, open)
			}
		case "content_block_stop":
			if ev.Index != open {
				t.Errorf("%d stops while %d is open", ev.Index, open)
			}
			open = -1
		}
		if err := m.Accumulate(ev); err != nil {
			t.Fatal(err)
		}
	}
	if s.Err() == nil && (open >= 0 || starts != 1) {
		t.Errorf("%d starts, block %d open at the end", starts, open)
	}
	return m, s.Err()
}

// sseLines is a minimal server-sent-events reader for the SDK's Stream.
type sseLines struct {
	s  *bufio.Scanner
	ev ssestream.Event
}

func sseDecoder(stream []byte) ssestream.Decoder {
	return &sseLines{s: bufio.NewScanner(bytes.NewReader(stream))}
}

func (d *sseLines) Next() bool {
	d.ev = ssestream.Event{}
	for d.s.Scan() {
		line := d.s.Text()
		if line == "" {
			return true
		}
		name, value, _ := strings.Cut(line, ": ")
		if name == "event" {
			d.ev.Type = value
		} else {
			d.ev.Data = []byte(value)
		}
	}
	return false
}
func (d *sseLines) Event() ssestream.Event { return d.ev }
func (d *sseLines) Close() error           { return nil }
func (d *sseLines) Err() error             { return d.s.Err() }

func TestStream_round_trip_is_what_the_SDK_reads(t *testing.T) {
	d := codec.NewDecoder(maxEvent)
	e := codec.NewEncoder(translate.Answer{})
	var out []byte
	if err := d.Decode(recorded(t), func(ev *chat.Event) { out = e.Encode(out, ev) }); err != nil {
		t.Fatal(err)
	}
	m, err := accumulate(t, out)
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != "msg_01" || m.StopReason != "tool_use" || len(m.Content) != 5 {
		t.Fatalf("got %+v", m)
	}
	c := m.Content
	if c[0].Thinking != "Let me see …" || c[0].Signature != "EqQB" || c[1].Data != "zz==" || c[2].Text != "Okay, \"żółw\" 😀\n" ||
		string(c[3].Input) != `{"location": "San Francisco"}` || c[4].Name != "foo/bar" || string(c[4].Input) != `{}` {
		t.Errorf("got %+v", c)
	}
	if u := m.Usage; u.InputTokens != 472 || u.OutputTokens != 89 || u.CacheCreationInputTokens != 30 || u.CacheReadInputTokens != 5 || u.OutputTokensDetails.ThinkingTokens != 12 {
		t.Errorf("usage %+v", u)
	}
}

func TestD107_D109_D113_stream_of_an_OpenAI_provider(t *testing.T) {
	out := through([]chat.Event{
		{Kind: chat.EventPing},
		{Kind: chat.EventStart, ID: "chatcmpl-1"},
		{Kind: chat.EventBlockStart, Index: 0, Block: chat.Part{Kind: chat.Thinking}},
		{Kind: chat.EventDelta, Index: 0, Text: "hm"},
		{Kind: chat.EventBlockStop, Index: 0},
		{Kind: chat.EventBlockStart, Index: 1, Block: chat.Part{Kind: chat.Text}},
		{Kind: chat.EventDelta, Index: 1, Text: "a"},
		{Kind: chat.EventDelta, Index: 1, Text: ""},
		{Kind: chat.EventBlockStart, Index: 2, Block: call("c1", "f", "")},
		{Kind: chat.EventDelta, Index: 2, Text: `{"x"`},
		{Kind: chat.EventBlockStop, Index: 1},
		{Kind: chat.EventBlockStart, Index: 3, Block: call("c2", "g", "")},
		{Kind: chat.EventDelta, Index: 3, Text: `{"y":`},
		{Kind: chat.EventDelta, Index: 2, Text: `:1}`},
		{Kind: chat.EventBlockStart, Choice: 1, Index: 0, Block: chat.Part{Kind: chat.Text}},
		{Kind: chat.EventBlockStart, Index: 4, Block: call("c3", "h", `{}`)},
		{Kind: chat.EventDelta, Index: 3, Text: `2}`},
		{Kind: chat.EventFinish, Finish: chat.FinishToolCalls, RawFinish: "tool_calls"},
		{Kind: chat.EventUsage, Usage: chat.Usage{}},
		{Kind: chat.EventUsage, Usage: chat.Usage{Known: true, Input: 7, CacheRead: 2, Output: 5}},
		{Kind: chat.EventEnd},
		{Kind: chat.EventPing},
		{Kind: chat.EventEnd},
	})
	m, err := accumulate(t, out)
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != "msg_chatcmpl-1" || m.Model != "asked" || m.StopReason != "tool_use" || len(m.Content) != 5 {
		t.Fatalf("got %+v", m)
	}
	for i, want := range []string{"", "", `{"x":1}`, `{"y":2}`, `{}`} {
		if got := string(m.Content[i].Input); got != want {
			t.Errorf("input %d: %s, want %s", i, got, want)
		}
	}
	if m.Content[0].Thinking != "hm" || m.Content[1].Text != "a" || m.Usage.InputTokens != 7 || m.Usage.CacheReadInputTokens != 2 || m.Usage.OutputTokens != 5 {
		t.Errorf("got %+v %+v", m.Content, m.Usage)
	}
	if bytes.Count(out, []byte("event: message_stop")) != 1 || !bytes.HasPrefix(out, []byte("event: ping\ndata: {\"type\":\"ping\"}\n\n")) {
		t.Errorf("got %s", out)
	}
}

func TestD135_streamed_refusal(t *testing.T) {
	m, err := accumulate(t, through([]chat.Event{
		{Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.Refusal}}, {Kind: chat.EventDelta, Text: "no"},
		{Kind: chat.EventFinish, Finish: chat.FinishStop}, {Kind: chat.EventEnd},
	}))
	if err != nil || m.StopReason != "refusal" || m.Content[0].Text != "no" || m.ID != "msg_r1" {
		t.Errorf("%v %+v", err, m)
	}
}

func TestStream_end_without_anything(t *testing.T) {
	m, err := accumulate(t, through([]chat.Event{{Kind: chat.EventEnd}}))
	if err != nil || m.StopReason != "end_turn" || len(m.Content) != 0 {
		t.Errorf("%v %+v", err, m)
	}
}

func TestD119_encoder_tells_faults(t *testing.T) {
	start := chat.Event{Kind: chat.EventStart}
	tool := chat.Event{Kind: chat.EventBlockStart, Block: call("c", "f", "")}
	waiting := tool
	waiting.Index = 1
	flood := chat.Event{Kind: chat.EventDelta, Index: 1, Text: strings.Repeat("x", 1<<20)}
	blocks := make([]chat.Event, 1100)
	for i := range blocks {
		blocks[i] = tool
		blocks[i].Index = i
	}
	for name, c := range map[string]struct {
		evs  []chat.Event
		want string
	}{
		"provider's":     {[]chat.Event{start, {Kind: chat.EventError, Fault: fault.New(fault.Overloaded, "busy")}}, "overloaded_error"},
		"without reason": {[]chat.Event{{Kind: chat.EventError}}, "api_error"},
		"held too much":  {append([]chat.Event{start, tool, waiting}, flood, flood, flood, flood, flood, flood, flood, flood, flood), "api_error"},
		"too many":       {blocks, "api_error"},
		"not open":       {[]chat.Event{start, {Kind: chat.EventDelta, Index: 5, Text: "x"}}, "api_error"},
	} {
		out := through(append(c.evs, chat.Event{Kind: chat.EventEnd}))
		_, err := accumulate(t, out)
		if err == nil || !strings.Contains(err.Error(), c.want) || bytes.Contains(out, []byte("message_stop")) || !bytes.Contains(out, []byte(`"request_id":"r1"`)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTap_passes_every_byte(t *testing.T) {
	stream := append(recorded(t), ": bye\n\n"...)
	for n := 1; n < 200; n++ {
		tap := codec.NewTap(maxEvent, translate.Answer{})
		var out []byte
		var err error
		first := 0
		for from := 0; from < len(stream); from += n {
			piece := append([]byte(nil), stream[from:min(from+n, len(stream))]...)
			if out, err = tap.Write(out, piece); err != nil {
				t.Fatal(err)
			}
			if tap.Seen().FirstContent {
				first++
			}
		}
		if out, err = tap.Close(out); err != nil || !bytes.Equal(out, stream) {
			t.Fatalf("pieces of %d: %v\n%s", n, err, out)
		}
		s := tap.Seen()
		if s.ID != "msg_01" || s.Finish != chat.FinishToolCalls || !s.End || !s.Content || first != 1 || s.Usage.Output != 89 || s.Usage.Input != 472 {
			t.Fatalf("pieces of %d: %+v, first content %d times", n, s, first)
		}
		if want := len(`Let me see …` + "Okay, \"żółw\" 😀\n" + `{"location": "San Francisco"}` + `{}`); s.OutputBytes != want {
			t.Fatalf("output of %d bytes, want %d", s.OutputBytes, want)
		}
	}
}

func TestTap_keeps_back_what_is_not_whole(t *testing.T) {
	tap := codec.NewTap(maxEvent, translate.Answer{})
	whole := data(messageStart, textStart)
	out, err := tap.Write(nil, append(append([]byte(nil), whole...), "data: {\"type\":\"content_bl"...))
	if err != nil || !bytes.Equal(out, whole) {
		t.Fatalf("%v %s", err, out)
	}
	out, err = tap.Close(out)
	paramOf(t, err, fault.ProviderFailed)
	if !bytes.Equal(out, whole) || tap.Seen().End {
		t.Errorf("half an event passed: %s", out)
	}
}

func TestTap_faults_and_errors(t *testing.T) {
	tap := codec.NewTap(maxEvent, translate.Answer{})
	good := data(messageStart)
	out, err := tap.Write(nil, append(append([]byte(nil), good...), data("<html>")...))
	paramOf(t, err, fault.ProviderFailed)
	if !bytes.Equal(out, good) {
		t.Errorf("what came before must pass: %s", out)
	}
	if out, err = tap.Write(nil, good); out != nil || err != nil {
		t.Error("nothing may follow a fault")
	}
	if out, err = tap.Close(nil); out != nil || err != nil {
		t.Error("a fault is told once")
	}

	tap = codec.NewTap(maxEvent, translate.Answer{})
	stream := data(messageStart, `{"type":"error","error":{"type":"overloaded_error","message":"busy"}}`)
	out, err = tap.Write(nil, stream)
	if err != nil || !bytes.Equal(out, stream) || tap.Seen().Fault == nil || tap.Seen().Fault.Kind != fault.Overloaded {
		t.Errorf("%v %+v", err, tap.Seen())
	}
	if _, err := tap.Close(nil); err != nil {
		t.Errorf("an error event is an end of its own: %v", err)
	}

	tap = codec.NewTap(64, translate.Answer{})
	_, err = tap.Write(nil, bytes.Repeat([]byte("x"), 100))
	paramOf(t, err, fault.ProviderFailed)
}

func TestTap_last_event_without_blank_line_gets_it(t *testing.T) {
	tap := codec.NewTap(maxEvent, translate.Answer{})
	out, err := tap.Write(nil, append(data(messageStart), "data: "+messageStop+"\r\n"...))
	if err != nil {
		t.Fatal(err)
	}
	out, err = tap.Close(out)
	if want := append(data(messageStart), data(messageStop)...); err != nil || !bytes.Equal(out, want) {
		t.Errorf("%v %q", err, out)
	}
}

func TestEncodedStreamIsJSON(t *testing.T) {
	for _, line := range bytes.Split(through([]chat.Event{
		{Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.RedactedThinking, Signature: "\"\n\xff"}}, {Kind: chat.EventBlockStop},
		{Kind: chat.EventFinish, Finish: chat.FinishStopSequence, StopSequence: "\"\n"}, {Kind: chat.EventEnd},
	}), []byte("\n")) {
		if d, ok := bytes.CutPrefix(line, []byte("data: ")); ok && !json.Valid(d) {
			t.Errorf("not JSON: %s", d)
		}
	}
}
