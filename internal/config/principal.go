package config

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"io"
	"strings"
)

// KeyPrefix begins every key that NewKey makes, so that secret scanners and people recognise one.
const KeyPrefix = "dgm_"

// Keys is every key by its hash.
type Keys struct {
	Open   bool                    // no tenants configured: everybody is Anonymous
	ByHash map[[32]byte]*Principal // by SHA-256 of the key
}

// Anonymous is the caller of an open gateway.
var Anonymous = &Principal{Tenant: "default", Key: "anonymous"}

// Own is the gateway itself, whose requests (embeddings) no limit holds up. No tenant can have its name.
var Own = &Principal{Tenant: "(gateway)", Key: "own"}

// Principal is who calls: one key with all that stands above it.
type Principal struct {
	Tenant  string
	Team    string // "" when the key belongs to the tenant directly
	Key     string
	Scope   string   // of the cache, shared with the tenants that name the same; "": the tenant's own
	Trusted bool     // its tenant's requests may have Dragoman fetch media from URLs
	Models  []string // patterns; empty: all
	Revoked bool
	Levels  []Level // with limits only, from the tenant down
}

// Level is one counter set of the hierarchy.
type Level struct {
	ID       string // tenant:acme, team:acme/search, key:acme/search/ci, key:acme/ci
	Requests uint64 // per minute, 0: unlimited
	Tokens   uint64 // per minute, 0: unlimited
}

// MayUse says whether one of the principal's patterns matches name. For a request use MayUseRoute, which also knows
// what the name stands for.
func (p *Principal) MayUse(name string) bool {
	if len(p.Models) == 0 {
		return true
	}
	for _, m := range p.Models {
		if m == name {
			return true
		}
		if n := len(m); n > 0 && m[n-1] == '*' && len(name) >= n-1 && name[:n-1] == m[:n-1] {
			return true
		}
	}
	return false
}

// MayUseRoute says whether the principal may ask for r by the name asked, as Lookup returned it: when the name itself
// is allowed, or when it stands for models (it is no configured route) of which each is allowed, by its name or as
// provider/id. So a key for gpt-5-mini may ask for openai/gpt-5-mini and the other way round, while no way of asking
// reaches a model that could not be asked for directly. A configured route is allowed by its name alone, and then
// needs no permission for its candidates.
func (p *Principal) MayUseRoute(asked string, r *Route) bool {
	if p.MayUse(asked) {
		return true
	}
	if !r.Implicit {
		return false
	}
	for i := range r.Candidates {
		if m := r.Candidates[i].Model; !p.MayUse(m.Name) && !p.MayUse(m.Ref) {
			return false
		}
	}
	return len(r.Candidates) > 0
}

// HashKey is a key as `tenants` hold it: sha256:<64 hex digits>. Keys are random and long, so that a plain hash is enough.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hashPrefix + hex.EncodeToString(sum[:])
}

const hashPrefix = "sha256:"

// NewKey makes a key from 256 bits of rand: dgm_ and 52 lower-case letters and digits. The error is rand's.
func NewKey(rand io.Reader) (string, error) {
	var bits [32]byte
	if _, err := io.ReadFull(rand, bits[:]); err != nil {
		return "", err
	}
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	return KeyPrefix + strings.ToLower(encoding.EncodeToString(bits[:])), nil
}
