package config

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// tenants compiles who may call.
func (b *builder) tenants() {
	keys := &Keys{Open: len(b.cfg.Tenants) == 0, ByHash: map[[32]byte]*Principal{}, places: map[Place]*Principal{}, eachUser: map[Place]*dragomanv1.EachUser{}}
	b.snap.Keys = keys
	everybody := Principal{Meters: b.meters(nil, "global.", globalLevel, b.cfg.Global)}
	organisations := b.organisations(everybody)
	if keys.Open {
		if b.cfg.Identity != nil {
			b.fail("identity", "needs `tenants`: every caller belongs to one")
		}
		keys.Anonymous = Anonymous
		if len(everybody.Meters) > 0 {
			p := *Anonymous
			p.Meters = everybody.Meters
			keys.Anonymous = &p
		}
		if !b.snap.Demo {
			b.warn("no keys are configured: everybody on this machine may use the providers' credentials")
		}
		return
	}
	names := map[string]bool{}
	for i, t := range b.cfg.Tenants {
		path := fmt.Sprintf("tenants[%d]", i)
		b.unique(names, path, "tenant", t.Name)
		above, ok := everybody, true
		above.Slot = "tenant:" + t.Name
		if t.Organisation != "" {
			if above, ok = organisations[t.Organisation]; !ok && !b.file.related("organisations") {
				b.fail(path+".organisation", "no organisation is called %q", clip(t.Organisation))
			}
		}
		b.tenant(path, t, above)
	}
	for _, p := range keys.ByHash {
		if !p.Revoked {
			return
		}
	}
	if b.cfg.Identity != nil {
		return
	}
	b.warn("tenants are configured, but no key that is not revoked: nobody may call")
}

// organisations compiles what stands above tenants, by name.
func (b *builder) organisations(everybody Principal) map[string]Principal {
	all, names := map[string]Principal{}, map[string]bool{}
	for i, o := range b.cfg.Organisations {
		path := fmt.Sprintf("organisations[%d]", i)
		b.unique(names, path, "organisation", o.Name)
		p := everybody
		p.Organisation, p.Slot = o.Name, "organisation:"+o.Name
		all[o.Name] = b.below(p, path, "organisation:"+o.Name, o)
	}
	return all
}

func (b *builder) tenant(path string, t *dragomanv1.Tenant, above Principal) {
	above.Tenant, above.Scope, above.Trusted = t.Name, t.CacheScope, t.Trusted
	p := b.below(above, path, "tenant:"+t.Name, t)
	b.place(p, path, t.EachUser)
	b.keys(path, t.Keys, p)
	b.users(path, t.Users, p)
	teams := map[string]bool{}
	for i, team := range t.Teams {
		at := fmt.Sprintf("%s.teams[%d]", path, i)
		b.unique(teams, at, "team", team.Name)
		member := p
		member.Team = team.Name
		member = b.below(member, at, "team:"+t.Name+"/"+team.Name, team)
		b.place(member, at, team.EachUser)
		b.keys(at, team.Keys, member)
		b.users(at, team.Users, member)
	}
}

func (b *builder) users(path string, users []*dragomanv1.User, above Principal) {
	names := map[string]bool{}
	for i, u := range users {
		at := fmt.Sprintf("%s.users[%d]", path, i)
		b.unique(names, at, "user", u.Name)
		p := above
		p.User = u.Name
		p = b.below(p, at, userLevel(&p), u)
		b.place(p, at, nil)
		b.keys(at, u.Keys, p)
	}
}

// level is what every level between an organisation and a key may have.
type level interface {
	limited
	GetModels() []string
	GetProviders() []string
	GetDataRegions() []string
	GetTags() map[string]string
}

// below adds a level to those above it, which are shared and not written to.
func (b *builder) below(above Principal, path, id string, l level) Principal {
	p := above
	p.Meters = b.meters(above.Meters, path+".", id, l)
	if models := l.GetModels(); len(models) > 0 {
		b.patterns(path, models)
		p.Above = append(above.Above[:len(above.Above):len(above.Above)], models)
	}
	p.Reach = b.reach(above.Reach, path, l)
	p.Tags = b.tags(above.Tags, path, l.GetTags())
	return p
}

// reach narrows the providers that may serve.
func (b *builder) reach(above map[ProviderName]bool, path string, l level) map[ProviderName]bool {
	providers, regions := l.GetProviders(), l.GetDataRegions()
	if len(providers) == 0 && len(regions) == 0 {
		return above
	}
	for i, name := range providers {
		if b.snap.providers[ProviderName(name)] == nil && !b.file.related("providers") {
			b.fail(fmt.Sprintf("%s.providers[%d]", path, i), "no provider is called %q", clip(name))
		}
	}
	out := map[ProviderName]bool{}
	for _, p := range b.snap.Providers {
		if (above == nil || above[p.Name]) && (len(providers) == 0 || slices.Contains(providers, string(p.Name))) &&
			(len(regions) == 0 || slices.Contains(regions, p.DataRegion)) {
			out[p.Name] = true
		}
	}
	if len(out) == 0 && !b.file.related("providers") {
		b.fail(path+".providers", "and data_regions leave no provider: %s may use none", path)
	}
	return out
}

// maxTags bounds what every record of a level carries.
const maxTags = 32

func (b *builder) tags(above map[string]string, path string, tags map[string]string) map[string]string {
	if len(tags) == 0 {
		return above
	}
	out := maps.Clone(above)
	if out == nil {
		out = map[string]string{}
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if !isName(name) {
			b.fail(join(path+".tags", name), "is no name of a tag: it %s", wantPlain)
		}
		if len(tags[name]) > 128 {
			b.fail(join(path+".tags", name), "must be at most 128 bytes")
		}
		out[name] = tags[name]
	}
	if len(out) > maxTags {
		b.fail(path+".tags", "are %d with those above; %d are the most", len(out), maxTags)
	}
	return out
}

// keyLevel is a key as a level: what it says of models stands in Principal.Models.
type keyLevel struct{ *dragomanv1.Key }

// GetModels is none.
func (keyLevel) GetModels() []string { return nil }

// keys compiles the keys of a tenant, team or user; above is what they share.
func (b *builder) keys(path string, keys []*dragomanv1.Key, above Principal) {
	names := map[string]bool{}
	for i, k := range keys {
		at := fmt.Sprintf("%s.keys[%d]", path, i)
		b.unique(names, at, "key", k.Name)
		p := b.key(at, k, above)
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
		b.snap.Keys.ByHash[hash] = p
	}
}

// key compiles what a key is for.
func (b *builder) key(at string, k *dragomanv1.Key, above Principal) *Principal {
	p := above
	p.Key, p.Models, p.Revoked = k.Name, k.Models, k.Revoked
	p = b.below(p, at, "key:"+p.Path(), keyLevel{k})
	b.patterns(at, k.Models)
	for _, name := range slices.Sorted(maps.Keys(p.Tags)) {
		p.Labels = append(p.Labels, name+"="+p.Tags[name])
	}
	return &p
}

// patterns checks what may be asked for: a * stands at the end or not at all.
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

// parseHash reads sha256:<64 hex digits>.
func parseHash(s string) (hash [32]byte, ok bool) {
	digits, ok := strings.CutPrefix(s, hashPrefix)
	if !ok || len(digits) != 2*len(hash) {
		return hash, false
	}
	_, err := hex.Decode(hash[:], []byte(digits))
	return hash, err == nil
}
