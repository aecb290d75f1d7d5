package chat

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"dragoman/internal/fault"
)

// answer has every kind of part that an answer can have, and text longer than one replayed delta.
func answer() *Response {
	return &Response{
		ID: "msg_1", Model: "m", Created: 7,
		Choices: []Choice{{
			Parts: []Part{
				{Kind: Thinking, Text: strings.Repeat("hm, ", 200), Signature: "sig"},
				{Kind: Thinking, Signature: "omitted"},
				{Kind: RedactedThinking, Signature: "opaque"},
				{Kind: Text, Text: strings.Repeat("żółw ", 300) + strings.Repeat("ж", 700)},
				{Kind: Refusal, Text: "no"},
				{Kind: ToolCall, Call: &Call{ID: "a", Name: "f", Arguments: `{"x":1}`}},
				{Kind: ToolCall, Call: &Call{ID: "b", Name: "g", Arguments: `{}`}},
			},
			Finish: FinishToolCalls, RawFinish: "tool_use", StopSequence: "END",
			LogProbs: []byte(`{"content":[{"token":"a"}],"refusal":null}`),
		}, {
			Parts: []Part{{Kind: Text, Text: "other"}}, Finish: FinishStop,
		}},
		Usage: Usage{Known: true, Input: 3, CacheRead: 2, Output: 9, Reasoning: 4},
	}
}

func TestReplay_then_accumulate_gives_the_same_answer(t *testing.T) {
	want := answer()
	acc := NewAccumulator(1 << 20)
	Replay(want, acc.Add)
	got, ok := acc.Response()
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("ok=%v\n got %+v\nwant %+v", ok, got, want)
	}
}

func TestReplay_keeps_the_documented_order(t *testing.T) {
	open, finished := -1, 0
	var kinds []EventKind
	Replay(answer(), func(ev *Event) {
		kinds = append(kinds, ev.Kind)
		switch ev.Kind {
		case EventBlockStart:
			if open >= 0 {
				t.Errorf("block %d starts while %d is open", ev.Index, open)
			}
			open = ev.Index
		case EventDelta:
			if ev.Index != open || ev.Text == "" || len(ev.Text) > replayBytes || !utf8.ValidString(ev.Text) {
				t.Errorf("bad delta %+v", ev)
			}
		case EventBlockStop:
			if ev.Index != open {
				t.Errorf("block %d stops, %d is open", ev.Index, open)
			}
			open = -1
		case EventFinish:
			finished++
		}
	})
	n := len(kinds)
	if kinds[0] != EventStart || kinds[n-1] != EventEnd || kinds[n-2] != EventUsage || finished != 2 {
		t.Errorf("order: %v", kinds)
	}
}

func TestReplay_without_usage_or_choices(t *testing.T) {
	var kinds []EventKind
	Replay(&Response{}, func(ev *Event) { kinds = append(kinds, ev.Kind) })
	if !reflect.DeepEqual(kinds, []EventKind{EventStart, EventEnd}) {
		t.Errorf("got %v", kinds)
	}
}

func TestReplay_does_not_break_on_bytes_that_are_no_text(t *testing.T) {
	bad := strings.Repeat("\x80", 3*replayBytes)
	got := ""
	Replay(&Response{Choices: []Choice{{Parts: []Part{{Kind: Text, Text: bad}}}}}, func(ev *Event) { got += ev.Text })
	if got != bad {
		t.Error("text was lost")
	}
}

