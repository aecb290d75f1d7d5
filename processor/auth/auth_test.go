package auth

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

const (
	goodKey    = "dgm-canary-4f1c9a77d2"
	otherKey   = "dgm-canary-other-001122"
	revokedKey = "dgm-canary-revoked-998"
)

func testKeys() *config.Keys {
	return &config.Keys{ByHash: map[[32]byte]*config.Principal{
		sha256.Sum256([]byte(goodKey)):    {Tenant: "acme", Key: "ci"},
		sha256.Sum256([]byte(otherKey)):   {Tenant: "acme", Key: "web"},
		sha256.Sum256([]byte(revokedKey)): {Tenant: "acme", Key: "old", Revoked: true},
	}}
}

func testSnapshot() *config.Snapshot { return &config.Snapshot{Keys: testKeys()} }

func TestAuthenticate(t *testing.T) {
	for name, c := range map[string]struct {
		sent Credentials
		key  string // of the principal, "" = refused
		code string
	}{
		"bearer":                 {Credentials{Authorization: "Bearer " + goodKey}, "ci", ""},
		"scheme in lower case":   {Credentials{Authorization: "bearer " + goodKey}, "ci", ""},
		"scheme in upper case":   {Credentials{Authorization: "BEARER   " + goodKey + " "}, "ci", ""},
		"x-api-key":              {Credentials{XAPIKey: goodKey}, "ci", ""},
		"api-key":                {Credentials{APIKey: " " + goodKey + "\t"}, "ci", ""},
		"x-goog-api-key":         {Credentials{XGoogAPIKey: goodKey}, "ci", ""},
		"the same key twice":     {Credentials{Authorization: "Bearer " + goodKey, XAPIKey: goodKey}, "ci", ""},
		"Basic of a proxy":       {Credentials{Authorization: "Basic dXNlcjpwYXNz", XAPIKey: goodKey}, "ci", ""},
		"none":                   {Credentials{}, "", "missing_api_key"},
		"blank":                  {Credentials{XAPIKey: "   "}, "", "missing_api_key"},
		"scheme without key":     {Credentials{Authorization: "Bearer "}, "", "missing_api_key"},
		"scheme alone":           {Credentials{Authorization: "Bearer"}, "", "missing_api_key"},
		"key without scheme":     {Credentials{Authorization: goodKey}, "", "missing_api_key"},
		"Basic":                  {Credentials{Authorization: "Basic dXNlcjpwYXNz"}, "", "missing_api_key"},
		"unknown":                {Credentials{XAPIKey: goodKey + "x"}, "", "invalid_api_key"},
		"prefix":                 {Credentials{XAPIKey: goodKey[:len(goodKey)-1]}, "", "invalid_api_key"},
		"other case":             {Credentials{XAPIKey: strings.ToUpper(goodKey)}, "", "invalid_api_key"},
		"the hash itself":        {Credentials{XAPIKey: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}, "", "invalid_api_key"},
		"too long":               {Credentials{XAPIKey: strings.Repeat("k", maxKey+1)}, "", "invalid_api_key"},
		"longest":                {Credentials{XAPIKey: strings.Repeat("k", maxKey)}, "", "invalid_api_key"},
		"revoked":                {Credentials{Authorization: "Bearer " + revokedKey}, "", "revoked_api_key"},
		"two valid keys":         {Credentials{Authorization: "Bearer " + goodKey, XAPIKey: otherKey}, "", "conflicting_api_keys"},
		"valid and provider key": {Credentials{APIKey: goodKey, XGoogAPIKey: "AIza-someone-elses"}, "", "conflicting_api_keys"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Authenticate(testSnapshot(), nil, c.sent)
			if c.key != "" {
				if err != nil || p.Key != c.key {
					t.Fatalf("got %+v, %v; want key %s", p, err, c.key)
				}
				return
			}
			var f *fault.Fault
			if !errors.As(err, &f) || f.Kind != fault.Unauthenticated || f.Code != c.code || p != nil {
				t.Fatalf("got %+v, %v; want code %s", p, err, c.code)
			}
		})
	}
}

