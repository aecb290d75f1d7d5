package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// cell is what the rounds gave for one target of one case.
type cell struct {
	target string
	rounds []*sample
}

func newCell(target string) *cell { return &cell{target: target} }

// result is one line of the table. Times are in microseconds. Rates and CPU are the median of the rounds, latencies are
// of all rounds together.
type result struct {
	Case        string             `json:"case"`
	Target      string             `json:"target"`
	Requests    uint64             `json:"requests"`
	Errors      uint64             `json:"errors"`
	FirstError  string             `json:"first_error,omitempty"`
	Meant       uint64             `json:"as_meant"` // requests that came from the cache, were failed over, ...: what the case is about
	PerSecond   float64            `json:"requests_per_second"`
	P50         float64            `json:"p50_us"`
	P99         float64            `json:"p99_us"`
	FirstByte   float64            `json:"first_byte_p50_us"` // of the answer's body
	CPU         map[string]float64 `json:"cpu_us"`            // a request, by process
	CPUTotal    float64            `json:"cpu_total_us"`      // of the gateway's processes together
	ProviderCPU float64            `json:"provider_cpu_us"`
	// Against the plain Envoy, round by round; 0 for what uses none.
	CPURatio  float64 `json:"cpu_ratio,omitempty"`
	RateRatio float64 `json:"requests_ratio,omitempty"`

	totals    []float64            // CPU of each round, in microseconds
	byProcess map[string][]float64 // the same, by process
}

// report is a whole run.
type report struct {
	Started     time.Time `json:"started"`
	Envoy       string    `json:"envoy"`
	Go          string    `json:"go"`
	CPUs        int       `json:"cpus"`
	Workers     uint      `json:"envoy_workers"`
	Concurrency int       `json:"concurrency"`
	Rounds      int       `json:"rounds"`
	Duration    float64   `json:"duration_s"` // counted for each line
	Results     []result  `json:"results"`
}

func newReport(o *options, envoy string) *report {
	return &report{
		Started: time.Now().UTC().Truncate(time.Second), Envoy: envoy, Go: runtime.Version(), CPUs: runtime.NumCPU(),
		Workers: o.workers, Concurrency: o.concurrency, Rounds: o.rounds, Duration: o.duration.Seconds(),
	}
}

// add turns the cells of a case into lines. Most cases have the plain Envoy among them.
func (r *report) add(name string, cells []*cell) {
	var plain *cell
	if i := slices.IndexFunc(cells, func(c *cell) bool { return c.target == targetPlain }); i >= 0 {
		plain = cells[i]
	}
	for _, c := range cells {
		r.Results = append(r.Results, c.result(name, plain))
	}
}

func (c *cell) result(name string, plain *cell) result {
	res := result{Case: name, Target: c.target, CPU: map[string]float64{}}
	var whole, first histogram
	var rate, total, provider, cpuRatio, rateRatio []float64
	byProcess := map[string][]float64{}
	for i, s := range c.rounds {
		res.Requests += s.requests
		res.Errors += s.errors
		res.Meant += s.meant
		if s.firstError != nil && res.FirstError == "" {
			res.FirstError = s.firstError.Error()
		}
		whole.merge(&s.whole)
		first.merge(&s.first)
		rate, total = append(rate, s.rate()), append(total, s.total())
		provider = append(provider, s.perRequest(processProvider))
		if plain != nil {
			cpuRatio = append(cpuRatio, ratio(s.total(), plain.rounds[i].total()))
			rateRatio = append(rateRatio, ratio(s.rate(), plain.rounds[i].rate()))
		}
		for p := range s.cpu {
			if p != processProvider {
				byProcess[p] = append(byProcess[p], s.perRequest(p))
			}
		}
	}
	for p, v := range byProcess {
		res.CPU[p] = round(median(v))
	}
	res.PerSecond, res.CPUTotal, res.ProviderCPU = round(median(rate)), round(median(total)), round(median(provider))
	res.totals, res.byProcess = total, byProcess
	res.CPURatio, res.RateRatio = round(median(cpuRatio)), round(median(rateRatio))
	res.P50, res.P99, res.FirstByte = micros(whole.quantile(.5)), micros(whole.quantile(.99)), micros(first.quantile(.5))
	return res
}

func (s *sample) rate() float64 { return ratio(float64(s.requests), s.elapsed.Seconds()) }

// perRequest is the CPU time of one process for a request, in microseconds.
func (s *sample) perRequest(process string) float64 {
	return ratio(micros(s.cpu[process]), float64(s.requests))
}

// total is that of all the target's processes.
func (s *sample) total() float64 {
	var sum float64
	for p := range s.cpu {
		if p != processProvider {
			sum += s.perRequest(p)
		}
	}
	return sum
}

