package cache

import (
	"reflect"
	"strings"
	"testing"

	"dragoman/translate/chat"
)

func saying(s string) []chat.Part { return []chat.Part{{Kind: chat.Text, Text: s}} }

func TestQuestion(t *testing.T) {
	p := Partition{Tenant: "acme"}
	with := func(ms ...chat.Message) *chat.Request { return &chat.Request{Model: "auto", Messages: ms} }
	user := chat.Message{Role: chat.User, Parts: saying("Why?")}
	system := chat.Message{Role: chat.System, Parts: saying("Be brief.")}
	for name, c := range map[string]struct {
		r             *chat.Request
		single, multi bool
	}{
		"one user turn":        {with(user), true, true},
		"instructions":         {with(system, chat.Message{Role: chat.Developer, Parts: saying("x")}, user), true, true},
		"a conversation":       {with(user, chat.Message{Role: chat.Assistant, Parts: saying("Because.")}, user), false, true},
		"two user messages":    {with(user, user), false, true},
		"assistant's last":     {with(user, chat.Message{Role: chat.Assistant, Parts: saying("Be")}), false, false},
		"no messages":          {with(), false, false},
		"no user":              {with(system), false, false},
		"no parts":             {with(chat.Message{Role: chat.User}), false, false},
		"two texts":            {with(chat.Message{Role: chat.User, Parts: append(saying("a"), saying("b")...)}), false, false},
		"an image":             {with(chat.Message{Role: chat.User, Parts: []chat.Part{{Kind: chat.Image}}}), false, false},
		"white space":          {with(chat.Message{Role: chat.User, Parts: saying(" \n")}), false, false},
		"a tool's result last": {with(user, chat.Message{Role: chat.ToolRole, Parts: saying("42")}), false, false},
	} {
		if _, got, ok := Question(p, c.r, false); ok != c.single || ok && got != "Why?" {
			t.Errorf("%s: %q %v", name, got, ok)
		}
		if _, _, ok := Question(p, c.r, true); ok != c.multi {
			t.Errorf("%s, several turns: %v", name, ok)
		}
	}
}

// TestC13_all_but_the_last_text_is_a_hard_partition: nothing that counts for the exact key may be missing in the partition, but the text
// itself.
func TestC13_all_but_the_last_text_is_a_hard_partition(t *testing.T) {
	request := func() *chat.Request {
		r := full()
		r.Messages = append(r.Messages, chat.Message{Role: chat.User, Name: "bob", Parts: saying("Why?")})
		return r
	}
	p := Partition{Tenant: "acme"}
	r := request()
	base, _, ok := Question(p, r, true)
	if !ok {
		t.Fatal("no question")
	}
	key := KeyOf(p, r)
	last, visited, changed := len(r.Messages)-1, 0, 0
	mutate(reflect.ValueOf(r).Elem(), "", func(path string) {
		visited++
		if len(r.Messages) <= last || KeyOf(p, r) == key {
			return // what does not change the answer may change neither
		}
		rest, got, ok := Question(p, r, true)
		if !ok || got != "Why?" {
			return // another question, or none
		}
		if changed++; rest == base {
			t.Errorf("%s: another value, and the same partition", path)
		}
	})
	if visited < 45 || changed < 40 {
		t.Errorf("only %d fields were tried, %d counted", visited, changed)
	}
	for _, other := range []Partition{{Tenant: "globex"}, {Tenant: "acme", Scope: "acme"}, {Tenant: "acme", Route: "r"}, {Tenant: "acme", Extra: "x"}} {
		if rest, _, _ := Question(other, r, true); rest == base {
			t.Errorf("%+v shares the partition", other)
		}
	}
	r.Messages[last].Parts = saying("How?")
	if rest, got, ok := Question(p, r, true); rest != base || got != "How?" || !ok {
		t.Error("another last text makes another partition")
	}
	if base == KeyOf(p, r) || strings.Contains(base.String(), "Why") {
		t.Error("the partition is no key of its own")
	}
}
