package wire

import "strings"

const redacted = "[redacted]"

// secretStarts are how the vendors' credentials begin, with the least length of what follows for it to be one. OpenAI
// shows a refused key half masked (sk-ab***yz): that is redacted too.
var secretStarts = [...]struct {
	start string
	rest  int
}{
	{"sk-", 8}, {"sk_", 16}, {"rk-", 16}, {"dg-", 16}, {"pk-", 16}, {"gsk_", 8}, {"xai-", 8}, {"hf_", 16}, {"AIza", 16},
	{"ya29.", 8}, {"AKIA", 12}, {"ASIA", 12}, {"eyJ", 24}, {"sess-", 8}, {"nvapi-", 8}, {"r8_", 16}, {"pplx-", 8},
	{"fw_", 16}, {"github_pat_", 8}, {"ghp_", 16},
}

// secretNames are words after which a value is a secret whatever it looks like.
var secretNames = [...]string{"bearer ", "api-key: ", "api_key=", "apikey=", "api-key=", "key=", "access_token="}

// Redact replaces what looks like a credential: some providers repeat a refused key in their error message, and a
// provider's key must be seen by Envoy alone.
func Redact(s string) string {
	var b strings.Builder
	kept := 0
	for i := 0; i < len(s); i++ {
		if i > 0 && tokenByte(s[i-1]) {
			continue
		}
		from, to := secretAt(s, i)
		if to == 0 {
			continue
		}
		b.WriteString(s[kept:from])
		b.WriteString(redacted)
		kept = to
		i = to - 1
	}
	if kept == 0 {
		return s
	}
	b.WriteString(s[kept:])
	return b.String()
}

// secretAt finds a secret that begins, or whose name begins, at s[i]; to is 0 when there is none.
func secretAt(s string, i int) (from, to int) {
	for _, p := range secretStarts {
		if strings.HasPrefix(s[i:], p.start) {
			if end := tokenEnd(s, i+len(p.start)); end-i-len(p.start) >= p.rest {
				return i, end
			}
		}
	}
	for _, name := range secretNames {
		if len(s)-i > len(name) && strings.EqualFold(s[i:i+len(name)], name) {
			if end := tokenEnd(s, i+len(name)); end-i-len(name) >= 8 {
				return i + len(name), end
			}
		}
	}
	return 0, 0
}

func tokenEnd(s string, i int) int {
	for i < len(s) && (tokenByte(s[i]) || strings.IndexByte("*.+/=~", s[i]) >= 0) {
		i++
	}
	for i > 0 && s[i-1] == '.' { // the full stop of the sentence
		i--
	}
	return i
}

func tokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
