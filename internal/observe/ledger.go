package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// LedgerSample is what is shown of the ledger.
type LedgerSample struct {
	Recorded, Unrecorded, Entries, Stored, Failures, Broken uint64
	LogBytes, LogMaxBytes                                   int64
	Lag                                                     time.Duration
	DatabaseUp                                              bool
}

// ledgerCollector shows the last sample, and nothing while there is no ledger.
type ledgerCollector struct {
	mu   sync.Mutex
	last *LedgerSample
}

// ledgerMetric is one metric with its value in a sample.
type ledgerMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*LedgerSample) float64
}

var ledgerMetrics = []ledgerMetric{
	ledgerCounter("records_total", "Requests written to the ledger's log.", func(s *LedgerSample) float64 { return float64(s.Recorded) }),
	ledgerCounter("unrecorded_total", "Requests and audit entries that found no room in the ledger's log: what they cost is not in the ledger.", func(s *LedgerSample) float64 { return float64(s.Unrecorded) }),
	ledgerCounter("audit_entries_total", "Entries written to the audit trail.", func(s *LedgerSample) float64 { return float64(s.Entries) }),
	ledgerCounter("stored_total", "Requests and audit entries that the ledger's database has taken.", func(s *LedgerSample) float64 { return float64(s.Stored) }),
	ledgerCounter("store_failures_total", "Transactions of the ledger's database that failed; what they held is tried again.", func(s *LedgerSample) float64 { return float64(s.Failures) }),
	ledgerCounter("broken_total", "Parts of the ledger's log that the disk gave back broken.", func(s *LedgerSample) float64 { return float64(s.Broken) }),
	ledgerGauge("log_bytes", "Bytes of the ledger's log that wait to be stored, in whole segments.", func(s *LedgerSample) float64 { return float64(s.LogBytes) }),
	ledgerGauge("log_max_bytes", "Bytes that the ledger's log may take (ledger.log.max_bytes).", func(s *LedgerSample) float64 { return float64(s.LogMaxBytes) }),
	ledgerGauge("lag_seconds", "Age of the oldest record that the ledger's database does not have.", func(s *LedgerSample) float64 { return s.Lag.Seconds() }),
	ledgerGauge("database_up", "1 while the ledger's database takes records.", func(s *LedgerSample) float64 {
		if s.DatabaseUp {
			return 1
		}
		return 0
	}),
}

func ledgerCounter(name, help string, value func(*LedgerSample) float64) ledgerMetric {
	return ledgerMetric{prometheus.NewDesc("dragoman_ledger_"+name, help, nil, nil), prometheus.CounterValue, value}
}

func ledgerGauge(name, help string, value func(*LedgerSample) float64) ledgerMetric {
	return ledgerMetric{prometheus.NewDesc("dragoman_ledger_"+name, help, nil, nil), prometheus.GaugeValue, value}
}

// Describe implements prometheus.Collector.
func (c *ledgerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range ledgerMetrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		return
	}
	for _, m := range ledgerMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(c.last))
	}
}

// Ledger shows the ledger's state.
func (m *Metrics) Ledger(s LedgerSample) {
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	m.ledger.last = &s
}

// BudgetDrift shows what the ledger has beyond the counters of a kind of level's budgets together, in micro-USD or tokens.
func (m *Metrics) BudgetDrift(level, kind string, by int64) {
	m.drift.WithLabelValues(level, kind).Set(float64(by))
}
