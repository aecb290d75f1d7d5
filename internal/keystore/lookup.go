package keystore

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

// Codes of the faults of Lookup.
const (
	CodeInvalid     = "invalid_api_key"
	CodeRevoked     = "revoked_api_key"
	CodeExpired     = "expired_api_key"
	CodeNoTenant    = "unknown_tenant"
	CodeUnusable    = "unusable_api_key"
	CodeUnavailable = "keys_unavailable"
)

// compiled is a key under one configuration: its principal, or why there is none.
type compiled struct {
	snap      *config.Snapshot
	principal *config.Principal
	refusal   *fault.Fault
}

// Lookup finds who calls by what was sent as a key. It asks nobody and waits for nobody. The error is a *fault.Fault: Unauthenticated with
// the code invalid_api_key, revoked_api_key or expired_api_key; PermissionDenied with unknown_tenant, where the configuration has no longer the
// tenant or team that the key was made for, or unusable_api_key, where it lacks something else that the key names; and Unavailable with
// keys_unavailable for what may be a key that this replica has not heard of, because it cannot reach the database. Nothing of the key is in
// its message.
func (s *Store) Lookup(snap *config.Snapshot, secret string) (*config.Principal, error) {
	if len(secret) > maxSecret {
		return nil, s.unknown(secret)
	}
	e, ok := s.table.find(s.hasher.sum(secret))
	if !ok {
		return nil, s.unknown(secret)
	}
	now := s.o.Now().UnixMicro()
	switch {
	case e.revoked != 0:
		return nil, refuse(CodeRevoked, "This API key was revoked. Ask whoever runs this gateway for a new one.")
	case e.expires != 0 && e.expires <= now:
		return nil, refuse(CodeExpired, "This API key has expired. Ask whoever runs this gateway for a new one.")
	case e.ends != 0 && e.ends <= now:
		return nil, refuse(CodeExpired, "This API key was replaced by a newer one, and is no longer accepted. Use that, or ask whoever runs this gateway for it.")
	}
	c := e.compiled.Load()
	if c == nil || c.snap != snap {
		c = s.compile(e.record, snap)
	}
	if c.refusal != nil {
		f := *c.refusal // who answers may add to it
		return nil, &f
	}
	e.use.note(now)
	return c.principal, nil
}

func refuse(code, message string) *fault.Fault {
	return &fault.Fault{Kind: fault.Unauthenticated, Code: code, Message: message}
}

// unknown says what becomes of a caller whom the table does not have. While the database cannot be asked, what looks like a key of ours may be
// one that was made since: that is not said to be none.
func (s *Store) unknown(secret string) error {
	if looksLikeKey(secret) && !s.current() {
		return &fault.Fault{Kind: fault.Unavailable, Code: CodeUnavailable, RetryAfter: time.Second,
			Message: "The gateway does not know this API key, and cannot look whether it is a new one: the database of keys does not answer. Try again."}
	}
	return refuse(CodeInvalid, "The API key is not one of this gateway's. Send a key that was issued for it, not a provider's own.")
}

// looksLikeKey says whether a secret is formed as config.NewKey does.
func looksLikeKey(secret string) bool {
	rest, ok := strings.CutPrefix(secret, config.KeyPrefix)
	if !ok || len(rest) != 52 {
		return false
	}
	for i := range len(rest) {
		if c := rest[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// compile makes a key's principal and keeps it for as long as the configuration is in force. Several requests may do so at the same time; what
// each gets is the same.
func (s *Store) compile(r *record, snap *config.Snapshot) *compiled {
	c := &compiled{snap: snap}
	if spec := parseSpec(r.spec); spec != nil {
		p, err := snap.Caller(r.place, spec)
		c.principal, c.refusal = p, s.misfit(r, err)
	} else {
		c.refusal = unusable()
	}
	if s.o.Config() != snap {
		return c // a request that began under another configuration
	}
	last := r.compiled.Load()
	if last != nil && last.snap == snap {
		return last
	}
	if r.compiled.CompareAndSwap(last, c) && c.refusal == nil {
		s.o.First(c.principal)
	}
	return c
}

// misfit is why a key cannot be used under a configuration; nil when it can.
func (s *Store) misfit(r *record, err error) *fault.Fault {
	if err == nil {
		return nil
	}
	s.o.Log.Warn("a key does not fit the configuration, and its callers are refused", "id", r.id, "place", r.place.String(), "error", err)
	if errors.Is(err, config.ErrNoPlace) {
		return &fault.Fault{Kind: fault.PermissionDenied, Code: CodeNoTenant,
			Message: "This API key belongs to a tenant or team that the gateway's configuration no longer has. Ask whoever runs this gateway."}
	}
	return unusable()
}

func unusable() *fault.Fault {
	return &fault.Fault{Kind: fault.PermissionDenied, Code: CodeUnusable,
		Message: "This API key names something that the gateway's configuration no longer has. Ask whoever runs this gateway for a new one."}
}

// sweep lets go of what was compiled for a configuration that is no longer in force: a key that is not used again would keep all of it.
func (s *Store) sweep() {
	snap := s.o.Config()
	if s.swept == snap {
		return
	}
	s.swept = snap
	for _, r := range s.table.list() {
		if c := r.compiled.Load(); c != nil && c.snap != snap {
			r.compiled.CompareAndSwap(c, nil)
		}
	}
}

// Seen are the principals of the keys that were used under a configuration, at most so many.
func (s *Store) Seen(snap *config.Snapshot, most int) []*config.Principal {
	var out []*config.Principal
	for _, r := range s.table.list() {
		if len(out) == most {
			break
		}
		if c := r.compiled.Load(); c != nil && c.snap == snap && c.refusal == nil {
			out = append(out, c.principal)
		}
	}
	return out
}

// Budgeted are the principals, under a configuration, of the keys that were used last and may have a budget of their own or of their user's, at
// most so many.
func (s *Store) Budgeted(snap *config.Snapshot, most int) []*config.Principal {
	now := s.o.Now().UnixMicro()
	var list []*record
	for _, r := range s.table.list() {
		if r.revoked == 0 && (r.expires == 0 || r.expires > now) && (r.place.User != "" || strings.Contains(r.spec, `"budgets"`)) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(x, y *record) int { return cmp.Compare(y.use.at.Load(), x.use.at.Load()) })
	var out []*config.Principal
	for _, r := range list[:min(len(list), most)] {
		if spec := parseSpec(r.spec); spec != nil {
			if p, err := snap.Caller(r.place, spec); err == nil {
				out = append(out, p)
			}
		}
	}
	return out
}
