package route

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

func (w *world) canary(share float64) *config.Route {
	r := w.route(config.Canarying, "haiku", "llama", "gpt")
	r.Canary = &config.Canary{Model: w.models["gpt"], ID: "r gpt", Share: share, ErrorMargin: 0.1, LatencyMargin: 0.5, MinRequests: 20, Window: time.Minute}
	return r
}

func TestCanaryGetsItsShare(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.canary(0.2))
	q.Learnt = NewLearnt()
	arms := map[string]int{}
	for i := range 1000 {
		q.Random = (float64(i) + 0.5) / 1000
		d := w.choose(q)
		arms[d.Arm]++
		if (d.Arm == canaryArm) != (d.Plan[0].Model.Name == "gpt") {
			t.Fatalf("arm %s: %s", d.Arm, steps(d))
		}
		if d.Arm == baselineArm && d.Candidates[2].Model.Name != "gpt" {
			t.Fatalf("the canary is not last: %q", order(d))
		}
	}
	if arms[canaryArm] != 200 || arms[baselineArm] != 800 {
		t.Errorf("got %v", arms)
	}
	w.down("openai")
	q.Random = 0
	if d := w.choose(q); d.Plan[0].Model.Name == "gpt" || d.Arm != canaryArm {
		t.Errorf("a canary that is down: %s %s", d.Arm, steps(d))
	}
}

func TestCanaryRamp(t *testing.T) {
	c := &config.Canary{ID: "x", Share: 0.05, Ramp: []config.RampStep{{After: time.Hour, Share: 0.2}, {After: 24 * time.Hour, Share: 1}}}
	l := NewLearnt()
	for after, want := range map[time.Duration]float64{0: 0.05, 59 * time.Minute: 0.05, time.Hour: 0.2, 23 * time.Hour: 0.2, 25 * time.Hour: 1} {
		l.share(c, start) // seen first
		if got := l.share(c, start.Add(after)); got != want {
			t.Errorf("after %s: %v, want %v", after, got, want)
		}
	}
	c = &config.Canary{ID: "y", Share: 0.05, Start: start.Add(time.Hour), Ramp: []config.RampStep{{After: time.Hour, Share: 0.2}}}
	if a, b, d := l.share(c, start), l.share(c, start.Add(time.Hour)), l.share(c, start.Add(2*time.Hour)); a != 0 || b != 0.05 || d != 0.2 {
		t.Errorf("with a start: %v %v %v", a, b, d)
	}
}

// report makes n results of an arm, of which bad fail, evenly spread.
func report(l *Learnt, r *config.Route, arm string, n, bad int, first time.Duration, now time.Time) (why string) {
	for i := range n {
		if s := l.Report(r, arm, Result{Failed: (i+1)*bad/n > i*bad/n, First: first, Input: 10, Output: 5, Cost: 3}, now); s != "" {
			why = s
		}
	}
	return why
}

func TestCanaryIsRolledBack(t *testing.T) {
	for name, c := range map[string]struct {
		canary, baseline     int // of 100 that fail
		canaryTook, baseTook time.Duration
		requests             int
		why                  string
	}{
		"as good":                  {5, 5, time.Second, time.Second, 100, ""},
		"within the margin":        {12, 5, time.Second, time.Second, 100, ""},
		"more errors":              {40, 5, time.Second, time.Second, 100, "error rate"},
		"both bad":                 {50, 50, time.Second, time.Second, 100, ""},
		"slower within the margin": {0, 0, 1200 * time.Millisecond, time.Second, 100, ""},
		"slower":                   {0, 0, 2 * time.Second, time.Second, 100, "begin within"},
		"slower, but nobody feels": {0, 0, 40 * time.Millisecond, time.Millisecond, 100, ""},
		"too few to say":           {19, 0, time.Second, time.Second, 19, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.canary(0.5)
			l := NewLearnt()
			if why := report(l, r, baselineArm, 100, c.baseline, c.baseTook, w.now); why != "" {
				t.Fatalf("the baseline is no canary: %s", why)
			}
			why := report(l, r, canaryArm, c.requests, c.canary*c.requests/100, c.canaryTook, w.now)
			if (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
				t.Errorf("got %q", why)
			}
			rolled := c.why != ""
			if share := l.share(r.Canary, w.now); (share == 0) != rolled {
				t.Errorf("its share is %v", share)
			}
			q := w.query(r)
			q.Learnt, q.Random = l, 0
			if d := w.choose(q); (d.Plan[0].Model.Name == "gpt") == rolled {
				t.Errorf("%s", steps(d))
			}
			st := l.Status(&config.Snapshot{Routes: []*config.Route{r}}, w.now)
			if st[0].Canary.RolledBack != rolled || st[0].Canary.Why != why || len(st[0].Arms) != 2 {
				t.Errorf("status %+v", st[0])
			}
			r.Canary.ID = "another"
			if l.share(r.Canary, w.now) != 0.5 {
				t.Error("another canary suffers for the last one")
			}
		})
	}
}

