// Package fault is the closed set of what can go wrong with a request. A step returns a *Fault; only the client codec
// turns it into a status and a body (translate/<schema>/errors.go), so that every schema says it in its own words.
package fault

import (
	"fmt"
	"time"
)

// Kind is the class of a fault. Clients, metrics and retries act on the kind, never on a message.
type Kind uint8

// The kinds. The comment gives the HTTP status that an OpenAI client sees.
const (
	Internal         Kind = iota // 500: a bug or an exhausted resource of Dragoman itself
	InvalidRequest               // 400: malformed or wrongly typed
	Unsupported                  // 400: well-formed, but no counterpart at the provider
	ContextLength                // 400: does not fit the model's window
	ContentFiltered              // 400: refused by a provider's content policy
	Unauthenticated              // 401: no key, an unknown or a revoked one
	PermissionDenied             // 403: the key may not do this
	NotFound                     // 404: no such path, model or object
	MethodNotAllowed             // 405
	UploadTimeout                // 408: the client's body stopped arriving
	TooLarge                     // 413: over limits.max_body_bytes, or over what the provider takes
	RateLimited                  // 429: a limit of the gateway or the provider; RetryAfter says when
	QuotaExhausted               // 429: the provider's account has no credit left
	Canceled                     // 499: the client went away
	ProviderAuth                 // 401/403 as the provider sent: the gateway's credential was refused
	ProviderFailed               // 502: the provider answered what no schema allows, or cut its answer
	Overloaded                   // 503 (529 for Anthropic clients): the provider has no capacity
	Unavailable                  // 503: no provider left to try
	ProviderTimeout              // 504: the provider did not answer in time
	ProviderError                // the provider's own 5xx status
	BudgetExhausted              // 402: a budget of the gateway is spent; a retry does not help
	kinds
)

var kindNames = [kinds]string{
	"internal", "invalid_request", "unsupported", "context_length", "content_filtered", "unauthenticated",
	"permission_denied", "not_found", "method_not_allowed", "upload_timeout", "too_large", "rate_limited",
	"quota_exhausted", "canceled", "provider_auth", "provider_failed", "overloaded", "unavailable",
	"provider_timeout", "provider_error", "budget_exhausted",
}

// String is the kind's name as metrics and logs show it.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "unknown"
}

// Kinds lists every kind, for tables that must be complete.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Fault is what went wrong, fit to be shown to the client: it holds no secret and no provider header.
type Fault struct {
	Kind    Kind
	Message string // a sentence for a person, with what to do about it
	Param   string // the field at fault, as a path in the client's body: messages[0].content
	Code    string // a machine's word for it where the kind is too coarse: model_not_found, invalid_api_key
	// Of a provider's fault:
	Provider   string        // its name in the config
	Status     int           // its HTTP status, 0 when it sent none
	Type       string        // its own error type, as sent
	RetryAfter time.Duration // 0 when unknown
}

// New makes a fault with a formatted message.
func New(kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Invalid is an InvalidRequest about one field.
func Invalid(param, format string, args ...any) *Fault {
	return &Fault{Kind: InvalidRequest, Param: param, Message: fmt.Sprintf(format, args...)}
}

// Error makes a Fault an error. It names the kind; the client never sees this form.
func (f *Fault) Error() string { return f.Kind.String() + ": " + f.Message }

// FromProvider says whether a provider, and not the client or the gateway, is at fault.
func (f *Fault) FromProvider() bool {
	switch f.Kind {
	case ProviderAuth, ProviderFailed, Overloaded, Unavailable, ProviderTimeout, ProviderError, QuotaExhausted:
		return true
	default:
		return f.Status != 0
	}
}
