package openai_test

import (
	"testing"

	"dragoman/translate"
)

// A provider's whole answer: what DecodeResponse reads, what EncodeResponse makes of that, what PeekResponse saw.
func TestResponse(t *testing.T) {
	golden(t, "response", func(t *testing.T, _ string, in []byte) map[string]string {
		r, err := codec.DecodeResponse(in)
		seen, peeked := codec.PeekResponse(in)
		if err != nil {
			if peeked == nil || dump(peeked) != dump(err) {
				t.Errorf("PeekResponse says %v, DecodeResponse %v", peeked, err)
			}
			return faultText(err)
		}
		if peeked != nil {
			t.Fatalf("PeekResponse refuses what DecodeResponse reads: %v", peeked)
		}
		body, err := codec.EncodeResponse(r, reply)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := codec.DecodeResponse(body); err != nil || again.Usage != r.Usage {
			t.Errorf("the encoded answer reads back as %+v, %v", again, err)
		}
		return map[string]string{"neutral": dump(r), "answer.json": pretty(t, body), "seen": dump(seen)}
	})
}

// A provider's stream: the events, what a client of the schema gets of them, and what passes when only watched.
func TestStream(t *testing.T) {
	golden(t, "stream", func(t *testing.T, _ string, in []byte) map[string]string {
		evs, out, err := throughDecoder(in)
		res := map[string]string{"events": evs, "answer.sse": out}
		if err != nil {
			res["fault"] = dump(err)
		}
		o := reply
		o.IncludeUsage = false
		tap := codec.NewTap(1<<20, o)
		passed, tapErr := tap.Write(nil, in)
		if tapErr == nil {
			passed, tapErr = tap.Close(passed)
		}
		if tapErr != nil && err == nil { // the tap lets what only a translation could not carry pass
			t.Errorf("the tap says %v, the decoder %v", tapErr, err)
		}
		if string(passed) != string(in) {
			res["passed.sse"] = string(passed)
		}
		res["seen"] = dump(tap.Seen())
		return res
	})
}

// throughDecoder decodes pieces of a stream, and encodes the events for a client that wants the usage.
func throughDecoder(pieces ...[]byte) (events, out string, err error) {
	dec, enc := codec.NewDecoder(1<<20), codec.NewEncoder(reply)
	var dst []byte
	emit := emitter(&events, &dst, enc)
	for _, p := range pieces {
		if err = dec.Decode(p, emit); err != nil {
			return events, string(dst), err
		}
	}
	err = dec.Close(emit)
	return events, string(dst), err
}

func emitter(events *string, dst *[]byte, enc translate.Encoder) emitFunc {
	return func(ev *event) {
		*events += show(ev)
		*dst = enc.Encode(*dst, ev)
	}
}
