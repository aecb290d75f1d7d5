package observe

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func sample() *RequestSample {
	return &RequestSample{
		Tenant: "acme", Route: "auto", Asked: "auto", Model: "haiku", Provider: "claude", Schema: "openai", Outcome: "ok",
		Stream: true, Input: 100, CacheRead: 40, CacheWrite: 20, Output: 51, Cost: 1234, Priced: true,
		Duration: 3 * time.Second, TTFT: 500 * time.Millisecond, Overhead: 90 * time.Microsecond, Attempts: 1,
	}
}

// everything uses each metric once.
func everything() *Metrics {
	m := NewMetrics()
	m.Request(sample())
	s := sample()
	s.Outcome, s.Priced, s.Cost, s.Estimated, s.Attempts, s.Dropped = "provider_error", false, 0, true, 3, 2
	m.Request(s)
	m.Attempt("openai/primary", "server_error")
	m.Cache("hit")
	m.LimitRefused("acme")
	m.LimitShadow("tenant", "usd_budget")
	m.LimitSoft("team", "requests")
	m.LimitHard("key", "tokens")
	m.LimitCapped("tenant", "usd_budget")
	m.BudgetOverspent("tenant", "usd_budget", 7)
	m.BudgetEvent("budget_warning")
	m.LimitAway(true)
	m.LimitAway(false)
	m.Webhook("sent")
	m.SettlementsLost(2)
	m.Panic()
	m.XDSAck("Cluster")
	m.XDSNack("Listener")
	m.XDSPushed("v1")
	m.Credential("credential/vertex/default", time.Unix(1_700_000_000, 0), nil)
	m.VaultRead("away")
	m.VaultLogin("renew", nil)
	m.Config("abc", 2, 1, time.Unix(1000, 0))
	m.Health("openai/primary", 56)
	m.InFlight(7)
	m.Envoys(1)
	m.Ledger(LedgerSample{Recorded: 12, Unrecorded: 1, Entries: 2, Stored: 10, Failures: 3, Broken: 1, LogBytes: 8 << 20, LogMaxBytes: 1 << 30, Lag: 1500 * time.Millisecond, DatabaseUp: true})
	m.Keys(KeysSample{Keys: 3, Failures: 2, DatabaseUp: false, Known: true, Age: 90 * time.Second})
	m.BudgetDrift("tenant", "usd_budget", 17)
	useRouting(m, "auto", "canary")
	return m
}

// families are the gateway's own metrics by name.
func families(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]*dto.MetricFamily{}
	for _, f := range all {
		if strings.HasPrefix(f.GetName(), "dragoman_") || strings.HasPrefix(f.GetName(), "gen_ai_") {
			own[f.GetName()] = f
		}
	}
	return own
}

// value sums a metric over all series that have these labels, written as name=value.
func value(t *testing.T, m *Metrics, name string, labels ...string) (sum float64, series int) {
	t.Helper()
	f := families(t, m)[name]
	if f == nil {
		return 0, 0
	}
next:
	for _, s := range f.Metric {
		have := map[string]bool{}
		for _, l := range s.Label {
			have[l.GetName()+"="+l.GetValue()] = true
		}
		for _, l := range labels {
			if !have[l] {
				continue next
			}
		}
		series++
		sum += s.GetCounter().GetValue() + s.GetGauge().GetValue() + s.GetHistogram().GetSampleSum()
	}
	return sum, series
}

func expect(t *testing.T, m *Metrics, want float64, name string, labels ...string) {
	t.Helper()
	if got, n := value(t, m, name, labels...); n == 0 || got < want-1e-9 || got > want+1e-9 {
		t.Errorf("%s %v: got %v in %d series, want %v", name, labels, got, n, want)
	}
}

// The list of metrics is a contract with dashboards and alerts.
func TestEveryMetricIsListed(t *testing.T) {
	var lines []string
	for name, f := range families(t, everything()) {
		labels := map[string]bool{}
		for _, s := range f.Metric {
			for _, l := range s.Label {
				labels[l.GetName()] = true
			}
		}
		var names []string
		for l := range labels {
			names = append(names, l)
		}
		sort.Strings(names)
		lines = append(lines, fmt.Sprintf("%s %s {%s}\n\t%s\n", name, strings.ToLower(f.GetType().String()), strings.Join(names, ", "), f.GetHelp()))
	}
	sort.Strings(lines)
	got := strings.Join(lines, "")
	file := filepath.Join("testdata", "metrics.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the metrics changed: run with -update, and change what reads them\n%s", got)
	}
}

