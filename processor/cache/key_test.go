package cache

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

func ptr[T any](v T) *T { return &v }

func simple() *chat.Request {
	return &chat.Request{
		Schema: chat.OpenAI, Model: "auto",
		Messages: []chat.Message{
			{Role: chat.System, Parts: []chat.Part{{Kind: chat.Text, Text: "Be brief."}}},
			{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "What is a dragoman?"}}},
		},
	}
}

// full has something in every field, so that each can be changed.
func full() *chat.Request {
	r := simple()
	r.Messages = append(r.Messages, chat.Message{Role: chat.Assistant, Name: "bot", Parts: []chat.Part{
		{Kind: chat.Thinking, Text: "hm", Signature: "sig", Extra: []chat.Extra{{Name: "x", JSON: []byte("1")}}},
		{Kind: chat.Image, Media: &chat.Media{Type: "image/png", Data: "AA==", URL: "u", FileID: "f", Name: "n", Detail: "low"}},
		{Kind: chat.ToolCall, Call: &chat.Call{ID: "c1", Name: "f", Arguments: "{}"}},
		{Kind: chat.ToolResult, Result: &chat.Result{CallID: "c1", IsError: ptr(false), Parts: []chat.Part{{Kind: chat.Text, Text: "ok"}}}},
	}})
	r.Tools = []chat.Tool{{Name: "f", Description: "d", Parameters: []byte(`{}`), Strict: ptr(true), Kind: "k", Raw: []byte("{}")}}
	r.ToolChoice = &chat.ToolChoice{Mode: chat.ToolNamed, Name: "f"}
	r.ParallelToolCalls = ptr(false)
	r.MaxTokens, r.TopK, r.Seed, r.N, r.TopLogProbs = ptr(int64(10)), ptr(int64(40)), ptr(int64(7)), ptr(int64(2)), ptr(int64(3))
	r.Temperature, r.TopP, r.FrequencyPenalty, r.PresencePenalty = ptr(0.5), ptr(0.9), ptr(0.1), ptr(0.2)
	r.Stop, r.LogProbs = []string{"END"}, ptr(true)
	r.Format = &chat.Format{Name: "n", Description: "d", Schema: []byte(`{"type":"object"}`), Strict: ptr(true)}
	r.Reasoning = &chat.Reasoning{Effort: "low", Budget: 100, Disabled: true, Adaptive: true, Display: "omitted"}
	r.Extra = []chat.Extra{{Name: "logit_bias", JSON: []byte(`{"5":1}`)}}
	r.User, r.Stream, r.IncludeUsage = "u1", true, true
	return r
}

// without are the fields that must not be part of the key, by their path in the request's type.
var without = map[string]string{
	"Schema":                            "the same question in another schema has the same answer",
	"User":                              "an end user's id",
	"Stream":                            "a stored answer is replayed either way",
	"IncludeUsage":                      "how the answer is written",
	"Messages.Parts.Cache":              "a hint about price",
	"Messages.Parts.Result.Parts.Cache": "as above",
	"Tools.Cache":                       "a hint about price",
	"Extra.Meaning":                     "says nothing that the member's name does not",
	"Messages.Parts.Extra.Meaning":      "as above",
}

// Every field of the neutral request is either in the key or excused by name: a field that somebody adds to it must not be
// forgotten here.
func TestEveryFieldIsInTheKey(t *testing.T) {
	base := KeyOf(Partition{Tenant: "acme"}, full())
	visited := map[string]bool{}
	r := full()
	mutate(reflect.ValueOf(r).Elem(), "", func(path string) {
		changed := KeyOf(Partition{Tenant: "acme"}, r) != base
		if _, excused := without[path]; excused == changed {
			t.Errorf("%s: key changed = %v", path, changed)
		}
		visited[path] = true
	})
	if KeyOf(Partition{Tenant: "acme"}, r) != base {
		t.Fatal("the test does not restore what it changes")
	}
	for path := range without {
		if !visited[path] && !strings.HasSuffix(path, ".Cache") {
			t.Errorf("no such field: %s", path)
		}
	}
	if len(visited) < 45 {
		t.Errorf("only %d fields were tried", len(visited))
	}
}

