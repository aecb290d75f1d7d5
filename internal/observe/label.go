package observe

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// bounded lets the first so many different values of a label through and calls the rest "other": a client must not be able to
// grow the process by asking for ever new models.
type bounded struct {
	most int
	mu   sync.RWMutex
	seen map[string]struct{}
}

func newBounded(most int) *bounded { return &bounded{most: most, seen: make(map[string]struct{})} }

func (b *bounded) value(v string) string {
	if v == "" {
		return v
	}
	b.mu.RLock()
	_, ok := b.seen[v]
	full := len(b.seen) >= b.most
	b.mu.RUnlock()
	switch {
	case ok:
		return v
	case full:
		return "other"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.seen[v]; !ok && len(b.seen) >= b.most {
		return "other"
	}
	b.seen[v] = struct{}{}
	return v
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
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
