package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Evidence is what Envoy has found out about a caller, beside the headers that may hold a key.
type Evidence struct {
	// Tokens is what Envoy's jwt_authn says: google.protobuf.Struct with the payload of a verified token under the ID of the config.JWT that
	// has verified it. A token that failed has none: why stands under Failed and the ID, as {"message": "Jwt is expired"}.
	Tokens   []byte
	Failed   string
	URI, DNS string // names of the certificate that the listener has verified, "" for none
	// Forwarded is x-forwarded-client-cert, which is only let in where a proxy in front writes it.
	Forwarded string
	// First is told of a caller whom the configuration has not seen yet; may be nil.
	First func(*config.Principal)
}

// NoKey stands for no key, where clients insist on sending one and come with a certificate.
const NoKey = "certificate"

// Identify finds the principal of a caller who comes with a token or a certificate. Both results are nil when it is the key's to say who calls:
// then ask Authenticate, and Untrusted about its error.
//
// A verified token decides, whatever the certificate; a key beside it is refused, for nothing says whose request it is. A key that is sent
// decides over the certificate, and must be valid: who sends one means it. The certificate decides when there is neither.
//
// The error is a *fault.Fault: Unauthenticated with the code conflicting_credentials, unknown_certificate or invalid_client_certificate, or
// PermissionDenied with the code unknown_caller for one who is who he says and has no place in the configuration.
func Identify(s *config.Snapshot, c Credentials, e *Evidence) (*config.Principal, error) {
	id := s.Identity
	if len(e.Tokens) > 0 {
		for _, j := range id.JWT {
			if claims := first(member(e.Tokens, j.ID), valueStruct); claims != nil {
				if c.sent() {
					return nil, refuse("conflicting_credentials", "The request holds both a token and an API key. Send one: nothing says which of the two is whose request it is.")
				}
				return tokenCaller(s, j, claims, e.First)
			}
		}
	}
	if len(id.Certificates) == 0 || c.sent() {
		return nil, nil
	}
	return certificateCaller(s, e)
}

// sent says whether a key was sent, of whatever worth.
func (c *Credentials) sent() bool {
	bearer, _ := c.bearer()
	for _, key := range [...]string{bearer, c.XAPIKey, c.APIKey, c.XGoogAPIKey} {
		if key = strings.TrimSpace(key); key != "" && key != NoKey {
			return true
		}
	}
	return false
}

// tokenCaller goes by what the token says, and where it says nothing by what the configuration does.
func tokenCaller(s *config.Snapshot, j *config.JWT, claims []byte, tell func(*config.Principal)) (*config.Principal, error) {
	at := j.Caller
	for _, part := range [...]struct {
		path string
		out  *string
	}{{j.Claims.GetTenant(), &at.Tenant}, {j.Claims.GetTeam(), &at.Team}, {j.Claims.GetUser(), &at.User}} {
		if part.path == "" {
			continue
		}
		switch value, is := text(claims, part.path); is {
		case said:
			*part.out = value
		case several:
			return nil, unknown("The token's claim %q lists several values, and a request belongs to one. Ask its issuer for a token with one.", part.path)
		case other:
			return nil, unknown("The token's claim %q is no text.", part.path)
		}
	}
	if at.Tenant == "" {
		return nil, unknown("The token does not say to which tenant its bearer belongs: it has no claim %q.", j.Claims.GetTenant())
	}
	return callerAt(s, at, "token", j.Key, tell)
}

// callerAt finds the principal of a place that a token or a certificate names.
func callerAt(s *config.Snapshot, at config.Place, by string, key *dragomanv1.Key, tell func(*config.Principal)) (*config.Principal, error) {
	p, known, err := s.KnownCaller(at, key)
	if err == nil {
		if !known && tell != nil {
			tell(p)
		}
		return p, nil
	}
	if errors.Is(err, config.ErrNoPlace) {
		return nil, unknown("The %s is good, but this gateway has no tenant or team %q, which it names.", by, clip(config.Place{Tenant: at.Tenant, Team: at.Team}.String()))
	}
	return nil, unknown("The %s names a user %q that this gateway cannot take: %s.", by, clip(at.User), err)
}

func unknown(format string, args ...any) *fault.Fault {
	f := fault.New(fault.PermissionDenied, format, args...)
	f.Code = "unknown_caller"
	return f
}

