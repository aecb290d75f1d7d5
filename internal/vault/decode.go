package vault

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// entry is one version of a secret.
type entry struct {
	fields  map[string]json.RawMessage // nil when it was deleted or destroyed
	version int64
	gone    string // how it went: "was deleted", "was destroyed"; "" for one that is there
}

// decodeEntry reads the answer of GET MOUNT/data/PATH. A deleted version comes with status 404 and this body, too; a secret that never
// was comes without.
func decodeEntry(body []byte) (entry, bool) {
	var in struct {
		Data *struct {
			Data     map[string]json.RawMessage `json:"data"`
			Metadata *struct {
				Version      int64  `json:"version"`
				DeletionTime string `json:"deletion_time"`
				Destroyed    bool   `json:"destroyed"`
			} `json:"metadata"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &in) != nil || in.Data == nil || in.Data.Metadata == nil || in.Data.Metadata.Version < 1 {
		return entry{}, false
	}
	meta := in.Data.Metadata
	out := entry{version: meta.Version, fields: in.Data.Data}
	switch {
	case meta.Destroyed:
		out.gone = "was destroyed"
	case out.fields == nil:
		// A deletion_time alone does not say so: with delete_version_after it lies ahead.
		out.gone = "was deleted"
	}
	if out.gone != "" {
		out.fields = nil
	}
	return out, true
}

// field is one field's text. Its error reads on after the name of the secret, and shows no value.
func (e entry) field(name string) (string, *Error) {
	if e.gone != "" {
		return "", failure(Missing, "%s (version %d)", e.gone, e.version)
	}
	raw, ok := e.fields[name]
	if !ok {
		return "", failure(Missing, "has no such field (version %d has %s)", e.version, e.names())
	}
	var text *string
	if json.Unmarshal(raw, &text) != nil || text == nil {
		return "", failure(Invalid, "is not text (version %d)", e.version)
	}
	return *text, nil
}

// names lists the fields that there are.
func (e entry) names() string {
	const most = 8
	if len(e.fields) == 0 {
		return "none"
	}
	var list []string
	for name := range e.fields {
		list = append(list, clip(name[:min(len(name), 40)]))
	}
	slices.Sort(list)
	if len(list) > most {
		list = append(list[:most], "…")
	}
	return strings.Join(list, ", ")
}

// grant is a token as a login, a renewal or lookup-self shows it.
type grant struct {
	token     string // "" from lookup-self
	ttl       time.Duration
	endless   bool
	renewable bool
}

// maxTTL is longer than any token lives: what is beyond is a fault, or would overflow.
const maxTTL = 10 * 365 * 24 * time.Hour

func ttl(seconds int64) time.Duration {
	return time.Duration(max(0, min(seconds, int64(maxTTL/time.Second)))) * time.Second
}

// decodeAuth reads the answer of a login or of renew-self.
func decodeAuth(body []byte) (grant, *Error) {
	var in struct {
		Auth *struct {
			Token     string          `json:"client_token"`
			Seconds   int64           `json:"lease_duration"`
			Renewable bool            `json:"renewable"`
			MFA       json.RawMessage `json:"mfa_requirement"`
		} `json:"auth"`
	}
	if json.Unmarshal(body, &in) != nil || in.Auth == nil {
		return grant{}, failure(Invalid, "the answer holds no token")
	}
	a := in.Auth
	if a.Token == "" && len(a.MFA) > 0 && string(a.MFA) != "null" {
		return grant{}, failure(Denied, "a second factor is demanded, which no gateway has")
	}
	if !isToken(a.Token) {
		return grant{}, failure(Invalid, "the answer holds no token")
	}
	// A lease of 0 is one without end, as that of a root token.
	return grant{token: a.Token, ttl: ttl(a.Seconds), endless: a.Seconds == 0, renewable: a.Renewable}, nil
}

// decodeLookup reads the answer of lookup-self.
func decodeLookup(body []byte) (grant, *Error) {
	var in struct {
		Data *struct {
			Seconds   *int64  `json:"ttl"`
			Expires   *string `json:"expire_time"`
			Renewable bool    `json:"renewable"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &in) != nil || in.Data == nil || in.Data.Seconds == nil {
		return grant{}, failure(Invalid, "the answer does not say how long the token lives")
	}
	d := in.Data
	return grant{ttl: ttl(*d.Seconds), endless: *d.Seconds == 0 && d.Expires == nil, renewable: d.Renewable}, nil
}

// decodeErrors lists what an answer's errors say.
func decodeErrors(body []byte) []string {
	var in struct {
		Errors []string `json:"errors"`
	}
	if json.Unmarshal(body, &in) != nil {
		return nil
	}
	return in.Errors[:min(len(in.Errors), 3)]
}

// isToken tells what can stand in a header.
func isToken(s string) bool {
	if s == "" || len(s) > 16<<10 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
