package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// routing is the metrics of how models are chosen. Rules, routes and arms stand in the configuration, which bounds their names.
type routing struct {
	names *bounded // of rules, routes and arms, over all configurations that the process sees

	rules, arms, armTokens, armCost, mirrored, mirrorTokens, mirrorCost *prometheus.CounterVec
	queued, downgraded, rolledBack, lifted                              *prometheus.CounterVec
	queueTime, armFirst                                                 *prometheus.HistogramVec
	canaryShare, waiting                                                *prometheus.GaugeVec
}

func (m *Metrics) routingMetrics() {
	r := &m.routing
	r.names = newBounded(maxConfigured)
	r.rules = m.counter("dragoman_route_rules_total", "Requests that a rule decided about; action error: its condition could not be evaluated.", "rule", "action")
	r.lifted = m.counter("dragoman_route_lifts_total", "Requests whose first choice was not the one with the best score, and why.", "route", "reason")
	r.arms = m.counter("dragoman_route_arm_requests_total", "Requests of an arm of a canary or an experiment; failed: its own model gave no answer.", "route", "arm", "outcome")
	r.armTokens = m.counter("dragoman_route_arm_tokens_total", "Tokens of an arm's requests.", "route", "arm", "class")
	r.armCost = m.counter("dragoman_route_arm_cost_microusd_total", "What an arm's requests cost, in millionths of a US dollar.", "route", "arm")
	r.armFirst = m.histogram("dragoman_route_arm_first_seconds", "To the first token of an arm's stream, or to the end of its whole answer.", ttftBuckets, "route", "arm")
	r.canaryShare = m.gauge("dragoman_route_canary_share", "Part of the requests that a canary gets now; 0 once it was rolled back.", "route")
	r.rolledBack = m.counter("dragoman_route_canary_rollbacks_total", "Canaries that did worse than their baseline and were taken back.", "route")
	r.mirrored = m.counter("dragoman_route_mirror_total", "Copies of requests for a mirror; dropped: too many were in flight.", "route", "result")
	r.mirrorTokens = m.counter("dragoman_route_mirror_tokens_total", "Tokens of a mirror's answers.", "route", "class")
	r.mirrorCost = m.counter("dragoman_route_mirror_cost_microusd_total", "What a mirror's answers cost, in millionths of a US dollar.", "route")
	r.queued = m.counter("dragoman_route_queued_total", "Requests that waited because every candidate was rate-limited.", "route", "outcome")
	r.queueTime = m.histogram("dragoman_route_queue_seconds", "How long they waited.", durationBuckets, "route")
	r.waiting = m.gauge("dragoman_route_queue_waiting", "Requests that wait now.", "route")
	r.downgraded = m.counter("dragoman_route_downgrades_total", "Requests sent to simpler models, by the pressure that was the reason.", "route", "reason")
}

// Rule counts a request that a rule decided about: route, providers, refuse, none; or error.
func (m *Metrics) Rule(rule, action string) {
	m.routing.rules.WithLabelValues(m.routing.names.value(rule), action).Inc()
}

// Lifted counts a first choice that was not the one with the best score.
func (m *Metrics) Lifted(route, reason string) {
	m.routing.lifted.WithLabelValues(m.routes.known(route), reason).Inc()
}

// Arm counts a request of an arm. first is 0 when unknown.
func (m *Metrics) Arm(route, arm string, failed bool, first time.Duration, input, output, cost int64) {
	route, arm = m.routing.names.value(route), m.routing.names.value(arm)
	outcome := succeeded
	if failed {
		outcome = "failed"
	}
	m.routing.arms.WithLabelValues(route, arm, outcome).Inc()
	add(m.routing.armTokens.WithLabelValues(route, arm, "input"), input)
	add(m.routing.armTokens.WithLabelValues(route, arm, "output"), output)
	add(m.routing.armCost.WithLabelValues(route, arm), cost)
	if first > 0 {
		m.routing.armFirst.WithLabelValues(route, arm).Observe(first.Seconds())
	}
}

// CanaryShare shows what part of a route's requests its canary gets.
func (m *Metrics) CanaryShare(route string, share float64) {
	route = m.routing.names.value(route)
	m.routing.canaryShare.WithLabelValues(route).Set(share)
}

// CanaryRolledBack counts a canary that was taken back.
func (m *Metrics) CanaryRolledBack(route string) {
	m.routing.rolledBack.WithLabelValues(m.routing.names.value(route)).Inc()
}

// Mirrored counts a copy: sent, failed, dropped.
func (m *Metrics) Mirrored(route, result string) {
	route = m.routing.names.value(route)
	m.routing.mirrored.WithLabelValues(route, result).Inc()
}

// MirrorAnswered adds what a mirror's answer took.
func (m *Metrics) MirrorAnswered(route string, input, output, cost int64) {
	route = m.routing.names.value(route)
	add(m.routing.mirrorTokens.WithLabelValues(route, "input"), input)
	add(m.routing.mirrorTokens.WithLabelValues(route, "output"), output)
	add(m.routing.mirrorCost.WithLabelValues(route), cost)
}

// Queued counts a request that waited in a route's line, and how that ended.
func (m *Metrics) Queued(route, outcome string, waited time.Duration) {
	route = m.routing.names.value(route)
	m.routing.queued.WithLabelValues(route, outcome).Inc()
	m.routing.queueTime.WithLabelValues(route).Observe(waited.Seconds())
}

// Waiting shows the lines that there are now.
func (m *Metrics) Waiting(lines map[string]int) {
	m.routing.waiting.Reset()
	for route, n := range lines {
		m.routing.waiting.WithLabelValues(m.routing.names.value(route)).Set(float64(n))
	}
}

// Downgraded counts a request that simpler models were chosen for.
func (m *Metrics) Downgraded(route, reason string) {
	route = m.routing.names.value(route)
	m.routing.downgraded.WithLabelValues(route, reason).Inc()
}
