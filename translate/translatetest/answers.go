package translatetest

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// answer: a whole answer is read, written the same each time, and read again as what it was; cut anywhere it is a fault.
func answer(t *testing.T, c Codec, k *Case) {
	if k.Status != 200 {
		f := c.DecodeFault(k.Status, noHeader, k.Answer)
		if f.Status != k.Status || !f.FromProvider() || f.Message == "" || strings.Contains(f.Message, "sk-") {
			t.Errorf("got %+v", f)
		}
		return
	}
	r, err := c.DecodeResponse(k.Answer)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := c.PeekResponse(k.Answer)
	if err != nil {
		t.Fatal(err)
	}
	want := translate.SeenOf(r)
	if seen.ID != want.ID || seen.Model != want.Model || seen.Usage != want.Usage || seen.Finish != want.Finish || !seen.End || !seen.Content {
		t.Errorf("peeked %+v, decoded %+v", seen, want)
	}
	body, err := c.EncodeResponse(r, Answer)
	if err != nil || !json.Valid(body) {
		t.Fatalf("%v: %s", err, body)
	}
	if again, err := c.EncodeResponse(r, Answer); err != nil || !bytes.Equal(again, body) {
		t.Errorf("not the same bytes (%v):\n%s\n%s", err, body, again)
	}
	back, err := c.DecodeResponse(body)
	if err != nil {
		t.Fatal(err)
	}
	r.Extra, back.Extra = nil, nil
	same(t, "round trip", back, r)

	whole := bytes.TrimSpace(k.Answer)
	for n := range len(whole) {
		_, err := c.DecodeResponse(whole[:n:n])
		mustFault(t, err, "cut answer")
		_, err = c.PeekResponse(whole[:n:n])
		mustFault(t, err, "cut answer, peeked")
	}
}

func noHeader(string) string { return "" }

// hostileFaults are what stands where an error of the schema is due.
func hostileFaults() []string {
	return []string{
		``, ` `, `{}`, `[]`, `null`, `"x"`, `{"error":null}`, `{"error":"x"}`, `{"error":{"message":5,"type":[],"code":{}}}`, `[{"error":{"message":"x"}}]`,
		`{"error":{"message":"` + strings.Repeat("x", 1<<16) + `"}}`, `<html><body>Bad Gateway`, "\x1f\x8b\x08\x00\xff", strings.Repeat("[", 10_000),
		`{"message":"x"}`, `{"detail":"x"}`, `{"error":{"message":"key sk-ant-api03-abcdefghijkl and Bearer abcdefghijkl"}}`, `{"error":{"mess`,
	}
}

// faults: whatever a provider answers is classified, and every kind of fault is told as JSON with a status of an error.
func faults(t *testing.T, c Codec) {
	for _, status := range []int{0, -1, 100, 200, 204, 301, 399, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 418, 422, 424, 429, 451, 498, 499, 500, 501, 502, 503, 504, 520, 529, 599, 600, 999, math.MaxInt32} {
		for _, body := range hostileFaults() {
			f := c.DecodeFault(status, noHeader, []byte(body))
			if f == nil || f.Message == "" || f.Status != status {
				t.Fatalf("%d %.50q: %+v", status, body, f)
			}
			if len(f.Message) > 1000 || len(f.Type) > 100 || len(f.Code) > 200 || strings.Contains(f.Message, "abcdefghijkl") {
				t.Errorf("%d %.50q: long, or with a secret: %+v", status, body, f)
			}
		}
	}
	for _, kind := range fault.Kinds() {
		told(t, c, fault.New(kind, "a \"message\"\n\xff"))
		told(t, c, &fault.Fault{Kind: kind, Status: 503, Param: "messages[0]", Code: "x", Type: "y"})
	}
}

func told(t *testing.T, c Codec, f *fault.Fault) {
	t.Helper()
	status, body := c.EncodeFault(f, "req-1")
	if status < 400 || status > 599 || !json.Valid(body) {
		t.Errorf("%+v: %d %s", f, status, body)
	}
	if back := c.DecodeFault(status, noHeader, body); back.Message == "" {
		t.Errorf("%+v: a client of this schema would find no message in %s", f, body)
	}
	e := c.NewEncoder(Answer)
	stream := e.Fault(nil, f)
	if after := e.Encode(stream[:len(stream):len(stream)], &chat.Event{Kind: chat.EventEnd}); !bytes.Equal(after, stream) {
		t.Errorf("something followed the error event: %s", after)
	}
	var seen *fault.Fault
	d := c.NewDecoder(maxEvent)
	note := func(ev *chat.Event) {
		if ev.Kind == chat.EventError {
			seen = ev.Fault
		}
	}
	if err := d.Decode(stream, note); err != nil || seen == nil {
		t.Errorf("%v: the error event is not read as one: %s", err, stream)
	}
	if err := d.Close(note); err != nil {
		t.Errorf("an error event ends the stream: %v", err)
	}
}
