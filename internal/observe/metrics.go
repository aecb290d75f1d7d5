package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics is every metric of the gateway. Its methods take plain values and are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	names    *bounded // models and routes: what clients can make up

	requests, cost, dropped, estimated                         *prometheus.CounterVec
	tokens, duration, ttft                                     *prometheus.HistogramVec
	attempts, failovers, cache, refused, pushes, acks, reloads *prometheus.CounterVec
	overhead                                                   prometheus.Histogram
	panics, settled                                            prometheus.Counter
	inFlight, envoys, configLoaded                             prometheus.Gauge
	configInfo, health, xdsInfo                                *prometheus.GaugeVec
	mu                                                         sync.Mutex // guards what follows
	version, pushed                                            string
	loads, failures                                            uint64
	series                                                     sync.Map // seriesKey → *series
}

// RequestSample is what one finished request adds. Strings are label values.
type RequestSample struct {
	Tenant, Route, Asked, Model, Provider, Schema, Outcome string
	Stream, Estimated                                      bool
	Input, CacheRead, CacheWrite, Output                   int64 // tokens, disjoint classes
	Cost                                                   int64 // micro-USD
	Priced                                                 bool
	Duration, TTFT, Overhead                               time.Duration
	Attempts                                               int
	Dropped                                                int // fields left out of the provider's request
}

// maxNames bounds how many different models (and routes) are told apart; the rest is "other".
const maxNames = 200

// OpenTelemetry's advice for these histograms (semantic conventions, GenAI metrics).
var (
	tokenBuckets    = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576}
	durationBuckets = []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68}
	overheadBuckets = []float64{1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2}
)

// NewMetrics makes the metrics in a registry of their own, with Go's and the process's beside them.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), names: newBounded(maxNames)}
	m.requestMetrics()
	m.gatewayMetrics()
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) requestMetrics() {
	genai := []string{"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model"}
	m.tokens = m.histogram("gen_ai_client_token_usage", "Tokens of one request, by class.", tokenBuckets, append(genai, "gen_ai_token_type")...)
	m.duration = m.histogram("gen_ai_client_operation_duration_seconds", "From the client's request to the end of its answer.", durationBuckets, append(genai, "error_type")...)
	m.ttft = m.histogram("gen_ai_server_time_to_first_token_seconds", "From the client's request to the first content of a stream, or the first byte of a whole answer.", durationBuckets, genai...)
	m.requests = m.counter("dragoman_requests_total", "Finished requests.", "tenant", "route", "provider", "schema", "stream", "outcome")
	m.cost = m.counter("dragoman_cost_microusd_total", "What requests cost by the catalogue's prices, in millionths of a US dollar.", "tenant", "provider", "model")
	m.estimated = m.counter("dragoman_usage_estimated_total", "Requests whose usage the provider never reported, settled by estimate.", "provider")
	m.dropped = m.counter("dragoman_translate_dropped_total", "Request fields left out because the provider's schema has no counterpart.", "provider")
	m.overhead = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "dragoman_ext_proc_overhead_seconds", Help: "Time that a request's messages spent in Dragoman.", Buckets: overheadBuckets,
	})
	m.settled = prometheus.NewCounter(prometheus.CounterOpts{Name: "dragoman_settlements_total", Help: "Exchanges settled: one for each request that began."})
	m.registry.MustRegister(m.overhead, m.settled)
}

func (m *Metrics) gatewayMetrics() {
	m.attempts = m.counter("dragoman_failed_attempts_total", "Attempts at a provider that failed, as Envoy logged them.", "cluster", "class")
	m.failovers = m.counter("dragoman_failovers_total", "Attempts after the first, by the provider that answered in the end.", "provider")
	m.cache = m.counter("dragoman_cache_lookups_total", "Cache lookups.", "result")
	m.refused = m.counter("dragoman_limit_refusals_total", "Requests refused by a rate limit.", "tenant")
	m.pushes = m.counter("dragoman_xds_pushes_total", "Resources pushed to Envoy.")
	m.acks = m.counter("dragoman_xds_responses_total", "Envoy's answers to pushes.", "type", "result")
	m.reloads = m.counter("dragoman_config_loads_total", "Reads of the configuration.", "result")
	m.configInfo = m.gauge("dragoman_config_info", "1 for the configuration that requests go by.", "version")
	m.xdsInfo = m.gauge("dragoman_xds_info", "1 for the resources pushed last.", "version")
	m.health = m.gauge("dragoman_health_percent", "Share of its configured weight that a cluster's health leaves it.", "cluster")
	m.inFlight = m.plainGauge("dragoman_requests_in_flight", "Requests being served.")
	m.envoys = m.plainGauge("dragoman_envoys_connected", "Envoys connected over xDS.")
	m.configLoaded = m.plainGauge("dragoman_config_loaded_timestamp_seconds", "When the configuration in force was read.")
	m.panics = prometheus.NewCounter(prometheus.CounterOpts{Name: "dragoman_panics_total", Help: "Streams that ended in a panic: each is a bug."})
	m.registry.MustRegister(m.panics)
}

