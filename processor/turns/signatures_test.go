package turns_test

import (
	"reflect"
	"strconv"
	"testing"

	"dragoman/processor/turns"
	"dragoman/translate/chat"
)

func text(s string) chat.Part { return chat.Part{Kind: chat.Text, Text: s} }
func thought(s, sig string) chat.Part {
	return chat.Part{Kind: chat.Thinking, Text: s, Signature: sig}
}
func call(id, sig string) chat.Part {
	return chat.Part{Kind: chat.ToolCall, Signature: sig, Call: &chat.Call{ID: id, Name: "f", Arguments: "{}"}}
}

func answerOf(parts ...chat.Part) *chat.Response {
	return &chat.Response{Choices: []chat.Choice{{Parts: parts}}}
}

func history(turnsOf ...[]chat.Part) *chat.Request {
	r := &chat.Request{}
	for _, parts := range turnsOf {
		r.Messages = append(r.Messages, chat.Message{Role: chat.User, Parts: []chat.Part{text("?")}}, chat.Message{Role: chat.Assistant, Parts: parts})
	}
	return r
}

// TestD79_signed_parts_come_back: what the client sends of a turn, and what it is again with its signed parts.
func TestD79_signed_parts_come_back(t *testing.T) {
	redacted := chat.Part{Kind: chat.RedactedThinking, Signature: "opaque"}
	for name, c := range map[string]struct{ answer, sent, want []chat.Part }{
		"thinking before a call": {
			[]chat.Part{thought("hm", "s1"), call("a", "")}, []chat.Part{call("a", "")}, []chat.Part{thought("hm", "s1"), call("a", "")},
		},
		"before text and calls": {
			[]chat.Part{thought("hm", "s1"), redacted, text("Let me."), call("a", ""), call("b", "")},
			[]chat.Part{text("Let me."), call("a", ""), call("b", "")},
			[]chat.Part{thought("hm", "s1"), redacted, text("Let me."), call("a", ""), call("b", "")},
		},
		"between calls": {
			[]chat.Part{thought("1", "s1"), call("a", ""), thought("2", "s2"), call("b", "")},
			[]chat.Part{call("a", ""), call("b", "")},
			[]chat.Part{thought("1", "s1"), call("a", ""), thought("2", "s2"), call("b", "")},
		},
		"signatures of calls": {
			[]chat.Part{call("a", "gemini:x"), call("b", "")}, []chat.Part{call("a", ""), call("b", "")}, []chat.Part{call("a", "gemini:x"), call("b", "")},
		},
		"thinking that lost its signature": {
			[]chat.Part{thought("hm", "s1"), call("a", "")}, []chat.Part{thought("hm", ""), call("a", "")}, []chat.Part{thought("hm", "s1"), call("a", "")},
		},
		"text signed": {
			[]chat.Part{{Kind: chat.Text, Text: "x", Signature: "gemini:t"}, call("a", "gemini:x")}, []chat.Part{text("x"), call("a", "")},
			[]chat.Part{{Kind: chat.Text, Text: "x", Signature: "gemini:t"}, call("a", "gemini:x")},
		},
		"a call that the client dropped": {
			[]chat.Part{thought("1", "s1"), call("a", ""), thought("2", "s2"), call("b", "gemini:y")}, []chat.Part{call("b", "")},
			[]chat.Part{thought("1", "s1"), thought("2", "s2"), call("b", "gemini:y")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := memory(t, turns.TTL{})
			if err := turns.Remember(t.Context(), s, "acme", answerOf(c.answer...)); err != nil {
				t.Fatal(err)
			}
			r := history(c.sent)
			before := r.Messages
			if n := turns.Restore(t.Context(), s, "acme", r); n != 1 {
				t.Fatalf("%d turns restored", n)
			}
			if got := r.Messages[1].Parts; !reflect.DeepEqual(got, c.want) {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
			if !reflect.DeepEqual(before[1].Parts, c.sent) {
				t.Error("the client's messages were written to")
			}
			if turns.Restore(t.Context(), s, "acme", r) != 0 {
				t.Error("it is restored twice")
			}
			if other := history(c.sent); turns.Restore(t.Context(), s, "other", other) != 0 {
				t.Error("another tenant gets it")
			}
		})
	}
}

func TestD37_one_message_for_each_call(t *testing.T) {
	s, _ := memory(t, turns.TTL{})
	_ = turns.Remember(t.Context(), s, "acme", answerOf(thought("hm", "s1"), call("a", "gemini:x"), call("b", "gemini:y")))
	r := history([]chat.Part{call("a", "")}, []chat.Part{call("b", "")})
	if n := turns.Restore(t.Context(), s, "acme", r); n != 2 {
		t.Fatalf("%d restored", n)
	}
	if got := r.Messages[1].Parts; !reflect.DeepEqual(got, []chat.Part{thought("hm", "s1"), call("a", "gemini:x")}) {
		t.Errorf("first: %+v", got)
	}
	if got := r.Messages[3].Parts; !reflect.DeepEqual(got, []chat.Part{call("b", "gemini:y")}) {
		t.Errorf("second: %+v", got)
	}
}

// TestD80_texts_are_known_by_their_hash, beside a turn with calls: alone they are not worth asking for.
func TestD80_texts_are_known_by_their_hash(t *testing.T) {
	s, _ := memory(t, turns.TTL{})
	_ = turns.Remember(t.Context(), s, "acme", answerOf(thought("hm", "s1"), text("Hello "), text("there")))
	_ = turns.Remember(t.Context(), s, "acme", answerOf(thought("hm", "s2"), call("a", "")))
	r := history([]chat.Part{text("Hello there")}, []chat.Part{text("Bye")}, []chat.Part{call("a", "")})
	if n := turns.Restore(t.Context(), s, "acme", r); n != 2 {
		t.Fatalf("%d restored", n)
	}
	if got := r.Messages[1].Parts; !reflect.DeepEqual(got, []chat.Part{thought("hm", "s1"), text("Hello there")}) {
		t.Errorf("got %+v", got)
	}
	if got := r.Messages[3].Parts; !reflect.DeepEqual(got, []chat.Part{text("Bye")}) {
		t.Errorf("got %+v", got)
	}
}

func TestStoreIsAskedOnlyWhenThereIsSomethingToDo(t *testing.T) {
	s := &broken{}
	for name, r := range map[string]*chat.Request{
		"no history":    {Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{text("x")}}}},
		"texts":         history([]chat.Part{text("x")}, []chat.Part{thought("hm", ""), text("y")}),
		"signed calls":  history([]chat.Part{thought("hm", "s"), call("a", "")}, []chat.Part{call("b", "gemini:x")}),
		"nothing said":  history(nil),
		"results alone": {Messages: []chat.Message{{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{CallID: "a"}}}}}},
	} {
		if turns.Restore(t.Context(), s, "acme", r) != 0 || s.asked != 0 {
			t.Errorf("%s: the store is asked", name)
		}
	}
	for _, a := range []*chat.Response{{}, answerOf(text("x")), answerOf(thought("hm", ""), call("a", "")), answerOf(thought("", ""))} {
		if err := turns.Remember(t.Context(), s, "acme", a); err != nil || s.asked != 0 {
			t.Errorf("%+v is remembered", a)
		}
	}
	if r := history([]chat.Part{call("a", "")}); turns.Restore(t.Context(), s, "acme", r) != 0 || s.asked != 1 {
		t.Error("a store that is away must cost nothing but the question")
	}
	if turns.Remember(t.Context(), s, "acme", answerOf(call("a", "gemini:x"))) == nil {
		t.Error("a failure is not told")
	}
}

