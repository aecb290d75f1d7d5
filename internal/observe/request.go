package observe

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// operation is the one GenAI operation that the gateway serves (gen_ai.operation.name).
const operation = "chat"

// succeeded is the outcome of a request that went well; others are a fault's kind.
const succeeded = "ok"

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

// Request adds one finished request. One that no provider answered (a refusal, a hit of the cache) is no GenAI operation: it
// counts among the requests alone.
func (m *Metrics) Request(s *RequestSample) {
	m.settled.Inc()
	m.overhead.Observe(s.Overhead.Seconds())
	c := m.resolve(s)
	c.requests.Inc()
	if s.Provider == "" {
		return
	}
	c.duration.Observe(s.Duration.Seconds())
	c.addTokens(s)
	if s.Stream && s.TTFT > 0 {
		c.ttft.Observe(s.TTFT.Seconds())
		if s.Output > 1 && s.Duration > s.TTFT {
			c.perToken.Observe((s.Duration - s.TTFT).Seconds() / float64(s.Output-1))
		}
	}
	if s.Estimated {
		c.estimated.Inc()
	}
	if s.Attempts > 1 {
		c.failovers.Add(float64(s.Attempts - 1))
	}
	if s.Dropped > 0 {
		c.dropped.Add(float64(s.Dropped))
	}
}

// series are the resolved children of every metric for one combination of labels: finding them is most of the cost of
// recording.
type series struct {
	requests                                      prometheus.Counter
	duration, ttft, perToken, prompt, completion  prometheus.Observer
	input, cacheRead, cacheWrite, output          prometheus.Counter
	cost, unpriced, estimated, failovers, dropped prometheus.Counter
}

// addTokens counts what was used. A request that used nothing has no usage to report: an error, mostly.
func (c *series) addTokens(s *RequestSample) {
	prompt := max(s.Input, 0) + max(s.CacheRead, 0) + max(s.CacheWrite, 0)
	if prompt == 0 && s.Output <= 0 {
		return
	}
	c.prompt.Observe(float64(prompt))
	c.completion.Observe(float64(max(s.Output, 0)))
	add(c.input, s.Input)
	add(c.cacheRead, s.CacheRead)
	add(c.cacheWrite, s.CacheWrite)
	add(c.output, s.Output)
	if s.Priced {
		add(c.cost, s.Cost)
	} else {
		c.unpriced.Inc()
	}
}

// add skips zero, the common case of half of the classes. A counter panics at less.
func add(c prometheus.Counter, n int64) {
	if n > 0 {
		c.Add(float64(n))
	}
}

// seriesKey is the labels that a request's metrics have.
type seriesKey struct {
	tenant, route, asked, model, provider, schema, outcome string
	stream                                                 bool
}

// clone makes a key that shares no memory with the request it came from.
func (k seriesKey) clone() seriesKey {
	for _, s := range [...]*string{&k.tenant, &k.route, &k.asked, &k.model, &k.provider, &k.schema, &k.outcome} {
		*s = strings.Clone(*s)
	}
	return k
}

// maxSeries bounds the combinations of labels. Each label is bounded by itself, but their product is not.
const maxSeries = 4000

// seriesTable finds resolved children. Its lock is only read once the usual combinations were seen; every request writes to
// some counter that all share, so that it is not what limits them.
type seriesTable struct {
	mu sync.RWMutex
	m  map[seriesKey]*series
}

// get finds the children for a key. full says that there is no room for another key.
func (t *seriesTable) get(k *seriesKey) (c *series, full bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.m[*k], len(t.m) >= maxSeries
}

// resolve finds the children for a sample. Names that clients make up get labels of their own only once a request for
// them went well: wrong ones must not use up the room of real ones.
func (m *Metrics) resolve(s *RequestSample) *series {
	k := seriesKey{s.Tenant, s.Route, s.Asked, s.Model, s.Provider, s.Schema, s.Outcome, s.Stream}
	if c, _ := m.series.get(&k); c != nil {
		return c
	}
	name := (*bounded).known
	if s.Outcome == succeeded {
		name = (*bounded).value
	}
	k.tenant, k.route, k.asked, k.model = m.tenants.value(s.Tenant), name(m.routes, s.Route), name(m.models, s.Asked), name(m.models, s.Model)
	c, full := m.series.get(&k)
	if c == nil && full {
		k.tenant, k.route, k.asked, k.model = other, other, other, other
		c, _ = m.series.get(&k)
	}
	if c != nil {
		return c
	}
	return m.add(k.clone())
}

// add makes the children for a key whose labels are bounded.
func (m *Metrics) add(k seriesKey) *series {
	m.series.mu.Lock()
	defer m.series.mu.Unlock()
	c := m.series.m[k]
	if c == nil {
		c = m.children(k)
		m.series.m[k] = c
	}
	return c
}

func (m *Metrics) children(k seriesKey) *series {
	failed := k.outcome
	if failed == succeeded {
		failed = ""
	}
	c := &series{requests: m.requests.WithLabelValues(k.tenant, k.route, k.provider, k.schema, strconv.FormatBool(k.stream), k.outcome)}
	if k.provider == "" {
		return c // the others would be series that stay empty for ever
	}
	class := func(name string) prometheus.Counter {
		return m.tokens.WithLabelValues(k.tenant, k.provider, k.model, name)
	}
	c.duration = m.duration.WithLabelValues(operation, k.provider, k.asked, k.model, failed)
	c.ttft = m.ttft.WithLabelValues(operation, k.provider, k.asked, k.model)
	c.perToken = m.perToken.WithLabelValues(operation, k.provider, k.asked, k.model)
	c.prompt = m.usage.WithLabelValues(operation, k.provider, k.asked, k.model, "input")
	c.completion = m.usage.WithLabelValues(operation, k.provider, k.asked, k.model, "output")
	c.input, c.cacheRead, c.cacheWrite, c.output = class("input"), class("cache_read"), class("cache_write"), class("output")
	c.cost = m.cost.WithLabelValues(k.tenant, k.provider, k.model)
	c.unpriced = m.unpriced.WithLabelValues(k.provider, k.model)
	c.estimated = m.estimated.WithLabelValues(k.provider)
	c.failovers = m.failovers.WithLabelValues(k.provider)
	c.dropped = m.dropped.WithLabelValues(k.provider)
	return c
}
