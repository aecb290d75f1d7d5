package window

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/tokens"
	"dragoman/translate/chat"
)

func calls(ids ...string) chat.Message {
	m := chat.Message{Role: chat.Assistant, Parts: []chat.Part{{Kind: chat.Text, Text: "let me see"}}}
	for _, id := range ids {
		m.Parts = append(m.Parts, chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: id, Name: "f", Arguments: "{}"}})
	}
	return m
}

func result(id, s string) chat.Message {
	return chat.Message{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{CallID: id, Parts: []chat.Part{{Kind: chat.Text, Text: s}}}}}}
}

// conversation reads a short notation: s system, d developer, u user, a assistant, each of 100 tokens or of the number
// behind it; c1,2 an assistant's calls, r1 a result of 100 tokens, R1 one in a user's message with text.
func conversation(t testing.TB, notation string) []chat.Message {
	roles := map[byte]chat.Role{'s': chat.System, 'd': chat.Developer, 'u': chat.User, 'a': chat.Assistant}
	var ms []chat.Message
	for _, word := range strings.Fields(notation) {
		switch kind, rest := word[0], word[1:]; kind {
		case 'c':
			ms = append(ms, calls(strings.Split(rest, ",")...))
		case 'r':
			ms = append(ms, result(rest, words(100)))
		case 'R':
			m := result(rest, words(100))
			m.Role, m.Parts = chat.User, append(m.Parts, chat.Part{Kind: chat.Text, Text: "and now?"})
			ms = append(ms, m)
		default:
			n := 100
			if rest != "" {
				var err error
				if n, err = strconv.Atoi(rest); err != nil || roles[kind] == "" {
					t.Fatal(word)
				}
			}
			ms = append(ms, text(roles[kind], words(n)))
		}
	}
	return ms
}

// numbers are the places of the messages that stayed.
func numbers(all, stayed []chat.Message) string {
	var list []string
	at := 0
	for i := range all {
		if at < len(stayed) && reflect.DeepEqual(all[i], stayed[at]) && &all[i].Parts[0] == &stayed[at].Parts[0] {
			list = append(list, strconv.Itoa(i))
			at++
		}
	}
	if at != len(stayed) {
		return "not the client's messages"
	}
	return strings.Join(list, " ")
}

func TestTruncate(t *testing.T) {
	for name, c := range map[string]struct {
		conversation   string
		window         int64
		oldest, middle string // what stays, "" for a fault
	}{
		"fits":                                {"s u a u", 100_000, "-", "-"},
		"fits when counted":                   {"s u a u", 500, "-", "-"},
		"one turn":                            {"s u a u a u", 500, "0 3 4 5", "0 1 2 5"},
		"all but the last":                    {"s u a u a u", 300, "0 5", "0 5"},
		"last turn with answers":              {"s u a u a", 330, "0 3 4", "0 3 4"},
		"tools go with their turn":            {"s u c1,2 r1 r2 a u a u", 700, "0 6 7 8", "0 1 2 3 4 5 8"},
		"agent's run loses its oldest calls":  {"s u c1 r1 c2 r2 c3 r3", 500, "0 1 4 5 6 7", "0 1 4 5 6 7"},
		"the last call stays whole":           {"u c1 r1 c2,3,4 r2 r3 r4", 520, "0 3 4 5 6", "0 3 4 5 6"},
		"run and turns":                       {"u a u c1 r1 c2 r2", 270, "2 5 6", "2 5 6"},
		"an id used twice":                    {"u c1 r1 c1 r1", 260, "0 3 4", "0 3 4"},
		"results far from their call":         {"u c1 a r1 u", 150, "4", "4"},
		"results with a question":             {"u c1 r1 c2 R2 c3 r3", 400, "0 3 4 5 6", "0 3 4 5 6"},
		"begins with the assistant":           {"a u a u", 250, "3", "0 3"},
		"system messages stay where they are": {"s u a d u a u", 560, "0 3 4 5 6", "0 1 2 3 6"},
		"assistant last":                      {"u a u a20", 150, "2 3", "2 3"},
		"too long by itself":                  {"s u a u2000", 1000, "", ""},
		"system too long":                     {"s2000 u a u", 1000, "", ""},
		"last call too long":                  {"u a u c1,2 r1 r2", 250, "", ""},
		"only a user":                         {"u2000", 1000, "", ""},
		"no user at all":                      {"s a a a", 250, "0 3", "0 3"},
		"only instructions":                   {"s s", 100, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for policy, want := range map[config.Overlong]string{config.TruncateOldest: c.oldest, config.TruncateMiddle: c.middle} {
				ms := conversation(t, c.conversation)
				before := fmt.Sprintf("%+v", ms)
				r := newRequest(1, ms...)
				m := model("gpt-5", c.window, 0)
				got, cut, err := r.gauge().Truncate(m, policy)
				if fmt.Sprintf("%+v", ms) != before {
					t.Error("the client's request was changed")
				}
				switch {
				case want == "":
					var f *fault.Fault
					if !errors.As(err, &f) || f.Kind != fault.ContextLength || f.Code != "context_length_exceeded" {
						t.Errorf("%s: got %v, %v", policy, got, err)
					}
				case err != nil:
					t.Errorf("%s: %v", policy, err)
				case want == "-":
					if got != nil || cut != (Cut{}) {
						t.Errorf("%s: cut %v", policy, cut)
					}
				default:
					if stayed := numbers(ms, got.Messages); stayed != want {
						t.Errorf("%s: %s stay, want %s", policy, stayed, want)
					}
					all, left := tokens.O200k.Measure(r.Request).Total().Tokens, tokens.O200k.Measure(got).Total().Tokens
					if cut.Messages != len(ms)-len(got.Messages) || cut.Tokens != all-left || left+1 > c.window {
						t.Errorf("%s: %v, %d of %d tokens are left", policy, cut, left, all)
					}
				}
			}
		})
	}
}

