package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const (
	// maxNames bounds how many different models and routes, each, are told apart.
	maxNames = 200
	// maxConfigured bounds how many names that stand in the configuration (tenants, clusters) are told apart, over all
	// configurations that the process sees.
	maxConfigured = 1000
)

// Buckets. Those of gen_ai metrics are what OpenTelemetry advises (semantic conventions, GenAI metrics), with some more at the
// upper end: answers of several minutes are common.
var (
	tokenBuckets    = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304}
	durationBuckets = []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68}
	ttftBuckets     = []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60}
	perTokenBuckets = []float64{.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}
	redisBuckets    = []float64{1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, .1, .2, 1}
	overheadBuckets = []float64{1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2}
)

// Metrics is every metric of the gateway. Its methods take plain values and are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	models   *bounded // names that clients can make up
	routes   *bounded
	tenants  *bounded
	clusters *bounded
	series   seriesTable

	// Of requests.
	usage, duration, ttft, perToken  *prometheus.HistogramVec
	requests, tokens, cost, unpriced *prometheus.CounterVec
	estimated, dropped, failovers    *prometheus.CounterVec
	overhead                         prometheus.Histogram
	settled                          prometheus.Counter

	// Of the gateway.
	attempts, cache, refused, responses, loads *prometheus.CounterVec
	savedTokens, savedCost, followed           *prometheus.CounterVec
	semantic, guards                           *prometheus.CounterVec
	semanticTime                               *prometheus.HistogramVec
	redisTime                                  *prometheus.HistogramVec
	redisErrors                                *prometheus.CounterVec
	redisUp                                    prometheus.Gauge
	pushes, panics, turnsLost                  prometheus.Counter
	inFlight, envoys, loaded, loadedWell       prometheus.Gauge
	configInfo, xdsInfo                        *prometheus.GaugeVec
	health                                     *healthCollector
	tokenTries                                 *prometheus.CounterVec // of provider credentials
	tokenExpiry                                *prometheus.GaugeVec

	vaultReads, vaultLogins *prometheus.CounterVec
	vaultRead, vaultToken   prometheus.Gauge

	routing routing

	limit limitMetrics

	ledger ledgerCollector
	keys   keysCollector
	drift  *prometheus.GaugeVec

	mu              sync.Mutex // guards what follows
	version, pushed string
	good, bad       uint64
}

// NewMetrics makes the metrics in a registry of their own, with Go's and the process's beside them.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		models:   newBounded(maxNames), routes: newBounded(maxNames), tenants: newBounded(maxConfigured), clusters: newBounded(maxConfigured),
		health: &healthCollector{now: time.Now, clusters: map[string]percentAt{}},
	}
	m.series.m = make(map[seriesKey]*series)
	m.requestMetrics()
	m.gatewayMetrics()
	m.limitMetrics()
	m.routingMetrics()
	m.vaultMetrics()
	m.drift = m.gauge("dragoman_budget_drift", "What the ledger has beyond the counters, at the last comparison, in micro-USD or tokens.", "level", "kind")
	m.registry.MustRegister(&m.ledger, &m.keys, m.health, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry is what /metrics shows.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

func (m *Metrics) requestMetrics() {
	genai := []string{"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model"}
	with := func(label string) []string { return append(genai[:len(genai):len(genai)], label) }
	m.usage = m.histogram("gen_ai_client_token_usage", "Input tokens (cached ones included) and output tokens of one request.", tokenBuckets, with("gen_ai_token_type")...)
	m.duration = m.histogram("gen_ai_client_operation_duration_seconds", "From the client's request to the end of the provider's answer.", durationBuckets, with("error_type")...)
	m.ttft = m.histogram("gen_ai_server_time_to_first_token_seconds", "From the client's request to the first content of a streamed answer.", ttftBuckets, genai...)
	m.perToken = m.histogram("gen_ai_server_time_per_output_token_seconds", "Between two output tokens of a streamed answer, after the first.", perTokenBuckets, genai...)

	m.requests = m.counter("dragoman_requests_total", "Finished requests.", "tenant", "route", "provider", "schema", "stream", "outcome")
	m.tokens = m.counter("dragoman_tokens_total", "Tokens by disjoint classes, as they are priced.", "tenant", "provider", "model", "class")
	m.cost = m.counter("dragoman_cost_microusd_total", "What requests cost by the catalogue's prices, in millionths of a US dollar.", "tenant", "provider", "model")
	m.unpriced = m.counter("dragoman_cost_unknown_total", "Requests whose model has no known price: they are missing in the cost.", "provider", "model")
	m.estimated = m.counter("dragoman_usage_estimated_total", "Requests whose usage the provider never reported, settled by estimate.", "provider")
	m.dropped = m.counter("dragoman_translate_dropped_total", "Request fields left out because the provider's schema has no counterpart.", "provider")
	m.failovers = m.counter("dragoman_failovers_total", "Attempts after the first, by the provider that answered in the end.", "provider")
	m.overhead = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "dragoman_ext_proc_overhead_seconds", Help: "Time that one request's messages spent in Dragoman.", Buckets: overheadBuckets,
	})
	m.settled = m.plainCounter("dragoman_settlements_total", "Exchanges settled: one for each request that began.")
	m.registry.MustRegister(m.overhead)
}

