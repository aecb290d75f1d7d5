package config

import (
	"strings"
	"testing"
	"time"
)

const healthProviders = `
providers:
- {name: openai, credentials: [{secret: {env: OPENAI_API_KEY}}], models: [m]}
- {name: own, schema: cohere, endpoint: http://127.0.0.1:9, models: [n], catalogue: none}
`

const keyed = "OPENAI_API_KEY=sk-x"

// wantProblem wants a configuration to be refused for a reason, "" to be taken.
func wantProblem(t *testing.T, yaml, want string) {
	t.Helper()
	_, err := loadYAML(yaml, keyed)
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s\ngot  %v\nwant %s", yaml, err, want)
	}
}

func TestHealthDefaults(t *testing.T) {
	s := mustLoad(t, healthProviders, keyed)
	want := Health{HalfLife: 10 * time.Second, Floor: 1, Failures: 5, Ratio: 0.5, Backoff: time.Second, MaxBackoff: time.Minute, SlowStart: 10 * time.Second, Panic: 10}
	if s.Health != want || (Health{}).WithDefaults() != want {
		t.Errorf("got %+v and %+v, want %+v", s.Health, Health{}.WithDefaults(), want)
	}
	if a, b := s.Providers[0].LimitedBy, s.Providers[1].LimitedBy; a != LimitedByModel || b != LimitedByCredential {
		t.Errorf("limited by %s and %s", a, b)
	}
	if s.Providers[0].Check != nil || s.Loopback != "" {
		t.Error("an active check that nobody asked for")
	}
	if s.Retry.Budget != 20 || s.Retry.RetriesAllowed(10) != 10 || s.Retry.RetriesAllowed(1000) != 200 {
		t.Errorf("budget %d allows %d of 10 and %d of 1000", s.Retry.Budget, s.Retry.RetriesAllowed(10), s.Retry.RetriesAllowed(1000))
	}
}

func TestHealthSettings(t *testing.T) {
	s := mustLoad(t, `
health: {failures: 3, failure_ratio: 0.25, backoff: 2s, max_backoff: 30s, slow_start: 0s, panic: 50}
retry: {budget: 0, timeout: 30s}
providers:
- {name: openai, credentials: [{secret: {env: OPENAI_API_KEY}}], models: [m, o], limited_by: credential, check: {interval: 1s}}
- {name: claude, schema: anthropic, endpoint: https://api.anthropic.com, credentials: [{secret: {env: OPENAI_API_KEY}}], models: [n], check: {path: /health, timeout: 500ms}}
routes:
- {model: slow, candidates: [openai/m], retry: {timeout: 120s, per_try_timeout: 100s, max_attempts: 9}}
- {model: quick, candidates: [openai/m], on_content_policy: claude/n, retry: {timeout: 5s, probe: none}}
- {model: plain, candidates: [openai/m]}
`, keyed)
	if h := s.Health; h.Failures != 3 || h.Ratio != 0.25 || h.Backoff != 2*time.Second || h.MaxBackoff != 30*time.Second || h.SlowStart >= 0 || h.Panic != 50 {
		t.Errorf("health %+v", h)
	}
	if c := s.Providers[0].Check; c == nil || *c != (ActiveCheck{"/models", time.Second, time.Second}) || s.Providers[0].LimitedBy != LimitedByCredential {
		t.Errorf("check %+v", c)
	}
	if c := s.Providers[1].Check; c == nil || *c != (ActiveCheck{"/health", 10 * time.Second, 500 * time.Millisecond}) || s.Loopback == "" {
		t.Errorf("check %+v, loopback %q", c, s.Loopback)
	}
	slow, quick, plain := s.RetryOf(s.routes["slow"]), s.RetryOf(s.routes["quick"]), s.RetryOf(s.routes["plain"])
	if slow.Timeout != 2*time.Minute || slow.PerTryTimeout != 100*time.Second || slow.MaxAttempts != 9 || slow.Probe != ProbeStreams {
		t.Errorf("slow %+v", slow)
	}
	if quick.Timeout != 5*time.Second || quick.PerTryTimeout != 5*time.Second || quick.MaxAttempts != 4 || quick.Probe != ProbeNone {
		t.Errorf("quick %+v", quick)
	}
	if plain != &s.Retry || s.RetryOf(nil) != &s.Retry || plain.Budget != 0 {
		t.Errorf("plain %+v", plain)
	}
	if m := s.routes["quick"].OnContentPolicy; m == nil || m.Ref != "claude/n" {
		t.Errorf("on content policy: %+v", m)
	}
	if most := s.MostRetry(); most.MaxAttempts != 9 || most.Timeout != 2*time.Minute || most.Probe != ProbeStreams {
		t.Errorf("most %+v", most)
	}
}

func TestHealthFaults(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"health: {backoff: 2m}\n", ""}, // its bound follows
		{"health: {backoff: 2m, max_backoff: 1m}\n", "health.backoff: must not be longer than health.max_backoff (1m0s)"},
		{"health: {failures: 0, panic: 101}\n", "health.panic: must be from 1 to 100"},
		{"health: {failure_ratio: 2}\n", "health.failure_ratio: must be from 0.01 to 1"},
		{"retry: {budget: 101}\n", "retry.budget: must be from 0 to 100"},
		{"routes: [{model: r, candidates: [openai/m], retry: {timeout: 1s, per_try_timeout: 2s}}]\n", "routes[0].retry.per_try_timeout: must not be longer than the route's timeout (1s)"},
		{"routes: [{model: r, candidates: [openai/m], retry: {probe: some}}]\n", "routes[0].retry.probe: must be"},
		{"routes: [{model: r, candidates: [openai/m], on_content_policy: nobody}]\n", `routes[0].on_content_policy`},
	} {
		wantProblem(t, healthProviders+c.yaml, c.want)
	}
	check := func(more string) string {
		return strings.Replace(healthProviders, "models: [m]", "models: [m], check: {"+more+"}", 1)
	}
	wantProblem(t, check("path: models"), "providers[0].check.path: must begin with /")
	wantProblem(t, check("interval: 1s, timeout: 2s"), "providers[0].check.timeout: must not be longer than check.interval (1s)")
	wantProblem(t, "providers: [{name: bedrock, region: eu-central-1, credentials: [{aws: {chain: true}}], check: {}}]\n", "providers[0].check.path: is missing")
	wantProblem(t, strings.Replace(healthProviders, "models: [m]", "models: [m], limited_by: luck", 1), "providers[0].limited_by: must be")
}

func TestMarkTellsKeysApartAndNothingElse(t *testing.T) {
	a, b := NewSecret("sk-one", "env A"), NewSecret("sk-two", "env A")
	if a.Mark() == b.Mark() || a.Mark() != NewSecret("sk-one", "file x").Mark() || len(a.Mark()) != 8 || (Secret{}).Mark() != "" {
		t.Errorf("marks %q %q", a.Mark(), b.Mark())
	}
}
