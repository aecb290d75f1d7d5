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
// that answered, and those go by what was asked for, too.
func (a *App) reconcile(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reconcileEvery/2)
	defer cancel()
	snap, now := a.serving.Load(), time.Now()
	seen := map[string]bool{}
	drift := map[[2]string]int64{}
	flushed := false
	for _, p := range snap.Keys.Principals() {
		for _, m := range p.Meters {
			id := p.Slot + "/" + m.Key
			if !m.Kind.Budget() || len(m.Models) > 0 || seen[id] {
				continue
			}
			seen[id] = true
			if !flushed {
				if err := a.book.Flush(ctx); err != nil {
					return // the database is away; what it has is not all
				}
				flushed = true
			}
			spent, err := a.spentOf(ctx, p, m, now)
			if err != nil {
				a.log.Warn("budgets were not compared with the ledger", "error", err)
				return
			}
			window := m.Window(now).Start
			if have, ok := a.limits.gate.Known(p.Slot, m, now); ok {
				level, kind := meterLabels(m)
				drift[[2]string{level, kind}] += spent - have
			}
			a.limits.gate.Seed(p.Slot, m, window, spent)
		}
	}
	for k, n := range drift {
		a.metrics.BudgetDrift(k[0], k[1], n)
	}
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
