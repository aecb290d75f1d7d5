package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden table anew")

// round1 is a sample of one round: its rate is requests a second, its CPU in microseconds a request.
func round1(requests uint64, took time.Duration, cpu map[string]float64) *sample {
	s := &sample{requests: requests, meant: requests, elapsed: time.Second, cpu: map[string]time.Duration{}}
	for p, us := range cpu {
		s.cpu[p] = time.Duration(us * float64(requests) * 1000)
	}
	for range requests {
		s.whole.add(took)
		s.first.add(took / 2)
	}
	return s
}

func aReport() *report {
	o := &options{duration: 5 * time.Second, rounds: 3, concurrency: 16, workers: 1}
	r := newReport(o, "1.40.0")
	r.CPUs = 2
	ms := time.Millisecond
	r.add("plain", []*cell{
		{targetDirect, []*sample{round1(4000, ms, map[string]float64{"provider": 9}), round1(5000, ms, map[string]float64{"provider": 10}), round1(1000, ms, map[string]float64{"provider": 50})}},
		{targetPlain, []*sample{round1(2000, ms, map[string]float64{"provider": 12, "envoy": 40}), round1(2000, ms, map[string]float64{"provider": 12, "envoy": 40}), round1(1000, 2*ms, map[string]float64{"provider": 12, "envoy": 80})}},
		// The third round falls into a bad time for both: the ratio of each round is what counts.
		{"dragoman", []*sample{round1(500, 3*ms, map[string]float64{"provider": 20, "envoy": 120, "dragoman": 80}), round1(500, 3*ms, map[string]float64{"provider": 20, "envoy": 130, "dragoman": 90}), round1(250, 9*ms, map[string]float64{"provider": 20, "envoy": 240, "dragoman": 160})}},
	})
	r.add("translated", []*cell{
		{targetPlain, []*sample{round1(2000, ms, map[string]float64{"envoy": 40}), round1(2000, ms, map[string]float64{"envoy": 50}), round1(2000, ms, map[string]float64{"envoy": 40})}},
		{"dragoman", []*sample{round1(500, 3*ms, map[string]float64{"envoy": 125, "dragoman": 95}), round1(500, 3*ms, map[string]float64{"envoy": 130, "dragoman": 100}), round1(500, 3*ms, map[string]float64{"envoy": 300, "dragoman": 150})}},
	})
	return r
}

func TestMediansAndRatios(t *testing.T) {
	r := aReport()
	l := r.find("plain", "dragoman")
	for name, c := range map[string]struct{ got, want float64 }{
		"rate": {l.PerSecond, 500}, "CPU": {l.CPUTotal, 220}, "Envoy's": {l.CPU["envoy"], 130}, "Dragoman's": {l.CPU["dragoman"], 90},
		"provider": {l.ProviderCPU, 20}, "CPU ratio": {l.CPURatio, 5}, "rate ratio": {l.RateRatio, .25},
	} {
		if math.Abs(c.got-c.want) > .001 {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if l.Requests != 1250 || l.Errors != 0 || math.Abs(l.P50-3000) > 30 || math.Abs(l.P99-9000) > 90 || math.Abs(l.FirstByte-1500) > 15 {
		t.Errorf("got %+v", l)
	}
	if d := r.find("plain", targetDirect); d.CPUTotal != 0 || d.CPURatio != 0 || len(d.CPU) > 0 || d.ProviderCPU != 10 {
		t.Errorf("a direct connection costs %+v", d)
	}
}

// Rounds: 220 − 200 of 40, 230 − 220 of 40, 450 − 400 of 80.
func TestWhatTranslatingAdds(t *testing.T) {
	r := aReport()
	if got := r.added(r.find("translated", "dragoman"), r.find("plain", "dragoman")); math.Abs(got-.5) > .001 {
		t.Errorf("%v, want 0.5", got)
	}
}

// Round by round, and of Dragoman's process alone: 105 − 100, 117 − 110, 400 − 300; and 130 − 100, 145 − 110, 330 − 300.
func TestWhatGoverningAdds(t *testing.T) {
	r := aReport()
	if v := r.verdict(); strings.Contains(v, "limits and budgets") {
		t.Errorf("what was not measured is judged: %s", v)
	}
	ms := time.Millisecond
	rounds := func(envoy float64, dragoman ...float64) []*cell {
		c := &cell{target: "dragoman"}
		for _, d := range dragoman {
			c.rounds = append(c.rounds, round1(1000, ms, map[string]float64{"envoy": envoy, "dragoman": d}))
		}
		return []*cell{c}
	}
	r.add(caseKeyed, rounds(130, 100, 110, 300))
	r.add(caseGoverned, rounds(170, 105, 117, 400))
	if v := r.verdict(); !strings.Contains(v, "6 limits and budgets, counted in the process, and the ledger add 7.0 µs of Dragoman's CPU (aim: at most 10 µs)\n") || strings.Contains(v, "counted in Redis") {
		t.Errorf("got %s", v)
	}
	r.add(caseGovernedRedis, rounds(130, 130, 145, 330))
	if v := r.verdict(); !strings.Contains(v, "6 limits and budgets, counted in Redis, and the ledger add 30.0 µs of Dragoman's CPU (aim: at most 40 µs)") {
		t.Errorf("got %s", v)
	}
	r.add(caseDeep, rounds(130, 120, 131, 330))
	if v := r.verdict(); !strings.Contains(v, "24 limits and budgets, counted in the process, and the ledger add 21.0 µs of Dragoman's CPU\n") {
		t.Errorf("got %s", v)
	}
	r.print(&bytes.Buffer{}) // lines without a plain Envoy to compare with
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	aReport().print(&out)
	golden := filepath.Join("testdata", "table.txt")
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the table is (go test -update writes it)\n%s\nwant\n%s", out.Bytes(), want)
	}
}

func TestJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "bench.json")
	r := aReport()
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Results) != len(r.Results) || back.Results[2].CPU["dragoman"] != 90 || back.Envoy != "1.40.0" || back.Started.IsZero() {
		t.Errorf("came back as %+v", back)
	}
	if err := r.write(filepath.Join(path, "below")); err == nil {
		t.Error("a file was written below a file")
	}
}

func TestFailure(t *testing.T) {
	if err := aReport().failure(); err != nil {
		t.Errorf("a good run: %v", err)
	}
	for says, spoil := range map[string]func(*sample){
		"plain through dragoman: 2 errors, the first: oh": func(s *sample) { s.errors, s.firstError = 2, errors.New("oh") },
		"no request ended":          func(s *sample) { *s = sample{cpu: map[string]time.Duration{}} },
		"only 900 of 1000 requests": func(s *sample) { s.requests, s.meant = 1000, 900 },
	} {
		s := round1(100, time.Millisecond, map[string]float64{"envoy": 1, "dragoman": 1})
		spoil(s)
		r := newReport(&options{}, "")
		r.add("plain", []*cell{{targetPlain, []*sample{round1(100, 1, nil)}}, {"dragoman", []*sample{s}}})
		if err := r.failure(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q in it", err, says)
		}
		r.print(&bytes.Buffer{}) // figures that do not count must not break the table
	}
}

func TestVerdictNeedsThePlainCase(t *testing.T) {
	r := newReport(&options{}, "")
	r.add("stream", []*cell{{targetPlain, []*sample{round1(10, 1, map[string]float64{"envoy": 1})}}})
	if v := r.verdict(); v != "" {
		t.Errorf("got %q", v)
	}
}
