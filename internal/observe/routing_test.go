package observe

import (
	"fmt"
	"testing"
	"time"
)

// useRouting uses each metric of routing once.
func useRouting(m *Metrics, route, arm string) {
	m.Rule(route, "refuse")
	m.Lifted(route, "local first")
	m.Arm(route, arm, false, time.Second, 10, 5, 3)
	m.Arm(route, arm, true, 0, 0, 0, 0)
	m.CanaryShare(route, 0.2)
	m.CanaryRolledBack(route)
	m.Mirrored(route, "sent")
	m.MirrorAnswered(route, 10, 5, 3)
	m.Queued(route, "served", time.Second)
	m.Waiting(map[string]int{route: 3})
	m.Downgraded(route, "budget")
}

// Configurations come and go; their routes, rules and arms do not grow the process without bound.
func TestRoutingLabelsAreBounded(t *testing.T) {
	m := NewMetrics()
	for i := range maxConfigured + 200 {
		useRouting(m, fmt.Sprint("route", i), fmt.Sprint("arm", i))
	}
	for name, f := range families(t, m) {
		if n := len(f.GetMetric()); n > 3*(maxConfigured+1) {
			t.Errorf("%s has %d series", name, n)
		}
	}
}

// A line that is empty again is not shown with its last length.
func TestWaitingForgets(t *testing.T) {
	m := NewMetrics()
	m.Waiting(map[string]int{"a": 3})
	m.Waiting(map[string]int{})
	if f := families(t, m)["dragoman_route_queue_waiting"]; f != nil {
		t.Errorf("still %v", f)
	}
}
