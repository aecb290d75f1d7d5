package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// endpoint is where one upstream API listens.
type endpoint struct {
	host     string // DNS name in lower case, or IP address without brackets
	port     uint32
	tls      bool
	basePath string // without slash at the end
}

// parseEndpoint reads a base URL. fault says what is wrong with it, without showing it: it may hold a password.
func parseEndpoint(raw string, s baseRule) (e endpoint, fault string) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return e, "is missing: give the base URL of the API, such as https://api.example.com/v1"
	case err != nil:
		return e, "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return e, "must begin with https:// or http://"
	case u.User != nil:
		return e, "must not hold a user or password: use credentials"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return e, "must end with its path: no ? and no #"
	}
	e.tls = u.Scheme == "https"
	if e.host, fault = hostOf(u.Hostname()); fault != "" {
		return e, fault
	}
	if e.port, fault = portOf(u.Port(), e.tls); fault != "" {
		return e, fault
	}
	e.basePath, fault = basePathOf(u, s)
	return e, fault
}

func hostOf(host string) (string, string) {
	if host == "" {
		return "", "has no host"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return "", "must not have an IPv6 zone"
		}
		return ip.String(), ""
	}
	host = strings.ToLower(host)
	if len(host) > 253 {
		return "", "has a host of more than 253 characters"
	}
	for _, label := range strings.Split(strings.TrimSuffix(host, "."), ".") {
		if !isName(label) || strings.Contains(label, ".") {
			return "", "has a host that is no DNS name"
		}
	}
	return host, ""
}

func portOf(port string, tls bool) (uint32, string) {
	switch {
	case port == "" && tls:
		return 443, ""
	case port == "":
		return 80, ""
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return 0, "has a port that is not from 1 to 65535"
	}
	return uint32(n), ""
}

// basePathOf is the path that the schema's own paths are appended to.
func basePathOf(u *url.URL, s baseRule) (string, string) {
	path := strings.TrimRight(u.EscapedPath(), "/")
	if len(path) > 256 || strings.Contains(path, "//") || dots(path) || dots(u.Path) {
		return "", "has a path that is too long or not clean"
	}
	if s.suffix != "" && strings.HasSuffix(path, s.suffix) {
		return "", "is the base of the API: take " + s.suffix + " off its end"
	}
	if path == "" || s.append && !s.ends(path) {
		path += s.path
	}
	return strings.TrimRight(path, "/"), ""
}

// ends says whether a path leads to the API already.
func (s baseRule) ends(path string) bool {
	return strings.HasSuffix(path, s.path) || slices.ContainsFunc(s.versions, func(v string) bool { return strings.HasSuffix(path, v) })
}

// dots says whether a path has a segment . or .. in it.
func dots(path string) bool {
	return strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./")
}

// sameHost says whether two URLs name one host.
func sameHost(a, b string) bool {
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	return errA == nil && errB == nil && ua.Hostname() != "" && strings.EqualFold(ua.Hostname(), ub.Hostname())
}

// isLoopback says whether only this machine can reach host.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// hostPort checks an address to listen on; fault is "" when it is fine.
func hostPort(address string) (host, fault string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", `must be an IP address and a port, such as "127.0.0.1:8080"`
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return "", "must begin with an IP address (or localhost): Envoy resolves no names to listen on"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "has a port that is not from 0 to 65535"
	}
	return host, ""
}

// isName is the form of what becomes part of Envoy's resource names, metric labels and counter ids: letters, digits, and
// within them . _ -, at most 63.
func isName(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case (c == '.' || c == '_' || c == '-') && i > 0 && i < len(s)-1:
		default:
			return false
		}
	}
	return true
}

// isModelName is the form of a model's or route's name: visible ASCII without quotes, backslash, comma and *, at most 128.
func isModelName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\'' || c == '\\' || c == ',' || c == '*' {
			return false
		}
	}
	return true
}
