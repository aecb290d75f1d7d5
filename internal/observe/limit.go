package observe

import "github.com/prometheus/client_golang/prometheus"

// limitMetrics are of limits and budgets. Their labels are words of the code: the kind of level (tenant, team …) and of limit.
type limitMetrics struct {
	shadow, soft, hard, capped, overspent *prometheus.CounterVec
	events, away, webhook                 *prometheus.CounterVec
	lost                                  prometheus.Counter
}

func (m *Metrics) limitMetrics() {
	m.limit = limitMetrics{
		shadow:    m.counter("dragoman_limit_shadow_total", "Requests that a limit or budget of mode shadow would have refused.", "level", "kind"),
		soft:      m.counter("dragoman_limit_soft_total", "Requests beyond a limit or budget of mode soft.", "level", "kind"),
		hard:      m.counter("dragoman_limit_hard_total", "Requests refused, by what refused them.", "level", "kind"),
		capped:    m.counter("dragoman_limit_capped_total", "Requests without a cap that got one from what is left of a budget.", "level", "kind"),
		overspent: m.counter("dragoman_budget_overspent_total", "What settlements have gone beyond hard budgets, in micro-USD or tokens.", "level", "kind"),
		events:    m.counter("dragoman_budget_events_total", "Warnings and ends of budgets.", "event"),
		away:      m.counter("dragoman_limit_away_total", "Requests that came while the shared counters did not answer.", "result"),
		webhook:   m.counter("dragoman_webhook_events_total", "Events for the webhook.", "result"),
		lost:      m.plainCounter("dragoman_limit_settlements_lost_total", "Settlements that could not be made: what they used is missing in the counters."),
	}
}

// LimitShadow counts a request that would have been refused.
func (m *Metrics) LimitShadow(level, kind string) { m.limit.shadow.WithLabelValues(level, kind).Inc() }

// LimitSoft counts a request beyond a soft limit.
func (m *Metrics) LimitSoft(level, kind string) { m.limit.soft.WithLabelValues(level, kind).Inc() }

// LimitHard counts a request that was refused.
func (m *Metrics) LimitHard(level, kind string) { m.limit.hard.WithLabelValues(level, kind).Inc() }

// LimitCapped counts a request that got a cap.
func (m *Metrics) LimitCapped(level, kind string) { m.limit.capped.WithLabelValues(level, kind).Inc() }

// BudgetOverspent adds what a settlement has gone beyond a hard budget.
func (m *Metrics) BudgetOverspent(level, kind string, by int64) {
	add(m.limit.overspent.WithLabelValues(level, kind), by)
}

// BudgetEvent counts a warning or the end of a budget.
func (m *Metrics) BudgetEvent(event string) { m.limit.events.WithLabelValues(event).Inc() }

// LimitAway counts a request that came while the shared counters were away.
func (m *Metrics) LimitAway(admitted bool) {
	result := "refused"
	if admitted {
		result = "admitted"
	}
	m.limit.away.WithLabelValues(result).Inc()
}

// Webhook counts an event: sent, failed, dropped.
func (m *Metrics) Webhook(result string) { m.limit.webhook.WithLabelValues(result).Inc() }

// SettlementsLost counts settlements that could not be made.
func (m *Metrics) SettlementsLost(n int) { add(m.limit.lost, int64(n)) }