func TestNoKeyInAnyError(t *testing.T) {
	for _, sent := range []Credentials{
		{XAPIKey: goodKey + "x"},
		{Authorization: goodKey},
		{Authorization: "Bearer " + revokedKey},
		{Authorization: "Bearer " + goodKey, XAPIKey: otherKey},
	} {
		_, err := Authenticate(testSnapshot(), nil, sent)
		for _, k := range []string{goodKey, otherKey, revokedKey} {
			// Not even the end of it: six bytes are more than a masked key shows.
			if strings.Contains(err.Error(), k[len(k)-6:]) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v shows a part of a key", err)
			}
		}
	}
}

func TestOpenGatewayTakesAnybody(t *testing.T) {
	keys := &config.Keys{Open: true}
	for _, sent := range []Credentials{{}, {XAPIKey: "whatever"}, {Authorization: "Bearer a", XAPIKey: "b"}} {
		if p, err := Authenticate(&config.Snapshot{Keys: keys}, nil, sent); err != nil || p != config.Anonymous {
			t.Errorf("%+v: got %+v, %v", sent, p, err)
		}
	}
}

// A key that is hashed only in part must not pass for its beginning.
func TestKeyIsNotCut(t *testing.T) {
	longest := strings.Repeat("k", maxKey)
	keys := &config.Keys{ByHash: map[[32]byte]*config.Principal{sha256.Sum256([]byte(longest)): {Key: "long"}}}
	if _, err := Authenticate(&config.Snapshot{Keys: keys}, nil, Credentials{XAPIKey: longest}); err != nil {
		t.Error(err)
	}
	if p, err := Authenticate(&config.Snapshot{Keys: keys}, nil, Credentials{XAPIKey: longest + "k"}); err == nil {
		t.Errorf("a longer key is taken for %s", p.Key)
	}
}

// Identity fails closed: without a key table nobody is let in.
func TestNoKeyTableLetsNobodyIn(t *testing.T) {
	for _, keys := range []*config.Keys{nil, {}} {
		if _, err := Authenticate(&config.Snapshot{Keys: keys}, nil, Credentials{XAPIKey: goodKey}); err == nil {
			t.Errorf("%+v let a caller in", keys)
		}
	}
}

// What a name stands for is config's to say (MayUseRoute, tested there); here only that Permit asks for the route, not for
// the name alone, and what it answers.
func TestPermit(t *testing.T) {
	mini := &config.Model{Name: "gpt-5-mini", Ref: "openai/gpt-5-mini", ID: "gpt-5-mini", Provider: &config.Provider{Name: "openai"}}
	candidates := []config.Candidate{{Model: mini}}
	for name, c := range map[string]struct {
		models  []string
		asked   string
		route   config.Route
		allowed bool
	}{
		"no list":                    {nil, "auto", config.Route{}, true},
		"route by name":              {[]string{"auto"}, "auto", config.Route{Candidates: candidates}, true},
		"model behind that route":    {[]string{"auto"}, "gpt-5-mini", config.Route{Candidates: candidates, Implicit: true}, false},
		"allowed under another name": {[]string{"gpt-5-mini"}, "openai/gpt-5-mini", config.Route{Candidates: candidates, Implicit: true}, true},
		"route of allowed models":    {[]string{"gpt-5-mini"}, "auto", config.Route{Candidates: candidates}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := Permit(&config.Principal{Models: c.models}, c.asked, &c.route)
			if c.allowed != (err == nil) {
				t.Fatalf("got %v, want allowed=%v", err, c.allowed)
			}
			var f *fault.Fault
			if err != nil && (!errors.As(err, &f) || f.Kind != fault.PermissionDenied || f.Code != "model_not_allowed" || f.Param != "model") {
				t.Fatalf("got %#v", err)
			}
		})
	}
}

func TestPermitShowsNoEndlessName(t *testing.T) {
	err := Permit(&config.Principal{Models: []string{"a"}}, strings.Repeat("m", 1<<20), &config.Route{})
	if n := len(err.Error()); n > 300 {
		t.Errorf("message of %d bytes", n)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	snap, sent := testSnapshot(), Credentials{Authorization: "Bearer " + goodKey}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Authenticate(snap, nil, sent); err != nil {
			b.Fatal(err)
		}
	}
}
