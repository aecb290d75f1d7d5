package cohere

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// rule is one row of the table by which a provider's error is classified: the first whose conditions hold decides. The
// schema's errors have a message and nothing else (D121), so that beside the status only its words tell what happened.
type rule struct {
	min, max int    // HTTP status; 0 to 0: any
	text     string // part of the message, in lower case
	kind     fault.Kind
}

// rules follow the vendor's page on errors. 498 is its word for content on a deny-list, and 499 for a request that it
// considers cancelled, which nobody here did.
var rules = []rule{
	{0, 422, "max tokens must be less", fault.InvalidRequest},
	{0, 422, "too many tokens", fault.ContextLength},
	{0, 422, "maximum context length", fault.ContextLength},
	{400, 400, "api key", fault.ProviderAuth},
	{400, 400, "api token", fault.ProviderAuth},
	{401, 401, "", fault.ProviderAuth},
	{402, 402, "", fault.QuotaExhausted},
	{403, 403, "", fault.ProviderAuth},
	{404, 404, "", fault.NotFound},
	{405, 405, "", fault.ProviderFailed},
	{408, 408, "", fault.ProviderTimeout},
	{409, 409, "", fault.Overloaded},
	{413, 413, "", fault.TooLarge},
	{429, 429, "calls / month", fault.QuotaExhausted},
	{429, 429, "billing", fault.QuotaExhausted},
	{429, 429, "", fault.RateLimited},
	{498, 498, "", fault.ContentFiltered},
	{499, 499, "", fault.ProviderFailed},
	{400, 497, "", fault.InvalidRequest},
	{503, 503, "", fault.Overloaded},
	{504, 504, "", fault.ProviderTimeout},
	{529, 529, "", fault.Overloaded}, // D124
	{500, 599, "", fault.ProviderError},
	{0, 0, "", fault.ProviderError}, // an error within a 200, or a stream
}

func classify(status int, text string) fault.Kind {
	lower := strings.ToLower(text)
	for i := range rules {
		r := &rules[i]
		if status >= r.min && status <= r.max && strings.Contains(lower, r.text) {
			return r.kind
		}
	}
	return fault.ProviderFailed // 1xx to 3xx
}

// heard makes the fault for a provider's words. status is 0 for an error inside a 200.
func heard(status int, text string) *fault.Fault {
	return &fault.Fault{Kind: classify(status, text), Message: wire.ClipText(text), Status: status}
}

// DecodeFault classifies a non-2xx answer. The message is the provider's own, cut and without what looks like a credential.
func (Codec) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	return decodeFault(status, header, body)
}

func decodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	f := heard(status, errorOf(body))
	if f.Message == "" {
		f.Message = unreadable(status, body)
	}
	f.RetryAfter = wire.RetryAfter(header, time.Now())
	return f
}

// errorOf reads the message of an error body: {"message":…}, or {"error":…} and {"detail":…} of servers in front. The body
// may be cut: what stands before the cut counts.
func errorOf(body []byte) (text string) {
	s := strictjson.NewLenient(bytes.ToValidUTF8(body, []byte("\uFFFD")))
	defer s.Release()
	if s.Kind() != strictjson.Object {
		return ""
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "message", "error", "detail":
			if s.Kind() == strictjson.Object {
				for s.Enter(strictjson.Object); s.Next(); {
					if string(s.Key()) == "message" && text == "" {
						text = strings.Clone(strictjson.Text(stringOf(s)))
					}
				}
			} else if raw := stringOf(s); raw != nil && text == "" {
				text = strings.Clone(strictjson.Text(raw))
			}
		}
	}
	return text
}

// unreadable describes an error without a message of the schema.
func unreadable(status int, body []byte) string {
	prefix := "The provider answered with status " + strconv.Itoa(status)
	text := wire.Clip(body)
	if text == "" {
		return prefix + " and no explanation."
	}
	return prefix + ": " + text
}

// statuses are how the schema says a kind of fault: the SDKs raise an error class for each status.
var statuses = [...]int{
	fault.Internal:         http.StatusInternalServerError,
	fault.InvalidRequest:   http.StatusBadRequest,
	fault.Unsupported:      http.StatusBadRequest,
	fault.ContextLength:    http.StatusBadRequest,
	fault.ContentFiltered:  http.StatusBadRequest,
	fault.Unauthenticated:  http.StatusUnauthorized,
	fault.PermissionDenied: http.StatusForbidden,
	fault.NotFound:         http.StatusNotFound,
	fault.MethodNotAllowed: http.StatusMethodNotAllowed,
	fault.UploadTimeout:    http.StatusRequestTimeout,
	fault.TooLarge:         http.StatusRequestEntityTooLarge,
	fault.RateLimited:      http.StatusTooManyRequests,
	fault.QuotaExhausted:   http.StatusPaymentRequired,
	fault.Canceled:         statusCanceled,
	fault.ProviderAuth:     http.StatusUnauthorized,
	fault.ProviderFailed:   http.StatusBadGateway,
	fault.Overloaded:       http.StatusServiceUnavailable,
	fault.Unavailable:      http.StatusServiceUnavailable,
	fault.ProviderTimeout:  http.StatusGatewayTimeout,
	fault.ProviderError:    http.StatusBadGateway,
	fault.BudgetExhausted:  http.StatusPaymentRequired,
}

const statusCanceled = 499 // the SDKs' ClientClosedRequestError

// EncodeFault is an error as Cohere's service would answer it: {"id","message"}.
func (Codec) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	return encodeFault(f, requestID)
}

func encodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	status = http.StatusInternalServerError
	if int(f.Kind) < len(statuses) {
		status = statuses[f.Kind]
	}
	switch {
	case f.Kind == fault.ProviderAuth && f.Status == http.StatusForbidden:
		status = f.Status
	case f.Kind == fault.ProviderError && f.Status >= 500 && f.Status <= 599:
		status = f.Status
	}
	b := append(make([]byte, 0, 96+len(f.Message)), '{')
	if requestID != "" {
		b = append(strictjson.AppendString(append(b, `"id":`...), requestID), ',')
	}
	b = strictjson.AppendString(append(b, `"message":`...), message(f))
	return status, append(b, '}')
}

// tooManyTokens begins the vendor's message for a prompt beyond the window, for which clients look.
const tooManyTokens = "too many tokens"

// message puts the field at fault into the message: the schema has no member for it.
func message(f *fault.Fault) string {
	m := f.Message
	if m == "" {
		m = "The request failed: " + f.Kind.String() + "."
	}
	if f.Param != "" && !strings.Contains(m, f.Param) {
		m = f.Param + ": " + m
	}
	if f.Kind == fault.ContextLength && !strings.Contains(m, tooManyTokens) {
		m = tooManyTokens + ": " + m
	}
	return m
}
