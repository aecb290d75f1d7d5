package gemini

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/translatetest"
)

func isFault(t *testing.T, err error) {
	t.Helper()
	var f *fault.Fault
	if err != nil && (!errors.As(err, &f) || f.Message == "") {
		t.Fatalf("no fault: %v", err)
	}
}

// FuzzRequest: what is accepted is read, and written as JSON for either service, the same each time.
func FuzzRequest(f *testing.F) {
	cases, err := translatetest.Cases(chat.Gemini)
	if err != nil {
		f.Fatal(err)
	}
	for _, k := range cases {
		f.Add(k.Request)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, op := range []translate.Client{Codec{}, CountTokens{}} {
			h, err := op.Parse(body)
			if err != nil {
				isFault(t, err)
				continue
			}
			r, err := op.Decode(h)
			if err != nil {
				isFault(t, err)
				continue
			}
			for _, to := range []translate.Target{{Model: "gemini-3-pro-preview", Lossy: true}, {Model: "gemini-2.0-flash", Dialect: Vertex}} {
				up, err := op.(translate.Provider).Encode(r, to)
				if err != nil {
					isFault(t, err)
					continue
				}
				if again, err := op.(translate.Provider).Encode(r, to); err != nil || !bytes.Equal(again.Body, up.Body) || !json.Valid(up.Body) {
					t.Fatalf("%v: %s\n%s", err, up.Body, body)
				}
			}
		}
	})
}

// FuzzStream: any bytes, in pieces of any size, are events or a fault; they are the same for every split, the tap sees what
// the decoder tells, and what is written of them is read again.
func FuzzStream(f *testing.F) {
	cases, err := translatetest.Cases(chat.Gemini)
	if err != nil {
		f.Fatal(err)
	}
	for _, k := range cases {
		f.Add(k.Stream, 7)
	}
	f.Fuzz(func(t *testing.T, stream []byte, n int) {
		n = max(n&0xff, 1)
		wholeSeen, sent, wholeErr := fuzzDecode(t, stream, len(stream)+1)
		seen, _, err := fuzzDecode(t, stream, n)
		if (err == nil) != (wholeErr == nil) || err == nil && (seen.Usage != wholeSeen.Usage || seen.OutputBytes != wholeSeen.OutputBytes || seen.Events != wholeSeen.Events) {
			t.Fatalf("pieces of %d: %v %+v, whole %v %+v", n, err, seen, wholeErr, wholeSeen)
		}
		tap := Codec{}.NewTap(1<<16, translate.Answer{Array: n%2 == 0})
		out, tapErr := tap.Write(nil, stream)
		if tapErr == nil {
			out, tapErr = tap.Close(out)
		}
		isFault(t, tapErr)
		if (tapErr == nil) != (wholeErr == nil) || tapErr == nil && tap.Seen().End != wholeSeen.End {
			t.Fatalf("tap %v %+v, decoder %v %+v\n%s", tapErr, tap.Seen(), wholeErr, wholeSeen, out)
		}
		if wholeErr == nil && wholeSeen.Fault == nil {
			if _, _, err := fuzzDecode(t, sent, len(sent)+1); err != nil {
				t.Fatalf("%v: %s", err, sent)
			}
		}
	})
}

func fuzzDecode(t *testing.T, stream []byte, n int) (translate.Seen, []byte, error) {
	var seen translate.Seen
	var sent []byte
	d, e := Codec{}.NewDecoder(1<<16), Codec{}.NewEncoder(translate.Answer{Model: "m"})
	emit := func(ev *chat.Event) {
		seen.Note(ev)
		sent = e.Encode(sent, ev)
	}
	var err error
	for from := 0; from < len(stream) && err == nil; from += n {
		err = d.Decode(stream[from:min(from+n, len(stream))], emit)
	}
	if err == nil {
		err = d.Close(emit)
	}
	isFault(t, err)
	return seen, sent, err
}

// FuzzAnswer: any body is an answer or a fault, of every operation.
func FuzzAnswer(f *testing.F) {
	cases, err := translatetest.Cases(chat.Gemini)
	if err != nil {
		f.Fatal(err)
	}
	for _, k := range cases {
		f.Add(k.Answer, 200)
	}
	f.Add([]byte(`{"embeddings":[{"values":[1]}]}`), 200)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		for _, op := range []translate.Provider{Codec{}, CountTokens{}, Embeddings{}} {
			r, err := op.DecodeResponse(body)
			isFault(t, err)
			_, peekErr := op.PeekResponse(body)
			isFault(t, peekErr)
			if c, ok := op.(translate.Client); ok && err == nil {
				if out, err := c.EncodeResponse(r, translate.Answer{}); err != nil || !json.Valid(out) {
					t.Fatalf("%v %s\n%s", err, out, body)
				}
			}
			if f := op.DecodeFault(status, noHeader, body); f.Message == "" || len(f.Message) > 1000 {
				t.Fatalf("%+v", f)
			}
		}
	})
}
