package config

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"io"
	"slices"
	"strings"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// KeyPrefix begins every key that NewKey makes, so that secret scanners and people recognise one.
const KeyPrefix = "dgm_"

// Keys is every key by its hash.
type Keys struct {
	Open      bool                    // no tenants configured: everybody is Anonymous
	Anonymous *Principal              // of an open gateway: Anonymous below what is global
	ByHash    map[[32]byte]*Principal // by SHA-256 of the key

	places   map[Place]*Principal           // every level that callers stand below, without a key
	eachUser map[Place]*dragomanv1.EachUser // of tenants and teams, what users have that have no place
}

// Anonymous is the caller of an open gateway.
var Anonymous = &Principal{Tenant: "default", Key: "anonymous", Slot: "tenant:default"}

// Own is the gateway itself, whose requests (embeddings) no limit holds up. No tenant can have its name.
var Own = &Principal{Tenant: "(gateway)", Key: "own"}

// Principal is who calls: one key with all that stands above it.
type Principal struct {
	Organisation string // "" when the tenant belongs to none
	Tenant       string
	Team         string // "" when the key belongs to the tenant directly
	User         string // "" when the key belongs to nobody in particular
	Key          string
	Scope        string   // of the cache, shared with the tenants that name the same; "": the tenant's own
	Trusted      bool     // its tenant's requests may have Dragoman fetch media from URLs
	Models       []string // patterns; empty: all
	Revoked      bool

	Above  [][]string            // patterns of the levels above, each of which has to allow a model
	Reach  map[ProviderName]bool // providers that may serve; nil: all
	Tags   map[string]string     // of all levels
	Labels []string              // Tags as name=value, sorted
	Slot   string                // what the counters are kept by: the organisation, or the tenant where there is none
	Meters []*Meter              // limits and budgets, from the global ones down to the key's
}

// Path is the principal as people write it: tenant/key, tenant/team/key, tenant/team/@user/key.
func (p *Principal) Path() string { return p.path(p.Key) }

func (p *Principal) path(last string) string {
	var b strings.Builder
	b.WriteString(p.Tenant)
	if p.Team != "" {
		b.WriteString("/" + p.Team)
	}
	if p.User != "" && last != "@"+p.User {
		b.WriteString("/@" + p.User)
	}
	b.WriteString("/" + last)
	return b.String()
}

// Budgeted says whether a hard budget holds for the principal.
func (p *Principal) Budgeted() bool {
	for _, m := range p.Meters {
		if m.Kind.Budget() && m.Mode == Hard {
			return true
		}
	}
	return false
}

// Restricted says whether there is a model that the principal may not ask for.
func (p *Principal) Restricted() bool {
	if len(p.Models) > 0 && !slices.Contains(p.Models, "*") {
		return true
	}
	return slices.ContainsFunc(p.Above, func(list []string) bool { return !slices.Contains(list, "*") })
}

// MayReach says whether a provider may serve the principal.
func (p *Principal) MayReach(provider *Provider) bool {
	return p.Reach == nil || p.Reach[provider.Name]
}

// Reachable is the route with the candidates whose provider may serve the principal, r itself when that is all of them; nil when
// none is left.
func (p *Principal) Reachable(r *Route) *Route {
	if p.Reach == nil || !slices.ContainsFunc(r.Candidates, func(c Candidate) bool { return !p.MayReach(c.Model.Provider) }) {
		return r
	}
	out := *r
	out.Candidates = nil
	for _, c := range r.Candidates {
		if p.MayReach(c.Model.Provider) {
			out.Candidates = append(out.Candidates, c)
		}
	}
	if len(out.Candidates) == 0 {
		return nil
	}
	out.Worst = WorstOf(out.Candidates)
	return &out
}

// MayUse says whether the principal may ask for a name: when at every level that names models one of its patterns matches. For a
// request use MayUseRoute, which also knows what the name stands for.
func (p *Principal) MayUse(name string) bool {
	if len(p.Models) > 0 && !matches(p.Models, name) {
		return false
	}
	for _, list := range p.Above {
		if !matches(list, name) {
			return false
		}
	}
	return true
}

// MayUseRoute says whether the principal may ask for r by the name asked, as Lookup returned it: when the name itself
// is allowed, or when it stands for models (it is no configured route) of which each is allowed, by its name or as
// provider/id. So a key for gpt-5-mini may ask for openai/gpt-5-mini and the other way round, while no way of asking
// reaches a model that could not be asked for directly. A configured route is allowed by its name alone, and then
// needs no permission for its candidates.
func (p *Principal) MayUseRoute(asked string, r *Route) bool {
	if len(p.Models) > 0 && !allows(p.Models, asked, r) {
		return false
	}
	for _, list := range p.Above {
		if !allows(list, asked, r) {
			return false
		}
	}
	return true
}

// allows is MayUseRoute for the patterns of one level.
func allows(patterns []string, asked string, r *Route) bool {
	if matches(patterns, asked) {
		return true
	}
	if !r.Implicit {
		return false
	}
	for i := range r.Candidates {
		if m := r.Candidates[i].Model; !matches(patterns, m.Name) && !matches(patterns, m.Ref) {
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
