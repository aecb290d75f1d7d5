package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/config"
)

const (
	halfLife  = 10 * time.Second
	slowStart = 10 * time.Second
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fixture has a provider with two clusters and one with a single one.
func fixture() (*Tracker, *clock) {
	c := newClock()
	t := New(config.Health{HalfLife: halfLife, Floor: 2, SlowStart: slowStart}, c.now)
	t.SetRandom(func() float64 { return 0 })
	t.SetClusters(clusters())
	drain(t)
	return t, c
}

func clusters() []*config.Cluster {
	openai, claude := &config.Provider{Name: "openai"}, &config.Provider{Name: "claude"}
	return []*config.Cluster{
		{Name: "openai/primary", Provider: openai, Secret: config.NewSecret("a", "env A"), Weight: 100},
		{Name: "openai/overflow", Provider: openai, Weight: 100},
		{Name: "claude/default", Provider: claude, Weight: 100},
	}
}

func drain(t *Tracker) bool {
	select {
	case <-t.Changes():
		return true
	default:
		return false
	}
}

func (t *Tracker) reportN(n int, o Outcome) {
	for range n {
		t.Report(o)
	}
	t.Publish()
}

func TestPercentFollowsOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		good, bad int
		class     Class
		percent   uint32
		state     State
	}{
		"nothing known":            {0, 0, ServerError, 100, Healthy},
		"all well":                 {1000, 0, ServerError, 100, Healthy},
		"one failure of a quiet":   {0, 1, ServerError, 56, Degraded},
		"one failure of a busy":    {99, 1, ServerError, 98, Healthy},
		"one timeout weighs more":  {0, 1, Timeout, 36, Degraded},
		"one in ten":               {36, 4, ServerError, 82, Healthy},
		"three in a row":           {0, 3, ConnectFailure, 25, Degraded},
		"four in a row":            {0, 4, Cut, 18, Degraded},
		"five in a row":            {0, 5, BadAnswer, 0, Open},
		"three timeouts in a row":  {0, 3, Timeout, 0, Open},
		"an outage under load":     {100_000, 100_000, ServerError, 0, Open},
		"a 403 counts but is soft": {20, 1, AuthDead, 92, Healthy},
	} {
		t.Run(name, func(t *testing.T) {
			tr, _ := fixture()
			tr.reportN(c.good, Outcome{Cluster: "openai/primary", Class: Success})
			tr.reportN(c.bad, Outcome{Cluster: "openai/primary", Class: c.class, Status: 403})
			v := tr.View()
			if got := v.Percent("openai/primary"); got != c.percent || v.State("openai/primary") != c.state {
				t.Errorf("got %d %v, want %d %v", got, v.State("openai/primary"), c.percent, c.state)
			}
			if v.Percent("openai/overflow") != 100 || v.Percent("claude/default") != 100 {
				t.Error("the outcomes of one cluster changed another")
			}
		})
	}
}

func TestTrafficReturnsByItself(t *testing.T) {
	tr, c := fixture()
	tr.reportN(4, Outcome{Cluster: "claude/default", Class: ServerError})
	last := tr.View().Percent("claude/default")
	for range 15 {
		c.advance(halfLife)
		tr.Publish()
		now := tr.View().Percent("claude/default")
		if now < last {
			t.Fatalf("percent fell from %d to %d without news", last, now)
		}
		last = now
	}
	if last != 100 || tr.View().State("claude/default") != Healthy {
		t.Errorf("after 15 half-lives: %d %v", last, tr.View().State("claude/default"))
	}
}

func TestRetryAfterIsADeadline(t *testing.T) {
	tr, c := fixture()
	begin := c.now()
	report := func(after time.Duration) {
		tr.reportN(1, Outcome{Cluster: "openai/primary", Class: RateLimited, Status: 429, RetryAfter: after})
	}
	report(30 * time.Second)
	c.advance(time.Second)
	report(5 * time.Second) // must not shorten it (C12)
	tr.reportN(5, Outcome{Cluster: "openai/primary", Class: Success})
	v := tr.View()
	if v.State("openai/primary") != Limited || !v.RetryAt("openai/primary").Equal(begin.Add(30*time.Second)) || v.Percent("openai/primary") != 0 {
		t.Fatalf("got %v %v %d", v.State("openai/primary"), v.RetryAt("openai/primary"), v.Percent("openai/primary"))
	}
	report(60 * time.Second)
	if got := tr.View().RetryAt("openai/primary"); !got.Equal(begin.Add(61 * time.Second)) {
		t.Errorf("not extended: %v", got)
	}
	c.advance(60 * time.Second)
	if !tr.View().Usable("openai/primary", c.now()) {
		t.Error("an old view keeps the cluster blocked beyond its deadline")
	}
	tr.Publish()
	if v := tr.View(); v.State("openai/primary") != Degraded || v.Percent("openai/primary") != 10 || !v.RetryAt("openai/primary").IsZero() {
		t.Errorf("after the deadline: %+v", v.List()[0])
	}
	c.advance(slowStart / 2)
	tr.Publish()
	if got := tr.View().Percent("openai/primary"); got != 55 {
		t.Errorf("half way through slow start: %d", got)
	}
	c.advance(slowStart / 2)
	tr.Publish()
	if v := tr.View(); v.State("openai/primary") != Healthy || v.Percent("openai/primary") != 100 {
		t.Errorf("after slow start: %+v", v.List()[0])
	}
	report(24 * time.Hour)
	if got := tr.View().RetryAt("openai/primary").Sub(c.now()); got != retryAfterMax {
		t.Errorf("a day's Retry-After blocks for %v", got)
	}
}

