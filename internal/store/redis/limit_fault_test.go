package redis

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/processor/limit"
	"dragoman/test/redisserver"
)

func directGate(t testing.TB, server *redisserver.Server, o LimitOptions) (*limit.Gate, *Limits, func()) {
	t.Helper()
	l, calm := openLimits(t, openClient(t, server.Addr), o)
	return limit.NewGate(limit.Options{Quota: config.Quota{Lease: time.Minute, MinOutput: 1}, Store: l, Shared: true}), l, calm
}

// TestAReservationThatTimedOutIsTakenBack, although the server carries it out when it comes to itself.
func TestAReservationThatTimedOutIsTakenBack(t *testing.T) {
	server := redisserver.Start(t)
	g, l, _ := directGate(t, server, LimitOptions{Wait: 50 * time.Millisecond})
	m := budgetOf("b", 1000, false)
	p := &config.Principal{Slot: "s", Meters: []*config.Meter{m}}
	if r, _, err := g.Reserve(t.Context(), tokensOf(p, "warm", 1)); err == nil {
		settleTokens(g, r, 1)
	}
	waitFor(t, func() bool { return l.Pending() == 0 }, "not settled")
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, _, err := g.Reserve(t.Context(), tokensOf(p, fmt.Sprint("late", i), 500)); err == nil {
			t.Error("a frozen server has answered")
		}
	}
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return l.client.Available() && l.Pending() == 0 }, "the reservations are not taken back")
	wantCounter(t, g, m, 1)
}

// TestSettlementsWaitForTheServer: nothing that was used while it was away is forgotten, and nothing is charged twice.
func TestSettlementsWaitForTheServer(t *testing.T) {
	server := redisserver.Start(t)
	lost := 0
	g, l, calm := directGate(t, server, LimitOptions{Wait: patientWait, Lost: func(n int) { lost += n }})
	m := budgetOf("b", 1_000_000, false)
	p := &config.Principal{Slot: "s", Meters: []*config.Meter{m}}
	var rs []*limit.Reservation
	for i := range 300 {
		r, _, err := g.Reserve(t.Context(), tokensOf(p, fmt.Sprint(i), 100))
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		settleTokens(g, r, 10)
	}
	time.Sleep(settleDeadline + 200*time.Millisecond) // one batch is sent, and answered too late
	if l.Pending() == 0 {
		t.Error("a frozen server has settled")
	}
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	calm()
	wantCounter(t, g, m, 3000)
	if lost != 0 {
		t.Errorf("%d lost", lost)
	}
}

func TestSettlementsAreBounded(t *testing.T) {
	server := redisserver.Start(t)
	lost := 0
	g, l, _ := directGate(t, server, LimitOptions{Wait: patientWait, Queue: 5, Lost: func(n int) { lost += n }})
	p := &config.Principal{Slot: "s", Meters: []*config.Meter{budgetOf("b", 1000, false)}}
	var rs []*limit.Reservation
	for i := range 20 {
		r, _, err := g.Reserve(t.Context(), tokensOf(p, fmt.Sprint(i), 1))
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	server.Stop()
	waitFor(t, func() bool { _ = ping(l.client); return !l.client.Available() }, "the server is not missed")
	for _, r := range rs {
		settleTokens(g, r, 1)
	}
	if n := l.Pending(); n > 5 || lost < 15 {
		t.Errorf("%d wait, %d lost", n, lost)
	}
}

// BenchmarkReserveSettle is what limits and a budget cost a request with Redis: the CPU of this process, and one round trip.
func BenchmarkReserveSettle(b *testing.B) {
	server := redisserver.Start(b)
	g, l, _ := directGate(b, server, LimitOptions{Wait: patientWait})
	rpm := config.NewMeter(config.Meter{Key: "rpm", Kind: config.MeterRequests}, 1e12)
	tpm := config.NewMeter(config.Meter{Key: "tpm", Kind: config.MeterTokens}, 1e12)
	p := &config.Principal{Slot: "s", Meters: []*config.Meter{rpm, tpm, budgetOf("tenant", 1e15, false), budgetOf("team", 1e15, false)}}
	var ids atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(8)
	cpu := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _, err := g.Reserve(context.Background(), tokensOf(p, strconv.FormatInt(ids.Add(1), 10), 100))
			if err != nil {
				b.Error(err)
				return
			}
			settleTokens(g, r, 50)
		}
	})
	waitFor(b, func() bool { return l.Pending() == 0 }, "not settled")
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op")
}

// cpuTime is what this process has used, in nanoseconds.
func cpuTime(tb testing.TB) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
