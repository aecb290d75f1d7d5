package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// KeysSample is what is shown of the keys that are made while the gateway runs.
type KeysSample struct {
	Keys       int
	Failures   uint64
	DatabaseUp bool
	Known      bool          // there is some knowledge
	Age        time.Duration // of the knowledge
}

// keysCollector shows the last sample, and nothing while there is no store of keys.
type keysCollector struct {
	mu   sync.Mutex
	last *KeysSample
}

var (
	keysKnown    = prometheus.NewDesc("dragoman_keys", "Keys of the database that this process knows, those included that have ended.", nil, nil)
	keysAge      = prometheus.NewDesc("dragoman_keys_age_seconds", "How long ago the database was last known to hold the same keys as this process; absent while none are known.", nil, nil)
	keysFailures = prometheus.NewDesc("dragoman_keys_refresh_failures_total", "Looks at the database of keys that failed.", nil, nil)
	keysUp       = prometheus.NewDesc("dragoman_keys_database_up", "1 while the database of keys answers.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *keysCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{keysKnown, keysAge, keysFailures, keysUp} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *keysCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.last
	if s == nil {
		return
	}
	up := 0.0
	if s.DatabaseUp {
		up = 1
	}
	ch <- prometheus.MustNewConstMetric(keysKnown, prometheus.GaugeValue, float64(s.Keys))
	ch <- prometheus.MustNewConstMetric(keysFailures, prometheus.CounterValue, float64(s.Failures))
	ch <- prometheus.MustNewConstMetric(keysUp, prometheus.GaugeValue, up)
	if s.Known {
		ch <- prometheus.MustNewConstMetric(keysAge, prometheus.GaugeValue, s.Age.Seconds())
	}
}

// Keys shows the state of the keys that are made while the gateway runs.
func (m *Metrics) Keys(s KeysSample) {
	m.keys.mu.Lock()
	defer m.keys.mu.Unlock()
	m.keys.last = &s
}
