package app

import (
	"context"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
)

// reconcile tells the budgets what the ledger knows of them, so that a process that has just started, or counters that were lost, do not begin
// at zero; and shows how far the two are apart. Budgets that count certain models alone are left to their counters: the ledger knows the model
// that answered, and those go by what was asked for, too. first says that the process has just started: then the keys of the store count that
// were used last, too; the others when they are.
func (a *App) reconcile(ctx context.Context, first bool) {
	ctx, cancel := context.WithTimeout(ctx, reconcileEvery/2)
	defer cancel()
	snap := a.serving.Load()
	callers := a.callers(snap)
	if first && a.keys.Store != nil {
		callers = append(callers, a.keys.Budgeted(snap, maxCallers)...)
	}
	drift, ok := a.compare(ctx, callers, nil)
	if !ok {
		return
	}
	for k, n := range drift {
		a.metrics.BudgetDrift(k[0], k[1], n)
	}
}

// reconcileNewcomers does so for who has called for the first time, and for all others who wait.
func (a *App) reconcileNewcomers(ctx context.Context, p *config.Principal) {
	ctx, cancel := context.WithTimeout(ctx, reconcileEvery/2)
	defer cancel()
	waiting := []*config.Principal{p}
	for len(waiting) < maxNewcomers {
		select {
		case p := <-a.keys.newcomers:
			waiting = append(waiting, p)
			continue
		default:
		}
		break
	}
	a.compare(ctx, waiting, &a.seeded)
}

// seeded remembers which budgets were compared since the start, by their window's beginning in milliseconds.
type seeded map[string]int64

// maxSeeded bounds it.
const maxSeeded = 100_000

// compare holds the budgets of callers against the ledger. ok is false when the ledger could not be asked for all of them.
func (a *App) compare(ctx context.Context, callers []*config.Principal, skip *seeded) (drift map[[2]string]int64, ok bool) {
	now := time.Now()
	seen := map[string]bool{}
	drift = map[[2]string]int64{}
	flushed := false
	for _, p := range callers {
		for _, m := range p.Meters {
			id, window := p.Slot+"/"+m.Key, m.Window(now).Start
			if !m.Kind.Budget() || len(m.Models) > 0 || seen[id] || skip.has(id, window) {
				continue
			}
			seen[id] = true
			if !flushed {
				if err := a.book.Flush(ctx); err != nil {
					return nil, false // the database is away; what it has is not all
				}
				flushed = true
			}
			spent, err := a.spentOf(ctx, p, m, now)
			if err != nil {
				a.log.Warn("budgets were not compared with the ledger", "error", err)
				return nil, false
			}
			if have, ok := a.limits.gate.Known(p.Slot, m, now); ok {
				level, kind := meterLabels(m)
				drift[[2]string{level, kind}] += spent - have
			}
			a.limits.gate.Seed(p.Slot, m, window, spent)
			a.seeded.note(id, window)
		}
	}
	return drift, true
}

// has says that a budget was compared in its present window; nil has none.
func (s *seeded) has(id string, window time.Time) bool {
	if s == nil {
		return false
	}
	at, ok := (*s)[id]
	return ok && at >= window.UnixMilli()
}

func (s *seeded) note(id string, window time.Time) {
	if *s == nil || len(*s) >= maxSeeded {
		*s = seeded{}
	}
	(*s)[id] = window.UnixMilli()
}

// spentOf is what a budget's window holds by the ledger.
func (a *App) spentOf(ctx context.Context, p *config.Principal, m *config.Meter, now time.Time) (int64, error) {
	since := m.Window(now).Start
	if m.Period.Per == config.Rolling {
		since = now.Add(-m.Period.Rolling)
	}
	s, err := a.book.db.Spent(ctx, levelOfMeter(p, m), since)
	if m.Kind == config.MeterBudgetTokens {
		return s.Tokens, err
	}
	return int64(s.Cost), err
}

// levelOfMeter is the part of the hierarchy that a meter of a principal stands at.
func levelOfMeter(p *config.Principal, m *config.Meter) ledger.Level {
	kind, _, _ := strings.Cut(m.Level, ":")
	switch kind {
	case "organisation":
		return ledger.Level{Organisation: p.Organisation}
	case "tenant":
		return ledger.Level{Tenant: p.Tenant}
	case "team":
		return ledger.Level{Tenant: p.Tenant, Team: p.Team}
	case "user":
		return ledger.Level{Tenant: p.Tenant, Team: p.Team, User: p.User}
	case "key":
		return ledger.Level{Tenant: p.Tenant, Team: p.Team, User: p.User, Key: p.Key}
	default:
		return ledger.Level{}
	}
}