func (m *Metrics) gatewayMetrics() {
	m.attempts = m.counter("dragoman_failed_attempts_total", "Attempts at a provider that failed, as Envoy logged them.", "cluster", "class")
	m.cache = m.counter("dragoman_cache_lookups_total", "Cache lookups.", "result")
	m.savedTokens = m.counter("dragoman_cache_saved_tokens_total", "Tokens of answers that came from the cache or were shared with an identical request.", "tenant")
	m.savedCost = m.counter("dragoman_cache_saved_microusd_total", "What those answers cost when they were made, in millionths of a US dollar.", "tenant")
	m.semantic = m.counter("dragoman_semantic_lookups_total", "Questions to the semantic tier of the cache; shadow: would have been a hit.", "outcome")
	m.guards = m.counter("dragoman_semantic_refusals_total", "Questions whose most similar candidate a guard refused.", "guard")
	m.semanticTime = m.histogram("dragoman_semantic_duration_seconds", "Parts of a lookup: embed, search.", redisBuckets, "part")
	m.followed = m.counter("dragoman_coalesce_followers_total", "Requests that waited for an identical one in flight.", "result")
	m.redisTime = m.histogram("dragoman_redis_duration_seconds", "Calls of Redis.", redisBuckets, "op")
	m.redisErrors = m.counter("dragoman_redis_errors_total", "Calls of Redis that failed or took longer than their deadline.", "op")
	m.redisUp = m.plainGauge("dragoman_redis_available", "1 while Redis is asked, 0 while it is away or not configured.")
	m.refused = m.counter("dragoman_limit_refusals_total", "Requests refused by a rate limit.", "tenant")
	m.pushes = m.plainCounter("dragoman_xds_pushes_total", "Resources pushed to Envoy.")
	m.responses = m.counter("dragoman_xds_responses_total", "Envoy's answers to pushes.", "type", "result")
	m.xdsInfo = m.gauge("dragoman_xds_info", "1 for the resources pushed last.", "version")
	m.envoys = m.plainGauge("dragoman_xds_envoys", "Envoys connected over xDS; 0 means that nothing is served.")
	m.loads = m.counter("dragoman_config_loads_total", "Reads of the configuration.", "result")
	m.loadedWell = m.plainGauge("dragoman_config_last_load_successful", "1 when the newest configuration was accepted, 0 when an older one stays in force.")
	m.loaded = m.plainGauge("dragoman_config_loaded_timestamp_seconds", "When the configuration in force was read.")
	m.tokenTries = m.counter("dragoman_credential_tokens_total", "Tries to get a token for a provider's credential.", "credential", "result")
	m.tokenExpiry = m.gauge("dragoman_credential_token_expiry_timestamp_seconds", "When the token that is held for a credential ends; 0: none is held.", "credential")
	m.configInfo = m.gauge("dragoman_config_info", "1 for the configuration that requests go by.", "version")
	m.inFlight = m.plainGauge("dragoman_requests_in_flight", "Requests being served.")
	m.turnsLost = m.plainCounter("dragoman_turns_lost_total", "Answers whose turn or signatures could not be kept for the requests that continue them.")
	m.panics = m.plainCounter("dragoman_panics_total", "Streams that ended in a panic: each is a bug.")
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) plainCounter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) plainGauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	return h
}
