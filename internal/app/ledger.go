package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/internal/ledger/wal"
	"dragoman/internal/observe"
	"dragoman/internal/store/sqldb"
	"dragoman/processor/account"
)

// book is the ledger with its database; nil where none is kept.
type book struct {
	*ledger.Ledger
	db        *sqldb.DB
	settings  config.Ledger
	retention ledger.Retention
}

// openBook opens the ledger that the configuration names. Without one, `run` keeps one by itself: in the state folder, or, with demo providers
// only and no keys to keep, in the private folder that goes with the process. A ledger that nobody asked for must not keep the gateway from starting.
func (a *App) openBook(snap *config.Snapshot) error {
	settings, asked := snap.Ledger, snap.Config.GetLedger() != nil
	if settings == nil {
		if asked || !a.o.Envoy {
			return nil
		}
		settings = a.ownBook(snap)
	}
	b, err := openBook(settings, a.bookOptions(settings))
	switch {
	case err == nil:
		a.book = b
		a.log.Info("the ledger is kept", "database", databaseName(settings), "log", settings.Log)
	case asked || snap.KeyStore != nil:
		return err
	default:
		a.log.Warn("no ledger is kept: say where with ledger.sqlite, or ledger: {enabled: false}", "error", err)
	}
	return nil
}

// ownBook is the ledger of a `run` whose configuration says nothing of one.
func (a *App) ownBook(snap *config.Snapshot) *config.Ledger {
	dir := filepath.Join(a.runDir, "ledger")
	if !snap.Demo || snap.KeyStore != nil {
		dir = config.StateDir(func(name string) string {
			if a.o.LookupEnv == nil {
				return ""
			}
			v, _ := a.o.LookupEnv(name)
			return v
		})
	}
	return config.OwnLedger(dir)
}

func databaseName(c *config.Ledger) string {
	if c.SQLite != "" {
		return c.SQLite
	}
	return "PostgreSQL (" + c.Postgres.Source() + ")"
}

func (a *App) bookOptions(c *config.Ledger) ledger.Options {
	return ledger.Options{WAL: wal.Options{Dir: c.Log, MaxBytes: c.MaxBytes, Sync: c.Sync}, Refuse: c.Refuse, Log: a.log}
}

// openDatabase opens the ledger's database alone.
func openDatabase(c *config.Ledger) (*sqldb.DB, error) {
	if c.SQLite != "" {
		return sqldb.OpenSQLite(c.SQLite)
	}
	return sqldb.OpenPostgres(c.Postgres.Reveal())
}

func openBook(c *config.Ledger, o ledger.Options) (*book, error) {
	db, err := openDatabase(c)
	if err != nil {
		return nil, err
	}
	o.Store = db
	l, err := ledger.Open(o)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &book{Ledger: l, db: db, settings: *c, retention: ledger.Retention{Records: c.Records, Hours: c.Hours, Audit: c.Audit}}, nil
}

// dropBook lets go of a ledger that nothing was written to yet.
func (a *App) dropBook() {
	if a.book == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = errors.Join(a.book.Close(ctx), a.book.db.Close())
}

// closeTimeout is how long a database may take to get what is left; the rest waits in the log.
const closeTimeout = 5 * time.Second

func (a *App) closeBook() {
	a.closeKeys()
	if a.book == nil {
		return
	}
	// A stream that was cut is settled a moment later. What is later still, the next start finds as begun and not ended.
	for range 20 {
		if a.proc.InFlight() == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := a.book.Close(ctx); err != nil {
		a.log.Warn("the ledger's log keeps what its database did not take", "error", err)
	}
	_ = a.book.db.Close()
}

// accounts is where the processor's records go.
func (a *App) accounts() account.Ledger {
	if a.book == nil {
		return account.NewLog(a.log)
	}
	return account.Both{a.book, account.NewLog(a.log)}
}

// How often the ledger is looked after.
const (
	pruneEvery     = time.Hour
	reconcileEvery = time.Minute
)

// keepBook prunes what has outlived its time and holds budgets against the ledger, until ctx ends.
func (a *App) keepBook(ctx context.Context) {
	if a.book == nil {
		return
	}
	a.reconcile(ctx, true)
	prune, reconcile := time.NewTicker(pruneEvery), time.NewTicker(reconcileEvery)
	defer prune.Stop()
	defer reconcile.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-reconcile.C:
			a.reconcile(ctx, false)
		case p := <-a.keys.newcomers:
			a.reconcileNewcomers(ctx, p)
		case now := <-prune.C:
			if n, err := a.book.db.Prune(ctx, now, a.book.retention); err != nil && ctx.Err() == nil {
				a.log.Warn("what has outlived its time was not removed from the ledger", "error", err)
			} else if n > 0 {
				a.log.Info("removed from the ledger what has outlived its time", "rows", n)
			}
		}
	}
}

// showBook copies the ledger's state into metrics.
func (a *App) showBook() {
	if a.book == nil {
		return
	}
	s := a.book.Status()
	a.metrics.Ledger(observe.LedgerSample{Recorded: s.Recorded, Unrecorded: s.Unrecorded, Entries: s.Entries, Stored: s.Stored, Failures: s.Failures,
		Broken: s.Broken, LogBytes: s.Bytes, LogMaxBytes: s.MaxBytes, Lag: s.LagTime, DatabaseUp: !s.Down})
}

// warnBook says that a reload does not change the ledger.
func (a *App) warnBook(old, snap *config.Snapshot) {
	if old != nil && !old.Ledger.Same(snap.Ledger) {
		a.log.Warn("the ledger's settings have changed: they take effect at the next start")
	}
}

var errNoBook = fmt.Errorf("no ledger is kept: configure `ledger`, or name a gateway's admin port with --from")
