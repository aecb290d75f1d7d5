package route

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/health"
	"dragoman/translate/chat"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a small configuration: openai has two clusters (primary 80, overflow 20), claude and local one each.
type world struct {
	t        *testing.T
	snap     *config.Snapshot
	models   map[string]*config.Model
	tracker  *health.Tracker
	now      time.Time
	clusters []*config.Cluster
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, now: start, models: map[string]*config.Model{},
		snap: &config.Snapshot{Retry: config.Retry{MaxAttempts: 4, Backoff: 100 * time.Millisecond}},
	}
	openai := w.provider("openai", chat.OpenAI, "primary 80", "overflow 20")
	claude := w.provider("claude", chat.Anthropic, "default 100")
	local := w.provider("local", chat.OpenAI, "default 100")
	w.model(openai, "gpt", &config.Price{Input: 2_000_000, Output: 10_000_000}, 400_000, 0.9)
	w.model(openai, "mini", &config.Price{Input: 250_000, Output: 2_000_000}, 400_000, 0.7)
	w.model(claude, "haiku", &config.Price{Input: 1_000_000, Output: 5_000_000}, 200_000, 0.8)
	w.model(local, "llama", &config.Price{}, 8_000, 0.3)
	w.model(local, "mystery", nil, 0, -1)
	w.tracker = health.New(config.Health{HalfLife: 10 * time.Second, Floor: 1}, func() time.Time { return w.now })
	w.tracker.SetClusters(w.clusters)
	return w
}

func (w *world) provider(name string, schema chat.Schema, clusters ...string) *config.Provider {
	p := &config.Provider{Name: config.ProviderName(name), Schema: schema, Index: len(w.snap.Providers)}
	for _, c := range clusters {
		part, weight, _ := strings.Cut(c, " ")
		k := &config.Cluster{Name: config.ClusterName(name + "/" + part), Provider: p, Index: len(w.clusters)}
		fmt.Sscan(weight, &k.Weight)
		p.Clusters, w.clusters = append(p.Clusters, k), append(w.clusters, k)
	}
	w.snap.Providers = append(w.snap.Providers, p)
	return p
}

func (w *world) model(p *config.Provider, name string, price *config.Price, context int64, quality float64) {
	m := &config.Model{Name: name, ID: name, Ref: string(p.Name) + "/" + name, Provider: p, Price: price, Context: context, Known: true}
	if quality >= 0 {
		m.Quality = map[string]float64{"default": quality}
	}
	w.models[name] = m
}

// report repeats an outcome and publishes.
func (w *world) report(n int, cluster string, class health.Class, o health.Outcome) {
	o.Cluster, o.Class = config.ClusterName(cluster), class
	for range n {
		w.tracker.Report(o)
	}
	w.tracker.Publish()
}

// took reports that a model's whole answer took so long.
func (w *world) took(l *Learnt, model string, d time.Duration) {
	l.Observe(&Sample{Model: w.models[model], Prompt: 1000, Whole: d}, w.now)
}

// down makes every cluster of a provider unusable.
func (w *world) down(provider string) {
	for _, c := range w.clusters {
		if string(c.Provider.Name) == provider {
			w.report(50, string(c.Name), health.ConnectFailure, health.Outcome{})
		}
	}
}

// route makes one of candidates written as "name" or "name weight".
func (w *world) route(s config.Strategy, candidates ...string) *config.Route {
	r := &config.Route{Name: "auto", Strategy: s, Weights: config.DefaultWeights}
	for _, c := range candidates {
		name, weight, _ := strings.Cut(c, " ")
		k := config.Candidate{Model: w.models[name], Weight: 1}
		if weight != "" {
			fmt.Sscan(weight, &k.Weight)
		}
		if k.Model == nil {
			w.t.Fatalf("no model %q", name)
		}
		r.Candidates = append(r.Candidates, k)
	}
	return r
}

func (w *world) query(r *config.Route) Query {
	return Query{Asked: "auto", Route: r, InputTokens: 1000, Schema: chat.OpenAI, Now: w.now}
}

func (w *world) choose(q Query) *Decision {
	w.t.Helper()
	d, err := Choose(w.snap, w.tracker.View(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// order is the candidates that were not excluded, best first.
func order(d *Decision) string {
	var names []string
	for i := range d.Candidates {
		if d.Candidates[i].Excluded == Able {
			names = append(names, d.Candidates[i].Model.Name)
		}
	}
	return strings.Join(names, " ")
}

// steps writes a plan as "group:model", with its back-off behind a plus.
func steps(d *Decision) string {
	var out []string
	for i := range d.Plan {
		s := d.Plan[i].Group + ":" + d.Plan[i].Model.Name
		if b := d.Plan[i].Backoff; b > 0 {
			s += "+" + b.String()
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func kindOf(t *testing.T, err error) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a fault", err)
	}
	return f
}