func TestPausesDoubleWithEachStrikeInARow(t *testing.T) {
	for _, c := range []struct {
		class       Class
		status      int
		state       State
		first, most time.Duration
	}{
		{RateLimited, 429, Limited, limitPause, limitPauseMax},
		{AuthDead, 401, Dead, deadPause, deadPauseMax},
	} {
		tr, clk := fixture()
		want := c.first
		for strike := range 12 {
			// Several attempts were under way: they are one strike.
			tr.reportN(20, Outcome{Cluster: "claude/default", Class: c.class, Status: c.status})
			v := tr.View()
			pause := v.RetryAt("claude/default").Sub(clk.now())
			if v.State("claude/default") != c.state || pause != want {
				t.Fatalf("%v strike %d: %v for %v, want %v", c.class, strike, v.State("claude/default"), pause, want)
			}
			clk.advance(pause)
			want = min(2*want, c.most)
		}
		tr.reportN(1, Outcome{Cluster: "claude/default", Class: Success})
		clk.advance(time.Hour) // what lasts for a moment is no recovery
		tr.reportN(1, Outcome{Cluster: "claude/default", Class: c.class, Status: c.status})
		if pause := tr.View().RetryAt("claude/default").Sub(clk.now()); pause != c.first {
			t.Errorf("%v after a success: %v, want %v", c.class, pause, c.first)
		}
	}
}

// Any client can provoke a 403 by asking for a model that the account lacks.
func TestForbiddenModelDoesNotKillTheCluster(t *testing.T) {
	tr, c := fixture()
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: AuthDead, Status: 403})
	if !tr.View().Usable("claude/default", c.now()) {
		t.Error("one 403 took the cluster away from everybody")
	}
}

func TestSuccessProvesTheCredential(t *testing.T) {
	tr, _ := fixture()
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: AuthDead, Status: 401})
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: Success})
	if s := tr.View().State("claude/default"); s == Dead {
		t.Error("still dead after a success")
	}
}

func TestReloadKeepsHistoryOfClustersThatStay(t *testing.T) {
	tr, _ := fixture()
	tr.reportN(20, Outcome{Cluster: "openai/primary", Class: ServerError})
	tr.reportN(20, Outcome{Cluster: "claude/default", Class: ServerError})
	tr.Report(Outcome{Cluster: "openai/overflow", Class: Success, Model: "gpt-5", TTFT: time.Second})
	before := tr.View().Percent("openai/primary")

	next := clusters()[:2]
	tr.SetClusters(next)
	v := tr.View()
	if v.Percent("openai/primary") > before+5 {
		t.Errorf("history lost: %d, was %d", v.Percent("openai/primary"), before)
	}
	if _, ok := v.TTFT("openai", "gpt-5"); !ok {
		t.Error("latency lost")
	}
	if len(v.List()) != 2 || v.Percent("claude/default") != 100 {
		t.Errorf("a removed cluster is still there: %+v", v.List())
	}
	tr.reportN(5, Outcome{Cluster: "claude/default", Class: ServerError}) // a late report of the removed one
	tr.SetClusters(clusters())
	if got := tr.View().Percent("claude/default"); got != 100 {
		t.Errorf("a cluster that comes back starts with %d", got)
	}
}

func TestNewCredentialClearsTheOldOnesBlock(t *testing.T) {
	tr, _ := fixture()
	tr.reportN(1, Outcome{Cluster: "openai/primary", Class: AuthDead, Status: 401})
	tr.SetClusters(clusters())
	if s := tr.View().State("openai/primary"); s != Dead {
		t.Fatalf("a reload alone: %v", s)
	}
	next := clusters()
	next[0].Secret = config.NewSecret("b", "env A")
	tr.SetClusters(next)
	if s := tr.View().State("openai/primary"); s == Dead {
		t.Error("the new credential pays for the old one")
	}
}