func TestCutString(t *testing.T) {
	if got := (Cut{4, 12345}).String(); got != "messages=4; tokens=12345" {
		t.Error(got)
	}
}

// An answer whose length the client left open gets room too, where the window is shared.
func TestTruncateLeavesRoomForTheAnswer(t *testing.T) {
	ms := conversation(t, strings.Repeat("u a ", 40)+"u")
	for _, c := range []struct {
		m    *config.Model
		most int64
	}{
		{model("gpt-5", 8000, 0), 7000},
		{model("gpt-5", 8000, 200), 7800},
		{&config.Model{Name: "gemini-2.5-flash", Provider: google, Context: 8000}, 8000},
	} {
		r := newRequest(0, ms...)
		got, _, err := r.gauge().Truncate(c.m, config.TruncateOldest)
		if err != nil || got == nil {
			t.Fatal(got, err)
		}
		if left := tokens.KindOf(c.m.Name).Measure(got).Total().Most(); left > c.most || left < c.most-1000 {
			t.Errorf("%d tokens are left of at most %d", left, c.most)
		}
	}
}

// A growing conversation is cut at the same place for many turns, so that the provider's prompt cache serves them.
func TestTruncateKeepsItsPlace(t *testing.T) {
	m := model("gpt-5", 10_000, 0)
	ms := conversation(t, "s "+strings.Repeat("u a ", 50))
	places, last := 0, -1
	for range 60 {
		ms = append(ms, conversation(t, "u a")...)
		got, cut, err := newRequest(100, append(ms, text(chat.User, "go on"))...).gauge().Truncate(m, config.TruncateOldest)
		if err != nil || got == nil {
			t.Fatal(got, err)
		}
		if cut.Messages != last {
			places, last = places+1, cut.Messages
		}
	}
	if places < 5 || places > 25 { // 60 turns of 208 tokens, in steps of 625
		t.Errorf("%d places in 60 turns", places)
	}
}

func TestTruncateOfNothing(t *testing.T) {
	r := newRequest(0)
	r.Tools = []chat.Tool{{Name: "f", Description: words(1000)}}
	r.head.TextBytes = 5000
	if _, _, err := r.gauge().Truncate(model("gpt-5", 100, 0), config.TruncateOldest); err == nil {
		t.Error("a request without messages fits")
	}
	r = newRequest(0, text(chat.User, words(1000)))
	r.err = errors.New("bad")
	if _, _, err := r.gauge().Truncate(model("gpt-5", 100, 0), config.TruncateOldest); err != r.err {
		t.Errorf("got %v", err)
	}
}

