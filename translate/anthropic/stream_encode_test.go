package anthropic_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/packages/ssestream"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

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
