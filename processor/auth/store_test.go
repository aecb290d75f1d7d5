package auth

import (
	"errors"
	"testing"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

// storeOf answers with what it is, and remembers what it was asked.
type storeOf struct {
	principal *config.Principal
	err       error
	snap      *config.Snapshot
	asked     []string
}

func (s *storeOf) Lookup(snap *config.Snapshot, key string) (*config.Principal, error) {
	s.snap, s.asked = snap, append(s.asked, key)
	return s.principal, s.err
}

// Keys of the configuration come first; only what it does not have is asked of the store, whose answer holds.
func TestStore(t *testing.T) {
	stored := &config.Principal{Tenant: "acme", Key: "stored"}
	away := fault.New(fault.Unavailable, "away")
	for name, c := range map[string]struct {
		keys  *config.Keys
		sent  Credentials
		store storeOf
		key   string // of the principal
		code  error  // of the store
		asked int
	}{
		"of the configuration":       {testKeys(), Credentials{XAPIKey: goodKey}, storeOf{err: away}, "ci", nil, 0},
		"revoked there":              {testKeys(), Credentials{XAPIKey: revokedKey}, storeOf{principal: stored}, "", nil, 0},
		"of the store":               {testKeys(), Credentials{Authorization: "Bearer dgm_x"}, storeOf{principal: stored}, "stored", nil, 1},
		"of the store alone":         {&config.Keys{}, Credentials{XGoogAPIKey: "dgm_x"}, storeOf{principal: stored}, "stored", nil, 1},
		"the store says no":          {testKeys(), Credentials{APIKey: "dgm_x"}, storeOf{err: away}, "", away, 1},
		"two keys":                   {testKeys(), Credentials{APIKey: "dgm_x", XAPIKey: "dgm_y"}, storeOf{principal: stored}, "", nil, 0},
		"no key":                     {testKeys(), Credentials{}, storeOf{principal: stored}, "", nil, 0},
		"an open gateway":            {&config.Keys{Open: true}, Credentials{XAPIKey: "dgm_x"}, storeOf{err: away}, "anonymous", nil, 0},
		"without a table of keys":    {nil, Credentials{XAPIKey: "dgm_x"}, storeOf{principal: stored}, "", nil, 0},
		"the same key in two places": {testKeys(), Credentials{APIKey: "dgm_x", Authorization: "bearer dgm_x"}, storeOf{principal: stored}, "stored", nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			snap := &config.Snapshot{Keys: c.keys}
			p, err := Authenticate(snap, &c.store, c.sent)
			if len(c.store.asked) != c.asked || c.asked > 0 && (c.store.asked[0] != "dgm_x" || c.store.snap != snap) {
				t.Errorf("asked the store %q", c.store.asked)
			}
			if (p == nil) != (c.key == "") || p != nil && p.Key != c.key || (err == nil) != (c.key != "") {
				t.Fatalf("got %+v, %v", p, err)
			}
			if c.code != nil && !errors.Is(err, c.code) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func BenchmarkAuthenticateByStore(b *testing.B) {
	snap, sent, store := testSnapshot(), Credentials{Authorization: "Bearer " + otherKey + "x"}, &fixedStore{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Authenticate(snap, store, sent); err != nil {
			b.Fatal(err)
		}
	}
}

type fixedStore struct{ p config.Principal }

func (s *fixedStore) Lookup(*config.Snapshot, string) (*config.Principal, error) { return &s.p, nil }
