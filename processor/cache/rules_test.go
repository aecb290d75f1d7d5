package cache

import (
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

func TestRulesThatAreSwitchedOn(t *testing.T) {
	all := config.CacheRules{MaxTemperature: 1.5, Tools: true, Images: true}
	part := func(p chat.Part) *chat.Request {
		r := simple()
		r.Messages[1].Parts = append(r.Messages[1].Parts, p)
		return r
	}
	warm, server := simple(), simple()
	warm.Temperature = ptr(1.5)
	server.Tools = []chat.Tool{{Name: "web_search", Kind: "web_search_20250305"}}
	tools := simple()
	tools.Tools = []chat.Tool{{Name: "f"}}
	image := chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/png", Data: "AA=="}}
	byURL := chat.Part{Kind: chat.Image, Media: &chat.Media{URL: "https://example.com/x.png"}}
	for name, c := range map[string]struct {
		r    *chat.Request
		all  bool
		none bool
	}{
		"plain":                   {simple(), true, true},
		"a warm request":          {warm, true, false},
		"tools":                   {tools, true, false},
		"a server's tool":         {server, false, false},
		"a call":                  {part(chat.Part{Kind: chat.ToolCall, Call: &chat.Call{}}), true, false},
		"a result":                {part(chat.Part{Kind: chat.ToolResult, Result: &chat.Result{Parts: []chat.Part{{Kind: chat.Text}}}}), true, false},
		"an image as a result":    {part(chat.Part{Kind: chat.ToolResult, Result: &chat.Result{Parts: []chat.Part{image}}}), true, false},
		"an image's URL in there": {part(chat.Part{Kind: chat.ToolResult, Result: &chat.Result{Parts: []chat.Part{byURL}}}), false, false},
		"a result of nothing":     {part(chat.Part{Kind: chat.ToolResult}), false, false},
		"an image":                {part(image), true, false},
		"an image by URL":         {part(byURL), false, false},
		"an uploaded file":        {part(chat.Part{Kind: chat.Document, Media: &chat.Media{FileID: "f"}}), false, false},
		"audio":                   {part(chat.Part{Kind: chat.Audio, Media: &chat.Media{Data: "AA=="}}), false, false},
	} {
		if got := Cacheable(c.r, all); got != c.all {
			t.Errorf("%s, all switched on: %v", name, got)
		}
		if got := Cacheable(c.r, config.CacheRules{MaxTemperature: 1}); got != c.none {
			t.Errorf("%s, by default: %v", name, got)
		}
	}
	// Without a temperature it is 1: a limit below asks for the word.
	if cold := (config.CacheRules{MaxTemperature: 0.5}); Cacheable(simple(), cold) {
		t.Error("a request without temperature passes a limit of 0.5")
	}
}

func TestStorableWithTools(t *testing.T) {
	answer := func(f chat.Finish, ps ...chat.Part) *chat.Response {
		return &chat.Response{Choices: []chat.Choice{{Finish: f, Parts: ps}}}
	}
	call, text := chat.Part{Kind: chat.ToolCall, Call: &chat.Call{Name: "f"}}, chat.Part{Kind: chat.Text, Text: "hi"}
	for name, c := range map[string]struct {
		r    *chat.Response
		want bool
	}{
		"a call":          {answer(chat.FinishToolCalls, call), true},
		"text and a call": {answer(chat.FinishToolCalls, text, call), true},
		"no call":         {answer(chat.FinishToolCalls), false},
		"refusal":         {answer(chat.FinishStop, text, chat.Part{Kind: chat.Refusal, Text: "no"}), false},
	} {
		if got := Storable(c.r, config.CacheRules{Tools: true}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestDirectives(t *testing.T) {
	second := time.Second
	for header, want := range map[string]Directives{
		"":                           {},
		"no-store":                   {NoStore: true},
		"no-cache":                   {NoCache: true},
		"No-Cache, NO-STORE":         {NoStore: true, NoCache: true},
		"max-age=0":                  {NoCache: true, HasMaxAge: true},
		` max-age = "0" ,no-store ,`: {NoStore: true, NoCache: true, HasMaxAge: true},
		"max-age=60, private":        {HasMaxAge: true, MaxAge: 60 * second},
		`max-age="60"`:               {HasMaxAge: true, MaxAge: 60 * second},
		"max-age=60, max-age=7":      {HasMaxAge: true, MaxAge: 7 * second},
		"max-age=99999999999":        {HasMaxAge: true, MaxAge: 4294967295 * second},
		"max-age=-1":                 {NoCache: true, HasMaxAge: true},
		"max-age=soon":               {NoCache: true, HasMaxAge: true},
		"max-age":                    {NoCache: true, HasMaxAge: true},
		"x-no-store":                 {},
		",,,=,":                      {},
	} {
		var d Directives
		d.Read(header)
		if d != want {
			t.Errorf("%q: got %+v, want %+v", header, d, want)
		}
	}
	var two Directives
	two.Read("no-store")
	two.Read("max-age=5")
	if !two.NoStore || two.MaxAge != 5*second {
		t.Errorf("of two headers: %+v", two)
	}
}

func TestFresh(t *testing.T) {
	stored := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	e := &Entry{Stored: stored}
	for _, c := range []struct {
		age  time.Duration
		d    Directives
		want bool
	}{
		{0, Directives{}, true},
		{-time.Minute, Directives{}, true}, // another replica's clock is ahead
		{59 * time.Minute, Directives{}, true},
		{time.Hour, Directives{}, false},
		{time.Minute, Directives{HasMaxAge: true, MaxAge: time.Minute}, true},
		{time.Minute + 1, Directives{HasMaxAge: true, MaxAge: time.Minute}, false},
	} {
		if got := e.Fresh(stored.Add(c.age), time.Hour, c.d); got != c.want {
			t.Errorf("aged %s with %+v: %v", c.age, c.d, got)
		}
	}
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		f    Filter
		want bool
	}{
		{Filter{}, true},
		{Filter{Tenant: "acme"}, true},
		{Filter{Tenant: "globex"}, false},
		{Filter{Model: "auto"}, true},
		{Filter{Model: "gpt-5"}, true},
		{Filter{Model: "gpt"}, false},
		{Filter{OlderThan: time.Minute}, true},
		{Filter{OlderThan: time.Hour}, false},
		{Filter{Tenant: "acme", Model: "gpt-5", OlderThan: time.Hour}, false},
	} {
		if got := c.f.Matches("acme", "auto", "gpt-5", 10*time.Minute); got != c.want {
			t.Errorf("%+v: %v", c.f, got)
		}
	}
}
