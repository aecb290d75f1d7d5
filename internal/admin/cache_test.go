package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"dragoman/processor/cache"
)

// tier is a cache that notes what it is told.
type tier struct {
	purged   []cache.Filter
	feedback []string
	has      string
	err      error
}

func (t *tier) Purge(_ context.Context, f cache.Filter) (int, error) {
	t.purged = append(t.purged, f)
	return 3, t.err
}

func (t *tier) Feedback(_ context.Context, key string, wrong bool) (bool, error) {
	if wrong {
		t.feedback = append(t.feedback, key)
	}
	return key == t.has, t.err
}

func TestPurge(t *testing.T) {
	for query, want := range map[string]cache.Filter{
		"tenant=acme":                          {Tenant: "acme"},
		"model=gpt-5&older_than=90m":           {Model: "gpt-5", OlderThan: 90 * time.Minute},
		"key=abc":                              {Key: "abc"},
		"tenant=a&model=b&key=c&older_than=1s": {Tenant: "a", Model: "b", Key: "c", OlderThan: time.Second},
		"all=true":                             {},
	} {
		one, two := &tier{}, &tier{}
		code, body := send(newWorld(t, "", one, two), http.MethodDelete, "/cache?"+query, "", nil)
		if code != 200 || !strings.Contains(body, `"removed":6`) || len(one.purged) != 1 || one.purged[0] != want || len(two.purged) != 1 {
			t.Errorf("%s: %d %s %+v", query, code, body, one.purged)
		}
	}
}

// A typing error must not purge more than was meant.
func TestPurgeRefuses(t *testing.T) {
	for _, query := range []string{"", "tennant=acme", "tenant=", "all=false", "all=true&tenant=acme", "older_than=1", "older_than=-1h", "older_than=0s", "%zz"} {
		one := &tier{}
		r := "/cache"
		code, body := send(newWorld(t, "", one), http.MethodDelete, r, "", func(r *http.Request) { r.URL.RawQuery = query })
		if code != http.StatusBadRequest || len(one.purged) != 0 {
			t.Errorf("%q: %d %s, purged %+v", query, code, body, one.purged)
		}
	}
}

func TestFeedback(t *testing.T) {
	one, two := &tier{}, &tier{has: "k"}
	h := newWorld(t, "", one, two)
	if code, body := send(h, http.MethodPost, "/cache/feedback", `{"key": "k", "wrong": true}`, nil); code != 200 || len(two.feedback) != 1 {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := send(h, http.MethodPost, "/cache/feedback", `{"key": "x", "wrong": true}`, nil); code != http.StatusNotFound {
		t.Errorf("an unknown key: %d", code)
	}
	for _, body := range []string{"", "{}", `{"key": "k"}`, `{"wrong": true}`, `{"key": "", "wrong": true}`, `{"key": "k", "wrong": "yes"}`,
		`{"key": "k", "wrong": true, "more": 1}`, `{"key": "k", "wrong": true} {}`, `{"key": "` + strings.Repeat("k", maxFeedback) + `", "wrong": true}`} {
		if code, _ := send(h, http.MethodPost, "/cache/feedback", body, nil); code != http.StatusBadRequest {
			t.Errorf("%.60s: %d", body, code)
		}
	}
}

func TestTiersThatFail(t *testing.T) {
	h := newWorld(t, "", &tier{err: errors.New("redis is away")})
	for _, r := range [][3]string{{http.MethodDelete, "/cache?all=true", ""}, {http.MethodPost, "/cache/feedback", `{"key": "k", "wrong": true}`}} {
		if code, body := send(h, r[0], r[1], r[2], nil); code != http.StatusBadGateway || !strings.Contains(body, "redis is away") {
			t.Errorf("%s: %d %s", r[1], code, body)
		}
	}
}

// TestOnlyLocalProgramsChangeTheCache: neither another machine nor a page in a browser.
func TestOnlyLocalProgramsChangeTheCache(t *testing.T) {
	for what, change := range map[string]func(*http.Request){
		"another machine":  func(r *http.Request) { r.RemoteAddr = "10.0.0.9:5000" },
		"no address":       func(r *http.Request) { r.RemoteAddr = "@" },
		"a page":           func(r *http.Request) { r.Header.Set("origin", "https://evil.example") },
		"a page, unnamed":  func(r *http.Request) { r.Header.Set("sec-fetch-site", "cross-site") },
		"a name's rebound": func(r *http.Request) { r.Host = "evil.example:8081" },
	} {
		one := &tier{has: "k"}
		h := newWorld(t, "", one)
		for _, r := range [][3]string{{http.MethodDelete, "/cache?all=true", ""}, {http.MethodPost, "/cache/feedback", `{"key": "k", "wrong": true}`}} {
			if code, _ := send(h, r[0], r[1], r[2], change); code != http.StatusForbidden && code != http.StatusUnauthorized {
				t.Errorf("%s: %s: %d", what, r[1], code)
			}
		}
		if len(one.purged)+len(one.feedback) != 0 {
			t.Errorf("%s changed the cache", what)
		}
	}
	for _, host := range []string{"localhost:8081", "LOCALHOST", "[::1]:8081", "127.0.0.1", "::1"} {
		if code, _ := send(newWorld(t, ""), http.MethodDelete, "/cache?all=true", "", func(r *http.Request) { r.Host, r.RemoteAddr = host, "[::1]:4000" }); code != 200 {
			t.Errorf("%s: %d", host, code)
		}
	}
}
