package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"dragoman/processor/cache"
)

// maxFeedback bounds the body of a feedback in bytes.
const maxFeedback = 4 << 10

// cacheEndpoints adds what changes the cache's entries.
func cacheEndpoints(mux *http.ServeMux, tiers func() []cache.Admin, audit auditor) {
	mux.HandleFunc("DELETE /cache", local(audit.watch("cache.purge", func(w http.ResponseWriter, r *http.Request) { purge(w, r, tiers()) })))
	mux.HandleFunc("POST /cache/feedback", local(audit.watch("cache.feedback", func(w http.ResponseWriter, r *http.Request) { feedback(w, r, tiers()) })))
}

// purge removes the entries that the query names: tenant, model, older_than, key; all=true for every one.
func purge(w http.ResponseWriter, r *http.Request, tiers []cache.Admin) {
	f, err := filterOf(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	removed := 0
	for _, t := range tiers {
		n, err := t.Purge(r.Context(), f)
		removed += n
		if err != nil {
			http.Error(w, "the purge is not complete: "+err.Error(), http.StatusBadGateway)
			return
		}
	}
	answer(w, map[string]any{"removed": removed})
}

// filterOf reads a purge's query. Nothing named is no purge of everything: that has to be said.
func filterOf(raw string) (f cache.Filter, err error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return f, errors.New("the query cannot be read")
	}
	all, named := false, false
	for name, values := range query {
		value := values[len(values)-1]
		switch name {
		case "tenant":
			f.Tenant = value
		case "model":
			f.Model = value
		case "key":
			f.Key = value
		case "older_than":
			if f.OlderThan, err = time.ParseDuration(value); err != nil || f.OlderThan <= 0 {
				return f, errors.New(`older_than must be a duration with a unit, such as "30m"`)
			}
		case "all":
			all = value == "true"
		default:
			return f, errors.New("a purge knows tenant, model, older_than, key and all, nothing else")
		}
		if name != "all" && value == "" {
			return f, errors.New(name + " is empty")
		}
		named = named || name != "all"
	}
	if all == named {
		return f, errors.New("say what to purge: tenant, model, older_than and key, which all must hold, or all=true alone")
	}
	return f, nil
}

// feedback takes {"key": "…", "wrong": true}: what x-dragoman-cache-entry, or x-dragoman-cache, named was a wrong answer.
func feedback(w http.ResponseWriter, r *http.Request, tiers []cache.Admin) {
	var f struct {
		Key   string `json:"key"`
		Wrong *bool  `json:"wrong"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxFeedback))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || f.Key == "" || f.Wrong == nil || d.Decode(&struct{}{}) != io.EOF {
		http.Error(w, `the body must be {"key": "…", "wrong": true or false}`, http.StatusBadRequest)
		return
	}
	found := false
	for _, t := range tiers {
		has, err := t.Feedback(r.Context(), f.Key, *f.Wrong)
		if err != nil {
			http.Error(w, "the feedback was not taken: "+err.Error(), http.StatusBadGateway)
			return
		}
		found = found || has
	}
	if !found {
		http.Error(w, "the cache has no entry of this key", http.StatusNotFound)
		return
	}
	answer(w, map[string]any{"found": true})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// local lets only this machine's own programs change something: whatever address the port listens on, and not a page in
// somebody's browser, which could send a request here, or have its own name resolve to this address.
func local(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isLoopback(r.RemoteAddr):
			http.Error(w, "only programs on this machine may change something here", http.StatusForbidden)
		case r.Header.Get("origin") != "" || r.Header.Get("sec-fetch-site") != "" || !hostIsLocal(r.Host):
			http.Error(w, "this is not for browsers", http.StatusForbidden)
		default:
			h(w, r)
		}
	}
}

func isLoopback(address string) bool {
	ap, err := netip.ParseAddrPort(address)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// hostIsLocal takes an IP address or localhost: no name that somebody else can point here.
func hostIsLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
