package health

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
)

// trip opens the breaker of claude/default.
func trip(tr *Tracker, c *clock) {
	tr.reportN(5, Outcome{Cluster: "claude/default", Class: ServerError, Status: 500, Start: c.now()})
}

func TestBreakerOpensForLongerEachTime(t *testing.T) {
	tr, c := fixture()
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		trip(tr, c)
		v := tr.View()
		if got := v.RetryAt("claude/default").Sub(c.now()); v.State("claude/default") != Open || got != want*time.Second {
			t.Fatalf("%v for %v, want %v", v.State("claude/default"), got, want*time.Second)
		}
		if v.Usable("claude/default", c.now().Add(time.Hour)) {
			t.Fatal("an open cluster is usable by time alone")
		}
		c.advance(want * time.Second)
		tr.Publish()
		if got := tr.View(); got.State("claude/default") != HalfOpen || len(got.HalfOpen()) != 1 || got.Usable("claude/default", c.now()) {
			t.Fatalf("then %v, half open %v", got.State("claude/default"), got.HalfOpen())
		}
		if !tr.Trial("claude/default") {
			t.Fatal("no trial")
		}
	}
}

func TestBreakerCountsAShareOfRecentAttempts(t *testing.T) {
	tr, _ := fixture()
	for range 5 {
		tr.Report(Outcome{Cluster: "openai/primary", Class: Success})
		tr.Report(Outcome{Cluster: "openai/primary", Class: Cut})
	}
	tr.Publish()
	if s := tr.View().State("openai/primary"); s != Open {
		t.Errorf("half of ten failed: %v", s)
	}
	for range 9 {
		tr.Report(Outcome{Cluster: "openai/overflow", Class: Success})
		tr.Report(Outcome{Cluster: "openai/overflow", Class: Success})
		tr.Report(Outcome{Cluster: "openai/overflow", Class: ServerError})
	}
	tr.Publish()
	if s := tr.View().State("openai/overflow"); s != Degraded {
		t.Errorf("a third failed: %v", s)
	}
}

func TestWhatDoesNotFeedTheBreaker(t *testing.T) {
	tr, _ := fixture()
	for _, o := range []Outcome{
		{Class: RateLimited, Status: 429, Model: "m"}, {Class: NoModel, Status: 404, Model: "m"}, {Class: AuthDead, Status: 403, Model: "m"},
	} {
		o.Cluster = "claude/default"
		tr.reportN(20, o)
		if s := tr.View().State("claude/default"); s == Open {
			t.Errorf("%v opened it", o.Class)
		}
	}
}

func TestOneTrialAtATime(t *testing.T) {
	tr, c := fixture()
	if tr.Trial("claude/default") || tr.Trial("nobody") {
		t.Fatal("a trial of what is well")
	}
	trip(tr, c)
	if tr.Trial("claude/default") {
		t.Fatal("a trial before its time")
	}
	c.advance(time.Second)
	var granted sync.Map
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if tr.Trial("claude/default") {
				granted.Store(i, true)
			}
		})
	}
	wg.Wait()
	n := 0
	granted.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Fatalf("%d trials at a time", n)
	}
	tr.EndTrial("claude/default") // its client went away
	if tr.Trial("claude/default") {
		t.Fatal("the next one does not wait for the outcome of the last")
	}
	c.advance(trialGrace)
	if !tr.Trial("claude/default") {
		t.Fatal("none after one that ended without an outcome")
	}
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: Timeout, Start: c.now()})
	if tr.Trial("claude/default") || tr.View().State("claude/default") != Open {
		t.Fatal("a failed trial does not open it again")
	}
	c.advance(2 * time.Second)
	if !tr.Trial("claude/default") {
		t.Fatal("none after the second time out")
	}
	c.advance(trialMost)
	if !tr.Trial("claude/default") {
		t.Fatal("a trial that was lost keeps others away for ever")
	}
}

func TestSuccessClosesAndSlowStartFollows(t *testing.T) {
	tr, c := fixture()
	trip(tr, c)
	old := c.now().Add(-time.Minute)
	tr.reportN(3, Outcome{Cluster: "claude/default", Class: Success, Start: old})
	if s := tr.View().State("claude/default"); s != Open {
		t.Fatalf("an answer that began before the outage ended it: %v", s)
	}
	c.advance(time.Second)
	tr.Trial("claude/default")
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: Success, Start: c.now()})
	for _, want := range []uint32{10, 55, 100} {
		if got := tr.View().Percent("claude/default"); got != want {
			t.Errorf("got %d %%, want %d", got, want)
		}
		c.advance(slowStart / 2)
		tr.Publish()
	}
	// What was under way during the outage fails late, and is no news.
	tr.reportN(50, Outcome{Cluster: "claude/default", Class: Cut, Start: old})
	if s := tr.View().State("claude/default"); s == Open {
		t.Error("stragglers of the outage opened it again")
	}
}

// Attempts that began before the outage and time out late, when it is half open, do not make it last longer.
func TestStragglersDoNotProlongAnOutage(t *testing.T) {
	tr, c := fixture()
	began := c.now()
	c.advance(time.Minute)
	trip(tr, c)
	c.advance(time.Second)
	tr.reportN(20, Outcome{Cluster: "claude/default", Class: Timeout, Start: began})
	if s := tr.View().State("claude/default"); s != HalfOpen || !tr.Trial("claude/default") {
		t.Errorf("it is %v", s)
	}
}

