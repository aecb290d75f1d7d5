package observe

import (
	"log/slog"
	"strings"
)

// masked stands for a credential.
const masked = "[redacted]"

// redactAttr is the last guard: nothing should log a credential, and what does anyway (a provider's error that repeats the
// key it was sent) is masked here.
func redactAttr(_ []string, a slog.Attr) slog.Attr {
	switch strings.ToLower(a.Key) {
	case "authorization", "proxy-authorization", "x-api-key", "api-key", "api_key", "x-goog-api-key", "cookie", "set-cookie", "secret", "password":
		a.Value = slog.StringValue(masked)
		return a
	}
	switch a.Value.Kind() {
	case slog.KindString:
		if s := a.Value.String(); suspicious(s) {
			a.Value = slog.StringValue(redact(s))
		}
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok && err != nil {
			a.Value = slog.StringValue(redact(err.Error()))
		}
	}
	return a
}

// keyPrefixes begin the keys of OpenAI and Anthropic, Google, and this gateway.
var keyPrefixes = [...]string{"sk-", "AIza", "dgm_"}

// minKey is how long what follows a prefix must be to count as a key, minToken what follows the word bearer.
const (
	minKey   = 12
	minToken = 8
)

func suspicious(s string) bool {
	if len(s) < minKey {
		return false
	}
	for _, p := range keyPrefixes {
		if strings.Contains(s, p) {
			return true
		}
	}
	return strings.Contains(s, "earer ")
}

// redact masks every credential in s.
func redact(s string) string {
	for _, p := range keyPrefixes {
		s = redactAfter(s, p, minKey)
	}
	return redactAfter(redactAfter(s, "Bearer ", minToken), "bearer ", minToken)
}

// redactAfter masks the run of key characters behind each occurrence of prefix, when there are at least least of them.
func redactAfter(s, prefix string, least int) string {
	var b strings.Builder
	for {
		i := strings.Index(s, prefix)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		i += len(prefix)
		n := i
		for n < len(s) && keyByte(s[n]) {
			n++
		}
		b.WriteString(s[:i])
		if n-i >= least {
			b.WriteString(masked)
		} else {
			b.WriteString(s[i:n])
		}
		s = s[n:]
	}
}

func keyByte(c byte) bool {
	return c == '-' || c == '_' || c == '.' || c == '=' || c == '+' || c == '/' || c == '*' ||
		'0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
