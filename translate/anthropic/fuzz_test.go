package anthropic_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// FuzzParse: whatever comes is a fault or a request that decodes, and what decodes is encoded as JSON that Parse accepts.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"m","max_tokens":9,"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}],"stream":true,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"tool","name":"f"},"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"},{"type":"tool_use","id":"1","name":"f","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"x"}],"is_error":true},{"type":"document","source":{"type":"text","data":"x"}},{"type":"image","source":{"type":"url","url":"https://h/x"}}]}]}`,
		`{"model":"m","max_tokens":1,"output_config":{"format":{"type":"json_schema","schema":{"oneOf":[{"$ref":"x"}]}},"effort":"high"},"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"system","content":"x"}],"metadata":{"user_id":"a@b"}}`,
		`{"\u006dodel":"m","max_tokens":1e2,"messages":[{"content":[],"role":"user"}],"stop_sequences":[" ","x"]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := codec.Parse(body)
		if !isFault(err) {
			t.Fatalf("%v", err)
		}
		if err != nil {
			return
		}
		if up, err := codec.Rewrite(h, translate.Target{Model: "x"}); err != nil || !json.Valid(up.Body) {
			t.Fatalf("%v %s", err, up.Body)
		}
		r, err := codec.Decode(h)
		if !isFault(err) {
			t.Fatalf("%v", err)
		}
		if err != nil {
			return
		}
		for _, to := range []translate.Target{target, {Model: "claude-opus-5", Lossy: true}} {
			up, err := codec.Encode(r, to)
			if !isFault(err) {
				t.Fatalf("%v", err)
			}
			if err != nil {
				continue
			}
			if _, err := codec.Parse(up.Body); err != nil {
				t.Fatalf("%v:\n%s\n%s", err, body, up.Body)
			}
		}
	})
}

func isFault(err error) bool {
	var f *fault.Fault
	return err == nil || errors.As(err, &f)
}

// FuzzStream: any bytes in any split give the same events; the events keep their order; the tap passes what the decoder
// reads and nothing else; what the encoder writes is well-formed.
func FuzzStream(f *testing.F) {
	f.Add(recorded(f), 7)
	f.Add(data(messageStart, textStart, textDelta, messageDelta, messageStop), 1)
	f.Add(data(messageStart, `{"type":"error","error":{"type":"overloaded_error","message":"x"}}`), 3)
	f.Add([]byte("event: ping\r\rdata: {}\r\n\r\n: c\n\ndata: [DONE]\n\n"), 2)
	f.Fuzz(func(t *testing.T, stream []byte, n int) {
		n = n&0xff + 1
		got, err := events(stream, n)
		want, wantErr := events(stream, len(stream)+1)
		if strings.Join(got, "\n") != strings.Join(want, "\n") || (err == nil) != (wantErr == nil) || !isFault(err) {
			t.Fatalf("pieces of %d: %v %v\n%q\n%q", n, err, wantErr, got, want)
		}
		if err == nil {
			checkOrder(t, got)
		}
		tap := codec.NewTap(maxEvent, translate.Answer{})
		out, tapErr := tap.Write(nil, stream)
		if tapErr == nil {
			out, tapErr = tap.Close(out)
		}
		if (tapErr == nil) != (err == nil) || err == nil && !passed(string(out), string(stream)) {
			t.Fatalf("tap: %v, decoder: %v", tapErr, err)
		}
		d, e := codec.NewDecoder(maxEvent), codec.NewEncoder(translate.Answer{})
		var sent []byte
		_ = d.Decode(stream, func(ev *chat.Event) { sent = e.Encode(sent, ev) })
		for _, line := range strings.Split(string(sent), "\n") {
			if d, ok := strings.CutPrefix(line, "data: "); ok && !json.Valid([]byte(d)) {
				t.Fatalf("wrote %q", d)
			}
		}
	})
}

// passed says whether out is what was sent, but for the end of a last event: half an event is cut, a missing blank line
// is added.
func passed(out, sent string) bool {
	return strings.HasPrefix(sent, strings.TrimRight(out, "\r\n"))
}

// checkOrder holds a whole stream's events against the order that chat.EventKind documents.
func checkOrder(t *testing.T, lines []string) {
	t.Helper()
	open, state := map[string]bool{}, 0
	for i, l := range lines {
		kind, rest, _ := strings.Cut(l, "/")
		index, _, _ := strings.Cut(rest, " ")
		switch kind {
		case "1":
			state++
		case "2":
			if open[index] || state != 1 {
				t.Fatalf("event %d of %q", i, lines)
			}
			open[index] = true
		case "3", "4":
			if !open[index] {
				t.Fatalf("event %d of %q", i, lines)
			}
		case "5":
			if !open[index] {
				t.Fatalf("event %d of %q", i, lines)
			}
			delete(open, index)
		case "8":
			if i != len(lines)-1 || state != 1 || len(open) > 0 {
				t.Fatalf("event %d of %q", i, lines)
			}
		}
	}
}

// FuzzAnswer: no body makes DecodeResponse, PeekResponse or DecodeFault fail otherwise than by a fault.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(whole))
	f.Add(400, []byte(`{"type":"error","error":{"type":"x","message":"sk-ant-aaaaaaaaaaaa"}}`))
	f.Add(502, []byte("<html><script>x</script>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r, err := codec.DecodeResponse(body)
		_, peekErr := codec.PeekResponse(body)
		if !isFault(err) || (err == nil) != (peekErr == nil) {
			t.Fatalf("%v %v", err, peekErr)
		}
		if err == nil {
			if b, err := codec.EncodeResponse(r, translate.Answer{}); err != nil || !json.Valid(b) {
				t.Fatalf("%v %s", err, b)
			}
		}
		fa := codec.DecodeFault(status, noHeader, body)
		if fa == nil || fa.Message == "" || len(fa.Message) > 2000 {
			t.Fatalf("%+v", fa)
		}
		if _, b := codec.EncodeFault(fa, "r"); !json.Valid(b) {
			t.Fatalf("%s", b)
		}
	})
}
