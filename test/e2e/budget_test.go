package e2e

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
	"dragoman/test/redisserver"
)

// Of the models here only output costs: a micro-USD a token, so that what is spent in micro-USD is what the fakes count.
const (
	budgetWords = 100 // tokens of each answer
	budgetFits  = 100 // answers
	budgetUSD   = 0.01
)

// budgetConfig is a gateway whose tenant acme has a budget for budgetFits answers, with keys of two teams.
func budgetConfig(rest string) string {
	return fmt.Sprintf(`{{providers}}
models:
- {name: priced, provider: openai, id: gpt-4.1, price: {input: 0, output: 1}, max_output: 32768}
- {name: priced-claude, provider: anthropic, id: claude-haiku-4-5, price: {input: 0, output: 1}, max_output: 8192}
- {name: unpriced, provider: openai, id: gpt-4.1-mini}
routes: [{model: either, strategy: fallback, candidates: [priced, priced-claude]}]
tenants:
- name: acme
  budgets: [{usd: %v, per: month}]
  keys: [{name: k, hash: '%s'}]
  teams:
  - {name: search, budgets: [{name: team, tokens: 1000000, per: day}], keys: [{name: ci, hash: '%s'}]}
- {name: globex, budgets: [{usd: 1, per: month}], keys: [{name: k, hash: '%s'}]}
%s`, budgetUSD, config.HashKey("dgm_acme"), config.HashKey("dgm_search"), config.HashKey("dgm_globex"), rest)
}

// words is a text of n tokens as the fakes count them, and as Dragoman estimates them: 4 bytes each.
func words(n int) string { return strings.TrimSuffix(strings.Repeat("abc ", n), " ") }

// answering has both fakes answer each request with n tokens.
func answering(t testing.TB, g *harness.Gateway, n int, bend func(r *fakeprovider.Reply)) {
	t.Helper()
	for _, f := range g.Fakes {
		r := fakeprovider.Text(words(n))
		if bend != nil {
			bend(r)
		}
		f.Script(fakeprovider.Rule{Reply: r})
	}
}

// budgetBody asks for at most n tokens, or sets no cap (0).
func budgetBody(model string, n int, stream bool) string {
	capped := ""
	if n > 0 {
		capped = fmt.Sprintf(`"max_tokens":%d,`, n)
	}
	return fmt.Sprintf(`{"model":%q,%s"stream":%t,"messages":[{"role":"user","content":"go"}]}`, model, capped, stream)
}

// limitLevel is one limit as /status shows it.
type limitLevel struct{ limit, spent, reserved float64 }

func levelOf(t testing.TB, g *harness.Gateway, level, name string) (l limitLevel) {
	t.Helper()
	req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, g.Admin+"/status", nil)
	resp, err := g.HTTP.Do(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	if !gjson.GetBytes(b, "limits").Exists() {
		return limitLevel{spent: -1, reserved: -1} // the counters are not asked at the moment
	}
	found := false
	gjson.GetBytes(b, "limits").ForEach(func(_, v gjson.Result) bool {
		if v.Get("level").String() == level && v.Get("name").String() == name {
			l, found = limitLevel{v.Get("limit").Float(), v.Get("spent").Float(), v.Get("reserved").Float()}, true
		}
		return !found
	})
	if !found {
		t.Fatalf("/status does not show %s %s: %s", level, name, gjson.GetBytes(b, "limits"))
	}
	return l
}

// wantSpent waits until nothing is reserved and so many micro-USD are spent of acme's budget.
func wantSpent(t testing.TB, g *harness.Gateway, least, most int64) {
	t.Helper()
	var spent, reserved int64
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		l := levelOf(t, g, "tenant:acme", "usd-per-month")
		if spent, reserved = int64(math.Round(l.spent*1e6)), int64(math.Round(l.reserved*1e6)); reserved == 0 && spent >= least && spent <= most {
			return
		}
	}
	t.Errorf("%d spent, %d reserved; want %d to %d, and 0", spent, reserved, least, most)
}

// burst sends n requests at once, to gateways in turn, and counts what became of them.
type burst struct {
	ok, refused, exhausted, failed, away atomic.Int64
	tokens                               atomic.Int64 // of answers that came whole
}

func (b *burst) send(t testing.TB, gs []*harness.Gateway, n int, body func(i int) (path, body string), leave func(i int) time.Duration) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ctx := t.Context()
			if leave != nil {
				if d := leave(i); d > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, d)
					defer cancel()
				}
			}
			path, body := body(i)
			b.count(t, ctx, gs[i%len(gs)], path, body)
		})
	}
	wg.Wait()
}

