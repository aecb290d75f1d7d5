package config

import (
	"encoding/hex"
	"fmt"
	"strings"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// tenants compiles who may call.
func (b *builder) tenants() {
	keys := &Keys{Open: len(b.cfg.Tenants) == 0, ByHash: map[[32]byte]*Principal{}}
	b.snap.Keys = keys
	if keys.Open {
		if !b.snap.Demo {
			b.warn("no keys are configured: everybody on this machine may use the providers' credentials")
		}
		return
	}
	names := map[string]bool{}
	for i, t := range b.cfg.Tenants {
		path := fmt.Sprintf("tenants[%d]", i)
		b.unique(names, path, "tenant", t.Name)
		levels := level(nil, "tenant:"+t.Name, t.Limits)
		b.keys(path, t.Keys, Principal{Tenant: t.Name, Scope: t.CacheScope, Trusted: t.Trusted, Levels: levels})
		teams := map[string]bool{}
		for j, team := range t.Teams {
			at := fmt.Sprintf("%s.teams[%d]", path, j)
			b.unique(teams, at, "team", team.Name)
			b.keys(at, team.Keys, Principal{Tenant: t.Name, Scope: t.CacheScope, Trusted: t.Trusted, Team: team.Name, Levels: level(levels, "team:"+t.Name+"/"+team.Name, team.Limits)})
		}
	}
	for _, p := range keys.ByHash {
		if !p.Revoked {
			return
		}
	}
	b.warn("tenants are configured, but no key that is not revoked: nobody may call")
}

// keys compiles the keys of a tenant or team; above is what they share.
func (b *builder) keys(path string, keys []*dragomanv1.Key, above Principal) {
	names := map[string]bool{}
	for i, k := range keys {
		at := fmt.Sprintf("%s.keys[%d]", path, i)
		b.unique(names, at, "key", k.Name)
		id := above.Tenant + "/" + k.Name
		if above.Team != "" {
			id = above.Tenant + "/" + above.Team + "/" + k.Name
		}
		p := above
		p.Key, p.Models, p.Revoked = k.Name, k.Models, k.Revoked
		p.Levels = level(above.Levels, "key:"+id, k.Limits)
		b.patterns(at, k.Models)
		if k.Hash == "" {
			continue // noted as missing
		}
		hash, ok := parseHash(k.Hash)
		if !ok {
			b.fail(at+".hash", "must be sha256: and 64 hex digits, as `dragoman keys create` prints it; never the key itself")
			continue
		}
		if other := b.snap.Keys.ByHash[hash]; other != nil {
			b.fail(at+".hash", "is also the hash of the key %q of tenant %q", other.Key, other.Tenant)
			continue
		}
		b.snap.Keys.ByHash[hash] = &p
	}
}

// patterns checks what a key may ask for: a * stands at the end or not at all.
func (b *builder) patterns(path string, models []string) {
	for i, m := range models {
		if name := strings.TrimSuffix(m, "*"); name != "" && !isModelName(name) || m == "" {
			b.fail(fmt.Sprintf("%s.models[%d]", path, i), "must be the name of a route or model, or provider/model; a * may stand at its end")
		}
	}
}

func (b *builder) unique(names map[string]bool, path, what, name string) {
	if name != "" && names[name] {
		b.fail(path+".name", "another %s is called %q", what, name)
	}
	names[name] = true
}

// level adds a counter set where there is a limit. It copies: levels above are shared.
func level(above []Level, id string, limits *dragomanv1.RateLimits) []Level {
	if limits.GetRequestsPerMinute() == 0 && limits.GetTokensPerMinute() == 0 {
		return above
	}
	return append(above[:len(above):len(above)], Level{ID: id, Requests: limits.GetRequestsPerMinute(), Tokens: limits.GetTokensPerMinute()})
}

// parseHash reads sha256:<64 hex digits>.
func parseHash(s string) (hash [32]byte, ok bool) {
	digits, ok := strings.CutPrefix(s, hashPrefix)
	if !ok || len(digits) != 2*len(hash) {
		return hash, false
	}
	_, err := hex.Decode(hash[:], []byte(digits))
	return hash, err == nil
}
