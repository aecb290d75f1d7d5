package health

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
)

func TestTTFT(t *testing.T) {
	tr, c := fixture()
	if _, ok := tr.View().TTFT("openai", "gpt-5"); ok {
		t.Fatal("known before it was observed")
	}
	sample := func(cluster string, d time.Duration) {
		tr.reportN(1, Outcome{Cluster: config.ClusterName(cluster), Class: Success, Model: "gpt-5", TTFT: d})
	}
	sample("openai/primary", time.Second)
	sample("openai/overflow", 3*time.Second) // the same model by another credential
	if d, ok := tr.View().TTFT("openai", "gpt-5"); !ok || d.Round(time.Millisecond) != 2*time.Second {
		t.Errorf("got %v, %v; want the mean 2s", d, ok)
	}
	if _, ok := tr.View().TTFT("claude", "gpt-5"); ok {
		t.Error("another provider's model of the same name is known")
	}
	c.advance(latencySpan * halfLife) // old samples count half
	sample("openai/primary", 500*time.Millisecond)
	if d, _ := tr.View().TTFT("openai", "gpt-5"); d.Round(time.Millisecond) != 1250*time.Millisecond {
		t.Errorf("got %v, want 1.25s", d)
	}
	c.advance(20 * latencySpan * halfLife)
	tr.Publish()
	if d, ok := tr.View().TTFT("openai", "gpt-5"); ok {
		t.Errorf("%v is still believed", d)
	}
	tr.reportN(1, Outcome{Cluster: "openai/primary", Class: ServerError, Model: "gpt-5", TTFT: time.Nanosecond})
	if _, ok := tr.View().TTFT("openai", "gpt-5"); ok {
		t.Error("a failure's time counts as a latency")
	}
}

// The first token of a stream and the end of a whole answer have nothing to do with each other.
func TestStreamsAndWholeAnswersAreKeptApart(t *testing.T) {
	tr, _ := fixture()
	tr.reportN(4, Outcome{Cluster: "openai/primary", Class: Success, Model: "gpt-5", TTFT: 200 * time.Millisecond})
	tr.reportN(1, Outcome{Cluster: "openai/primary", Class: Success, Model: "gpt-5", Whole: 8 * time.Second})
	tr.reportN(1, Outcome{Cluster: "openai/primary", Class: Success, Model: "whole", Whole: time.Second})
	v := tr.View()
	ttft, _ := v.TTFT("openai", "gpt-5")
	whole, _ := v.Whole("openai", "gpt-5")
	if ttft.Round(time.Millisecond) != 200*time.Millisecond || whole.Round(time.Millisecond) != 8*time.Second {
		t.Errorf("got %v and %v", ttft, whole)
	}
	if d, ok := v.TTFT("openai", "whole"); ok {
		t.Errorf("a model that was never streamed has %v to its first token", d)
	}
}

func TestModelsAreBounded(t *testing.T) {
	tr, c := fixture()
	for i := range 3 * maxModels {
		tr.Report(Outcome{Cluster: "openai/primary", Class: Success, Model: fmt.Sprintf("made-up-%d", i), TTFT: time.Second})
	}
	tr.Publish()
	if n := len(tr.View().ttft); n != maxModels {
		t.Errorf("%d models are remembered", n)
	}
	c.advance(20 * latencySpan * halfLife)
	tr.reportN(1, Outcome{Cluster: "openai/primary", Class: Success, Model: "real", TTFT: time.Second})
	if _, ok := tr.View().TTFT("openai", "real"); !ok {
		t.Error("no room was made for a new model")
	}
}

func TestProviderSumsUp(t *testing.T) {
	tr, c := fixture()
	check := func(what string, percent uint32, usable bool) {
		t.Helper()
		p, u := tr.View().Provider("openai", c.now())
		if p != percent || u != usable {
			t.Errorf("%s: got %d %v, want %d %v", what, p, u, percent, usable)
		}
	}
	check("all well", 100, true)
	tr.reportN(1, Outcome{Cluster: "openai/primary", Class: RateLimited, RetryAfter: time.Minute})
	check("one limited", 100, true)
	tr.reportN(1, Outcome{Cluster: "openai/overflow", Class: ServerError})
	check("the other degraded", 56, true)
	tr.reportN(30, Outcome{Cluster: "openai/overflow", Class: ServerError})
	check("the other down", 2, false)
	if p, u := tr.View().Provider("unheard-of", c.now()); p != 100 || !u {
		t.Errorf("unknown provider: %d %v", p, u)
	}
}

func TestZeroViewTakesEverythingForHealthy(t *testing.T) {
	v := &View{}
	p, u := v.Provider("openai", time.Now())
	_, known := v.TTFT("openai", "x")
	if v.Percent("c") != 100 || v.State("c") != Healthy || !v.Usable("c", time.Now()) || !v.RetryAt("c").IsZero() || p != 100 || !u || known {
		t.Error("the zero View knows something")
	}
}

func TestNamesAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Classes() {
		if n := c.String(); n == "" || n == "unknown" || seen[n] {
			t.Errorf("class %d is called %q", c, n)
		}
		seen[c.String()] = true
	}
	for s := range states {
		if n := s.String(); n == "" || n == "unknown" {
			t.Errorf("state %d is called %q", s, n)
		}
	}
	if Class(0).String() != "unknown" || classes.String() != "unknown" || states.String() != "unknown" {
		t.Error("what is no class or state has a name")
	}
}

func TestListingAsJSON(t *testing.T) {
	tr, _ := fixture()
	tr.reportN(1, Outcome{Cluster: "claude/default", Class: AuthDead, Status: 401})
	b, err := json.Marshal(tr.View().List())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"cluster":"claude/default"`, `"state":"auth_dead"`, `"retry_at":"2026-03-01T12:00:10Z"`, `"last_class":"auth_dead"`, `"last_status":401`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
}

func BenchmarkReport(b *testing.B) {
	tr := New(config.Health{HalfLife: halfLife, Floor: 1}, time.Now)
	tr.SetClusters(clusters())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			tr.Report(Outcome{Cluster: "openai/primary", Class: Success, Model: "gpt-5", TTFT: time.Second})
		}
	})
}

func BenchmarkPublish(b *testing.B) {
	tr := New(config.Health{HalfLife: halfLife, Floor: 1}, time.Now)
	var cs []*config.Cluster
	for i := range 50 {
		cs = append(cs, &config.Cluster{Name: config.ClusterName(fmt.Sprintf("p%d/default", i)), Provider: &config.Provider{Name: config.ProviderName(fmt.Sprint(i))}})
	}
	tr.SetClusters(cs)
	b.ReportAllocs()
	for b.Loop() {
		tr.Publish()
	}
}