// ratio is 0 where there is nothing to compare with.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// round keeps three digits after the point: more would be noise in a file that people compare.
func round(v float64) float64 { return float64(int64(v*1000+.5)) / 1000 }

// enoughMeant is the share of the requests that must have come about as the case means it.
const enoughMeant = 0.95

// failure is the error of a run in which a request failed, or too few did what was to be measured.
func (r *report) failure() error {
	var bad []string
	for _, l := range r.Results {
		switch {
		case l.Errors > 0:
			bad = append(bad, fmt.Sprintf("%s through %s: %d errors, the first: %s", l.Case, l.Target, l.Errors, l.FirstError))
		case l.Requests == 0:
			bad = append(bad, fmt.Sprintf("%s through %s: no request ended while it was counted; a longer --duration will do", l.Case, l.Target))
		case float64(l.Meant) < enoughMeant*float64(l.Requests):
			bad = append(bad, fmt.Sprintf("%s through %s: only %d of %d requests took the way that the case is about", l.Case, l.Target, l.Meant, l.Requests))
		}
	}
	if bad == nil {
		return nil
	}
	return errors.New("the figures do not count:\n" + strings.Join(bad, "\n"))
}

// print writes the table and what it says about the aim.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "Envoy %s with %d worker threads, %d connections, %d CPUs; median of %d rounds, %g s for a line\n\n",
		r.Envoy, r.Workers, r.Concurrency, r.CPUs, r.Rounds, r.Duration)
	rows := [][]string{{"case", "through", "req/s", "× plain", "p50 ms", "p99 ms", "first ms", "errors", "CPU µs/req", "× plain", "of which", "provider µs"}}
	for i, l := range r.Results {
		if i > 0 && l.Case != r.Results[i-1].Case {
			rows = append(rows, nil)
		}
		rows = append(rows, l.row())
	}
	table(w, rows, 2)
	fmt.Fprint(w, "\n", r.legend(), r.verdict())
}

func (l *result) row() []string {
	cpu, times, rates := "-", "-", "-"
	if l.CPUTotal > 0 {
		cpu = fmt.Sprintf("%.1f", l.CPUTotal)
	}
	if l.CPURatio > 0 {
		times = fmt.Sprintf("%.2f", l.CPURatio)
	}
	if l.RateRatio > 0 {
		rates = fmt.Sprintf("%.2f", l.RateRatio)
	}
	return []string{
		l.Case, l.Target, fmt.Sprintf("%.0f", l.PerSecond), rates,
		fmt.Sprintf("%.2f", l.P50/1000), fmt.Sprintf("%.2f", l.P99/1000), fmt.Sprintf("%.2f", l.FirstByte/1000),
		fmt.Sprint(l.Errors), cpu, times, l.processes(), fmt.Sprintf("%.1f", l.ProviderCPU),
	}
}

// processes says which process the CPU went to, when there are several.
func (l *result) processes() string {
	if len(l.CPU) < 2 {
		return ""
	}
	var parts []string
	for _, p := range slices.Sorted(maps.Keys(l.CPU)) {
		parts = append(parts, fmt.Sprintf("%s %.1f", p, l.CPU[p]))
	}
	return strings.Join(parts, " + ")
}

