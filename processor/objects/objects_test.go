package objects

import (
	"strings"
	"testing"
)

var accounts = []string{"openai/default", "openai/second", "azure/default"}

func TestSealedIDOpensForItsOwnerAlone(t *testing.T) {
	k := NewKeeper([]byte("a secret that is long"))
	sealed := k.Seal(Owner{"acme", "openai/second"}, "file-abc123")
	if !strings.HasPrefix(sealed, "file-abc123.") || len(sealed) != len("file-abc123.")+20 {
		t.Errorf("sealed %q", sealed)
	}
	account, id, ok := k.Open("acme", sealed, accounts)
	if !ok || account != "openai/second" || id != "file-abc123" {
		t.Errorf("got %q, %q, %v", account, id, ok)
	}
	if again := NewKeeper([]byte("a secret that is long")).Seal(Owner{"acme", "openai/second"}, "file-abc123"); again != sealed {
		t.Errorf("another process seals %q, not %q", again, sealed)
	}
	for name, c := range map[string]struct {
		k        *Keeper
		tenant   string
		sealed   string
		accounts []string
	}{
		"another tenant":         {k, "beta", sealed, accounts},
		"tenant with a part":     {k, "acm", sealed, accounts},
		"another secret":         {NewKeeper([]byte("another secret, long too")), "acme", sealed, accounts},
		"a random secret":        {NewRandomKeeper(), "acme", sealed, accounts},
		"account gone":           {k, "acme", sealed, []string{"openai/default"}},
		"no account":             {k, "acme", sealed, nil},
		"the plain id":           {k, "acme", "file-abc123", accounts},
		"empty seal":             {k, "acme", "file-abc123.", accounts},
		"short seal":             {k, "acme", sealed[:len(sealed)-1], accounts},
		"seal of another object": {k, "acme", "file-abc124" + sealed[len("file-abc123"):], accounts},
		"seal twice":             {k, "acme", sealed + sealed[len("file-abc123"):], accounts},
		"empty":                  {k, "acme", "", accounts},
		"only a dot":             {k, "acme", ".", accounts},
		"only the seal":          {k, "acme", sealed[len("file-abc123"):], accounts},
	} {
		if account, id, ok := c.k.Open(c.tenant, c.sealed, c.accounts); ok {
			t.Errorf("%s: opened as %q of %q", name, id, account)
		}
	}
}

// What a seal covers must not be ambiguous: tenant, account and id cannot lend each other letters.
func TestSealsDiffer(t *testing.T) {
	k := NewKeeper([]byte("a secret that is long"))
	seen := map[string]bool{}
	for _, c := range [][3]string{{"a", "bc", "d"}, {"ab", "c", "d"}, {"a", "b", "cd"}, {"", "abc", "d"}, {"abc", "", "d"}} {
		seal := k.sealOf(Owner{c[0], c[1]}, c[2])
		if seen[seal] {
			t.Errorf("%q has the seal of another", c)
		}
		seen[seal] = true
	}
}

// An id that a provider made up must not lead out of its place in a path.
func TestIDsOfStrangeFormNeverOpen(t *testing.T) {
	k := NewKeeper([]byte("a secret that is long"))
	for _, id := range []string{"..", ".", "a/b", "a?b", "a b", "a%2fb", "ä", "", strings.Repeat("x", MaxID+1), "a\x00b", "a#b"} {
		if WellFormed(id) {
			t.Errorf("%q passes for an id", id)
		}
		if _, _, ok := k.Open("acme", k.Seal(Owner{"acme", accounts[0]}, id), accounts); ok {
			t.Errorf("%q opens", id)
		}
	}
	for _, id := range []string{"file-abc", "batch_68a", "a.b", "ftjob:1", strings.Repeat("x", MaxID)} {
		if _, got, ok := k.Open("acme", k.Seal(Owner{"acme", accounts[0]}, id), accounts); !ok || got != id {
			t.Errorf("%q does not open", id)
		}
	}
}

func TestMarkIsOfTheTenant(t *testing.T) {
	k := NewKeeper([]byte("a secret that is long"))
	if a, b := k.Mark("acme"), k.Mark("beta"); a == b || len(a) != 12 {
		t.Errorf("marks %q and %q", a, b)
	}
	if NewKeeper([]byte("another secret, long too")).Mark("acme") == k.Mark("acme") {
		t.Error("the mark does not depend on the secret")
	}
}

func TestCursor(t *testing.T) {
	k := NewKeeper([]byte("a secret that is long"))
	for _, after := range []string{"batch_of_somebody_else", ""} {
		c := k.Cursor(Owner{"acme", "openai/second"}, after)
		if strings.Contains(c, "somebody") {
			t.Errorf("the cursor %q shows what it stands for", c)
		}
		if account, got, ok := k.OpenCursor("acme", c); !ok || account != "openai/second" || got != after {
			t.Errorf("got %q, %q, %v", account, got, ok)
		}
		if _, _, ok := k.OpenCursor("beta", c); ok {
			t.Error("another tenant can use it")
		}
		if _, _, ok := k.Open("acme", c, accounts); ok {
			t.Error("a cursor opens as an id")
		}
	}
	for _, bad := range []string{"", "dgmc_", "dgmc_!!", "dgmc_AAAA", "file-abc", "dgmc_" + strings.Repeat("A", 4000)} {
		if _, _, ok := k.OpenCursor("acme", bad); ok {
			t.Errorf("%q opens", bad)
		}
	}
}

func TestNotFoundSaysNothingOfTheObject(t *testing.T) {
	f := NotFound("File", strings.Repeat("f", 500))
	if f.Code != "object_not_found" || len(f.Message) > 300 {
		t.Errorf("%+v", f)
	}
}

func FuzzOpen(f *testing.F) {
	k := NewKeeper([]byte("a secret that is long"))
	f.Add("file-abc.AAAA", "dgmc_AAAA")
	f.Add(k.Seal(Owner{"beta", accounts[0]}, "file-abc"), k.Cursor(Owner{"beta", accounts[0]}, "x"))
	f.Fuzz(func(t *testing.T, sealed, cursor string) {
		if _, _, ok := k.Open("acme", sealed, accounts); ok {
			t.Errorf("%q opens", sealed)
		}
		if _, _, ok := k.OpenCursor("acme", cursor); ok {
			t.Errorf("%q opens", cursor)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	k := NewKeeper([]byte("a secret that is long"))
	sealed := k.Seal(Owner{"acme", accounts[2]}, "file-abc123")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := k.Open("acme", sealed, accounts); !ok {
			b.Fatal("does not open")
		}
	}
}
