package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Attempt counts a failed attempt. class is health's word for how it failed.
func (m *Metrics) Attempt(cluster, class string) {
	m.attempts.WithLabelValues(m.clusters.value(cluster), class).Inc()
}

// Cache counts a lookup: hit, miss, stale, coalesced.
func (m *Metrics) Cache(result string) { m.cache.WithLabelValues(result).Inc() }

// Semantic counts a question to the semantic tier by its outcome, and the guard that refused it ("" for none).
func (m *Metrics) Semantic(outcome, guard string, embedding, searching time.Duration) {
	m.semantic.WithLabelValues(outcome).Inc()
	if guard != "" {
		m.guards.WithLabelValues(guard).Inc()
	}
	m.semanticTime.WithLabelValues("embed").Observe(embedding.Seconds())
	if searching > 0 {
		m.semanticTime.WithLabelValues("search").Observe(searching.Seconds())
	}
}

// CacheSaved adds what an answer from the cache did not use again: tokens and micro-USD.
func (m *Metrics) CacheSaved(tenant string, tokens, cost int64) {
	tenant = m.tenants.value(tenant)
	add(m.savedTokens.WithLabelValues(tenant), tokens)
	add(m.savedCost.WithLabelValues(tenant), cost)
}

// Followed counts a request that waited for an identical one: served, promoted, alone, gone.
func (m *Metrics) Followed(result string) { m.followed.WithLabelValues(result).Inc() }

// Redis counts a call and measures it. op is a word of the code that makes it.
func (m *Metrics) Redis(op string, took time.Duration, failed bool) {
	m.redisTime.WithLabelValues(op).Observe(took.Seconds())
	if failed {
		m.redisErrors.WithLabelValues(op).Inc()
	}
}

// RedisAvailable shows whether Redis is asked.
func (m *Metrics) RedisAvailable(yes bool) {
	if yes {
		m.redisUp.Set(1)
	} else {
		m.redisUp.Set(0)
	}
}

// LimitRefused counts a request refused by a limit.
func (m *Metrics) LimitRefused(tenant string) {
	m.refused.WithLabelValues(m.tenants.value(tenant)).Inc()
}

// Panic counts a stream that ended in one.
func (m *Metrics) Panic() { m.panics.Inc() }

// TurnLost counts an answer whose turn or signatures could not be kept: its client cannot continue it by its id.
func (m *Metrics) TurnLost() { m.turnsLost.Inc() }

// XDSAck counts a push that Envoy applied. kind is a resource type's short name: Cluster, Listener.
func (m *Metrics) XDSAck(kind string) { m.responses.WithLabelValues(kind, "ack").Inc() }

// XDSNack counts a push that Envoy refused.
func (m *Metrics) XDSNack(kind string) { m.responses.WithLabelValues(kind, "nack").Inc() }

// XDSPushed counts a push and names its version.
func (m *Metrics) XDSPushed(version string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pushes.Inc()
	info(m.xdsInfo, &m.pushed, version)
}

// Config shows the configuration in force, and how many reads of one were good and bad so far.
func (m *Metrics) Config(version string, loads, failures uint64, loaded time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case failures > m.bad:
		m.loadedWell.Set(0)
	case loads > m.good:
		m.loadedWell.Set(1)
	}
	m.good = grow(m.loads.WithLabelValues("ok"), m.good, loads)
	m.bad = grow(m.loads.WithLabelValues("refused"), m.bad, failures)
	m.loaded.Set(float64(loaded.Unix()))
	info(m.configInfo, &m.version, version)
}

// grow brings a counter to a total that is counted elsewhere.
func grow(c prometheus.Counter, from, to uint64) uint64 {
	if to > from {
		c.Add(float64(to - from))
	}
	return to
}

// info moves the 1 of an info gauge to another version.
func info(g *prometheus.GaugeVec, current *string, version string) {
	if *current == version {
		return
	}
	g.Reset()
	g.WithLabelValues(version).Set(1)
	*current = version
}

// InFlight shows the requests being served.
func (m *Metrics) InFlight(n int64) { m.inFlight.Set(float64(n)) }

// Envoys shows how many are connected.
func (m *Metrics) Envoys(n int) { m.envoys.Set(float64(n)) }

// Health shows one cluster's share of its configured weight in percent. It is to be said again every few seconds: a cluster
// of which nothing is heard for a minute was taken out of the configuration, and disappears.
func (m *Metrics) Health(cluster string, percent float64) { m.health.set(cluster, percent) }

// forgottenAfter is how long a cluster's percentage is shown.
const forgottenAfter = time.Minute

var healthDesc = prometheus.NewDesc("dragoman_health_percent", "Share of its configured weight that a cluster's health leaves it.", []string{"cluster"}, nil)

// healthCollector shows the clusters that there are, and not those that there were.
type healthCollector struct {
	now      func() time.Time
	mu       sync.Mutex
	clusters map[string]percentAt
}

type percentAt struct {
	percent float64
	at      time.Time
}

func (h *healthCollector) set(cluster string, percent float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clusters[cluster] = percentAt{percent, h.now()}
	if len(h.clusters) > maxConfigured {
		h.sweep()
	}
}

func (h *healthCollector) sweep() {
	for name, p := range h.clusters {
		if h.now().Sub(p.at) > forgottenAfter {
			delete(h.clusters, name)
		}
	}
}

// Describe implements prometheus.Collector.
func (h *healthCollector) Describe(ch chan<- *prometheus.Desc) { ch <- healthDesc }

// Collect implements prometheus.Collector.
func (h *healthCollector) Collect(ch chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	for name, p := range h.clusters {
		ch <- prometheus.MustNewConstMetric(healthDesc, prometheus.GaugeValue, p.percent, name)
	}
}
