package bedrock_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/eventstream"
)

// stream makes a ConverseStream of lines: an event's type and its payload; ! begins an exception.
func stream(lines ...string) (b []byte) {
	for _, l := range lines {
		kind, payload, _ := strings.Cut(l, " ")
		what := "event"
		if name, ok := strings.CutPrefix(kind, "!"); ok {
			what, kind = "exception", name
		}
		b = eventstream.Append(b, []eventstream.Header{
			eventstream.StringHeader(":"+what+"-type", kind), eventstream.StringHeader(":content-type", "application/json"), eventstream.StringHeader(":message-type", what),
		}, []byte(payload))
	}
	return b
}

const (
	start = `messageStart {"role":"assistant"}`
	meta  = `metadata {"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"metrics":{"latencyMs":1}}`
)

func stop(reason string) string { return `messageStop {"stopReason":"` + reason + `"}` }

func delta(i int, d string) string {
	return fmt.Sprintf(`contentBlockDelta {"contentBlockIndex":%d,"delta":%s,"p":"abc"}`, i, d)
}

func blockStop(i int) string { return fmt.Sprintf(`contentBlockStop {"contentBlockIndex":%d}`, i) }

func call(i int, id, name string) string {
	return fmt.Sprintf(`contentBlockStart {"contentBlockIndex":%d,"start":{"toolUse":{"toolUseId":%q,"name":%q}}}`, i, id, name)
}

// told shows the events of a stream, cut into pieces of n bytes, shortly: kind index text.
func told(b []byte, n int) (lines []string, err error) {
	d := codec.NewDecoder(maxEvent)
	emit := func(ev *chat.Event) {
		l := fmt.Sprintf("%d %d", ev.Kind, ev.Index)
		switch ev.Kind {
		case chat.EventBlockStart:
			l += fmt.Sprintf(" %d %s", ev.Block.Kind, ev.Block.Signature)
			if c := ev.Block.Call; c != nil {
				l += c.ID + "/" + c.Name
			}
		case chat.EventFinish:
			l += " " + string(ev.Finish) + " " + ev.RawFinish + " " + ev.StopSequence
		case chat.EventUsage:
			l += fmt.Sprintf(" %d+%d", ev.Usage.Input, ev.Usage.Output)
		case chat.EventError:
			l += " " + ev.Fault.Error()
		default:
			l += " " + ev.Text
		}
		lines = append(lines, strings.TrimSpace(l))
	}
	for len(b) > 0 {
		k := min(n, len(b))
		if err := d.Decode(b[:k:k], emit); err != nil {
			return lines, err
		}
		b = b[k:]
	}
	return lines, d.Close(emit)
}

func mustTell(t *testing.T, lines []string, want ...string) {
	t.Helper()
	got, err := told(stream(lines...), maxEvent)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %q\nwant %q", err, got, want)
	}
}

func TestD81_SignatureEndsTheBlock(t *testing.T) {
	mustTell(t, []string{start, delta(0, `{"reasoningContent":{"text":"a"}}`), delta(0, `{"reasoningContent":{"text":"b"}}`), delta(0, `{"reasoningContent":{"signature":"SIG"}}`), blockStop(0),
		delta(1, `{"text":"x"}`), blockStop(1), stop("end_turn"), meta},
		"1 0", "2 0 7", "3 0 a", "3 0 b", "4 0 bedrock:SIG", "5 0", "2 1 1", "3 1 x", "5 1", "6 0 stop end_turn", "7 0 1+2", "8 0")
}

func TestD77_SignatureOnlyBlock(t *testing.T) {
	mustTell(t, []string{start, delta(0, `{"reasoningContent":{"signature":"SIG"}}`), blockStop(0), delta(1, `{"reasoningContent":{"redactedContent":"AAAA"}}`), blockStop(1), stop("end_turn"), meta},
		"1 0", "2 0 7", "4 0 bedrock:SIG", "5 0", "2 1 8 bedrock:AAAA", "5 1", "6 0 stop end_turn", "7 0 1+2", "8 0")
}

func TestD33_CallWithoutArguments(t *testing.T) {
	mustTell(t, []string{start, call(0, "t1", "now"), blockStop(0), call(1, "t2", "f"), delta(1, `{"toolUse":{"input":""}}`), delta(1, `{"toolUse":{"input":"{\"a\":"}}`), delta(1, `{"toolUse":{"input":"1}"}}`), blockStop(1), stop("tool_use"), meta},
		"1 0", "2 0 5 t1/now", "3 0 {}", "5 0", "2 1 5 t2/f", `3 1 {"a":`, "3 1 1}", "5 1", "6 0 tool_calls tool_use", "7 0 1+2", "8 0")
}