// table writes rows in aligned columns, the first few to the left and the others to the right. A nil row is an empty line.
func table(w io.Writer, rows [][]string, left int) {
	var width []int
	for _, row := range rows {
		for i, s := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(s))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, s := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(s))
			if i < left {
				line.WriteString(s + pad)
			} else {
				line.WriteString(pad + s)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

func (r *report) legend() string {
	var b strings.Builder
	for _, k := range cases {
		if slices.ContainsFunc(r.Results, func(l result) bool { return l.Case == k.name }) {
			fmt.Fprintf(&b, "%-19s %s\n", k.name, k.what)
		}
	}
	return b.String()
}

// The aim, on a machine where a plain Envoy takes 40 µs; elsewhere in proportion.
const (
	aimPlainEnvoy = 40.0
	aimPlain      = 250.0
	aimTranslated = 20.0 // on top
	aimHit        = .60  // an exact hit's CPU, of a plain request's
	aimFailover   = 1.5  // × a plain request's CPU
	// Medians for one client alone, in microseconds.
	aimHitTime, aimSemanticTime = 500.0, 10_000.0
	// CPU of Dragoman's process that the limits and budgets that people set, and the ledger, add, in microseconds on such a machine.
	aimGoverned, aimGovernedRedis = 10.0, 40.0
)

// verdict compares every build with the aim.
func (r *report) verdict() string {
	var b strings.Builder
	for i := range r.Results {
		l := &r.Results[i]
		if l.Case != "plain" || l.CPU[processDragoman] == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s: a plain request costs %.2f × plain Envoy (aim: at most %.2f ×)", l.Target, l.CPURatio, aimPlain/aimPlainEnvoy)
		if t := r.find("translated", l.Target); t != nil {
			fmt.Fprintf(&b, "; translating adds %.2f × (aim: at most %.2f ×)", r.added(t, l), aimTranslated/aimPlainEnvoy)
		}
		b.WriteString("\n")
		r.verdictOfCache(&b, l)
	}
	r.verdictOfFailover(&b)
	r.verdictOfCallers(&b)
	return b.String()
}

// verdictOfFailover says how many plain requests a failover costs, beside what plain Envoy's own costs of its own.
func (r *report) verdictOfFailover(b *strings.Builder) {
	for _, name := range []string{"failover", "failover-kept"} {
		for i := range r.Results {
			l := &r.Results[i]
			plain := r.find("plain", l.Target)
			if l.Case != name || l.CPUTotal == 0 || plain == nil {
				continue
			}
			fmt.Fprintf(b, "%s: %s costs %.2f × the plain request's CPU, %.1f µs more", l.Target, name, l.CPUTotal/plain.CPUTotal, l.CPUTotal-plain.CPUTotal)
			if l.CPU[processDragoman] > 0 {
				fmt.Fprintf(b, " (dragoman %.1f, envoy %.1f); aim: at most %.1f ×", l.CPU[processDragoman]-plain.CPU[processDragoman],
					l.CPU[processEnvoy]-plain.CPU[processEnvoy], aimFailover)
			}
			b.WriteString("\n")
		}
	}
}

// verdictOfCallers says what limits, budgets and the ledger add to each build's process, round by round.
func (r *report) verdictOfCallers(b *strings.Builder) {
	for i := range r.Results {
		l := &r.Results[i]
		if l.Case != caseKeyed || len(l.byProcess[processDragoman]) == 0 {
			continue
		}
		for _, c := range []struct {
			name, what string
			aim        float64
		}{
			{caseGoverned, "6 limits and budgets, counted in the process, and the ledger", aimGoverned},
			{caseGovernedRedis, "6 limits and budgets, counted in Redis, and the ledger", aimGovernedRedis},
			{caseDeep, "24 limits and budgets, counted in the process, and the ledger", 0},
			{caseDeepRedis, "24 limits and budgets, counted in Redis, and the ledger", 0},
		} {
			g := r.find(c.name, l.Target)
			if g == nil {
				continue
			}
			fmt.Fprintf(b, "%s: %s add %.1f µs of Dragoman's CPU", l.Target, c.what, addedTo(processDragoman, g, l))
			if c.aim > 0 {
				fmt.Fprintf(b, " (aim: at most %.0f µs)", c.aim)
			}
			b.WriteString("\n")
		}
	}
}

// addedTo is what one case costs a process more than another, in microseconds: the median of the rounds.
func addedTo(process string, more, less *result) float64 {
	var v []float64
	for i := range more.byProcess[process] {
		v = append(v, more.byProcess[process][i]-less.byProcess[process][i])
	}
	return median(v)
}

// verdictOfCache does so for the hits of the build whose plain case is given.
func (r *report) verdictOfCache(b *strings.Builder, plain *result) {
	if hit := r.find("cache-hit", plain.Target); hit != nil {
		fmt.Fprintf(b, "%s: an exact hit costs %.2f of a plain request's CPU (aim: at most %.2f)\n", plain.Target, ratio(hit.CPUTotal, plain.CPUTotal), aimHit)
	}
	for _, c := range []struct {
		name, what string
		aim        float64
	}{{"cache-alone", "an exact hit", aimHitTime}, {"semantic-hit", "a semantic hit", aimSemanticTime}} {
		if hit := r.find(c.name, plain.Target); hit != nil {
			fmt.Fprintf(b, "%s: %s takes %.2f ms at the median (aim: under %.2f ms)\n", plain.Target, c.what, hit.P50/1000, c.aim/1000)
		}
	}
}

// added is what one case costs more than another, in units of the plain Envoy's plain case: the median of the rounds.
func (r *report) added(more, less *result) float64 {
	unit := r.find("plain", targetPlain)
	var v []float64
	for i := range more.totals {
		v = append(v, ratio(more.totals[i]-less.totals[i], unit.totals[i]))
	}
	return median(v)
}

func (r *report) find(name, target string) *result {
	for i := range r.Results {
		if r.Results[i].Case == name && r.Results[i].Target == target {
			return &r.Results[i]
		}
	}
	return nil
}

// write puts the report into a file, as JSON.
func (r *report) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