// Registry is what /metrics shows.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// seriesKey is what the children of a request's metrics are found by.
type seriesKey struct {
	tenant, route, asked, model, provider, schema, outcome string
	stream                                                 bool
}

// series are the resolved children: resolving labels by hash is most of the cost of recording.
type series struct {
	requests, cost, estimated            prometheus.Counter
	duration, ttft                       prometheus.Observer
	input, cacheRead, cacheWrite, output prometheus.Observer
}

// Request adds one finished request.
func (m *Metrics) Request(s *RequestSample) {
	m.settled.Inc()
	m.overhead.Observe(s.Overhead.Seconds())
	key := seriesKey{s.Tenant, m.names.value(s.Route), m.names.value(s.Asked), m.names.value(s.Model), s.Provider, s.Schema, s.Outcome, s.Stream}
	c := m.resolve(key)
	c.requests.Inc()
	c.duration.Observe(s.Duration.Seconds())
	if s.Provider == "" {
		return
	}
	if s.TTFT > 0 {
		c.ttft.Observe(s.TTFT.Seconds())
	}
	c.input.Observe(float64(s.Input))
	c.output.Observe(float64(s.Output))
	if s.CacheRead > 0 {
		c.cacheRead.Observe(float64(s.CacheRead))
	}
	if s.CacheWrite > 0 {
		c.cacheWrite.Observe(float64(s.CacheWrite))
	}
	if s.Cost > 0 {
		c.cost.Add(float64(s.Cost))
	}
	if s.Estimated {
		c.estimated.Inc()
	}
	if s.Attempts > 1 {
		m.failovers.WithLabelValues(s.Provider).Add(float64(s.Attempts - 1))
	}
	if s.Dropped > 0 {
		m.dropped.WithLabelValues(s.Provider).Add(float64(s.Dropped))
	}
}

func (m *Metrics) resolve(k seriesKey) *series {
	if c, ok := m.series.Load(k); ok {
		return c.(*series)
	}
	const operation = "chat"
	stream := "false"
	if k.stream {
		stream = "true"
	}
	errorType := k.outcome
	if errorType == "ok" {
		errorType = ""
	}
	tokens := func(class string) prometheus.Observer {
		return m.tokens.WithLabelValues(operation, k.provider, k.asked, k.model, class)
	}
	c := &series{
		requests:  m.requests.WithLabelValues(k.tenant, k.route, k.provider, k.schema, stream, k.outcome),
		cost:      m.cost.WithLabelValues(k.tenant, k.provider, k.model),
		estimated: m.estimated.WithLabelValues(k.provider),
		duration:  m.duration.WithLabelValues(operation, k.provider, k.asked, k.model, errorType),
		ttft:      m.ttft.WithLabelValues(operation, k.provider, k.asked, k.model),
		input:     tokens("input"), cacheRead: tokens("cache_read"), cacheWrite: tokens("cache_write"), output: tokens("output"),
	}
	m.series.Store(k, c)
	return c
}

// Attempt counts a failed attempt.
func (m *Metrics) Attempt(cluster, class string) { m.attempts.WithLabelValues(cluster, class).Inc() }

// Cache counts a lookup: hit, miss.
func (m *Metrics) Cache(result string) { m.cache.WithLabelValues(result).Inc() }

// LimitRefused counts a request refused by a limit.
func (m *Metrics) LimitRefused(tenant string) { m.refused.WithLabelValues(tenant).Inc() }

// Panic counts a stream that ended in one.
func (m *Metrics) Panic() { m.panics.Inc() }

// XDSAck counts a push that Envoy applied.
func (m *Metrics) XDSAck(kind string) { m.acks.WithLabelValues(kind, "ack").Inc() }

// XDSNack counts a push that Envoy refused.
func (m *Metrics) XDSNack(kind string) { m.acks.WithLabelValues(kind, "nack").Inc() }

// XDSPushed counts a push and names its version.
func (m *Metrics) XDSPushed(version string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pushes.WithLabelValues().Inc()
	if m.pushed != version {
		m.xdsInfo.Reset()
		m.xdsInfo.WithLabelValues(version).Set(1)
		m.pushed = version
	}
}

// Config shows the configuration in force and how often it was read so far.
func (m *Metrics) Config(version string, loads, failures uint64, loaded time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reloads.WithLabelValues("ok").Add(float64(loads - m.loads))
	m.reloads.WithLabelValues("refused").Add(float64(failures - m.failures))
	m.loads, m.failures = loads, failures
	m.configLoaded.Set(float64(loaded.Unix()))
	if m.version != version {
		m.configInfo.Reset()
		m.configInfo.WithLabelValues(version).Set(1)
		m.version = version
	}
}

// Health shows one cluster's share in percent.
func (m *Metrics) Health(cluster string, percent float64) {
	m.health.WithLabelValues(cluster).Set(percent)
}

// InFlight shows the requests being served.
func (m *Metrics) InFlight(n int64) { m.inFlight.Set(float64(n)) }

// Envoys shows how many are connected.
func (m *Metrics) Envoys(n int) { m.envoys.Set(float64(n)) }