func TestChangesSignalsOnlyWhatIsMaterial(t *testing.T) {
	tr, c := fixture()
	tr.reportN(200, Outcome{Cluster: "openai/primary", Class: Success})
	tr.reportN(2, Outcome{Cluster: "openai/primary", Class: ServerError})
	if drain(tr) {
		t.Errorf("signalled for %d %%", tr.View().Percent("openai/primary"))
	}
	tr.reportN(2, Outcome{Cluster: "openai/primary", Class: ServerError})
	tr.reportN(2, Outcome{Cluster: "openai/primary", Class: ServerError})
	if !drain(tr) {
		t.Errorf("not signalled for small steps that add up: %d %%", tr.View().Percent("openai/primary"))
	}
	if drain(tr) {
		t.Error("signalled twice for one change")
	}
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: RateLimited, RetryAfter: 3 * time.Second})
	if !drain(tr) {
		t.Error("not signalled for a state")
	}
	c.advance(4 * time.Second)
	tr.Publish()
	if !drain(tr) {
		t.Error("not signalled for the deadline that passed")
	}
}

func TestRunPublishesWithinASecondAndAtMostFourTimes(t *testing.T) {
	defer goleak.VerifyNone(t)
	tr := New(config.Health{HalfLife: halfLife, Floor: 1}, time.Now)
	tr.SetClusters(clusters())
	drain(tr)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { tr.Run(ctx); close(done) }()
	begin := time.Now()
	tr.Report(Outcome{Cluster: "claude/default", Class: ConnectFailure})
	select {
	case <-tr.Changes():
	case <-time.After(2 * time.Second):
		t.Fatal("no signal")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("published after %v", took)
	}
	signals := 0
	for end := time.After(time.Second); ; {
		tr.Report(Outcome{Cluster: "claude/default", Class: RateLimited, RetryAfter: time.Minute})
		tr.SetSettings(config.Health{HalfLife: halfLife, Floor: uint32(1 + 20*(signals%2))}) // something to signal each time
		select {
		case <-tr.Changes():
			signals++
			continue
		case <-time.After(time.Millisecond):
			continue
		case <-end:
		}
		break
	}
	cancel()
	<-done
	if signals < 1 || signals > 5 {
		t.Errorf("%d signals in a second", signals)
	}
}

func TestOddOutcomesAreIgnored(t *testing.T) {
	tr, _ := fixture()
	tr.Report(Outcome{Cluster: "openai/primary"})
	tr.Report(Outcome{Cluster: "openai/primary", Class: classes})
	tr.Report(Outcome{Cluster: "nobody", Class: ServerError})
	tr.Publish()
	if drain(tr) || tr.View().Percent("openai/primary") != 100 {
		t.Errorf("got %+v", tr.View().List())
	}
}

func TestClockThatGoesBack(t *testing.T) {
	tr, c := fixture()
	tr.reportN(3, Outcome{Cluster: "openai/primary", Class: ServerError})
	before := tr.View().Percent("openai/primary")
	c.advance(-time.Hour)
	tr.reportN(1, Outcome{Cluster: "openai/primary", Class: ServerError})
	if got := tr.View().Percent("openai/primary"); got > before || got < 2 {
		t.Errorf("got %d, was %d", got, before)
	}
}

// Whatever is reported, a percentage stays between the floor and 100, and time heals everything.
func TestProperty_percent_is_bounded_and_heals(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 3))
		tr, c := fixture()
		names := []config.ClusterName{"openai/primary", "openai/overflow", "claude/default"}
		for range 500 {
			tr.Report(Outcome{
				Cluster: names[rng.IntN(3)], Class: Class(rng.IntN(int(classes) + 1)), Status: 400 + rng.IntN(130),
				RetryAfter: time.Duration(rng.Int64N(int64(2 * time.Hour))), Model: "m", TTFT: time.Duration(rng.Int64N(1e10)),
			})
			c.advance(time.Duration(rng.Int64N(int64(3 * time.Second))))
			tr.Publish()
			for _, s := range tr.View().List() {
				if s.Percent == 1 || s.Percent > 100 || s.Percent == 0 && s.State <= Degraded || s.Good < 0 || s.Bad < 0 || s.Good+s.Bad > evidence+0.001 {
					t.Fatalf("seed %d: %+v", seed, s)
				}
			}
		}
		c.advance(time.Hour)
		tr.Publish()
		for _, s := range tr.View().List() {
			if s.State == HalfOpen { // a trial is what it takes
				if !tr.Trial(s.Cluster) {
					t.Fatalf("seed %d: no trial: %+v", seed, s)
				}
				tr.Report(Outcome{Cluster: s.Cluster, Class: Success, Start: c.now()})
			}
		}
		c.advance(slowStart)
		tr.Publish()
		for _, s := range tr.View().List() {
			if s.Percent != 100 || s.State != Healthy {
				t.Fatalf("seed %d: not healed: %+v", seed, s)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	tr, c := fixture()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 500 {
				tr.Report(Outcome{Cluster: "openai/primary", Class: Class(1 + (i+worker)%int(classes-1)), Model: "m", TTFT: time.Second})
				c.advance(time.Millisecond)
			}
		})
	}
	wg.Go(func() {
		for range 200 {
			tr.Publish()
			drain(tr)
			tr.View().Provider("openai", c.now())
		}
	})
	wg.Go(func() {
		for i := range 100 {
			tr.SetClusters(clusters()[:2+i%2])
		}
	})
	wg.Wait()
}