// A cluster that fails again as soon as it is back is tried ever more seldom.
func TestFlappingIsDamped(t *testing.T) {
	tr, c := fixture()
	opened, signals := 0, 0
	last := Healthy
	for range 10 * 60 * 4 { // ten minutes
		tr.Publish()
		if drain(tr) {
			signals++
		}
		s := tr.View().State("claude/default")
		if s == Open && last != Open {
			opened++
		}
		last = s
		switch s {
		case HalfOpen:
			if tr.Trial("claude/default") {
				tr.Report(Outcome{Cluster: "claude/default", Class: Success, Start: c.now()})
			}
		case Healthy, Degraded:
			for range 3 {
				tr.Report(Outcome{Cluster: "claude/default", Class: ServerError, Start: c.now()})
			}
		}
		c.advance(250 * time.Millisecond)
	}
	if opened > 20 {
		t.Errorf("opened %d times in ten minutes", opened)
	}
	if signals > 4*opened+4 {
		t.Errorf("%d signals for %d openings", signals, opened)
	}
}

func TestPanic(t *testing.T) {
	provider := &config.Provider{Name: "many"}
	var all []*config.Cluster
	for i := range 20 {
		all = append(all, &config.Cluster{Name: config.ClusterName(fmt.Sprint("many/", i)), Provider: provider, Weight: 100})
	}
	c := newClock()
	tr := New(config.Health{Panic: 10, Floor: 1}, c.now)
	tr.SetClusters(all)
	open := func(from, to int) {
		for i := from; i < to; i++ {
			tr.reportN(5, Outcome{Cluster: all[i].Name, Class: ConnectFailure})
		}
	}
	open(0, 18)
	if v := tr.View(); v.Percent("many/0") != 0 || v.Percent("many/19") != 100 {
		t.Fatalf("a tenth is left: %d, %d", v.Percent("many/0"), v.Percent("many/19"))
	}
	open(18, 19)
	if v := tr.View(); v.Percent("many/0") != 10 || v.Percent("many/19") != 100 {
		t.Errorf("too little is left: %d, %d", v.Percent("many/0"), v.Percent("many/19"))
	}
	open(19, 20)
	for _, s := range tr.View().List() {
		if s.Percent != 1 {
			t.Errorf("nothing is left: %+v", s)
		}
	}
	if _, usable := tr.View().Provider("many", c.now()); usable {
		t.Error("a provider whose clusters are all out is usable")
	}
}

func TestLimitsCountByModel(t *testing.T) {
	tr, c := fixture()
	next := clusters()
	for _, cl := range next {
		cl.Provider.LimitedBy = config.LimitedByModel
	}
	tr.SetClusters(next)
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: RateLimited, Status: 429, Model: "opus", RetryAfter: 20 * time.Second})
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: NoModel, Status: 404, Model: "lost"})
	v := tr.View()
	if v.UsableFor("claude/default", "opus", c.now()) || v.UsableFor("claude/default", "lost", c.now()) {
		t.Error("a restricted model is usable")
	}
	if !v.UsableFor("claude/default", "haiku", c.now()) || !v.Usable("claude/default", c.now()) || v.Percent("claude/default") != 100 {
		t.Errorf("another model pays for it: %+v", v.List()[2])
	}
	if _, usable := v.ProviderFor("claude", "opus", c.now()); usable {
		t.Error("the provider is usable for the model")
	}
	if _, usable := v.ProviderFor("claude", "haiku", c.now()); !usable {
		t.Error("the provider is not usable for another")
	}
	if got := v.ModelRetryAt("claude/default", "opus", c.now()).Sub(c.now()); got != 20*time.Second {
		t.Errorf("again in %v", got)
	}
	if got := fmt.Sprint(v.List()[2].Models); got != "[lost opus]" {
		t.Errorf("shown: %s", got)
	}
	c.advance(20 * time.Second)
	if !v.UsableFor("claude/default", "opus", c.now()) || v.UsableFor("claude/default", "lost", c.now()) {
		t.Error("the deadlines are not exact")
	}
	// A provider whose limit counts for everything, and a 429 of which nobody knows the model.
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: RateLimited, Status: 429})
	if tr.View().State("claude/default") != Limited {
		t.Errorf("a 429 without a model: %v", tr.View().State("claude/default"))
	}
	tr.SetClusters(clusters())
	tr.reportN(1, Outcome{Cluster: "openai/overflow", Class: RateLimited, Status: 429, Model: "gpt"})
	if tr.View().State("openai/overflow") != Limited {
		t.Errorf("limited by credential: %v", tr.View().State("openai/overflow"))
	}
}

func TestRestrictedModelsAreBounded(t *testing.T) {
	tr, c := fixture()
	for i := range 4 * maxRestricted {
		tr.Report(Outcome{Cluster: "claude/default", Class: NoModel, Status: 404, Model: fmt.Sprint("made-up-", i)})
	}
	tr.Publish()
	if n := len(tr.View().restricted); n != maxRestricted {
		t.Errorf("%d are remembered", n)
	}
	c.advance(missingPause)
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: NoModel, Status: 404, Model: "real"})
	if n := len(tr.View().restricted); n != 1 {
		t.Errorf("%d are remembered when their time is over", n)
	}
}

func TestQuotaIsNotAskedForSoon(t *testing.T) {
	tr, c := fixture()
	tr.reportN(1, Outcome{Cluster: "openai/primary", Class: Quota, Status: 429, Model: "gpt"})
	if v := tr.View(); v.State("openai/primary") != Dead || v.RetryAt("openai/primary").Sub(c.now()) != quotaPause {
		t.Errorf("%v for %v", v.State("openai/primary"), v.RetryAt("openai/primary").Sub(c.now()))
	}
}
