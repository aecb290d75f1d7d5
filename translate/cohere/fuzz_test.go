package cohere

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/translatetest"
)

func cases(f *testing.F) []translatetest.Case {
	all, err := translatetest.Cases(chat.Cohere)
	if err != nil {
		f.Fatal(err)
	}
	return all
}

// A request that Parse accepts is JSON for everybody, can be rewritten, and when Decode accepts it too, encodes to a request
// that Parse accepts.
func FuzzRequest(f *testing.F) {
	for _, c := range cases(f) {
		f.Add(c.Request)
	}
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"documents":["a",{"id":"1","data":{}}],"tools":[{"type":"function","function":{"name":"a-b"}}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := Codec{}.Parse(in)
		if err != nil {
			return
		}
		if !json.Valid(in) || !utf8.Valid(in) {
			t.Fatal("Parse accepts what is not JSON")
		}
		up, err := Codec{}.Rewrite(h, translate.Target{Model: "other"})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := (Codec{}).Parse(up.Body); err != nil || again.Model != "other" || again.Messages != h.Messages {
			t.Fatalf("the rewritten request is %s: %v", up.Body, err)
		}
		r, err := Codec{}.Decode(h)
		if err != nil {
			return
		}
		if up, err = (Codec{}).Encode(r, translate.Target{Model: "m", Lossy: true}); err != nil {
			return
		}
		if _, err := (Codec{}).Parse(up.Body); err != nil && !strings.Contains(err.Error(), "messages must not be empty") {
			t.Fatalf("%v: %s became %s", err, in, up.Body)
		}
	})
}

// A stream gives the same events for any split of its bytes, and the encoder's answer to them is a stream again.
func FuzzStream(f *testing.F) {
	for _, c := range cases(f) {
		f.Add(c.Stream, 7)
	}
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		decode := func(pieces ...[]byte) (out []byte, failed bool) {
			d, e := Codec{}.NewDecoder(1<<16), Codec{}.NewEncoder(translatetest.Answer)
			over := false
			emit := func(ev *chat.Event) {
				if over {
					t.Fatal("an event behind the end")
				}
				over = ev.Kind == chat.EventEnd || ev.Kind == chat.EventError
				out = e.Encode(out, ev)
			}
			for _, p := range pieces {
				if d.Decode(p, emit) != nil {
					return out, true
				}
			}
			return out, d.Close(emit) != nil
		}
		whole, failed := decode(stream)
		cut = min(max(cut, 0), len(stream))
		split, failed2 := decode(bytes.Clone(stream[:cut]), bytes.Clone(stream[cut:]))
		if failed != failed2 || !bytes.Equal(whole, split) {
			t.Fatalf("cut at %d: %v %q, whole %v %q", cut, failed2, split, failed, whole)
		}
		if again, bad := decode(whole); !failed && len(whole) > 0 && (bad || len(again) == 0) {
			t.Fatalf("the encoder wrote what is no stream: %q", whole)
		}
		tap := Codec{}.NewTap(1<<16, translatetest.Answer)
		passed, err := tap.Write(nil, stream)
		if err == nil {
			passed, err = tap.Close(passed)
		}
		if (err != nil) != failed {
			t.Fatalf("the tap says %v, the decoder %v", err, failed)
		}
		if !failed && len(passed) == 0 && len(stream) > 0 {
			t.Fatal("the tap passed nothing")
		}
	})
}

// An answer that is read can be written, as JSON that is read as the same.
func FuzzAnswer(f *testing.F) {
	for _, c := range cases(f) {
		f.Add(c.Answer)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Codec{}.DecodeResponse(body)
		if _, peeked := (Codec{}).PeekResponse(body); (peeked != nil) != (err != nil) && utf8.Valid(body) {
			t.Fatalf("decoding says %v, peeking %v", err, peeked)
		}
		if err != nil {
			return
		}
		out, err := Codec{}.EncodeResponse(r, translatetest.Answer)
		if err != nil || !json.Valid(out) {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := (Codec{}).DecodeResponse(out); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
}
