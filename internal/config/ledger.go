package config

import (
	"path/filepath"
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// What becomes of requests while the ledger's log has no room.
const (
	LedgerRefuse = "refuse"
	LedgerServe  = "serve"
)

// Ledger says where what requests cost is written down.
type Ledger struct {
	SQLite   string // path; "" with Postgres
	Postgres Secret // DSN, zero with SQLite
	Log      string // folder of the write-ahead log
	MaxBytes int64  // of it
	Sync     time.Duration
	Refuse   bool // requests while it is full
	// How long rows, sums by hour and the audit trail are kept; 0 for ever.
	Records, Hours, Audit time.Duration
}

// OwnLedger is one with all defaults in a folder.
func OwnLedger(dir string) *Ledger {
	return &Ledger{SQLite: filepath.Join(dir, "ledger.db"), Log: filepath.Join(dir, "ledger-log"), MaxBytes: ledgerBytes, Sync: ledgerSync,
		Records: ledgerRecords, Hours: ledgerHours, Audit: ledgerHours}
}

// Same says whether a reload changes nothing of it.
func (l *Ledger) Same(o *Ledger) bool {
	if l == nil || o == nil {
		return l == o
	}
	return *l == *o
}

// StateDir is where a program of this user keeps what outlives it.
func StateDir(env func(name string) string) string {
	for _, v := range []struct{ name, below string }{{"STATE_DIRECTORY", ""}, {"XDG_STATE_HOME", "dragoman"}, {"HOME", ".local/state/dragoman"}} {
		if dir := env(v.name); filepath.IsAbs(dir) {
			return filepath.Join(dir, v.below)
		}
	}
	return "/var/lib/dragoman"
}

const (
	ledgerBytes   = 1 << 30
	ledgerSync    = time.Second
	ledgerRecords = 90 * 24 * time.Hour
	ledgerHours   = 400 * 24 * time.Hour
)

// ledgerDefaults fill in where things are.
func ledgerDefaults(l *dragomanv1.Ledger, dir string, env lookup) {
	beside := ""
	if l.Postgres == nil {
		if l.Sqlite == "" {
			l.Sqlite = filepath.Join(StateDir(env), "ledger.db")
		}
		l.Sqlite = absolute(l.Sqlite, dir)
		beside = filepath.Dir(l.Sqlite)
	} else {
		beside = StateDir(env)
		if f, ok := l.Postgres.GetDsn().GetSource().(*dragomanv1.Secret_File); ok {
			f.File = absolute(f.File, dir)
		}
	}
	l.Log = orNew(l.Log)
	if l.Log.Path == "" {
		l.Log.Path = filepath.Join(beside, "ledger-log")
	}
	l.Log.Path = absolute(l.Log.Path, dir)
	l.Log.MaxBytes = or(l.Log.MaxBytes, ledgerBytes)
	l.Log.Sync = orDuration(l.Log.Sync, ledgerSync)
	l.Retention = orNew(l.Retention)
	l.Retention.Records = orDuration(l.Retention.Records, ledgerRecords)
	l.Retention.Hours = orDuration(l.Retention.Hours, ledgerHours)
	l.Retention.Audit = orDuration(l.Retention.Audit, ledgerHours)
}

// ledger compiles `ledger`.
func (b *builder) ledger() {
	l := b.cfg.Ledger
	if l == nil {
		return
	}
	out := &Ledger{SQLite: l.Sqlite, Log: l.Log.Path, MaxBytes: int64(l.Log.MaxBytes), Sync: l.Log.Sync.AsDuration(), Records: l.Retention.Records.AsDuration(),
		Hours: l.Retention.Hours.AsDuration(), Audit: l.Retention.Audit.AsDuration(), Refuse: l.OnFull == LedgerRefuse || l.OnFull == "" && budgeted(b.cfg)}
	if p := l.Postgres; p != nil {
		if l.Sqlite != "" {
			b.fail("ledger.sqlite", "and postgres exclude each other")
		}
		if p.Dsn != nil {
			out.Postgres = b.secret("ledger.postgres.dsn", p.Dsn)
		}
	}
	if l.Enabled == nil || *l.Enabled {
		b.snap.Ledger = out
	}
}

// budgeted says whether anybody has a budget: what is not recorded cannot be held against it.
func budgeted(cfg *dragomanv1.Config) bool {
	some := func(bs []*dragomanv1.Budget) bool { return len(bs) > 0 }
	if some(cfg.GetGlobal().GetBudgets()) {
		return true
	}
	for _, o := range cfg.Organisations {
		if some(o.Budgets) {
			return true
		}
	}
	for _, t := range cfg.Tenants {
		if some(t.Budgets) || budgetedBelow(t.Users, t.Keys) {
			return true
		}
		for _, team := range t.Teams {
			if some(team.Budgets) || budgetedBelow(team.Users, team.Keys) {
				return true
			}
		}
	}
	return false
}

func budgetedBelow(users []*dragomanv1.User, keys []*dragomanv1.Key) bool {
	for _, k := range keys {
		if len(k.Budgets) > 0 {
			return true
		}
	}
	for _, u := range users {
		if len(u.Budgets) > 0 || budgetedBelow(nil, u.Keys) {
			return true
		}
	}
	return false
}