func TestMetricsFollowPrometheusRules(t *testing.T) {
	var own []*dto.MetricFamily
	for _, f := range families(t, everything()) {
		own = append(own, f)
	}
	problems, err := promlint.NewWithMetricFamilies(own).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestRequest(t *testing.T) {
	m := everything()
	expect(t, m, 1, "dragoman_requests_total", "tenant=acme", "route=auto", "provider=claude", "schema=openai", "stream=true", "outcome=ok")
	expect(t, m, 1, "dragoman_requests_total", "outcome=provider_error")
	expect(t, m, 200, "dragoman_tokens_total", "tenant=acme", "provider=claude", "model=haiku", "class=input")
	expect(t, m, 80, "dragoman_tokens_total", "class=cache_read")
	expect(t, m, 40, "dragoman_tokens_total", "class=cache_write")
	expect(t, m, 102, "dragoman_tokens_total", "class=output")
	expect(t, m, 320, "gen_ai_client_token_usage", "gen_ai_token_type=input", "gen_ai_operation_name=chat", "gen_ai_provider_name=claude", "gen_ai_request_model=auto", "gen_ai_response_model=haiku")
	expect(t, m, 102, "gen_ai_client_token_usage", "gen_ai_token_type=output")
	expect(t, m, 3, "gen_ai_client_operation_duration_seconds", "error_type=")
	expect(t, m, 3, "gen_ai_client_operation_duration_seconds", "error_type=provider_error")
	expect(t, m, 1, "gen_ai_server_time_to_first_token_seconds")
	expect(t, m, 0.1, "gen_ai_server_time_per_output_token_seconds") // twice 2.5 s for 50 more tokens
	expect(t, m, 1234, "dragoman_cost_microusd_total", "tenant=acme", "provider=claude", "model=haiku")
	expect(t, m, 1, "dragoman_cost_unknown_total", "model=haiku")
	expect(t, m, 1, "dragoman_usage_estimated_total", "provider=claude")
	expect(t, m, 2, "dragoman_failovers_total", "provider=claude")
	expect(t, m, 2, "dragoman_translate_dropped_total", "provider=claude")
	expect(t, m, 2, "dragoman_settlements_total")
	expect(t, m, 180e-6, "dragoman_ext_proc_overhead_seconds")
}

func TestRefusalIsNoOperation(t *testing.T) {
	m := NewMetrics()
	m.Request(&RequestSample{Schema: "openai", Outcome: "unauthenticated", Duration: time.Millisecond})
	expect(t, m, 1, "dragoman_requests_total", "outcome=unauthenticated", "provider=")
	expect(t, m, 1, "dragoman_settlements_total")
	for name := range families(t, m) {
		if strings.HasPrefix(name, "gen_ai_") {
			t.Errorf("%s was recorded", name)
		}
	}
}

func TestErrorWithoutUsageReportsNone(t *testing.T) {
	m := NewMetrics()
	s := sample()
	s.Outcome, s.Input, s.CacheRead, s.CacheWrite, s.Output, s.Cost = "provider_timeout", 0, 0, 0, 0, 0
	m.Request(s)
	if _, n := value(t, m, "dragoman_tokens_total"); n == 0 {
		t.Error("the series is not even there")
	}
	if f := families(t, m)["gen_ai_client_token_usage"]; f.Metric[0].GetHistogram().GetSampleCount() != 0 {
		t.Error("no usage was recorded as a usage of zero")
	}
}

func TestWholeAnswerHasNoTimeToFirstToken(t *testing.T) {
	m := NewMetrics()
	s := sample()
	s.Stream = false
	m.Request(s)
	for _, name := range []string{"gen_ai_server_time_to_first_token_seconds", "gen_ai_server_time_per_output_token_seconds"} {
		if n := families(t, m)[name].Metric[0].GetHistogram().GetSampleCount(); n != 0 {
			t.Errorf("%s: %d samples", name, n)
		}
	}
}

func TestOddSamplesDoNotPanic(t *testing.T) {
	m := NewMetrics()
	s := sample()
	s.Input, s.CacheRead, s.CacheWrite, s.Output, s.Cost, s.Dropped, s.Attempts = -1, -1, -1, -1, -1, -1, -1
	s.Duration, s.TTFT, s.Overhead = -1, -1, -1
	m.Request(s)
	s.Output = 5
	m.Request(s)
	s.Asked, s.Model, s.Route = "\xff\xfe", "\xff", "\xff"
	m.Request(s)
	expect(t, m, 1, "dragoman_requests_total", "route=other")
	m.Attempt("\xff", "x")
	m.LimitRefused("\xff")
}

func TestNamesThatClientsMakeUpAreBounded(t *testing.T) {
	m := NewMetrics()
	for i := range 5 * maxNames {
		s := sample()
		s.Asked, s.Model, s.Route = fmt.Sprintf("p/m%d", i), fmt.Sprintf("p/m%d", i), fmt.Sprintf("p/m%d", i)
		m.Request(s)
	}
	names := map[string]bool{}
	for _, s := range families(t, m)["dragoman_requests_total"].Metric {
		for _, l := range s.Label {
			if l.GetName() == "route" {
				names[l.GetValue()] = true
			}
		}
	}
	if len(names) != maxNames+1 || !names[other] {
		t.Errorf("%d routes are told apart", len(names))
	}
	expect(t, m, 5*maxNames, "dragoman_requests_total")
}

// A thousand wrong names must not use up the room of the right ones.
func TestWrongNamesTakeNoRoom(t *testing.T) {
	m := NewMetrics()
	for i := range 5 * maxNames {
		m.Request(&RequestSample{Tenant: "acme", Asked: fmt.Sprintf("gpt-%d", i), Outcome: "not_found"})
		s := sample()
		s.Asked, s.Model, s.Outcome = fmt.Sprintf("openai/%d", i), fmt.Sprintf("openai/%d", i), "provider_error"
		m.Request(s)
	}
	m.Request(sample())
	expect(t, m, 160, "gen_ai_client_token_usage", "gen_ai_request_model=auto", "gen_ai_response_model=haiku", "gen_ai_token_type=input")
	if _, n := value(t, m, "gen_ai_client_operation_duration_seconds"); n != 2 {
		t.Errorf("%d series", n)
	}
}

func TestProductOfLabelsIsBounded(t *testing.T) {
	m := NewMetrics()
	for i := range maxConfigured {
		for j := range 6 {
			s := sample()
			s.Tenant, s.Route = fmt.Sprintf("t%d", i), fmt.Sprintf("r%d", j)
			m.Request(s)
		}
	}
	_, n := value(t, m, "dragoman_requests_total")
	if n > maxSeries+8 { // racing requests may each add one
		t.Errorf("%d series", n)
	}
	expect(t, m, 6*maxConfigured, "dragoman_requests_total")
}

func TestConfig(t *testing.T) {
	m := NewMetrics()
	m.Config("v1", 1, 0, time.Unix(100, 0))
	expect(t, m, 1, "dragoman_config_last_load_successful")
	m.Config("v1", 1, 2, time.Unix(100, 0))
	expect(t, m, 0, "dragoman_config_last_load_successful")
	expect(t, m, 2, "dragoman_config_loads_total", "result=refused")
	m.Config("v1", 1, 2, time.Unix(100, 0)) // nothing new
	expect(t, m, 0, "dragoman_config_last_load_successful")
	m.Config("v2", 2, 2, time.Unix(200, 0))
	expect(t, m, 1, "dragoman_config_last_load_successful")
	expect(t, m, 2, "dragoman_config_loads_total", "result=ok")
	expect(t, m, 1, "dragoman_config_info", "version=v2")
	expect(t, m, 200, "dragoman_config_loaded_timestamp_seconds")
	if _, n := value(t, m, "dragoman_config_info"); n != 1 {
		t.Errorf("%d versions are in force", n)
	}
}

func TestXDS(t *testing.T) {
	m := NewMetrics()
	m.XDSPushed("a")
	m.XDSPushed("a")
	m.XDSPushed("b")
	m.XDSAck("Cluster")
	m.XDSNack("Cluster")
	m.Envoys(2)
	expect(t, m, 3, "dragoman_xds_pushes_total")
	expect(t, m, 1, "dragoman_xds_info", "version=b")
	expect(t, m, 1, "dragoman_xds_responses_total", "type=Cluster", "result=nack")
	expect(t, m, 2, "dragoman_xds_envoys")
	if _, n := value(t, m, "dragoman_xds_info"); n != 1 {
		t.Errorf("%d versions", n)
	}
}

func TestHealthForgetsRemovedClusters(t *testing.T) {
	m := NewMetrics()
	now := time.Unix(1000, 0)
	m.health.now = func() time.Time { return now }
	m.Health("a", 100)
	m.Health("b", 50)
	now = now.Add(forgottenAfter)
	m.Health("a", 70)
	now = now.Add(time.Second)
	expect(t, m, 70, "dragoman_health_percent")
	for i := range 3 * maxConfigured {
		now = now.Add(time.Second)
		m.Health(fmt.Sprint(i), 1)
	}
	if n := len(m.health.clusters); n > maxConfigured+1 {
		t.Errorf("%d clusters are kept", n)
	}
}

func TestMetricsConcurrently(t *testing.T) {
	m := NewMetrics()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 300 {
				s := sample()
				s.Asked, s.Tenant = fmt.Sprintf("m%d", i), fmt.Sprintf("t%d", (i+w)%7)
				m.Request(s)
				m.Attempt(fmt.Sprint(i%5), "timeout")
				m.Health(fmt.Sprint(i%5), 1)
				m.Config(fmt.Sprint(i%3), uint64(i), 0, time.Now())
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if _, err := m.Registry().Gather(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	expect(t, m, 1200, "dragoman_requests_total")
}

func BenchmarkRequest(b *testing.B) {
	m := NewMetrics()
	s := sample()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Request(s)
		}
	})
}

func BenchmarkRequestOfUnknownModel(b *testing.B) {
	m := NewMetrics()
	s := sample()
	s.Asked, s.Outcome = "made-up", "provider_error"
	b.ReportAllocs()
	for b.Loop() {
		m.Request(s)
	}
}