// For any conversation: what is left fits; instructions, the last user message and the last message stay; no call is
// parted from its result; the order is kept; and a conversation that began with a user still does.
func TestTruncateProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	cuts := 0
	for range 5000 {
		ms := randomConversation(rng)
		m := model([]string{"gpt-5", "claude-3-opus", "mystery"}[rng.IntN(3)], 100+rng.Int64N(3000), 0)
		policy := []config.Overlong{config.TruncateOldest, config.TruncateMiddle}[rng.IntN(2)]
		r := newRequest(rng.Int64N(50), ms...)
		got, cut, err := r.gauge().Truncate(m, policy)
		if err != nil {
			var f *fault.Fault
			if !errors.As(err, &f) || f.Kind != fault.ContextLength {
				t.Fatal(err)
			}
			continue
		}
		if got == nil {
			continue
		}
		cuts++
		if cut.Messages == 0 || len(got.Messages)+cut.Messages != len(ms) {
			t.Fatalf("%v of %d, %d stay", cut, len(ms), len(got.Messages))
		}
		if fit, _ := (&request{Request: got, head: r.head}).gauge().Check(m); !fit.Surely() && fit.Counted {
			t.Fatalf("does not fit: %+v", fit)
		}
		if broken := broken(ms, got.Messages); broken != "" {
			t.Fatalf("%s: %s", policy, broken)
		}
	}
	if cuts < 500 {
		t.Errorf("only %d conversations were cut", cuts)
	}
}

func randomConversation(rng *rand.Rand) []chat.Message {
	var ms []chat.Message
	if rng.IntN(2) == 0 {
		ms = append(ms, text(chat.System, words(rng.IntN(50))))
	}
	next := 0
	for range 1 + rng.IntN(8) {
		ms = append(ms, text(chat.User, words(1+rng.IntN(150))))
		for range rng.IntN(4) {
			if rng.IntN(2) == 0 {
				ms = append(ms, text(chat.Assistant, words(1+rng.IntN(150))))
				continue
			}
			var ids []string
			for range 1 + rng.IntN(3) {
				next++
				ids = append(ids, strconv.Itoa(next%7)) // ids come again
			}
			ms = append(ms, calls(ids...))
			for _, id := range ids {
				ms = append(ms, result(id, words(rng.IntN(100))))
			}
		}
	}
	return ms
}

// broken says which property does not hold.
func broken(before, after []chat.Message) string {
	stayed := map[*chat.Part]bool{}
	for i := range after {
		stayed[&after[i].Parts[0]] = true
	}
	if n := numbers(before, after); n == "not the client's messages" {
		return n
	}
	lastUser, nearest := -1, map[string]int{}
	for i := range before {
		m := &before[i]
		here := stayed[&m.Parts[0]]
		switch m.Role {
		case chat.System:
			if !here {
				return "a system message is gone"
			}
		case chat.User:
			lastUser = i
		}
		for j := range m.Parts {
			if call := m.Parts[j].Call; call != nil {
				nearest[call.ID] = i
			}
			if res := m.Parts[j].Result; res != nil && here != stayed[&before[nearest[res.CallID]].Parts[0]] {
				return fmt.Sprintf("the result %d is parted from its call %d", i, nearest[res.CallID])
			}
		}
	}
	switch {
	case !stayed[&before[lastUser].Parts[0]]:
		return "the last user message is gone"
	case !stayed[&before[len(before)-1].Parts[0]]:
		return "the last message is gone"
	}
	for i := range after {
		if after[i].Role != chat.System {
			if after[i].Role != chat.User {
				return "begins with " + string(after[i].Role)
			}
			break
		}
	}
	return ""
}

func BenchmarkTruncate(b *testing.B) {
	r := newRequest(1000, conversation(b, "s "+strings.Repeat("u a c1 r1 ", 400)+"u")...)
	m := model("gpt-4o", 64_000, 0)
	b.ReportAllocs()
	for b.Loop() {
		if got, _, err := r.gauge().Truncate(m, config.TruncateOldest); err != nil || got == nil {
			b.Fatal(got, err)
		}
	}
}