// mutate changes one leaf of v after the other, calls check, and restores it.
func mutate(v reflect.Value, path string, check func(path string)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if path != "" {
				name = path + "." + name
			}
			mutate(v.Field(i), name, check)
		}
	case reflect.Pointer:
		if v.IsNil() {
			if strings.HasSuffix(path, ".Cache") {
				change(v, reflect.ValueOf(&chat.CacheMark{}), path, check)
			}
			return
		}
		change(v, reflect.Zero(v.Type()), path, check)
		mutate(v.Elem(), path, check)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			change(v, reflect.ValueOf(append([]byte("x"), v.Bytes()...)).Convert(v.Type()), path, check)
			return
		}
		if v.Len() > 0 {
			change(v, v.Slice(0, v.Len()-1), path, check)
		}
		for i := range v.Len() {
			mutate(v.Index(i), path, check)
		}
	case reflect.String:
		change(v, reflect.ValueOf(v.String()+"x").Convert(v.Type()), path, check)
	case reflect.Bool:
		change(v, reflect.ValueOf(!v.Bool()), path, check)
	case reflect.Int64:
		change(v, reflect.ValueOf(v.Int()+1).Convert(v.Type()), path, check)
	case reflect.Uint8:
		change(v, reflect.ValueOf(uint8(v.Uint()+1)).Convert(v.Type()), path, check)
	case reflect.Float64:
		change(v, reflect.ValueOf(v.Float()+0.25), path, check)
	default:
		panic(fmt.Sprintf("%s: a field of kind %v: teach the test and the key", path, v.Kind()))
	}
}

func change(v, to reflect.Value, path string, check func(string)) {
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	v.Set(to)
	check(path)
	v.Set(old)
}

func TestTenantsNeverMeet(t *testing.T) {
	if KeyOf(Partition{Tenant: "acme"}, simple()) == KeyOf(Partition{Tenant: "globex"}, simple()) {
		t.Error("two tenants share a key")
	}
	a, b := simple(), simple()
	a.Model, b.Model = "auto", "oauto"
	if KeyOf(Partition{Tenant: "acmeo"}, a) == KeyOf(Partition{Tenant: "acme"}, b) {
		t.Error("bytes can be shifted from the tenant's name into the model's")
	}
}

func TestDefaultsAreFilledIn(t *testing.T) {
	r := simple()
	r.Temperature, r.TopP, r.FrequencyPenalty, r.PresencePenalty = ptr(1.0), ptr(1.0), ptr(0.0), ptr(0.0)
	r.N, r.LogProbs, r.TopLogProbs, r.ParallelToolCalls = ptr(int64(1)), ptr(false), ptr(int64(0)), ptr(true)
	r.Stop, r.Extra = []string{}, []chat.Extra{}
	if KeyOf(Partition{Tenant: "acme"}, r) != KeyOf(Partition{Tenant: "acme"}, simple()) {
		t.Error("spelled-out defaults make another key")
	}
	r.FrequencyPenalty = ptr(1 / negativeInfinity())
	if KeyOf(Partition{Tenant: "acme"}, r) != KeyOf(Partition{Tenant: "acme"}, simple()) {
		t.Error("-0 makes another key")
	}
	r.MaxTokens = ptr(int64(0))
	if KeyOf(Partition{Tenant: "acme"}, r) == KeyOf(Partition{Tenant: "acme"}, simple()) {
		t.Error("an absent cap equals a cap of 0")
	}
}

func negativeInfinity() float64 { z := 0.0; return -1 / z }

func TestHarmlessMembersAreLeftOut(t *testing.T) {
	r := simple()
	r.Extra = []chat.Extra{{Name: "metadata", JSON: []byte(`{"trace":"1"}`)}, {Name: "prompt_cache_key", JSON: []byte(`"s"`)}}
	if KeyOf(Partition{Tenant: "acme"}, r) != KeyOf(Partition{Tenant: "acme"}, simple()) || !Cacheable(r, config.CacheRules{MaxTemperature: 1}) {
		t.Error("ids of a session keep the cache from working")
	}
}