func (b *burst) count(t testing.TB, ctx context.Context, g *harness.Gateway, path, body string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("content-type", "application/json")
	req.Header.Set("authorization", "Bearer dgm_acme")
	resp, err := g.HTTP.Do(req)
	if err != nil {
		b.failed.Add(1)
		return
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		b.failed.Add(1)
	case resp.StatusCode == 200:
		client := map[string]string{paths["openai"]: "openai", paths["anthropic"]: "anthropic"}[path]
		if textOf(client, got) == words(budgetWords) {
			b.ok.Add(1)
			b.tokens.Add(budgetWords)
		} else {
			b.failed.Add(1)
		}
	case resp.StatusCode == 429:
		b.refused.Add(1)
		if resp.Header.Get("retry-after") == "" || !strings.Contains(string(got), "udget") {
			t.Errorf("a 429 that says too little: %v %s", resp.Header, got)
		}
	case resp.StatusCode == 402:
		b.exhausted.Add(1)
		if resp.Header.Get("x-should-retry") != "false" {
			t.Errorf("a 402 that SDKs retry: %v %s", resp.Header, got)
		}
	case resp.StatusCode == 503 && strings.Contains(string(got), "the store that its replicas share"):
		b.away.Add(1) // Redis was not quick enough on a busy machine
	case resp.StatusCode >= 500:
		b.failed.Add(1)
	default:
		t.Errorf("%d %s", resp.StatusCode, got)
	}
}

func fakeTokens(gs ...*harness.Gateway) (complete, delivered int64) {
	for _, g := range gs {
		for _, f := range g.Fakes {
			c := f.Counters()
			complete += c.Tokens
			delivered += c.Delivered
		}
	}
	return complete, delivered
}

// mixed asks in both schemas, whole and streamed, always with a cap of what the fakes answer.
func mixed(i int) (path, body string) {
	path = []string{"/v1/chat/completions", "/v1/messages"}[i%2]
	return path, budgetBody("priced", budgetWords, i%3 == 0)
}

// TestC3_budgets_cannot_be_overspent: 500 requests at once against a budget for 100. All that are admitted hold their worst case, the
// others are told to come again or, when all is spent, not to.
func TestC3_budgets_cannot_be_overspent(t *testing.T) {
	for name, replicas := range map[string]int{"in process": 0, "one redis": 1, "three replicas": 3} {
		t.Run(name, func(t *testing.T) {
			gs := budgetReplicas(t, replicas, "quota: {grace: 0}\n")
			for _, g := range gs {
				answering(t, g, budgetWords, func(r *fakeprovider.Reply) { r.Pace = 20 * time.Millisecond })
			}
			var b burst
			b.send(t, gs, 500, mixed, nil)
			if b.ok.Load() > budgetFits {
				t.Errorf("%d answers of a budget for %d", b.ok.Load(), budgetFits)
			}
			for round := 0; b.ok.Load() < budgetFits && round < 100; round++ {
				b.send(t, gs, budgetFits, mixed, nil)
			}
			complete, _ := fakeTokens(gs...)
			if b.ok.Load() != budgetFits || complete != budgetFits*budgetWords || b.failed.Load() > 0 {
				t.Errorf("%d answers, %d tokens at the providers, %d failed", b.ok.Load(), complete, b.failed.Load())
			}
			for _, g := range gs {
				wantSpent(t, g, complete, complete)
			}
			t.Logf("%d ok, %d refused, %d exhausted, %d without Redis", b.ok.Load(), b.refused.Load(), b.exhausted.Load(), b.away.Load())
		})
	}
}

// budgetReplicas starts gateways that share a Redis; 0 is one that counts in process.
func budgetReplicas(t *testing.T, n int, rest string) []*harness.Gateway {
	t.Helper()
	if n == 0 {
		return []*harness.Gateway{harness.Start(t, harness.Options{Config: budgetConfig(rest)})}
	}
	return replicasOn(t, redisserver.Start(t), n, rest, false)
}

func replicasOn(t *testing.T, server *redisserver.Server, n int, rest string, subprocess bool) (gs []*harness.Gateway) {
	t.Helper()
	for range n {
		g, err := harness.New(t.Context(), harness.Options{Config: budgetConfig(rest + fmt.Sprintf("store: {redis: {address: %q}}\n", server.Addr)), Subprocess: subprocess})
		must(t, err)
		t.Cleanup(func() {
			g.CheckFakes(t)
			must(t, g.Close())
		})
		gs = append(gs, g)
	}
	return gs
}

