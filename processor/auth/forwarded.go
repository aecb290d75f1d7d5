package auth

import "strings"

// forwarded reads x-forwarded-client-cert as the nearest proxy wrote it: of its elements, one of each proxy on the way and separated by commas,
// the last is that proxy's own word about whoever connected to it. An element is key=value pairs separated by semicolons; a value with one of
// these signs in it stands in quotes. See
// https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/headers#x-forwarded-client-cert.
//
// ok is false for what no proxy writes. A second URI is refused with it: a certificate of SPIFFE has one, and Envoy writes names without quotes,
// so that a name with a semicolon in it looks like two; also where the first is empty.
func forwarded(header string) (uri, dns string, ok bool) {
	rest, uris := header, 0
	for {
		var key, value string
		var end byte
		if key, value, end, rest, ok = pair(rest); !ok {
			return "", "", false
		}
		switch {
		case strings.EqualFold(key, "URI"):
			if uris++; uris > 1 || !plain(value) {
				return "", "", false
			}
			uri = value
		case strings.EqualFold(key, "DNS"):
			if !plain(value) {
				return "", "", false
			}
			if dns == "" {
				dns = value
			}
		}
		switch end {
		case 0:
			return uri, dns, true
		case ',':
			uri, dns, uris = "", "", 0
			rest = strings.TrimLeft(rest, " ") // a proxy that adds a header of its own
		}
	}
}

// plain says that a value is a name as it is, with no signs that were escaped; or empty, as Envoy writes a name that is not there.
func plain(value string) bool { return !strings.ContainsAny(value, "\\\" ") }

// pair reads the first key=value, and the sign after it: ; before another pair, a comma before another element, 0 at the end.
func pair(s string) (key, value string, end byte, rest string, ok bool) {
	key, s, ok = strings.Cut(s, "=")
	if !ok || key == "" || strings.ContainsAny(key, ",;\" ") {
		return "", "", 0, "", false
	}
	if strings.HasPrefix(s, `"`) {
		if value, s, ok = quoted(s[1:]); !ok {
			return "", "", 0, "", false
		}
	} else {
		at := strings.IndexAny(s, ",;")
		if at < 0 {
			at = len(s)
		}
		value, s = s[:at], s[at:]
	}
	switch {
	case s == "":
		return key, value, 0, "", true
	case s[0] != ',' && s[0] != ';':
		return "", "", 0, "", false
	}
	return key, value, s[0], s[1:], true
}

// quoted reads up to the closing quote. Escapes stay as they are.
func quoted(s string) (value, rest string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}
