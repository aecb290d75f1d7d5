package chaos

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"dragoman/test/harness"
)

// warm sends a few requests everywhere, so that what is kept open for good is there before anything is measured.
func warm(t *testing.T, g *harness.Gateway) *tally {
	t.Helper()
	var all sync.WaitGroup
	s := &tally{}
	for i := range clients {
		all.Go(func() { client{g: g, n: warmers + i, route: "any", stream: i%2 == 0, tally: s}.ask(t.Context(), t, 0) })
	}
	all.Wait()
	if s.answered != clients {
		t.Errorf("before anything fails: %d of %d answered: %s", s.answered, clients, s.first())
	}
	idle(t, g)
	return s
}

// warmers are the numbers of clients that ask before anything fails.
const warmers = 10_000

// idle waits until nothing is under way, and closes the connections that clients keep.
func idle(t *testing.T, g *harness.Gateway) {
	t.Helper()
	g.HTTP.CloseIdleConnections()
	deadline := time.Now().Add(15 * time.Second)
	for metric(t, g, "dragoman_requests_in_flight") > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%v requests are still in flight", metric(t, g, "dragoman_requests_in_flight"))
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(1500 * time.Millisecond) // the gauge is a second old; Envoy closes what its clients have
}

// metric sums the series of a name whose labels hold all of the given texts.
func metric(t *testing.T, g *harness.Gateway, name string, labels ...string) (sum float64) {
	t.Helper()
	text, err := g.Metrics(context.Background())
	if err != nil {
		t.Fatal(err)
	}
lines:
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(strings.TrimSpace(rest), ' ')+1:]), 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += v
	}
	return sum
}

// wantUsage: what providers delivered whole is what clients got whole, and every request was settled once. What the ledger says of each is
// wantLedger's.
func wantUsage(t *testing.T, g *harness.Gateway, tallies ...*tally) {
	t.Helper()
	var complete, got, requests int64
	for _, f := range g.Fakes {
		complete += f.Counters().Tokens
	}
	for _, s := range tallies {
		got += s.tokens
		requests += s.requests
	}
	if complete != got {
		t.Errorf("%d tokens of whole answers left the providers, %d reached clients", complete, got)
	}
	if n := int64(metric(t, g, "dragoman_settlements_total")); n != requests {
		t.Errorf("%d settlements of %d requests", n, requests)
	}
	if n := metric(t, g, "dragoman_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

// footprint is what a process holds.
type footprint struct{ goroutines, files, megabytes float64 }

func footprints(t *testing.T, g *harness.Gateway) map[string]footprint {
	t.Helper()
	if resp, err := http.Get(g.Admin + "/healthz"); err == nil {
		resp.Body.Close()
	}
	return map[string]footprint{
		"dragoman": {metric(t, g, "go_goroutines"), metric(t, g, "process_open_fds"), metric(t, g, "process_resident_memory_bytes") / 1e6},
		"envoy":    envoy(t, g.EnvoyPID()),
	}
}

func envoy(t *testing.T, pid int) (f footprint) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	files, err := filepath.Glob(proc + "fd/*")
	if err != nil {
		t.Fatal(err)
	}
	f.files = float64(len(files))
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			f.megabytes = n / 1000
		}
	}
	return f
}

// wantNoGrowth allows for what differs between two moments of rest.
func wantNoGrowth(t *testing.T, before, after map[string]footprint) {
	t.Helper()
	for name, b := range before {
		a := after[name]
		t.Logf("%s: goroutines %.0f → %.0f, files %.0f → %.0f, memory %.0f → %.0f MB", name, b.goroutines, a.goroutines, b.files, a.files, b.megabytes, a.megabytes)
		if a.goroutines > b.goroutines+40 || a.files > b.files+40 || a.megabytes > 1.5*b.megabytes+64 {
			t.Errorf("%s has grown", name)
		}
	}
}

// report prints what happened with and without failover.
func report(t *testing.T, length time.Duration, with, without *tally) {
	t.Helper()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s of chaos\trequests\tanswered\tfailed over\twhole failed\tstreams failed before\tbroken after\tp50\tp99\t\n", length)
	for _, row := range []struct {
		name string
		*tally
	}{{"with failover", with}, {"without", without}} {
		share := func(n int64) string {
			return fmt.Sprintf("%d (%.2f %%)", n, 100*float64(n)/float64(max(row.requests, 1)))
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\t%s\t%s\t%v\t%v\t\n", row.name, row.requests, share(row.answered), row.failedOver, share(row.wholeFailed),
			share(row.streamFailed), share(row.broken), row.quantile(0.5).Round(time.Millisecond), row.quantile(0.99).Round(time.Millisecond))
	}
	_ = w.Flush()
	t.Logf("\n%s", b.String())
}