// TestC1_disconnects_and_failures_are_settled: clients that leave at any moment, providers that fail before, during and after. What was
// delivered is spent, what was not flows back, and nothing stays reserved.
func TestC1_disconnects_and_failures_are_settled(t *testing.T) {
	for name, replicas := range map[string]int{"in process": 0, "redis": 1} {
		t.Run(name, func(t *testing.T) {
			g := budgetReplicas(t, replicas, "quota: {grace: 0}\n")[0]
			for _, f := range g.Fakes {
				for i, fault := range []fakeprovider.Fault{{Kind: fakeprovider.Status, Status: 503}, {Kind: fakeprovider.Reset}, {Kind: fakeprovider.Cut, After: 3},
					{Kind: fakeprovider.EndEarly, After: 3}, {Kind: fakeprovider.ErrorEvent, After: 4}} {
					n := atomic.Int64{}
					f.Script(fakeprovider.Rule{Match: func(*fakeprovider.Request) bool { return n.Add(1)%11 == int64(i) }, Reply: fakeprovider.Text(words(budgetWords)), Fault: &fault})
				}
			}
			answering(t, g, budgetWords, func(r *fakeprovider.Reply) { r.Pace, r.Chunks = 10*time.Millisecond, 10 })
			var b burst
			rnd := rand.New(rand.NewPCG(1, 2))
			leave := make([]time.Duration, 500)
			for i := range leave {
				if rnd.IntN(2) == 0 {
					leave[i] = time.Duration(rnd.IntN(400)) * time.Millisecond
				}
			}
			var delivered int64
			for round := 0; round < 30 && delivered < budgetFits*budgetWords/2; round++ { // a machine that is too busy for Redis admits nobody for a moment
				b.send(t, []*harness.Gateway{g}, 500, mixed, func(i int) time.Duration { return leave[i] })
				wantIdle(t, g)
				_, delivered = fakeTokens(g)
			}
			if delivered < budgetFits*budgetWords/2 {
				t.Errorf("only %d tokens delivered", delivered)
			}
			if delivered > budgetFits*budgetWords+3*500 {
				t.Errorf("the providers delivered %d tokens for a budget of %d", delivered, budgetFits*budgetWords)
			}
			wantSpent(t, g, b.tokens.Load(), min(delivered, budgetFits*budgetWords))
			t.Logf("%d ok, %d refused, %d exhausted, %d failed; %d tokens delivered", b.ok.Load(), b.refused.Load(), b.exhausted.Load(), b.failed.Load(), delivered)
		})
	}
}

// TestCrashFlowsBack: a replica dies by kill -9 in the middle of the burst. Its reservations flow back when their leases end, what it had
// settled stays, and the others never spend more than there is.
func TestCrashFlowsBack(t *testing.T) {
	server := redisserver.Start(t)
	gs := replicasOn(t, server, 3, "quota: {lease: 10s, grace: 0}\nretry: {timeout: 3s, per_try_timeout: 3s}\n", true)
	for _, g := range gs {
		answering(t, g, budgetWords, func(r *fakeprovider.Reply) { r.Pace = 50 * time.Millisecond })
	}
	var b burst
	dead := make(chan struct{})
	go func() {
		defer close(dead)
		time.Sleep(120 * time.Millisecond)
		if err := gs[2].KillDragoman(); err != nil {
			t.Error(err)
		}
	}()
	b.send(t, gs, 500, mixed, nil)
	<-dead
	l := levelOf(t, gs[0], "tenant:acme", "usd-per-month")
	t.Logf("after the crash: %+v; %d ok, %d refused, %d failed", l, b.ok.Load(), b.refused.Load(), b.failed.Load())
	if l.spent+l.reserved > budgetUSD+1e-9 {
		t.Errorf("more than the budget is spent and reserved: %+v", l)
	}
	alive := gs[:2]
	for end := time.Now().Add(40 * time.Second); b.exhausted.Load() == 0 && time.Now().Before(end); {
		b.send(t, alive, 50, mixed, nil)
	}
	if b.exhausted.Load() == 0 {
		t.Error("what the dead replica held never came back")
	}
	wantSpent(t, gs[0], budgetFits*budgetWords-budgetWords+1, budgetFits*budgetWords)
	settledByLiving, _ := fakeTokens(alive...)
	total, _ := fakeTokens(gs...)
	spent := int64(math.Round(levelOf(t, gs[0], "tenant:acme", "usd-per-month").spent * 1e6))
	if spent < settledByLiving || spent > total {
		t.Errorf("%d spent; the fakes of the living replicas count %d, all %d", spent, settledByLiving, total)
	}
}

// TestBudgetsOfWhatIsNoAnswer: what answers with no text needs no cap; files cost nothing, and have no price to know.
func TestBudgetsOfWhatIsNoAnswer(t *testing.T) {
	g := harness.Start(t, harness.Options{Fakes: []fakeprovider.Options{{Schema: fakeprovider.OpenAI}}, Config: `{{providers}}
models:
- {name: vectors, provider: openai, id: text-embedding-3-small, price: {input: 100000, output: 0}}
tenants:
- name: acme
  budgets: [{usd: 10, per: month}, {tokens: 1000, per: month}]
  keys: [{name: k, hash: '` + config.HashKey("dgm_acme") + `'}]
`})
	as := []string{"authorization", "Bearer dgm_acme"}
	embed := func(text string) *answer {
		return post(t, g, "/v1/embeddings", fmt.Sprintf(`{"model":"vectors","input":%q}`, text), as...)
	}
	if a := embed("four words of it"); a.status != 200 {
		t.Errorf("embeddings: %s", a)
	}
	contentType, body := form([]byte("%PDF-1.4 x"), []string{"purpose=user_data"})
	if a := do(t, g, "POST", "/v1/files", strings.NewReader(body), append(as, "Content-Type", contentType)...); a.status != 200 {
		t.Errorf("a file: %s", a)
	}
	if a := do(t, g, "GET", "/v1/files", nil, as...); a.status != 200 {
		t.Errorf("the list of files: %s", a)
	}
	if a := embed(words(200)); a.status != 402 || !strings.HasPrefix(a.header.Get("x-dragoman-limit"), "tenant:acme; usd-per-month") {
		t.Errorf("embeddings beyond the budget: %s", a)
	}
}
