package responses_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/responses"
	"dragoman/translate/translatetest"
)

func cases(f *testing.F) []translatetest.Case {
	all, err := translatetest.Cases(chat.Responses)
	if err != nil {
		f.Fatal(err)
	}
	return all
}

// A request that Parse accepts is JSON for everybody, can be rewritten and continued, and when Decode accepts it too, encodes to
// a request that Parse accepts.
func FuzzRequest(f *testing.F) {
	for _, k := range cases(f) {
		f.Add([]byte(k.Request))
	}
	f.Add([]byte(`{"model":"m","previous_response_id":"r","tools":[{"type":"custom","name":"s"}],"input":[{"id":"x"},{"type":"custom_tool_call","call_id":"c","name":"s","input":"i"},{"type":"reasoning","id":"rs_dragoman_1","summary":[],"encrypted_content":"dragoman.thinking:responses:a:b"}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := codec.Parse(in)
		if err != nil {
			return
		}
		var std map[string]json.RawMessage
		if err := json.Unmarshal(in, &std); err != nil || !utf8.Valid(in) {
			t.Fatalf("Parse accepts what is not JSON: %v", err)
		}
		up, err := codec.Rewrite(h, translate.Target{Model: "other"})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := codec.Parse(up.Body); err != nil || again.Model != "other" {
			t.Fatalf("the rewritten request is %s: %v", up.Body, err)
		}
		known := map[string]chat.Message{}
		for _, id := range responses.References(h) {
			known[id] = earlier[1]
		}
		whole, err := responses.Continue(h, earlier, known)
		if err != nil {
			t.Fatalf("it cannot be continued: %v", err)
		}
		r, err := codec.Decode(whole)
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
		_ = responses.EncodeInputItems("resp_1", r.Messages, responses.Page{Limit: 5})
	})
}

// Any bytes in any split give the same events and the same output, in the order that chat.EventKind promises; the tap agrees.
func FuzzStream(f *testing.F) {
	for _, k := range cases(f) {
		f.Add([]byte(k.Stream), uint16(7), uint16(40))
	}
	f.Add(sse(created, openText, deltaText, openCall, `response.reasoning_text.delta "output_index":4,"delta":"x"`, completed), uint16(3), uint16(9))
	f.Fuzz(func(t *testing.T, in []byte, a, b uint16) {
		one, out, err := carried(t, in)
		i := min(int(a), len(in))
		j := min(i+int(b), len(in))
		again, out2, err2 := carried(t, in[:i:i], in[i:j:j], in[j:])
		if one != again || out != out2 || (err == nil) != (err2 == nil) {
			t.Fatalf("split %d %d (%v):\n%s\nwhole (%v):\n%s", i, j, err2, again, err, one)
		}
		if !utf8.ValidString(out) {
			t.Fatalf("the output is not UTF-8: %q", out)
		}
		tap := codec.NewTap(1<<20, reply)
		_, tapErr := tap.Write(nil, in)
		if tapErr == nil {
			_, tapErr = tap.Close(nil)
		}
		if err == nil && tapErr != nil {
			t.Fatalf("the tap refuses what the decoder takes: %v", tapErr)
		}
	})
}

// carried decodes a stream in pieces, checks the order of its events and writes them again.
func carried(t *testing.T, pieces ...[]byte) (lines, out string, err error) {
	t.Helper()
	d, e := codec.NewDecoder(1<<20), codec.NewEncoder(reply)
	open := map[int]chat.PartKind{}
	var sent []byte
	started, finished, over := false, false, false
	emit := func(ev *chat.Event) {
		lines += string(rune('a'+ev.Kind)) + ev.Text
		if over {
			t.Fatal("an event behind the end")
		}
		switch ev.Kind {
		case chat.EventPing:
		case chat.EventStart:
			if started {
				t.Fatal("started twice")
			}
			started = true
		case chat.EventBlockStart:
			for _, kind := range open {
				if kind != chat.ToolCall || ev.Block.Kind != chat.ToolCall {
					t.Fatal("a block within a block")
				}
			}
			open[ev.Index] = ev.Block.Kind
		case chat.EventDelta, chat.EventSignature, chat.EventBlockStop:
			if _, ok := open[ev.Index]; !ok || finished {
				t.Fatal("an event of no open block")
			}
			if ev.Kind == chat.EventBlockStop {
				delete(open, ev.Index)
			}
		case chat.EventFinish:
			if len(open) > 0 || !started {
				t.Fatal("finished with an open block, or before the start")
			}
			finished = true
		case chat.EventEnd, chat.EventError:
			over = true
		}
		sent = e.Encode(sent, ev)
	}
	for _, p := range pieces {
		if err = d.Decode(append([]byte(nil), p...), emit); err != nil {
			return lines, string(sent), err
		}
	}
	err = d.Close(emit)
	return lines, string(sent), err
}

// Any bytes are an answer or a fault, and an answer can be written again.
func FuzzResponse(f *testing.F) {
	for _, k := range cases(f) {
		f.Add([]byte(k.Answer))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := codec.DecodeResponse(in)
		if err != nil {
			asFault(t, err)
			return
		}
		b, err := codec.EncodeResponse(r, reply)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := codec.DecodeResponse(b); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		_ = responses.OutputItems(in)
	})
}