// Errors of long ago do not condemn a canary.
func TestCanaryWindow(t *testing.T) {
	w := newWorld(t)
	r := w.canary(0.5)
	l := NewLearnt()
	report(l, r, baselineArm, 100, 0, time.Second, w.now)
	if why := report(l, r, canaryArm, 19, 19, time.Second, w.now); why != "" {
		t.Fatal(why)
	}
	later := w.now.Add(20 * time.Minute)
	report(l, r, baselineArm, 100, 0, time.Second, later)
	if why := report(l, r, canaryArm, 100, 0, time.Second, later); why != "" {
		t.Errorf("rolled back: %s", why)
	}
}

func TestExperiment(t *testing.T) {
	w := newWorld(t)
	r := w.route(config.Experiment, "gpt 50", "haiku 30", "llama 20")
	for i, name := range []string{"a", "b", "c"} {
		r.Candidates[i].Variant = name
	}
	q := w.query(r)
	arms, models := map[string]int{}, map[string]string{}
	for user := range 5000 {
		q.Draw, q.Random = KeyOf(fmt.Sprint("user", user)), float64(user%7)/7
		d := w.choose(q)
		arms[d.Arm]++
		models[d.Arm] = d.Plan[0].Model.Name
		q.Random = 0.99
		if again := w.choose(q).Arm; again != d.Arm {
			t.Fatalf("user %d: %s, then %s", user, d.Arm, again)
		}
	}
	for arm, want := range map[string]int{"a": 2500, "b": 1500, "c": 1000} {
		if math.Abs(float64(arms[arm]-want)) > 150 {
			t.Errorf("%s: %d, want about %d", arm, arms[arm], want)
		}
	}
	if models["a"] != "gpt" || models["b"] != "haiku" || models["c"] != "llama" {
		t.Errorf("got %v", models)
	}
	// Whose variant is down is answered by another, and stays in the arm.
	w.down("openai")
	q.Draw, q.Random = 0, 0
	if d := w.choose(q); d.Arm != "a" || d.Plan[0].Model.Name != "haiku" || ArmOf(r, d.Plan[0].Model) != "b" {
		t.Errorf("%s %s", d.Arm, steps(d))
	}
}

func TestArmOf(t *testing.T) {
	w := newWorld(t)
	r := w.canary(0.5)
	if a, b, c := ArmOf(r, w.models["gpt"]), ArmOf(r, w.models["haiku"]), ArmOf(w.route(config.Balanced, "gpt"), w.models["gpt"]); a != canaryArm || b != baselineArm || c != "" {
		t.Errorf("%q %q %q", a, b, c)
	}
}

func TestMirrorShare(t *testing.T) {
	w := newWorld(t)
	r := w.route(config.Mirroring, "haiku")
	r.Mirror = &config.Mirror{Model: w.models["gpt"], Share: 0.25}
	q := w.query(r)
	n := 0
	for i := range 4000 {
		q.Random = (float64(i) + 0.5) / 4000
		if d := w.choose(q); d.Mirror != nil {
			n++
			if d.Plan[0].Model.Name != "haiku" {
				t.Fatal("the mirror answers")
			}
		}
	}
	if n < 900 || n > 1100 {
		t.Errorf("%d of 4000 mirrored", n)
	}
}