// TestD108_Indexes: blocks without a neutral form leave no gap.
func TestD108_Indexes(t *testing.T) {
	mustTell(t, []string{start, delta(0, `{"text":"a"}`), blockStop(0),
		`contentBlockStart {"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"s","name":"search","type":"server_tool_use"}}}`, delta(1, `{"toolUse":{"input":"{}"}}`), blockStop(1),
		`contentBlockStart {"contentBlockIndex":2,"start":{"image":{"format":"png"}}}`, delta(2, `{"image":{"source":{"bytes":"AA=="}}}`), blockStop(2),
		delta(3, `{"text":"b"}`), blockStop(3), stop("end_turn"), meta},
		"1 0", "2 0 1", "3 0 a", "5 0", "2 1 1", "3 1 b", "5 1", "6 0 stop end_turn", "7 0 1+2", "8 0")
}

// TestD110_TypeChange: another kind of delta is another block, within one index and without a stop between.
func TestD110_TypeChange(t *testing.T) {
	mustTell(t, []string{start, delta(0, `{"text":"a"}`), delta(0, `{"reasoningContent":{"text":"b"}}`), delta(1, `{"text":"c"}`), stop("max_tokens"), meta},
		"1 0", "2 0 1", "3 0 a", "5 0", "2 1 7", "3 1 b", "5 1", "2 2 1", "3 2 c", "5 2", "6 0 length max_tokens", "7 0 1+2", "8 0")
}

func TestD95_UsageAfterStop(t *testing.T) {
	d := codec.NewDecoder(maxEvent)
	ended := false
	emit := func(ev *chat.Event) { ended = ended || ev.Kind == chat.EventEnd }
	if err := d.Decode(stream(start, delta(0, `{"text":"a"}`), blockStop(0), stop("end_turn")), emit); err != nil || ended {
		t.Fatal("messageStop closed the stream before its usage", err)
	}
	if err := d.Decode(stream(meta), emit); err != nil || !ended {
		t.Fatal("metadata did not", err)
	}
}

// TestD95_NoMetadata: the answer is whole; what it used is unknown.
func TestD95_NoMetadata(t *testing.T) {
	mustTell(t, []string{start, delta(0, `{"text":"a"}`), blockStop(0), stop("end_turn")}, "1 0", "2 0 1", "3 0 a", "5 0", "6 0 stop end_turn", "8 0")
	mustTell(t, []string{start, stop("end_turn"), `metadata {}`}, "1 0", "6 0 stop end_turn", "8 0")
}

func TestD54_StreamedStopSequence(t *testing.T) {
	mustTell(t, []string{start, `messageStop {"stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"END"}}`, meta},
		"1 0", "6 0 stop_sequence stop_sequence END", "7 0 1+2", "8 0")
}

func TestD64_StreamedForcedTool(t *testing.T) {
	mustTell(t, []string{start, call(0, "t1", "dragoman_structured_answer"), delta(0, `{"toolUse":{"input":"{\"n\""}}`), delta(0, `{"toolUse":{"input":":1}"}}`), blockStop(0), stop("tool_use"), meta},
		"1 0", "2 0 1", `3 0 {"n"`, "3 0 :1}", "5 0", "6 0 stop tool_use", "7 0 1+2", "8 0")
}

func TestD105_UnknownEvents(t *testing.T) {
	mustTell(t, []string{start, `eventOfTomorrow {"x":1}`, delta(0, `{"of":"tomorrow"}`), delta(0, `{"text":5}`), delta(0, `{"text":"a"}`), blockStop(7), blockStop(0), stop("new"), stop("again"), meta, meta},
		"1 0", "2 0 1", "3 0 a", "5 0", "6 0 other new", "7 0 1+2", "8 0")
}

func TestD118_MissingEnd(t *testing.T) {
	for _, lines := range [][]string{{}, {start}, {start, delta(0, `{"text":"a"}`), blockStop(0)}, {start, meta}} {
		_, err := told(stream(lines...), maxEvent)
		if f := asFault(t, err); f.Kind != fault.ProviderFailed {
			t.Errorf("%q: %v", lines, f)
		}
	}
}

