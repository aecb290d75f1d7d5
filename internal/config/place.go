package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Place is what a caller stands below: a tenant, a team of it, or a user of either.
type Place struct{ Tenant, Team, User string }

// String is the place as people write it: tenant, tenant/team, tenant/team/@user.
func (p Place) String() string {
	out := p.Tenant
	if p.Team != "" {
		out += "/" + p.Team
	}
	if p.User != "" {
		out += "/@" + p.User
	}
	return out
}

// ParsePlace reads what String writes.
func ParsePlace(s string) (p Place, err error) {
	parts := strings.Split(s, "/")
	p.Tenant = parts[0]
	rest := parts[1:]
	if len(rest) > 0 && !strings.HasPrefix(rest[0], "@") {
		p.Team, rest = rest[0], rest[1:]
	}
	if len(rest) > 0 && strings.HasPrefix(rest[0], "@") {
		p.User, rest = rest[0][1:], rest[1:]
		if !isUser(p.User) {
			return Place{}, fmt.Errorf("%q is no place: a user's name %s", clip(s), wantUser)
		}
	}
	if len(rest) > 0 || !isName(p.Tenant) || p.Team != "" && !isName(p.Team) {
		return Place{}, fmt.Errorf("%q is no place: write TENANT, TENANT/TEAM, TENANT/@USER or TENANT/TEAM/@USER", clip(s))
	}
	return p, nil
}

const wantUser = "must be 1 to 128 visible ASCII characters without quotes, backslash, comma, / and *"

// isUser is for users whose name somebody else has given: an address, a subject of an identity provider.
func isUser(s string) bool { return isModelName(s) && !strings.Contains(s, "/") }

// ErrNoPlace says that a tenant or team is not one of the configuration's.
var ErrNoPlace = errors.New("the configuration has no such tenant or team")

// Caller compiles somebody who calls from a place by a key that does not stand in the configuration; its hash is not looked at. A user of
// whom the configuration says nothing has what each_user says. The error is a *Problems, or wraps ErrNoPlace.
func (s *Snapshot) Caller(at Place, key *dragomanv1.Key) (*Principal, error) {
	snap := *s // a builder writes warnings into it
	b := &builder{snap: &snap, cfg: s.Config, file: &File{Name: at.String()}, problems: &Problems{}}
	level, err := b.level(at)
	if err != nil {
		return nil, err
	}
	key = proto.CloneOf(key)
	key.Hash = HashKey("") // required of those that stand in the configuration
	b.fields(key.ProtoReflect(), "key")
	p := b.key("key", key, *level)
	return p, b.problems.err()
}

// level finds a place, or makes that of a user who has none.
func (b *builder) level(at Place) (*Principal, error) {
	keys := b.snap.Keys
	if p := keys.places[at]; p != nil {
		return p, nil
	}
	team, tenant := Place{Tenant: at.Tenant, Team: at.Team}, Place{Tenant: at.Tenant}
	above := keys.places[team]
	if above == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoPlace, team)
	}
	if !isUser(at.User) {
		return nil, fmt.Errorf("the user's name %s", wantUser)
	}
	p := *above
	p.User = at.User
	each := keys.eachUser[team]
	if each == nil {
		each = keys.eachUser[tenant]
	}
	if each != nil {
		p = b.below(p, "each_user", userLevel(&p), each)
	}
	return &p, nil
}

// userLevel is what a user's counters are kept by.
func userLevel(p *Principal) string { return "user:" + p.path("@"+p.User) }

// place remembers a level that callers may stand below, and checks what its users have that are not listed.
func (b *builder) place(p Principal, path string, each *dragomanv1.EachUser) {
	at := Place{p.Tenant, p.Team, p.User}
	b.snap.Keys.places[at] = &p
	if each != nil {
		b.snap.Keys.eachUser[at] = each
		anybody := p
		anybody.User = "-"
		b.below(anybody, path+".each_user", userLevel(&anybody), each)
	}
}

// Principals are those that the keys of the configuration stand for, and each place by itself, whose Key is "". Their order is that of
// their paths.
func (k *Keys) Principals() []*Principal {
	if k.Open {
		return []*Principal{k.Anonymous}
	}
	out := make([]*Principal, 0, len(k.ByHash)+len(k.places))
	for _, p := range k.ByHash {
		out = append(out, p)
	}
	for _, p := range k.places {
		out = append(out, p)
	}
	slices.SortFunc(out, func(x, y *Principal) int { return strings.Compare(x.Path(), y.Path()) })
	return out
}