// certificateCaller takes the first entry that fits.
func certificateCaller(s *config.Snapshot, e *Evidence) (*config.Principal, error) {
	var uri, dns string
	read, good := false, true
	for _, c := range s.Identity.Certificates {
		of, name := e.URI, e.DNS
		if c.Forwarded {
			if e.Forwarded == "" || !c.Trusts(e.URI, e.DNS) {
				continue
			}
			if !read {
				uri, dns, good = forwarded(e.Forwarded)
				read = true
			}
			of, name = uri, dns
		}
		if at, ok := c.Match(of, name); ok {
			return callerAt(s, at, "certificate", c.Key, e.First)
		}
	}
	switch shown := shownName(e, uri, dns); {
	case !good:
		return nil, refuse("invalid_client_certificate", "The header x-forwarded-client-cert is not what a proxy writes, or names two URIs: it says of nobody that he calls.")
	case shown != "":
		return nil, refuse("unknown_certificate", fmt.Sprintf("The client certificate of %q belongs to nobody here, and no API key was sent.", clip(shown)))
	}
	return nil, nil
}

// shownName is how a certificate's owner is told which one was looked at; what the proxy says comes before what it is itself.
func shownName(e *Evidence, uri, dns string) string {
	for _, name := range [...]string{uri, dns, e.URI, e.DNS} {
		if name != "" {
			return name
		}
	}
	return ""
}

// Untrusted is the error of Authenticate, or a better one where what was sent for a key is a token that Envoy did not verify: Unauthenticated with
// the code expired_token or invalid_token, or Unavailable with the code issuer_unreachable, for nothing is known of the token.
func Untrusted(s *config.Snapshot, c Credentials, e *Evidence, err error) error {
	var f *fault.Fault
	if len(s.Identity.JWT) == 0 || !errors.As(err, &f) || f.Code != "invalid_api_key" {
		return err
	}
	bearer, _ := c.bearer()
	switch {
	case looksLikeToken(bearer):
		return failure(s.Identity, e)
	case looksLikeToken(c.XAPIKey), looksLikeToken(c.APIKey), looksLikeToken(c.XGoogAPIKey):
		return refuse("invalid_token", "This looks like a token. Send it as \"Authorization: Bearer <token>\".")
	}
	return err
}

// looksLikeToken says whether this is a JWT by its form: three parts, of which the first is an object in base64.
func looksLikeToken(s string) bool {
	return strings.HasPrefix(strings.TrimSpace(s), "e") && strings.Count(s, ".") == 2
}

// failures are what Envoy says of tokens that it did not verify, the most telling first, and what the bearer can do about it.
var failures = []struct{ status, code, message string }{
	{"Jwt is expired", "expired_token", "The token has expired. Get a new one from its issuer."},
	{"Jwt not yet valid", "invalid_token", "The token is not valid yet: its nbf or iat lies in the future. Is a clock wrong?"},
	{"Audiences in Jwt are not allowed", "invalid_token", "The token is meant for somebody else: its audience (aud) is none of this gateway's. Ask its issuer for one for this gateway."},
	{"Jwks doesn't have key to match kid or alg from Jwt", "invalid_token", "The token was signed by a key that its issuer does not publish. Get a new one."},
	{"Jwt verification fails", "invalid_token", "The token's signature is not its issuer's, or it does not say when it expires (exp)."},
	{issuerAway, "issuer_unreachable", "The token cannot be verified now: the public keys of its issuer cannot be fetched."},
	{"Jwt issuer is not configured", "invalid_token", "The token's issuer (iss) is none that this gateway trusts."},
}

const issuerAway = "Jwks remote fetch is failed"

// retryIssuer is when a token may be tried again whose issuer cannot be reached: Envoy itself tries every other second.
const retryIssuer = 5 * time.Second

func failure(id *config.Identity, e *Evidence) *fault.Fault {
	for i := range failures {
		for _, j := range id.JWT {
			status := first(member(e.Tokens, e.Failed+j.ID), valueStruct)
			if view(first(member(status, "message"), valueText)) != failures[i].status {
				continue
			}
			f := refuse(failures[i].code, failures[i].message)
			if failures[i].status == issuerAway {
				f.Kind, f.RetryAfter = fault.Unavailable, retryIssuer
			}
			return f
		}
	}
	return refuse("invalid_token", "The token is malformed, or signed in a way that is not taken.")
}