func TestD119_Exceptions(t *testing.T) {
	for name, want := range map[string]fault.Kind{
		"throttlingException": fault.RateLimited, "internalServerException": fault.ProviderError, "modelStreamErrorException": fault.ProviderError,
		"validationException": fault.InvalidRequest, "serviceUnavailableException": fault.Overloaded, "ofTomorrow": fault.ProviderError,
	} {
		for _, payload := range []string{`{"message":"text"}`, `{"originalMessage":"text"}`, `{}`, ``, `<html`} {
			var got *fault.Fault
			d := codec.NewDecoder(maxEvent)
			emit := func(ev *chat.Event) {
				if ev.Kind == chat.EventError {
					got = ev.Fault
				}
			}
			err := d.Decode(stream(start, "!"+name+" "+payload, stop("end_turn")), emit)
			if err != nil || d.Close(emit) != nil || got == nil || got.Kind != want || got.Message == "" {
				t.Errorf("%s %s: %v %+v", name, payload, err, got)
			}
		}
	}
	b := eventstream.Append(nil, []eventstream.Header{
		eventstream.StringHeader(":message-type", "error"), eventstream.StringHeader(":error-code", "InternalFailure"), eventstream.StringHeader(":error-message", "went wrong"),
	}, nil)
	if lines, err := told(b, 3); err != nil || len(lines) != 1 || lines[0] != "9 0 provider_error: went wrong" {
		t.Errorf("%q %v", lines, err)
	}
}

func TestBrokenStreams(t *testing.T) {
	for name, b := range map[string][]byte{
		"SSE":             []byte("data: {\"type\":\"message_start\"}\n\n"),
		"HTML":            []byte("<html><body>Bad Gateway</body></html>"),
		"no JSON":         stream(start, `contentBlockDelta {"contentBlockIndex":`),
		"array":           stream(start, `contentBlockDelta []`),
		"stop no JSON":    stream(start, `messageStop x`),
		"meta no JSON":    stream(start, stop("end_turn"), `metadata x`),
		"delta of no one": stream(start, delta(0, `{"toolUse":{"input":"{}"}}`)),
		"many open":       stream(append([]string{start}, manyCalls(200)...)...),
	} {
		if _, err := told(b, 5); err == nil {
			t.Errorf("%s passed", name)
		} else if f := asFault(t, err); f.Kind != fault.ProviderFailed || len(f.Message) > 600 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func manyCalls(n int) (lines []string) {
	for i := range n {
		lines = append(lines, call(i, fmt.Sprint("t", i), "f"))
	}
	return lines
}

// TestD134_StreamedCitations come with the end of their block, and are bounded.
func TestD134_StreamedCitations(t *testing.T) {
	lines := []string{start, delta(0, `{"text":"blue"}`)}
	for range 300 {
		lines = append(lines, delta(0, `{"citation":{"title":"Sky","sourceContent":[{"text":"q"}],"location":{"web":{"url":"https://x"}}}}`))
	}
	lines = append(lines, blockStop(0), stop("end_turn"), meta)
	var cites []chat.Citation
	d := codec.NewDecoder(maxEvent)
	err := d.Decode(stream(lines...), func(ev *chat.Event) {
		if ev.Kind == chat.EventBlockStop {
			cites = ev.Block.Citations
		}
	})
	if err != nil || len(cites) != 256 || cites[0] != (chat.Citation{Title: "Sky", URL: "https://x", Quote: "q"}) {
		t.Errorf("%v %d %+v", err, len(cites), cites[0])
	}
}

// TestTapPassesEveryByte of a stream, and what follows its end.
func TestTapPassesEveryByte(t *testing.T) {
	b := stream(start, delta(0, `{"text":"hello"}`), blockStop(0), stop("end_turn"), meta, `later {}`)
	for n := 1; n < len(b); n += 7 {
		tap := codec.NewTap(maxEvent, translate.Answer{})
		var out []byte
		var err error
		for rest := b; len(rest) > 0 && err == nil; {
			k := min(n, len(rest))
			out, err = tap.Write(out, rest[:k])
			rest = rest[k:]
		}
		if err == nil {
			out, err = tap.Close(out)
		}
		s := tap.Seen()
		if err != nil || string(out) != string(b) || !s.End || s.Usage.Output != 2 || s.Finish != chat.FinishStop || s.OutputBytes != 5 {
			t.Fatalf("pieces of %d: %v %+v", n, err, s)
		}
	}
	tap := codec.NewTap(maxEvent, translate.Answer{})
	if out, err := tap.Write(nil, []byte("data: this is no event stream at all")); err == nil || len(out) > 0 {
		t.Error("garbage passed")
	}
	if _, err := tap.Write(nil, b); err != nil || tap.Seen().End {
		t.Error("a tap came back from its fault")
	}
}
