package processor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/processor/route"
	"dragoman/translate/chat"
)

const steerConfig = `
providers:
- {name: a, schema: openai, endpoint: http://127.0.0.1:9, models: [m, n], catalogue: none}
- {name: b, schema: openai, endpoint: http://127.0.0.1:9, models: [m], catalogue: none,
   credentials: [{name: one, secret: {env: KEY}}, {name: two, secret: {env: KEY}}]}
routes:
- {model: ordered, strategy: fallback, candidates: [a/m, b/m]}
- {model: scored, candidates: [a/m, b/m]}
- {model: single, candidates: [a/m], retry: {max_attempts: 1}}
`

// steered is an exchange about to be ordered.
type steered struct {
	s   *Server
	now time.Time
}

func newSteered(t *testing.T) *steered {
	t.Helper()
	f, _ := config.Parse("c.yaml", []byte(steerConfig))
	snap, err := config.Compile(f, config.Options{Env: func(string) (string, bool) { return "sk-x", true }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	w := &steered{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return w.now }
	tracker := health.New(snap.Health, now)
	tracker.SetRandom(func() float64 { return 0 })
	tracker.SetClusters(snap.Clusters)
	w.s = &Server{Options: Options{Config: func() *config.Snapshot { return snap }, Health: tracker, Now: now, Random: func() float64 { return 0.5 }}}
	return w
}

func (w *steered) exchange(t *testing.T, name string) *Exchange {
	t.Helper()
	snap := w.s.Config()
	rt, err := snap.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := route.Choose(snap, w.s.Health.View(), route.Query{Asked: name, Route: rt, Now: w.now, Random: 0.5, Schema: chat.OpenAI})
	if err != nil {
		t.Fatal(err)
	}
	return &Exchange{s: w.s, snap: snap, policy: rt, decision: d, principal: &config.Principal{}, endpoint: find("/v1/chat/completions"), head: &chat.Head{Schema: chat.OpenAI}}
}

func groups(plan []route.Step) string {
	var names []string
	for i := range plan {
		names = append(names, plan[i].Group)
	}
	return strings.Join(names, " ")
}

func (w *steered) report(n int, o health.Outcome) {
	for range n {
		w.s.Health.Report(o)
	}
	w.s.Health.Publish()
}

func TestSteerAvoidsTheClusterThatLimitsTheModel(t *testing.T) {
	w := newSteered(t)
	w.report(1, health.Outcome{Cluster: "b/one", Class: health.RateLimited, Status: 429, Model: "m", RetryAfter: time.Minute})
	ex := w.exchange(t, "ordered")
	ex.steer(w.s.Health.View())
	if got := groups(ex.decision.Plan); !strings.HasPrefix(got, "a b/two") || strings.Contains(got, "b/one b") {
		t.Errorf("plan: %s", got)
	}
	w.report(1, health.Outcome{Cluster: "a/default", Class: health.NoModel, Status: 404, Model: "m"})
	ex = w.exchange(t, "ordered")
	ex.steer(w.s.Health.View())
	if got := groups(ex.decision.Plan); !strings.HasPrefix(got, "b/two") || !strings.Contains(got, "a") {
		t.Errorf("a model that is missing at a: %s", got)
	}
	ex = w.exchange(t, "a/n")
	ex.steer(w.s.Health.View())
	if got := groups(ex.decision.Plan); !strings.HasPrefix(got, "a") {
		t.Errorf("another model: %s", got)
	}
}

func TestSteerMakesOneTrial(t *testing.T) {
	w := newSteered(t)
	w.report(5, health.Outcome{Cluster: "a/default", Class: health.ServerError, Start: w.now})
	ex := w.exchange(t, "ordered")
	ex.steer(w.s.Health.View())
	if got := groups(ex.decision.Plan); ex.trial != "" || !strings.HasPrefix(got, "b") {
		t.Fatalf("while it is open: %s", got)
	}
	w.now = w.now.Add(time.Second)
	w.s.Health.Publish()
	first, second := w.exchange(t, "ordered"), w.exchange(t, "scored")
	first.steer(w.s.Health.View())
	second.steer(w.s.Health.View())
	if got := groups(first.decision.Plan); first.trial != "a/default" || !strings.HasPrefix(got, "a/default b") || len(first.decision.Plan) > 4 {
		t.Errorf("no trial: %s", got)
	}
	if got := groups(second.decision.Plan); second.trial != "" || strings.HasPrefix(got, "a") {
		t.Errorf("a second one beside it: %s", got)
	}
	first.endAttempts()
	w.now = w.now.Add(time.Second)
	second = w.exchange(t, "scored")
	second.steer(w.s.Health.View())
	if second.trial != "a/default" {
		t.Error("none after the first has ended without an outcome")
	}
	second.endAttempts()
	w.now = w.now.Add(time.Second)
	bound := w.exchange(t, "scored")
	bound.bound, bound.decision.Plan = true, slices.DeleteFunc(bound.decision.Plan, func(s route.Step) bool { return s.Provider.Name == "a" })
	if bound.steer(w.s.Health.View()); bound.trial != "" {
		t.Errorf("a request that only b can serve tries %s", bound.trial)
	}
	for name, ex := range map[string]*Exchange{"one attempt": w.exchange(t, "single"), "acts": w.exchange(t, "scored")} {
		if ex.acts = name == "acts"; ex.trial != "" {
			t.Fatal(name)
		}
		if ex.steer(w.s.Health.View()); ex.trial != "" {
			t.Errorf("%s: a trial with a request that has no second attempt", name)
		}
	}
}

// A later choice of an ordered route is not asked before the first for the sake of a trial.
func TestSteerTriesNoSpareBeforeTheFirstChoice(t *testing.T) {
	w := newSteered(t)
	w.report(5, health.Outcome{Cluster: "b/one", Class: health.ServerError, Start: w.now})
	w.now = w.now.Add(time.Second)
	w.s.Health.Publish()
	ex := w.exchange(t, "ordered")
	if ex.steer(w.s.Health.View()); ex.trial != "" {
		t.Errorf("tries %s: %s", ex.trial, groups(ex.decision.Plan))
	}
	ex = w.exchange(t, "scored")
	if ex.steer(w.s.Health.View()); ex.trial != "b/one" {
		t.Errorf("a scored route does not try it: %s", groups(ex.decision.Plan))
	}
}

func TestParsePatience(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30": 30 * time.Second, "0.25": 250 * time.Millisecond, "600.0": 10 * time.Minute, "1500ms": 1500 * time.Millisecond, "2m": 2 * time.Minute,
		"1e30": maxPatience, "99999h": maxPatience,
		"": 0, "0": 0, "-5": 0, "NaN": 0, "Inf": 0, "NOT_GIVEN": 0, "-1s": 0, "0s": 0, strings.Repeat("9", 40): 0,
	} {
		if got, ok := parsePatience(text); got != want && ok || ok != (want > 0) {
			t.Errorf("%q: %v %v, want %v", text, got, ok, want)
		}
	}
}

func TestActsAtProvider(t *testing.T) {
	for _, c := range []struct {
		fields string
		want   bool
	}{
		{`"tools":[{"type":"function","function":{"name":"mcp_like"}}]`, false},
		{`"tools":[{"type":"web_search"}]`, false},
		{`"tools":[{"type":"function","name":"x"},{"type":"mcp","server_url":"https://x"}]`, true},
		{`"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]`, true},
		{`"tools":[{"type":"code_execution_20250825","name":"code_execution"}]`, true},
		{`"tools":[{"codeExecution":{}}]`, true},
		{`"tools":[{"google_search":{}},{"code_execution":{}}]`, true},
		{`"mcp_servers":[{"type":"url","url":"https://x"}]`, true},
		{`"tools":[{"type":"custom","name":"shell"}]`, false}, // the client runs it
		{`"messages":"mcp code_interpreter"`, false},
	} {
		body := []byte("{" + c.fields + "}")
		name, _, _ := strings.Cut(c.fields[1:], `"`)
		h := &chat.Head{Body: body, Fields: []chat.Field{{Name: name, Start: 1 + len(name) + 3, End: len(body) - 1}}}
		if got := actsAtProvider(h); got != c.want {
			t.Errorf("%s: %v", c.fields, got)
		}
	}
}

func TestRetryBudgetCounts(t *testing.T) {
	w := newSteered(t)
	held := []*Exchange{}
	for i := range 30 {
		ex := w.exchange(t, "scored")
		step := ex.decision.Plan[0]
		ex.decision.Plan = []route.Step{step, step}
		barred := ex.barred(2, &ex.decision.Plan[1])
		if want := i >= 10; (barred != nil) != want {
			t.Fatalf("request %d: %v", i, barred)
		}
		if again := ex.barred(2, &ex.decision.Plan[1]); (again == nil) != (barred == nil) {
			t.Fatalf("request %d counts twice", i)
		}
		if ex.barred(1, &step) != nil {
			t.Fatal("a first attempt counts")
		}
		held = append(held, ex)
	}
	for _, ex := range held {
		ex.endAttempts()
		ex.endAttempts()
	}
	if n := w.s.repeats.Load(); n != 0 {
		t.Errorf("%d are never given back", n)
	}
}

func TestDueChecksSpreadAndForget(t *testing.T) {
	f, _ := config.Parse("c.yaml", []byte(strings.ReplaceAll(steerConfig, "catalogue: none", "catalogue: none, check: {interval: 1s}")))
	snap, err := config.Compile(f, config.Options{Env: func(string) (string, bool) { return "sk-x", true }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	due, now, r := map[config.ClusterName]time.Time{}, time.Now(), 0.0
	random := func() float64 { r += 0.25; return r }
	if got := dueChecks(snap, due, now, random); len(got) != 0 {
		t.Errorf("%d at once", len(got))
	}
	for i := 1; i <= 3; i++ {
		if got := dueChecks(snap, due, now.Add(time.Duration(i)*250*time.Millisecond), random); len(got) != i {
			t.Errorf("after %d quarters %d are due", i, len(got))
		}
	}
	for i := range 200 {
		due[config.ClusterName(fmt.Sprint("gone/", i))] = now
	}
	dueChecks(snap, due, now, random)
	if len(due) > 20 {
		t.Errorf("%d are remembered", len(due))
	}
}