func TestOrderOfMembersDoesNotCount(t *testing.T) {
	a, b := simple(), simple()
	a.Extra = []chat.Extra{{Name: "logit_bias", JSON: []byte(`{}`)}, {Name: "verbosity", JSON: []byte(`"low"`)}}
	b.Extra = []chat.Extra{a.Extra[1], a.Extra[0]}
	if KeyOf(Partition{Tenant: "acme"}, a) != KeyOf(Partition{Tenant: "acme"}, b) {
		t.Error("the order of members makes another key")
	}
}

// Text moved across the boundary of two messages or parts, at lengths around the writer's buffer, is another request.
func TestProperty_no_two_splits_share_a_key(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	text := strings.Repeat("abcdefgh", 600)
	seen := map[Key]string{}
	for range 3000 {
		n := rng.IntN(len(text))
		i := rng.IntN(n + 1)
		r := simple()
		split := fmt.Sprintf("%d+%d parts", i, n-i)
		r.Messages[1].Parts = []chat.Part{{Kind: chat.Text, Text: text[:i]}, {Kind: chat.Text, Text: text[i:n]}}
		if rng.IntN(2) == 0 {
			split = fmt.Sprintf("%d+%d messages", i, n-i)
			r.Messages[1].Parts = r.Messages[1].Parts[:1]
			r.Messages = append(r.Messages, chat.Message{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: text[i:n]}}})
		}
		k := KeyOf(Partition{Tenant: "acme"}, r)
		if other, ok := seen[k]; ok && other != split {
			t.Fatalf("%s and %s share a key", split, other)
		}
		seen[k] = split
		if KeyOf(Partition{Tenant: "acme"}, r) != k {
			t.Fatal("a key is not stable")
		}
	}
}

func FuzzKeyOf(f *testing.F) {
	f.Add("acme", "auto", "hello", "x", []byte("{}"))
	f.Add("", "", strings.Repeat("a", 1023), strings.Repeat("b", 1025), []byte(nil))
	f.Fuzz(func(t *testing.T, tenant, model, a, b string, raw []byte) {
		one := &chat.Request{Model: model, Stop: []string{a, b}, Extra: []chat.Extra{{Name: "logit_bias", JSON: raw}}}
		two := &chat.Request{Model: model, Stop: []string{a + b}, Extra: one.Extra}
		if KeyOf(Partition{Tenant: tenant}, one) == KeyOf(Partition{Tenant: tenant}, two) {
			t.Error("two stops and one share a key")
		}
		if KeyOf(Partition{Tenant: tenant}, one) == KeyOf(Partition{Tenant: tenant + "x"}, one) {
			t.Error("two tenants share a key")
		}
	})
}

func BenchmarkKeyOf(b *testing.B) {
	for _, size := range []int{200, 20_000} {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			r := simple()
			r.Messages[1].Parts[0].Text = strings.Repeat("lorem ipsum ", size/12)
			b.ReportAllocs()
			for b.Loop() {
				KeyOf(Partition{Tenant: "acme"}, r)
			}
		})
	}
}

func TestPartitionsNeverMeet(t *testing.T) {
	seen := map[Key]Partition{}
	for _, p := range []Partition{
		{Tenant: "a"}, {Tenant: "b"}, {Tenant: "a", Scope: "b"}, {Tenant: "a", Scope: "a"}, {Tenant: "a", Route: "b"},
		{Tenant: "a", Extra: "b"}, {Tenant: "a", Route: "b", Extra: "c"}, {Tenant: "a", Route: "bc"}, {Tenant: "ab"}, {},
	} {
		k := KeyOf(p, simple())
		if q, ok := seen[k]; ok {
			t.Errorf("%+v and %+v share a key", p, q)
		}
		seen[k] = p
	}
	if KeyOf(Partition{Tenant: "a", Scope: "both"}, simple()) != KeyOf(Partition{Tenant: "b", Scope: "both"}, simple()) {
		t.Error("tenants of one scope do not share")
	}
}

func TestParseKey(t *testing.T) {
	k := KeyOf(Partition{Tenant: "a"}, simple())
	if got, ok := ParseKey(k.String()); !ok || got != k {
		t.Errorf("%s reads as %s", k, got)
	}
	for _, s := range []string{"", "x", k.String()[1:], k.String() + "00", strings.Repeat("g", 64)} {
		if _, ok := ParseKey(s); ok {
			t.Errorf("%q is taken for a key", s)
		}
	}
}
