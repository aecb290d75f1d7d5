package app

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/store/redis"
	"dragoman/internal/webhook"
	"dragoman/processor/limit"
	"dragoman/processor/route"
)

// limits is what limits and budgets are counted with.
type limits struct {
	gate   *limit.Gate
	memory *limit.Memory // lives as long as the process: a reload forgets nothing
	redis  *redis.Limits // nil without Redis
	shared atomic.Pointer[redis.Credentials]
}

// sharedCredentials is where replicas count together what credentials are granted, nil where limits are counted in process.
func (a *App) sharedCredentials() route.Shared {
	if c := a.limits.shared.Load(); c != nil {
		return c
	}
	return nil
}

// setLimits makes what counts. fresh says that Redis is another than before.
func (a *App) setLimits(old, snap *config.Snapshot, fresh bool) {
	l := &a.limits
	if old != nil && old.Quota == snap.Quota && !(snap.Quota.Redis && fresh) {
		return
	}
	if old == nil || !old.Quota.Webhook.Same(&snap.Quota.Webhook) {
		a.setWebhook(&snap.Quota.Webhook)
	}
	o := limit.Options{Quota: snap.Quota, Store: l.memory, Report: a.limitReport()}
	last := l.redis
	if snap.Quota.Redis {
		l.redis = redis.NewLimits(a.redis, redis.LimitOptions{ID: newID(), Chunk: snap.Quota.Chunk, Leased: snap.Quota.LocalLeases, Lost: a.metrics.SettlementsLost})
		o.Store, o.Shared = l.redis, true
		l.shared.Store(l.redis.Credentials())
	} else {
		l.redis = nil
		l.shared.Store(nil)
	}
	l.gate.Set(o)
	if last != nil {
		last.Close() // after the last that would have asked it was told of the other
	}
}

func (a *App) setWebhook(c *config.Webhook) {
	last := a.hook.Load()
	if c.URL == "" {
		a.hook.Store(nil)
	} else {
		a.hook.Store(webhook.New(webhook.Options{Config: *c, Report: a.hookReport}))
	}
	if last != nil {
		last.Close()
	}
}

func (a *App) hookReport(result string, err error) {
	a.metrics.Webhook(result)
	if err != nil {
		a.log.Warn("an event did not reach the webhook", "result", result, "error", err)
	}
}

// limitReport turns what becomes of limits into metrics, log lines and events.
func (a *App) limitReport() limit.Report {
	labelled := func(f func(level, kind string)) func(*config.Meter) {
		return func(m *config.Meter) { f(meterLabels(m)) }
	}
	return limit.Report{
		Shadow: labelled(a.metrics.LimitShadow), Soft: labelled(a.metrics.LimitSoft), Refused: labelled(a.metrics.LimitHard),
		Capped: labelled(a.metrics.LimitCapped), Away: a.metrics.LimitAway,
		Overspent: func(m *config.Meter, by int64) {
			level, kind := meterLabels(m)
			a.metrics.BudgetOverspent(level, kind, by)
		},
		Event: func(e limit.Event) {
			a.metrics.BudgetEvent(e.Kind)
			a.log.Warn("limit", "event", e.Kind, "level", e.Level, "name", e.Name, "mode", e.Mode, "part", e.Part, "unit", e.Unit, "spent", e.Spent, "limit", e.Limit)
			if hook := a.hook.Load(); hook != nil {
				hook.Send(e)
			}
		},
	}
}

// meterLabels are words of the code: the kind of level, and of limit.
func meterLabels(m *config.Meter) (level, kind string) {
	level, _, _ = strings.Cut(m.Level, ":")
	return level, m.Kind.String()
}

// closeLimits settles what waits.
func (a *App) closeLimits() {
	if a.limits.redis != nil {
		a.limits.redis.Close()
	}
	if hook := a.hook.Swap(nil); hook != nil {
		hook.Close()
	}
}

// lookWait bounds the look at all counters that /status takes.
const lookWait = 2 * time.Second

// limitLevels is where every limit and budget stands. The error is that of the counters.
func (a *App) limitLevels(ctx context.Context) ([]limit.Level, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	return a.limits.gate.Levels(ctx, time.Now(), a.callers(a.serving.Load()))
}

// limitStatus is limitLevels for /status; nil when the counters cannot be asked.
func (a *App) limitStatus() []limit.Level {
	levels, err := a.limitLevels(context.Background())
	if err != nil {
		return nil
	}
	return levels
}

// checkGate knows where limits stand: with Redis as all replicas do, else only what they are, for another process counts.
func checkGate(snap *config.Snapshot) (g *limit.Gate, done func()) {
	o := limit.Options{Quota: snap.Quota, Store: limit.NewMemory()}
	if !snap.Quota.Redis {
		return limit.NewGate(o), func() {}
	}
	client := redis.Open(snap.Redis, redis.Options{})
	counters := redis.NewLimits(client, redis.LimitOptions{ID: newID()})
	o.Store, o.Shared = counters, true
	return limit.NewGate(o), func() {
		counters.Close()
		_ = client.Close()
	}
}

// printLevels is the table of what a request counts against.
func printLevels(w io.Writer, levels []limit.Level) {
	if len(levels) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\nlimit\tmode\tlimit\tspent\treserved\tneeds\tunit\tresets")
	for _, l := range levels {
		resets := ""
		if !l.Resets.IsZero() {
			resets = l.Resets.Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s %s\t%s\t%.6g\t%.6g\t%.6g\t%.6g\t%s\t%s\n", l.Level, l.Name, l.Mode, l.Limit, l.Spent, l.Reserved, l.Needs, l.Unit, resets)
	}
	t.Flush()
}
