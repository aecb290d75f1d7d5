package processor

import (
	"dragoman/internal/config"
	"dragoman/internal/wiring"
	"dragoman/processor/auth"
)

// caller finds who calls: by a token or a certificate that Envoy has verified, or by a key.
func (ex *Exchange) caller(r *incoming) (*config.Principal, error) {
	if ex.snap.Identity == nil {
		return auth.Authenticate(ex.snap, ex.s.Keys, r.credentials)
	}
	e := auth.Evidence{Tokens: r.peer.tokens, Failed: wiring.JWTFailed, URI: r.peer.uri, DNS: r.peer.dns, Forwarded: r.forwardedCert, First: ex.s.First}
	if p, err := auth.Identify(ex.snap, r.credentials, &e); p != nil || err != nil {
		return p, err
	}
	p, err := auth.Authenticate(ex.snap, ex.s.Keys, r.credentials)
	if err != nil {
		err = auth.Untrusted(ex.snap, r.credentials, &e, err)
	}
	return p, err
}

// orderedBy answers the request headers with the exchange's plan. Of a token nothing more is needed then.
func (ex *Exchange) orderedBy(h *headers) *outbound {
	m := orderedHeaders(h, ex.id, string(ex.head.Schema), ex.decision.Plan)
	if len(ex.tokens) > 0 {
		m.head = appendForgotten(m.head, ex.tokens)
	}
	return m
}
