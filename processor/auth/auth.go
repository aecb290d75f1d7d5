// Package auth says who calls, and whether they may ask for what they ask for. It reads nothing but the compiled
// configuration and the keys in memory: no lookup leaves the process, so that no store that is down can turn a valid key into a
// 401 (C7).
package auth

import (
	"crypto/sha256"
	"strings"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

// Credentials are the request headers that may hold the caller's key, as they came; "" for one that is absent.
type Credentials struct {
	Authorization string // Bearer <key>: OpenAI's SDKs, Anthropic's with an auth token
	XAPIKey       string // Anthropic's SDKs
	APIKey        string // Azure OpenAI's SDKs
	XGoogAPIKey   string // Google's SDKs
}

// maxKey bounds what is hashed. Envoy lets headers of 60 KiB through, and a key of Dragoman's has 50 bytes.
const maxKey = 512

// Store has keys that are made while the gateway runs.
type Store interface {
	// Lookup finds who calls by what was sent, under a configuration. It must not block. The error is a *fault.Fault.
	Lookup(snap *config.Snapshot, key string) (*config.Principal, error)
}

// Authenticate finds the principal that the caller's key belongs to: one of the configuration's, else one of the store's, which is nil
// where there is none. When no keys are configured everybody is config.Anonymous, whatever they send: SDKs insist on sending some key. The
// error is the store's, or a *fault.Fault of the kind Unauthenticated with the code missing_api_key, invalid_api_key, revoked_api_key or
// conflicting_api_keys; nothing of the key is in its message.
//
// Keys are found by the SHA-256 of what was sent. How long the lookup takes depends on the hash alone, which a caller
// cannot steer towards a stored one without knowing the key, so that no constant-time comparison is needed.
func Authenticate(snap *config.Snapshot, store Store, c Credentials) (*config.Principal, error) {
	keys := snap.Keys
	if keys != nil && keys.Open {
		if keys.Anonymous != nil {
			return keys.Anonymous, nil
		}
		return config.Anonymous, nil
	}
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	if keys == nil || len(key) > maxKey {
		return nil, refuse("invalid_api_key", invalid)
	}
	p := configured(keys, key)
	switch {
	case p == nil && store != nil:
		return store.Lookup(snap, key)
	case p == nil:
		return nil, refuse("invalid_api_key", invalid)
	case p.Revoked:
		return nil, refuse("revoked_api_key", "This API key was revoked. Ask whoever runs this gateway for a new one.")
	}
	return p, nil
}

// configured is the principal of a key whose hash stands in the configuration.
func configured(keys *config.Keys, key string) *config.Principal {
	if len(keys.ByHash) == 0 {
		return nil
	}
	var buf [maxKey]byte
	return keys.ByHash[sha256.Sum256(buf[:copy(buf[:], key)])]
}

const invalid = "The API key is not one of this gateway's. Send a key that was issued for it, not a provider's own."

// key is the one key that was sent. Two different ones are refused: which of two principals pays must not depend on the
// order of headers, and the second is often a provider's real key that was sent by mistake.
func (c *Credentials) key() (string, error) {
	bearer, scheme := c.bearer()
	key := ""
	for _, k := range [...]string{bearer, strings.TrimSpace(c.XAPIKey), strings.TrimSpace(c.APIKey), strings.TrimSpace(c.XGoogAPIKey)} {
		switch {
		case k == "" || k == key:
		case key == "":
			key = k
		default:
			return "", refuse("conflicting_api_keys", "The request holds two different API keys, in two of the headers "+
				"authorization, x-api-key, api-key and x-goog-api-key. Send one.")
		}
	}
	if key != "" {
		return key, nil
	}
	if scheme {
		return "", refuse("missing_api_key", "The authorization header holds no key: send it as \"Authorization: Bearer <key>\".")
	}
	return "", refuse("missing_api_key", "No API key was sent. Send it as \"Authorization: Bearer <key>\" or \"x-api-key: <key>\".")
}

// bearer is the key of an authorization header of the scheme Bearer (RFC 6750; the scheme's case does not matter). sent
// says that there was a header at all: one of another scheme counts as none, because a proxy in front may have its own.
func (c *Credentials) bearer() (key string, sent bool) {
	h := strings.TrimSpace(c.Authorization)
	const scheme = "bearer"
	if len(h) > len(scheme) && h[len(scheme)] == ' ' && strings.EqualFold(h[:len(scheme)], scheme) {
		return strings.TrimSpace(h[len(scheme)+1:]), true
	}
	return "", h != ""
}

func refuse(code, message string) *fault.Fault {
	return &fault.Fault{Kind: fault.Unauthenticated, Code: code, Message: message}
}

// Permit says whether the principal may have a request served that asked for a model by the name asked, which
// config.Snapshot.Lookup resolved to r. The error is a *fault.Fault of the kind PermissionDenied, code model_not_allowed: 403,
// as OpenAI answers for a project without access to a model.
func Permit(p *config.Principal, asked string, r *config.Route) error {
	if p.MayUseRoute(asked, r) {
		return nil
	}
	f := fault.New(fault.PermissionDenied, "This API key may not use the model %q. GET /v1/models lists what it may use.", clip(asked))
	f.Param, f.Code = "model", "model_not_allowed"
	return f
}

// clip shortens what a client sent before it is shown back.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
