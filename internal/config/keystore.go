package config

import (
	"path/filepath"
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// KeyStore says how keys are kept that are made, rotated and revoked while the gateway runs.
type KeyStore struct {
	// Secret that keys are hashed by; zero: the one in SecretFile, which is made where it is not there. Both are unset where `run` keeps
	// a ledger by itself: then they are beside that.
	Secret     Secret
	SecretFile string
	Refresh    time.Duration // how often changes of other replicas are looked for
	MaxAge     time.Duration // of a key; 0: any
	Cache      string        // file of the last known keys; "": beside the ledger's log
}

// Beside returns where things are when the ledger is kept in another place than the configuration says.
func (k KeyStore) Beside(l *Ledger) KeyStore {
	if k.Secret.Source() == "" && k.SecretFile == "" && l.SQLite != "" {
		k.SecretFile = filepath.Join(filepath.Dir(l.SQLite), keysSecretFile)
	}
	if k.Cache == "" {
		k.Cache = filepath.Join(filepath.Dir(l.Log), keysCacheFile)
	}
	return k
}

// Same says whether a reload changes nothing of it.
func (k *KeyStore) Same(o *KeyStore) bool {
	if k == nil || o == nil {
		return k == o
	}
	return *k == *o
}

const (
	keysSecretFile = "keys.secret"
	keysCacheFile  = "keys.cache"
	keysRefresh    = time.Second

	// minKeysSecret is the fewest characters that the secret of keys may have.
	minKeysSecret = 32
)

// keyStoreDefaults fill in what `identity.keys` leaves out.
func keyStoreDefaults(k *dragomanv1.KeyStore, dir string) {
	k.Refresh = orDuration(k.Refresh, keysRefresh)
	k.Cache = absolute(k.Cache, dir)
	if f, ok := k.GetSecret().GetSource().(*dragomanv1.Secret_File); ok {
		f.File = absolute(f.File, dir)
	}
}

// keyStore compiles `identity.keys`, after the ledger.
func (b *builder) keyStore() {
	k := b.cfg.GetIdentity().GetKeys()
	if k == nil {
		return
	}
	out := &KeyStore{Refresh: k.Refresh.AsDuration(), MaxAge: k.MaxAge.AsDuration(), Cache: k.Cache}
	const path = "identity.keys"
	if l := b.cfg.Ledger; l != nil && l.Enabled != nil && !*l.Enabled {
		b.fail(path, "needs `ledger`, whose database keeps the keys: it is off")
	}
	if k.Secret != nil {
		out.Secret = b.longSecret(path+".secret", k.Secret, minKeysSecret)
	} else if b.cfg.GetLedger().GetPostgres() != nil {
		b.fail(path+".secret", "is missing: with ledger.postgres every replica needs the same, of at least %d characters", minKeysSecret)
	}
	if b.snap.Ledger != nil {
		*out = out.Beside(b.snap.Ledger)
	}
	b.snap.KeyStore = out
}
