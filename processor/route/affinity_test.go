package route

import (
	"fmt"
	"math"
	"testing"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/translate/chat"
)

// fleet is one model at a provider of n equal clusters.
func fleet(t *testing.T, n int) (*world, *config.Route, *config.Provider) {
	w := newWorld(t)
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("e%d 100", i))
	}
	p := w.provider("fleet", chat.OpenAI, names...)
	w.model(p, "served", nil, 0, 0.5)
	w.tracker.SetClusters(w.clusters)
	r := w.route(config.Balanced, "served")
	r.Affinity = config.Affinity{On: true, Load: 1.25, Tolerance: 0.1}
	return w, r, p
}

// homes is where each of n conversations goes.
func homes(w *world, q Query, n int) []string {
	var list []string
	for i := range n {
		q.Key, q.Random = KeyOf(fmt.Sprint("conversation", i)), float64(i%13)/13
		list = append(list, w.choose(q).Plan[0].Group)
	}
	return list
}

func moved(a, b []string) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func TestAConversationStays(t *testing.T) {
	w, r, p := fleet(t, 4)
	q := w.query(r)
	const n = 2000
	before := homes(w, q, n)
	if again := homes(w, q, n); moved(before, again) != 0 {
		t.Errorf("%d of %d moved for nothing", moved(before, again), n)
	}
	count := map[string]int{}
	for _, h := range before {
		count[h]++
	}
	for _, c := range p.Clusters {
		if share := float64(count[string(c.Name)]) / n; math.Abs(share-0.25) > 0.04 {
			t.Errorf("%s has %.3f", c.Name, share)
		}
	}
	// A cluster that fails loses its conversations, and no other loses one.
	failed := p.Clusters[2]
	w.report(50, string(failed.Name), health.ConnectFailure, health.Outcome{})
	after := homes(w, q, n)
	for i := range before {
		if after[i] == string(failed.Name) || before[i] != string(failed.Name) && before[i] != after[i] {
			t.Fatalf("conversation %d: %s, then %s", i, before[i], after[i])
		}
	}
}

func TestWeightsHold(t *testing.T) {
	w, r, p := fleet(t, 3)
	q := w.query(r)
	const n = 4000
	p.Clusters[0].Weight, p.Clusters[1].Weight, p.Clusters[2].Weight = 200, 100, 100
	before := homes(w, q, n)
	count := map[string]int{}
	for _, h := range before {
		count[h]++
	}
	if share := float64(count["fleet/e0"]) / n; math.Abs(share-0.5) > 0.03 {
		t.Errorf("twice the weight, %.3f of the conversations", share)
	}
	p.Clusters[0].Weight = 100
	if m := float64(moved(before, homes(w, q, n))) / n; m < 0.1 || m > 0.23 {
		t.Errorf("%.3f moved; a sixth has to", m)
	}
}

func TestLoadIsBounded(t *testing.T) {
	w, r, p := fleet(t, 4)
	q := w.query(r)
	q.Learnt = NewLearnt()
	q.Key = KeyOf("everybody's")
	count := map[string]int64{}
	for range 200 { // all of one conversation, none ends
		d := w.choose(q)
		count[d.Plan[0].Group]++
		q.Learnt.Take(d.Plan[0].Cluster, 1, false, w.now)
	}
	for _, c := range p.Clusters {
		if n := count[string(c.Name)]; n > 200*5/16+2 || n == 0 {
			t.Errorf("%s got %d of 200", c.Name, n)
		}
	}
	r.Affinity.Load = 0
	home := w.choose(q).Plan[0].Group
	if n := count[home]; n == 0 {
		t.Errorf("without a bound: %s", home)
	}
}

// What follows the first attempt is the conversation's second home, and then its third.
func TestFailoverKeepsTheOrder(t *testing.T) {
	w, r, _ := fleet(t, 4)
	q := w.query(r)
	w.snap.Retry.MaxAttempts = 4
	q.Key = KeyOf("x")
	plan := w.choose(q).Plan
	seen := map[string]bool{}
	for _, s := range plan {
		if s.Cluster == nil || seen[s.Group] {
			t.Fatalf("%v", steps(w.choose(q)))
		}
		seen[s.Group] = true
	}
	w.report(50, plan[0].Group, health.ConnectFailure, health.Outcome{})
	if got := w.choose(q).Plan[0].Group; got != plan[1].Group {
		t.Errorf("got %s, want the second home %s", got, plan[1].Group)
	}
}

func TestWithoutAKeyEnvoyDraws(t *testing.T) {
	w, r, _ := fleet(t, 4)
	q := w.query(r)
	if s := w.choose(q).Plan[0]; s.Cluster != nil || s.Group != "fleet" {
		t.Errorf("got %s", s.Group)
	}
	q.Key, r.Affinity.On = 5, false
	if s := w.choose(q).Plan[0]; s.Cluster != nil {
		t.Errorf("switched off: got %s", s.Group)
	}
}

// Of candidates that score alike one is the conversation's; one that is clearly better goes first all the same.
func TestCandidatesThatScoreAlike(t *testing.T) {
	w := newWorld(t)
	for _, m := range []string{"gpt", "haiku"} {
		w.models[m].Price, w.models[m].Quality = &config.Price{Input: 1, Output: 1}, map[string]float64{"default": 0.7}
	}
	r := w.route(config.Balanced, "gpt", "haiku", "llama")
	r.Affinity, r.LocalFirst = config.Affinity{On: true, Tolerance: 0.1}, 1
	q := w.query(r)
	count := map[string]int{}
	for i := range 1000 {
		q.Key = KeyOf(fmt.Sprint(i))
		count[w.choose(q).Plan[0].Model.Name]++
	}
	if count["gpt"] < 400 || count["haiku"] < 400 || count["llama"] != 0 {
		t.Errorf("got %v", count)
	}
	w.models["haiku"].Quality["default"] = 0.1
	for i := range 100 {
		q.Key = KeyOf(fmt.Sprint(i))
		if got := w.choose(q).Plan[0].Model.Name; got != "gpt" {
			t.Fatalf("got %s", got)
		}
	}
}

func TestKeys(t *testing.T) {
	if KeyOf("") == 0 || KeyOf("a") == KeyOf("b") {
		t.Error("a key is 0, or not one's own")
	}
	for _, h := range []uint64{0, 1, math.MaxUint64} {
		if u := uniform(h); u <= 0 || u >= 1 {
			t.Errorf("%v is no number between", u)
		}
	}
}
