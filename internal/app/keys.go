package app

import (
	"context"
	"slices"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/keystore"
	"dragoman/internal/observe"
	"dragoman/processor/auth"
)

// keys is the store of keys that are made while the gateway runs, as the app runs it.
type keys struct {
	*keystore.Store                        // nil: there is none
	newcomers       chan *config.Principal // who has called for the first time since the start or the last reload
	done            chan struct{}          // closed when the last uses are written down; nil before it runs
}

// maxNewcomers wait to be told what they have spent; those beyond are found a minute later.
const maxNewcomers = 4096

// openKeys opens the store of keys in the ledger's database, where the configuration asks for one.
func (a *App) openKeys(snap *config.Snapshot) error {
	a.keys.newcomers = make(chan *config.Principal, maxNewcomers) // callers without keys are newcomers, too
	if snap.KeyStore == nil {
		return nil
	}
	if a.book == nil {
		return keysProblem(snap, "needs `ledger`, whose database keeps the keys")
	}
	settings := snap.KeyStore.Beside(&a.book.settings)
	secret, err := keysSecret(settings)
	if err != nil {
		return keysProblem(snap, err.Error())
	}
	s := keystore.New(keystore.Options{Database: a.book.db, Secret: secret, Settings: settings, Config: a.serving.Load, First: a.newcomer, Log: a.log})
	if err := s.Start(context.Background()); err != nil {
		return keysProblem(snap, err.Error())
	}
	a.keys.Store = s
	st := s.Status()
	a.log.Info("keys are kept", "database", databaseName(&a.book.settings), "keys", st.Keys, "known_from", st.Source)
	return nil
}

// keysProblem is a fault of `identity.keys` that only a start finds.
func keysProblem(snap *config.Snapshot, message string) error {
	return &config.Problems{List: []config.Problem{{Source: snap.Source, Path: "identity.keys", Message: message}}}
}

// keysSecret is what keys are hashed by: the configured secret, or the one beside the database, which the first start makes.
func keysSecret(c config.KeyStore) (string, error) {
	if c.Secret.Source() != "" {
		return c.Secret.Reveal(), nil
	}
	return keystore.MakeSecret(c.SecretFile)
}

// runKeys looks for changes until ctx ends.
func (a *App) runKeys(ctx context.Context) {
	if a.keys.Store == nil {
		return
	}
	a.keys.done = make(chan struct{})
	go func() {
		defer close(a.keys.done)
		a.keys.Run(ctx)
	}()
}

// closeKeys waits for the last words of Run, before the database is closed.
func (a *App) closeKeys() {
	if a.keys.done != nil {
		<-a.keys.done
	}
}

// keyStore is what the processor asks; nil where there is no store.
func (a *App) keyStore() auth.Store {
	if a.keys.Store == nil {
		return nil
	}
	return a.keys.Store
}

// newcomer has the budgets of somebody who calls for the first time compared with the ledger at once: only the configuration's own were at the
// start. It does not block.
func (a *App) newcomer(p *config.Principal) {
	if !slices.ContainsFunc(p.Meters, func(m *config.Meter) bool { return m.Kind.Budget() }) {
		return
	}
	select {
	case a.keys.newcomers <- p:
	default: // the next comparison sees them
	}
}

// maxCallers bounds how many of those who are not in the configuration are looked at together.
const maxCallers = 2000

// callers are those of the configuration, and of the others those that have called lately.
func (a *App) callers(snap *config.Snapshot) []*config.Principal {
	list := snap.Keys.Principals()
	left := maxCallers
	snap.SeenCallers(func(p *config.Principal) bool {
		list = append(list, p)
		left--
		return left > 0
	})
	if a.keys.Store != nil {
		list = append(list, a.keys.Seen(snap, maxCallers)...)
	}
	return list
}

// showKeys copies the state of the keys into metrics.
func (a *App) showKeys() {
	if a.keys.Store == nil {
		return
	}
	s := a.keys.Status()
	sample := observe.KeysSample{Keys: s.Keys, Failures: s.Failures, DatabaseUp: s.Error == "", Known: s.Source != keystore.SourceNone, Age: time.Duration(s.Age * float64(time.Second))}
	a.metrics.Keys(sample)
}

// warnKeys says that a reload does not change how keys are kept.
func (a *App) warnKeys(old, snap *config.Snapshot) {
	if old != nil && !old.KeyStore.Same(snap.KeyStore) {
		a.log.Warn("identity.keys has changed: it takes effect at the next start")
	}
}
