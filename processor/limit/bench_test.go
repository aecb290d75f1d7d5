package limit

import (
	"context"
	"syscall"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

// fullHierarchy has limits and budgets at every level, as a large installation would.
func fullHierarchy() *config.Principal {
	var meters []*config.Meter
	add := func(level string, kinds ...config.MeterKind) {
		for _, k := range kinds {
			m := config.Meter{Key: level + "|" + k.String(), Level: level, Name: k.String(), Kind: k, Global: level == "global"}
			if k.Budget() {
				m.Period, m.WarnAt = config.Period{Per: config.Month, Zone: time.UTC}, []float64{0.8}
			}
			meters = append(meters, config.NewMeter(m, 1e12))
		}
	}
	add("global", config.MeterBudgetUSD)
	add("organisation:group", config.MeterBudgetUSD)
	add("tenant:acme", config.MeterRequests, config.MeterTokens, config.MeterBudgetUSD)
	add("team:acme/search", config.MeterTokens, config.MeterBudgetUSD)
	add("user:acme/search/@ada", config.MeterConcurrent, config.MeterBudgetTokens)
	add("key:acme/search/@ada/ci", config.MeterRequests, config.MeterTokens)
	return &config.Principal{Slot: "organisation:group", Tenant: "acme", Meters: meters}
}

func benchmarkGate(b *testing.B, p *config.Principal, parallel bool) {
	g := NewGate(Options{Store: NewMemory(), Quota: config.Quota{Lease: time.Minute, MinOutput: 64}})
	rt := route(dear, cheap)
	one := func() {
		now := time.Now()
		q := Request{ID: "0123456789abcdef", Now: now, Principal: p, Asked: "r", Route: rt, Stream: true, Input: 400, Most: 700, Output: 300, Choices: 1, Answers: true}
		r, st, err := g.Reserve(context.Background(), &q)
		if err != nil {
			b.Error(err)
			return
		}
		if _, _, err := r.Cap(dear); err != nil {
			b.Error(err)
		}
		_ = st.Headers()
		g.Settle(now, r, Used{Usage: chat.Usage{Known: true, Input: 400, Output: 250}, Cost: 650, Priced: true, Model: dear, Asked: "r", Route: "r"})
	}
	b.ReportAllocs()
	began := cpuTime(b)
	defer func() { b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op") }()
	if parallel {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one()
			}
		})
		return
	}
	for b.Loop() {
		one()
	}
}

func BenchmarkReserveSettle(b *testing.B) {
	full := fullHierarchy()
	few := &config.Principal{Slot: full.Slot, Meters: full.Meters[2:5]}
	b.Run("3 limits", func(b *testing.B) { benchmarkGate(b, few, false) })
	b.Run("11 limits", func(b *testing.B) { benchmarkGate(b, full, false) })
	b.Run("11 limits, parallel", func(b *testing.B) { benchmarkGate(b, full, true) })
	b.Run("none", func(b *testing.B) { benchmarkGate(b, &config.Principal{}, false) })
}

// cpuTime is what this process has used, in nanoseconds: on a busy machine the clock on the wall says nothing.
func cpuTime(tb testing.TB) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
