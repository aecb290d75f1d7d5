package chat

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// rules are those of the schemas, and the smallest that a name can be told by.
var rules = []NameRule{
	{Max: 64},
	{Max: 64, Other: ".", FirstAlpha: true},
	{Max: 128, FirstAlpha: true},
	{Max: 64, NoHyphen: true},
	{Max: 14, FirstAlpha: true},
	{Max: 13, FirstAlpha: true, NoHyphen: true},
	{Max: 9},
}

func withTools(names ...string) *Request {
	r := &Request{}
	for _, name := range names {
		r.Tools = append(r.Tools, Tool{Name: name})
	}
	return r
}

func TestNamesOfRequestsThatFit(t *testing.T) {
	r := withTools("get_weather", "a-b", "X9")
	r.ToolChoice = &ToolChoice{Mode: ToolAuto, Name: "not looked at/"}
	n := NamesFor(r, NameRule{Max: 64})
	if n != nil {
		t.Errorf("got %+v", n)
	}
	if n.Out("a/b") != "a/b" || n.Back("a/b") != "a/b" {
		t.Error("nil is not the identity")
	}
}

func TestD14_every_name_of_a_request_is_covered(t *testing.T) {
	r := withTools("defined/one")
	r.ToolChoice = &ToolChoice{Mode: ToolNamed, Name: "chosen/one"}
	r.Messages = []Message{{Parts: []Part{{Kind: Text}, {Kind: ToolCall, Call: &Call{Name: "called/one"}}}}}
	rule := NameRule{Max: 64}
	n := NamesFor(r, rule)
	for _, name := range []string{"defined/one", "chosen/one", "called/one"} {
		short := n.Out(name)
		if !rule.fits(short) || n.Back(short) != name || !strings.HasPrefix(short, strings.ReplaceAll(name, "/", "_")+"_") {
			t.Errorf("%s becomes %s", name, short)
		}
	}
	if n.Out("other") != "other" || n.Back("other") != "other" {
		t.Error("a name that fits is changed")
	}
}

// awkward are names that a careless rule would merge, each with what the rule might make of it.
func awkward(rule NameRule) []string {
	names := []string{
		"", "_", "-", "a", "A", "foo/bar", "foo.bar", "foo_bar", "foo-bar", "foo bar", "1st", "-x", "żółw", "zolw", "名前", "名字", "foo\x00", "foo\xff",
		strings.Repeat("a", rule.Max), strings.Repeat("a", rule.Max+1), strings.Repeat("a", rule.Max+2), strings.Repeat("a", 4000) + "b", strings.Repeat("a", 4000) + "c",
		"call_1a2b3c4d5e6f", "_1a2b3c4d", strings.Repeat("é", 40), strings.Repeat("è", 40),
	}
	for _, name := range names {
		short := rule.shorten(name)
		names = append(names, short, rule.shorten(short))
	}
	return names
}

// Different names never become the same one, also when one of them is another's short form; each result fits its rule and
// comes back as what it was.
func TestD14_names_are_a_bijection(t *testing.T) {
	for _, rule := range rules {
		t.Run(fmt.Sprintf("%+v", rule), func(t *testing.T) {
			names := awkward(rule)
			n := NamesFor(withTools(names...), rule)
			checkBijection(t, rule, n, names)
		})
	}
}

func checkBijection(t *testing.T, rule NameRule, n *Names, names []string) {
	t.Helper()
	from := map[string]string{}
	for _, name := range names {
		short := n.Out(name)
		if !rule.fits(short) {
			t.Errorf("%q becomes %q, which does not fit", name, short)
		}
		if n.Back(short) != name {
			t.Errorf("%q becomes %q and comes back as %q", name, short, n.Back(short))
		}
		if other, taken := from[short]; taken && other != name {
			t.Errorf("%q and %q both become %q", name, other, short)
		}
		from[short] = name
	}
}

func TestD14_random_names_are_a_bijection(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	alphabet := []rune("aZ09_-./ é名")
	for range 300 {
		rule := rules[rng.IntN(len(rules)-1)] // the last keeps only 32 bits of a hash
		var names []string
		for range 30 {
			name := make([]rune, rng.IntN(2*rule.Max))
			for i := range name {
				name[i] = alphabet[rng.IntN(len(alphabet))]
			}
			names = append(names, string(name))
		}
		checkBijection(t, rule, NamesFor(withTools(names...), rule), names)
	}
}

// D83: a provider's prompt cache stays valid only while the same name becomes the same one in every request.
func TestD83_names_are_stable(t *testing.T) {
	rule := NameRule{Max: 64, FirstAlpha: true}
	one := NamesFor(withTools("mcp/search", "9lives"), rule)
	two := NamesFor(withTools("9lives", "another/tool", "mcp/search"), rule)
	for _, name := range []string{"mcp/search", "9lives"} {
		if one.Out(name) != two.Out(name) {
			t.Errorf("%s becomes %s and %s", name, one.Out(name), two.Out(name))
		}
	}
	if got := one.Out("mcp/search"); got != "mcp_search_f5d51fe43975" {
		t.Errorf("a new release writes %s: prompts that are cached are paid for again", got)
	}
	if got := one.Out("9lives"); !strings.HasPrefix(got, "_9lives_") {
		t.Errorf("got %s", got)
	}
}

func TestD34_call_ids(t *testing.T) {
	if got := CallID("call_abcDEF-123", 64); got != "call_abcDEF-123" {
		t.Errorf("an id that fits becomes %s", got)
	}
	for _, most := range []int{9, 13, 40, 64} {
		rule := NameRule{Max: most}
		from := map[string]string{}
		for _, id := range append(awkward(rule), "functions.get:0", "functions.get:1", "functions_get_0") {
			got := CallID(id, most)
			if !rule.fits(got) || got != CallID(id, most) {
				t.Errorf("%q becomes %q for %d", id, got, most)
			}
			if other, taken := from[got]; taken && other != id {
				t.Errorf("%q and %q both become %q", id, other, got)
			}
			from[got] = id
		}
	}
}

// A rule without room for anything is nobody's; it must not bring the gateway down.
func TestNamesWithoutRoom(t *testing.T) {
	for most := range 3 {
		if got := CallID("some id", most); len(got) > max(most, 1) {
			t.Errorf("%d: %q", most, got)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("foo/bar", "foo.bar", 64, true)
	f.Add("foo_bar_4efa9ca70f4f", "", 20, false)
	f.Fuzz(func(t *testing.T, a, b string, most int, firstAlpha bool) {
		rule := NameRule{Max: 13 + max(most%200, -most%200), FirstAlpha: firstAlpha}
		checkBijection(t, rule, NamesFor(withTools(a, b, rule.shorten(a)), rule), []string{a, b, rule.shorten(a)})
	})
}

func BenchmarkNamesFor(b *testing.B) {
	r := withTools("get_weather", "search_orders", "send_mail", "list_files")
	rule := NameRule{Max: 64, FirstAlpha: true}
	b.ReportAllocs()
	for b.Loop() {
		NamesFor(r, rule)
	}
}
