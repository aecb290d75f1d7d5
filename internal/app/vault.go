package app

import (
	"context"
	"errors"

	"dragoman/internal/config"
	"dragoman/internal/vault"
)

// newVault makes what reads secrets of Vault. It asks nobody before a configuration refers to one.
func (a *App) newVault() *vault.Keeper {
	m := a.metrics
	if m == nil { // a command that ends at once
		return vault.New(vault.Options{})
	}
	return vault.New(vault.Options{Report: vault.Report{
		Read:  func(kind vault.Kind) { m.VaultRead(string(kind)) },
		Login: func(op string, err error) { m.VaultLogin(op, err) },
		State: m.VaultState,
	}})
}

// closeVault ends the tokens that logins made.
func (a *App) closeVault() {
	if a.vault != nil {
		a.vault.Close()
	}
}

// keepVault reads secrets anew until ctx ends. One that has changed makes the configuration be loaded again, and so reaches everything that
// uses it as a changed file would.
func (a *App) keepVault(ctx context.Context) {
	cancel := a.store.Subscribe(func(_, snap *config.Snapshot) { a.vault.Use(snap.Vault) })
	context.AfterFunc(ctx, cancel)
	a.vault.Use(a.store.Current().Vault)
	a.vault.Run(ctx, a.log, func() {
		if err := a.store.Reload(ctx); err == nil || errors.Is(err, context.Canceled) {
			return
		}
		// watchStatus says why; the last good configuration stays in force, and the next refresh tries again.
		a.log.Warn("secrets of Vault have changed, and the configuration cannot be loaded with them")
	})
}
