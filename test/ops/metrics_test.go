package ops

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// TestMetrics counts known traffic and finds exactly that on the page, which passes Prometheus's own linter.
func TestMetrics(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: `cache: {exact: {ttl: 1h}}
retry: {max_attempts: 2}
models:
- {name: priced, provider: openai, id: gpt-4.1, price: {input: 1000, output: 2000, cache_read: 500}, context: 100000}
- {name: spare, provider: anthropic, id: claude-haiku-4-5, price: {input: 1, output: 1}, context: 100000}
- {name: free, provider: openai, id: gpt-4o, price: {input: 0, output: 0}, context: 100000}
{{providers}}routes: [{model: first, strategy: fallback, candidates: [priced, spare]}]
tenants: [{name: acme, keys: [{name: ci, hash: '` + config.HashKey("dgm_m") + `'}, {name: slow, hash: '` + config.HashKey("dgm_slow") + `', limits: {requests_per_minute: 1}}]}]
`})
	counted := fakeprovider.Text("two words")
	counted.Usage = &fakeprovider.Usage{Input: 30, CacheRead: 20, Output: 5}
	g.OpenAI().Next(counted)
	wantOK(t, withKey(t, g, "m", chatPath, question("first", "counted")), "two words")
	time.Sleep(50 * time.Millisecond)
	wantCache(t, withKey(t, g, "m", chatPath, question("first", "counted")), "hit", "two words")
	g.OpenAI().Fail(1, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 503})
	wantOK(t, withKey(t, g, "m", chatPath, question("first", "failover now")), "failover now")
	wantOK(t, withKey(t, g, "m", messagesPath, streamed(question("priced", "a stream"))), "message_stop")
	g.OpenAI().Fail(1, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 400})
	if r := withKey(t, g, "m", chatPath, question("priced", "refused")); r.status != 400 {
		t.Errorf("%d %s", r.status, r.body)
	}
	wantOK(t, withKey(t, g, "slow", chatPath, question("free", "once")), "once")
	for range 2 {
		if r := withKey(t, g, "slow", chatPath, question("free", "again")); r.status != 429 {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if r := ask(t, g.URL, chatPath, question("priced", "no key")); r.status != 401 {
		t.Errorf("%d %s", r.status, r.body)
	}

	version := status(t, g).Get("config.version").String()
	for series, want := range map[string]string{
		`dragoman_requests_total{outcome="ok",provider="openai",route="first",schema="openai",stream="false",tenant="acme"}`:    "1",
		`dragoman_requests_total{outcome="ok",provider="",route="first",schema="openai",stream="false",tenant="acme"}`:          "1", // the hit
		`dragoman_requests_total{outcome="ok",provider="anthropic",route="first",schema="openai",stream="false",tenant="acme"}`: "1",
		`dragoman_requests_total{outcome="ok",provider="openai",route="priced",schema="anthropic",stream="true",tenant="acme"}`: "1",
		`dragoman_settlements_total`: "9",
		`dragoman_tokens_total{class="cache_read",model="priced",provider="openai",tenant="acme"}`: "20",
		// 30 + 3 of the stream in; 5 + 3 out.
		`dragoman_tokens_total{class="input",model="priced",provider="openai",tenant="acme"}`:  "33",
		`dragoman_tokens_total{class="output",model="priced",provider="openai",tenant="acme"}`: "8",
		// 33 × 1000 + 20 × 500 + 8 × 2000 millionths of a dollar.
		`dragoman_cost_microusd_total{model="priced",provider="openai",tenant="acme"}`:  "59000",
		`dragoman_cost_microusd_total{model="free",provider="openai",tenant="acme"}`:    "0",
		`dragoman_failovers_total{provider="anthropic"}`:                                "1",
		`dragoman_failed_attempts_total{class="server_error",cluster="openai/default"}`: "1",
		`dragoman_cache_lookups_total{result="hit"}`:                                    "1",
		`dragoman_limit_refusals_total{tenant="acme"}`:                                  "2",
		`dragoman_config_loads_total{result="ok"}`:                                      "1",
		`dragoman_config_last_load_successful`:                                          "1",
		fmt.Sprintf(`dragoman_config_info{version=%q}`, version):                        "1",
		`dragoman_xds_envoys`:                                        "1",
		`dragoman_requests_in_flight`:                                "0",
		`dragoman_panics_total`:                                      "0",
		`dragoman_xds_responses_total{result="ack",type="clusters"}`: "",
		`dragoman_health_percent{cluster="anthropic/default"}`:       "100",
		`gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="first",gen_ai_response_model="priced",gen_ai_token_type="input"}`: "50",
		`gen_ai_server_time_to_first_token_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="priced",gen_ai_response_model="priced"}`:        "1",
	} {
		if want == "" {
			if metric(t, g, series) == "" {
				t.Errorf("there is no %s", series)
			}
			continue
		}
		if err := soon(2*time.Second, func() error { return wantEqual(series, metric(t, g, series), want) }); err != nil {
			t.Error(err)
		}
	}
	page, err := g.Metrics(t.Context())
	must(t, err)
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	must(t, err)
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	for _, secret := range []string{g.OpenAI().Key(), "dgm_m"} {
		if strings.Contains(page, secret) {
			t.Error("a secret stands in the metrics")
		}
	}
}

// TestMetricsAreBounded: names that clients make up make no series.
func TestMetricsAreBounded(t *testing.T) {
	g := harness.Shared(t, tenants("", keyed("bounded", "")))
	series := func() int {
		page, err := g.Metrics(t.Context())
		must(t, err)
		return strings.Count(page, "\n")
	}
	made := func(n int) {
		for i := range n {
			for _, model := range []string{"made-up-%d", "provider%d/model", "openai/made-up-%d"} {
				path := []string{chatPath, messagesPath}[i%2]
				if r := withKey(t, g, "bounded", path, question(fmt.Sprintf(model, i+n*1000), "x")); r.status != 404 {
					t.Errorf(model+": %d %s", i, r.status, r.body)
				}
			}
		}
	}
	made(2)
	time.Sleep(50 * time.Millisecond)
	before := series()
	made(170)
	time.Sleep(50 * time.Millisecond)
	if now := series(); now > before+5 {
		t.Errorf("%d lines of metrics before 510 made-up names, %d after", before, now)
	}
}
