package turns_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/internal/fault"
	"dragoman/internal/store/storetest"
	"dragoman/processor/turns"
	"dragoman/translate/chat"
)

// hands is a clock that a test moves.
type hands struct{ at atomic.Int64 } // Unix ns: the store looks at it in the background, too

func (h *hands) now() time.Time { return time.Unix(0, h.at.Load()) }

func (h *hands) pass(d time.Duration) { h.at.Add(int64(d)) }

func memory(t testing.TB, ttl turns.TTL) (*turns.Memory, *hands) {
	h := &hands{}
	h.at.Store(time.Unix(1_735_000_000, 0).UnixNano())
	s := turns.NewMemory(8*storetest.TurnsBytes, ttl, h.now)
	t.Cleanup(s.Close)
	return s, h
}

func TestMemoryPassesTheSuite(t *testing.T) {
	storetest.Turns(t, func(t *testing.T, ttl turns.TTL) (turns.Store, func(time.Duration)) {
		s, h := memory(t, ttl)
		return s, h.pass
	})
}

func TestMemoryIsBounded(t *testing.T) {
	s := turns.NewMemory(1<<20, turns.TTL{}, time.Now)
	defer s.Close()
	value := make([]byte, 64<<10)
	for i := range 200 {
		k := turns.Key{Tenant: "acme", Kind: turns.Response, ID: string(rune('a' + i))}
		if err := s.Put(t.Context(), turns.Entry{Key: k, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, bytes := s.Usage(); bytes <= 1<<20 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d bytes are kept", bytes)
		}
	}
	if n, _ := s.Usage(); n == 0 {
		t.Error("nothing is kept")
	}
}

func whole() *turns.Turn {
	bad := true
	return &turns.Turn{
		ID: "resp_1", Created: 1_735_000_000, Origin: "openai", Native: true, Input: 3, Body: []byte(`{"id":"resp_1"}`),
		Messages: []chat.Message{
			{Role: chat.User, Name: "bob", Parts: []chat.Part{
				{Kind: chat.Text, Text: "Hi ł\x00", Cache: &chat.CacheMark{TTL: "1h"}},
				{Kind: chat.Image, Media: &chat.Media{Type: "image/png", Data: "AAAA", Detail: "low"}},
				{Kind: chat.Document, Media: &chat.Media{URL: "https://x/a.pdf", Name: "a.pdf"}},
				{Kind: chat.Audio, Media: &chat.Media{FileID: "f"}},
			}},
			{Role: chat.Assistant, Parts: []chat.Part{
				{Kind: chat.Thinking, Text: "hm", Signature: "responses:rs_1:gAAA"}, {Kind: chat.RedactedThinking, Signature: "zz"},
				{Kind: chat.ToolCall, Signature: "gemini:x", Call: &chat.Call{ID: "call_1", Name: "f", Arguments: `{"a":1}`}},
			}},
			{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{
				CallID: "call_1", IsError: &bad, Parts: []chat.Part{{Kind: chat.Text, Text: "no"}},
			}}}},
			{Role: chat.Assistant, Parts: []chat.Part{
				{Kind: chat.Text, Text: "So.", Citations: []chat.Citation{{Title: "t", URL: "u", Quote: "q", Start: -1, End: 1 << 40}}, Extra: []chat.Extra{{Name: "x", JSON: []byte("1"), Meaning: true}}},
				{Kind: chat.Refusal, Text: "no"},
			}},
			{},
		},
	}
}

func TestStoredFormKeepsEverything(t *testing.T) {
	for _, want := range []*turns.Turn{whole(), {}, {ID: "x", Messages: []chat.Message{{Role: chat.User}}}} {
		b := turns.Encode(want)
		got, err := turns.Decode(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
		}
		for n := range b {
			if _, err := turns.Decode(b[:n]); err == nil {
				t.Fatalf("cut at %d of %d it is still read", n, len(b))
			}
		}
		if _, err := turns.Decode(append(b[:len(b):len(b)], 0)); err == nil {
			t.Error("what follows it is not noticed")
		}
		b[0]++
		if _, err := turns.Decode(b); err == nil {
			t.Error("another version is read")
		}
	}
}

// Bytes that decode are exactly those that encoding makes again, so that nothing hides in them; nothing crashes.
func FuzzStoredForm(f *testing.F) {
	f.Add(turns.Encode(whole()))
	f.Add(turns.Encode(&turns.Turn{}))
	m := whole().Messages[1]
	f.Add(turns.EncodeMessage(&m))
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, err := turns.Decode(in); err == nil {
			if again := turns.Encode(got); string(again) != string(in) {
				t.Fatalf("%x is read and written as %x", in, again)
			}
		}
		if got, err := turns.DecodeMessage(in); err == nil {
			if again := turns.EncodeMessage(got); string(again) != string(in) {
				t.Fatalf("%x is read and written as %x", in, again)
			}
		}
	})
}

func asFault(t *testing.T, err error) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) {
		t.Fatalf("got %v", err)
	}
	return f
}