func TestD109_accumulator_takes_interleaved_calls(t *testing.T) {
	acc := NewAccumulator(1 << 12)
	for _, ev := range []Event{
		{Kind: EventStart, ID: "x", Usage: Usage{Known: true, Output: 1}},
		{Kind: EventBlockStart, Index: 0, Block: Part{Kind: ToolCall, Call: &Call{ID: "a", Name: "f"}}},
		{Kind: EventBlockStart, Index: 1, Block: Part{Kind: ToolCall, Call: &Call{ID: "b", Name: "g"}}},
		{Kind: EventDelta, Index: 0, Text: `{"x"`},
		{Kind: EventPing},
		{Kind: EventDelta, Index: 1, Text: `{"y":2}`},
		{Kind: EventDelta, Index: 0, Text: `:1}`},
		{Kind: EventUsage, Usage: Usage{Known: true, Input: 5, Output: 8}},
		{Kind: EventFinish, Finish: FinishToolCalls},
		{Kind: EventEnd},
		{Kind: EventDelta, Index: 9, Text: "after the end"},
	} {
		acc.Add(&ev)
	}
	r, ok := acc.Response()
	if !ok {
		t.Fatal("not whole")
	}
	p := r.Choices[0].Parts
	if len(p) != 2 || p[0].Call.Arguments != `{"x":1}` || p[1].Call.Arguments != `{"y":2}` {
		t.Errorf("calls: %+v", p)
	}
	if r.Usage.Output != 8 || r.Usage.Input != 5 {
		t.Errorf("D93: the last usage counts, got %+v", r.Usage)
	}
}

func TestD33_accumulated_empty_arguments(t *testing.T) {
	acc := NewAccumulator(1 << 12)
	for _, ev := range []Event{
		{Kind: EventBlockStart, Block: Part{Kind: ToolCall, Call: &Call{ID: "a", Name: "f"}}},
		{Kind: EventEnd},
	} {
		acc.Add(&ev)
	}
	r, ok := acc.Response()
	if !ok || r.Choices[0].Parts[0].Call.Arguments != "{}" {
		t.Errorf("got %+v", r)
	}
}

func TestAccumulator_gives_up(t *testing.T) {
	text := Event{Kind: EventBlockStart, Block: Part{Kind: Text}}
	for _, c := range []struct {
		name string
		evs  []Event
		kind fault.Kind
	}{
		{"text over the bound", []Event{text, {Kind: EventDelta, Text: strings.Repeat("x", 5000)}, {Kind: EventEnd}}, fault.TooLarge},
		{"many empty blocks", append(repeat(text, 50), Event{Kind: EventEnd}), fault.TooLarge},
		{"a block that never started", []Event{{Kind: EventDelta, Index: 3, Text: "x"}, {Kind: EventEnd}}, fault.ProviderFailed},
		{"too many choices", []Event{{Kind: EventFinish, Choice: maxChoices}, {Kind: EventEnd}}, fault.ProviderFailed},
		{"negative choice", []Event{{Kind: EventFinish, Choice: -1}, {Kind: EventEnd}}, fault.ProviderFailed},
		{"an error event", []Event{text, {Kind: EventError, Fault: fault.New(fault.Overloaded, "busy")}}, fault.Overloaded},
		{"an error event without a fault", []Event{{Kind: EventError}}, fault.ProviderFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			acc := NewAccumulator(4096)
			for i := range c.evs {
				acc.Add(&c.evs[i])
			}
			if _, ok := acc.Response(); ok || acc.Fault() == nil || acc.Fault().Kind != c.kind {
				t.Errorf("ok=%v fault=%v", ok, acc.Fault())
			}
		})
	}
}

func TestD118_accumulator_has_no_answer_without_an_end(t *testing.T) {
	acc := NewAccumulator(4096)
	acc.Add(&Event{Kind: EventStart})
	if _, ok := acc.Response(); ok || acc.Fault() != nil {
		t.Error("a stream in progress is neither whole nor at fault")
	}
}

func TestAccumulator_joins_logprobs(t *testing.T) {
	acc := NewAccumulator(4096)
	acc.Add(&Event{Kind: EventBlockStart, Block: Part{Kind: Text}})
	for _, p := range []string{`{"content":[{"token":"a"}],"refusal":null}`, `[]`, `{"content":[{"token":"b"}]}`} {
		acc.Add(&Event{Kind: EventDelta, Text: "a", LogProbs: []byte(p)})
	}
	acc.Add(&Event{Kind: EventEnd})
	r, _ := acc.Response()
	if got := string(r.Choices[0].LogProbs); got != `{"content":[{"token":"a"},{"token":"b"}],"refusal":null}` {
		t.Errorf("got %s", got)
	}
}

func repeat(ev Event, n int) []Event {
	evs := make([]Event, n)
	for i := range evs {
		evs[i] = ev
		evs[i].Index = i
	}
	return evs
}
