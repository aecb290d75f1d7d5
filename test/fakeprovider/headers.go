package fakeprovider

import (
	"net/http"
	"sort"
	"strings"
)

// sharedHeaders are what HTTP itself and any sane client need. Everything else that reaches a provider is a leak:
// x-request-id, x-forwarded-for, x-envoy-*, traceparent, cookies, the client's own credential.
var sharedHeaders = []string{"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding", "user-agent"}

// strayHeaders names the headers that are not on the allow-list, in lower case, sorted.
func strayHeaders(h http.Header, allowed ...[]string) []string {
	var stray []string
	for name, values := range h {
		name = strings.ToLower(name)
		if !allows(name, allowed) {
			stray = append(stray, name)
		} else if len(values) > 1 {
			stray = append(stray, name+" (more than once)")
		}
	}
	sort.Strings(stray)
	return stray
}

func allows(name string, lists [][]string) bool {
	for _, list := range lists {
		for _, a := range list {
			if a == name {
				return true
			}
			if prefix, ok := strings.CutSuffix(a, "*"); ok && strings.HasPrefix(name, prefix) {
				return true
			}
		}
	}
	return false
}