func TestLocalFirst(t *testing.T) {
	for name, c := range map[string]struct {
		share float64
		want  string
	}{
		"good enough":     {0.7, "llama gpt haiku"},
		"not good enough": {0.99, "gpt haiku llama"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.models["llama"].Provider.Local = true
			r := w.route(config.Quality, "gpt", "haiku", "llama")
			r.Weights, r.LocalFirst = config.Weights{Quality: 0.8, Price: 0.2}, c.share
			q := w.query(r)
			q.InputTokens, w.models["llama"].Quality["default"] = 100, 0.5
			d := w.choose(q)
			if got := order(d); got != c.want {
				t.Errorf("got %q: %s", got, d.Explain())
			}
			if (d.Candidates[0].Lifted == LocalFirst) != (c.share < 0.9) {
				t.Errorf("lifted: %q", d.Candidates[0].Lifted)
			}
			w.down("local")
			if got := order(w.choose(q)); got != "gpt haiku llama" {
				t.Errorf("down: got %q", got)
			}
		})
	}
}

func TestQualityByTask(t *testing.T) {
	w := newWorld(t)
	w.models["gpt"].Quality = map[string]float64{"default": 0.9, "translation": 0.1}
	w.models["haiku"].Quality = map[string]float64{"default": 0.5, "translation": 0.8}
	r := w.route(config.Quality, "gpt", "haiku")
	r.Weights = config.Weights{Quality: 1}
	q := w.query(r)
	for task, want := range map[string]string{"": "gpt haiku", "code": "gpt haiku", "translation": "haiku gpt"} {
		q.Task = task
		if got := order(w.choose(q)); got != want {
			t.Errorf("%q: got %q", task, got)
		}
	}
}

func TestCeilings(t *testing.T) {
	for name, c := range map[string]struct {
		route, request config.Ceilings
		want           string // of gpt, haiku, llama and mystery, which is nobody's own here
		kind           fault.Kind
	}{
		"none":                   {want: "gpt haiku llama mystery"},
		"providers":              {route: config.Ceilings{Providers: []string{"claude", "openai"}}, want: "gpt haiku"},
		"a request narrows":      {route: config.Ceilings{Providers: []string{"claude", "openai"}}, request: config.Ceilings{Providers: []string{"claude", "local"}}, want: "haiku"},
		"nobody is left":         {route: config.Ceilings{Providers: []string{"claude"}}, request: config.Ceilings{Providers: []string{}}, kind: fault.Unsupported},
		"region":                 {route: config.Ceilings{DataRegions: []string{"eu"}}, want: "haiku"},
		"cost":                   {route: config.Ceilings{Cost: 4000}, want: "haiku llama"}, // gpt 7000, haiku 3500, mystery unknown
		"cost of the request":    {request: config.Ceilings{Cost: 1}, want: "llama"},
		"input price":            {route: config.Ceilings{InputPrice: 1_000_000}, want: "haiku llama"},
		"output price":           {route: config.Ceilings{OutputPrice: 4_000_000}, want: "llama"},
		"latency":                {route: config.Ceilings{Latency: 2 * time.Second}, want: "haiku llama mystery"}, // gpt takes 5 s, others are unknown
		"nobody is quick enough": {route: config.Ceilings{Latency: 2 * time.Second, Providers: []string{"openai"}}, kind: fault.Unavailable},
		"nobody is cheap enough": {route: config.Ceilings{Cost: 1, Providers: []string{"openai"}}, kind: fault.Unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.models["haiku"].Provider.DataRegion, w.models["gpt"].Provider.DataRegion = "eu", "us"
			r := w.route(config.Fallback, "gpt", "haiku", "llama", "mystery")
			r.Ceilings = c.route
			q := w.query(r)
			q.Ceilings, q.Learnt = c.request, NewLearnt()
			w.took(q.Learnt, "gpt", 5*time.Second)
			d, err := Choose(w.snap, w.tracker.View(), q)
			if c.want == "" {
				if f := kindOf(t, err); f.Kind != c.kind || f.Code != "over_ceiling" {
					t.Errorf("got %+v", f)
				}
				return
			}
			if err != nil || order(d) != c.want {
				t.Errorf("got %q, %v", order(d), err)
			}
		})
	}
}