func TestSaveLoadForget(t *testing.T) {
	s, h := memory(t, turns.TTL{Response: time.Hour})
	turn := whole()
	turn.AddItem("fc_1", turn.Messages[1])
	if err := turns.Save(t.Context(), s, "acme", turn); err != nil {
		t.Fatal(err)
	}
	got, err := turns.Load(t.Context(), s, "acme", "resp_1")
	turn.Items = nil
	if err != nil || !reflect.DeepEqual(got, turn) {
		t.Errorf("%v: %+v", err, got)
	}
	found, err := turns.Items(t.Context(), s, "acme", []string{"fc_1", "fc_2", strings.Repeat("x", 300), ""})
	if err != nil || len(found) != 1 || !reflect.DeepEqual(found["fc_1"], turn.Messages[1]) {
		t.Errorf("%v: %+v", err, found)
	}
	if found, _ := turns.Items(t.Context(), s, "other", []string{"fc_1"}); len(found) != 0 {
		t.Error("another tenant finds the item")
	}
	for _, c := range []struct{ tenant, id string }{{"other", "resp_1"}, {"acme", "resp_2"}, {"acme", ""}, {"acme", strings.Repeat("é", 300)}, {"acme", "'\n<"}} {
		_, err := turns.Load(t.Context(), s, c.tenant, c.id)
		f := asFault(t, err)
		if f.Kind != fault.InvalidRequest || f.Param != "previous_response_id" || f.Code != "previous_response_not_found" || len(f.Message) > 150 {
			t.Errorf("%+v: %+v", c, f)
		}
		if f := asFault(t, turns.Forget(t.Context(), s, c.tenant, c.id, nil)); f.Kind != fault.NotFound {
			t.Errorf("%+v: %+v", c, f)
		}
	}
	if err := turns.Forget(t.Context(), s, "acme", "resp_1", []string{"fc_1"}); err != nil {
		t.Error(err)
	}
	if _, err := turns.Load(t.Context(), s, "acme", "resp_1"); err == nil {
		t.Error("it is still there")
	}
	if found, _ := turns.Items(t.Context(), s, "acme", []string{"fc_1"}); len(found) != 0 {
		t.Error("its item is still there")
	}
	if err := turns.Save(t.Context(), s, "acme", turn); err != nil {
		t.Fatal(err)
	}
	h.pass(2 * time.Hour)
	if _, err := turns.Load(t.Context(), s, "acme", "resp_1"); err == nil {
		t.Error("it never expires")
	}
	if turns.Save(t.Context(), s, "acme", &turns.Turn{}) == nil {
		t.Error("a turn without an id is kept")
	}
	if turns.Save(t.Context(), s, "acme", &turns.Turn{ID: "x", Body: make([]byte, 4*storetest.TurnsBytes)}) == nil {
		t.Error("a huge turn is kept")
	}
	if _, err := turns.Items(t.Context(), s, "acme", make([]string, 5000)); err == nil {
		t.Error("any number of items may be named")
	}
}

func TestValueOfAnotherVersionIsUnknown(t *testing.T) {
	s, _ := memory(t, turns.TTL{})
	_ = s.Put(t.Context(), turns.Entry{Key: turns.Key{Tenant: "acme", Kind: turns.Response, ID: "resp_1"}, Value: []byte("\x09")})
	if _, err := turns.Load(t.Context(), s, "acme", "resp_1"); asFault(t, err).Kind != fault.InvalidRequest {
		t.Errorf("got %v", err)
	}
}

// broken is a store that is away, and counts how often it is asked.
type broken struct{ asked int }

func (b *broken) Get(context.Context, ...turns.Key) ([][]byte, error) {
	b.asked++
	return nil, errors.New("away")
}
func (b *broken) Put(context.Context, ...turns.Entry) error { b.asked++; return errors.New("away") }
func (b *broken) Delete(context.Context, ...turns.Key) (bool, error) {
	b.asked++
	return false, errors.New("away")
}

func TestStoreThatIsAway(t *testing.T) {
	s := &broken{}
	_, load := turns.Load(t.Context(), s, "acme", "resp_1")
	_, items := turns.Items(t.Context(), s, "acme", []string{"x"})
	_, resolve := turns.Resolve(t.Context(), s, "acme", "resp_1", &chat.Request{}, 0)
	for _, err := range []error{load, items, resolve, turns.Forget(t.Context(), s, "acme", "resp_1", nil)} {
		if f := asFault(t, err); f.Kind != fault.Unavailable {
			t.Errorf("got %+v", f)
		}
	}
}

func TestResolvePutsTheConversationBehindTheInstructions(t *testing.T) {
	s, _ := memory(t, turns.TTL{})
	say := func(role chat.Role, text string) chat.Message {
		return chat.Message{Role: role, Parts: []chat.Part{{Kind: chat.Text, Text: text}}}
	}
	turn := &turns.Turn{ID: "resp_1", Input: 1, Messages: []chat.Message{say(chat.User, "a"), say(chat.Assistant, "b")}}
	if err := turns.Save(t.Context(), s, "acme", turn); err != nil {
		t.Fatal(err)
	}
	r := &chat.Request{Model: "m", Messages: []chat.Message{say(chat.System, "s"), say(chat.User, "c")}, Extra: []chat.Extra{
		{Name: "previous_response_id", JSON: []byte(`"resp_1"`), Meaning: true}, {Name: "text.verbosity", JSON: []byte(`"low"`)},
	}}
	got, err := turns.Resolve(t.Context(), s, "acme", "resp_1", r, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := []chat.Message{say(chat.System, "s"), say(chat.User, "a"), say(chat.Assistant, "b"), say(chat.User, "c")}
	if !reflect.DeepEqual(got.Messages, want) || len(got.Extra) != 1 || got.Model != "m" {
		t.Errorf("got %+v", got)
	}
	if len(r.Messages) != 2 || len(r.Extra) != 2 {
		t.Error("the request was changed")
	}
	if _, err := turns.Resolve(t.Context(), s, "other", "resp_1", r, 1); asFault(t, err).Code != "previous_response_not_found" {
		t.Errorf("got %v", err)
	}
}