func TestRestoreIsBounded(t *testing.T) {
	s, _ := memory(t, turns.TTL{})
	var long [][]chat.Part
	for i := range 400 {
		id := "c" + strconv.Itoa(i)
		_ = turns.Remember(t.Context(), s, "acme", answerOf(thought("hm", "s"), call(id, "")))
		long = append(long, []chat.Part{call(id, "")})
	}
	r := history(long...)
	if n := turns.Restore(t.Context(), s, "acme", r); n != 256 {
		t.Errorf("%d turns are looked up", n)
	}
	if last := r.Messages[len(r.Messages)-1].Parts; len(last) != 2 {
		t.Error("the latest turn matters most")
	}
}

func BenchmarkRestore_nothing_to_do(b *testing.B) {
	s := &broken{}
	r := history([]chat.Part{thought("hm", "s"), text("x"), call("a", "")}, []chat.Part{text("long text")}, []chat.Part{call("b", "s")})
	b.ReportAllocs()
	for b.Loop() {
		turns.Restore(b.Context(), s, "acme", r)
	}
}

func BenchmarkRestore(b *testing.B) {
	s, _ := memory(b, turns.TTL{})
	_ = turns.Remember(b.Context(), s, "acme", answerOf(thought("a thought of some length", "a signature of some length"), call("a", "")))
	b.ReportAllocs()
	for b.Loop() {
		r := history([]chat.Part{call("a", "")})
		if turns.Restore(b.Context(), s, "acme", r) != 1 {
			b.Fatal("not restored")
		}
	}
}

func BenchmarkEncodeDecodeTurn(b *testing.B) {
	turn := whole()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := turns.Decode(turns.Encode(turn)); err != nil {
			b.Fatal(err)
		}
	}
}
