package openai

import (
	"net/http"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
)

// The schema's types of errors.
const (
	invalidRequest = "invalid_request_error"
	serverError    = "server_error"
)

// saying is how the schema says a kind of fault: the status and type that its SDKs act on, and the code where the fault
// has none of its own. OpenAI uses invalid_request_error for most of what is the client's, with the code to tell.
type saying struct {
	status     int
	kind, code string
}

var sayings = [...]saying{
	fault.Internal:         {http.StatusInternalServerError, serverError, "internal_error"},
	fault.InvalidRequest:   {http.StatusBadRequest, invalidRequest, ""},
	fault.Unsupported:      {http.StatusBadRequest, invalidRequest, "unsupported_parameter"},
	fault.ContextLength:    {http.StatusBadRequest, invalidRequest, "context_length_exceeded"},
	fault.ContentFiltered:  {http.StatusBadRequest, invalidRequest, "content_policy_violation"},
	fault.Unauthenticated:  {http.StatusUnauthorized, invalidRequest, "invalid_api_key"},
	fault.PermissionDenied: {http.StatusForbidden, invalidRequest, "insufficient_permissions"},
	fault.NotFound:         {http.StatusNotFound, invalidRequest, "not_found"},
	fault.MethodNotAllowed: {http.StatusMethodNotAllowed, invalidRequest, "method_not_supported"},
	fault.UploadTimeout:    {http.StatusRequestTimeout, invalidRequest, "request_timeout"},
	fault.TooLarge:         {http.StatusRequestEntityTooLarge, invalidRequest, "request_too_large"},
	fault.RateLimited:      {http.StatusTooManyRequests, "requests", "rate_limit_exceeded"},
	fault.QuotaExhausted:   {http.StatusTooManyRequests, "insufficient_quota", "insufficient_quota"},
	fault.Canceled:         {statusCanceled, invalidRequest, "client_closed_request"},
	fault.ProviderAuth:     {http.StatusBadGateway, serverError, "provider_auth"},
	fault.ProviderFailed:   {http.StatusBadGateway, serverError, "provider_failed"},
	fault.Overloaded:       {http.StatusServiceUnavailable, serverError, "overloaded"},
	fault.Unavailable:      {http.StatusServiceUnavailable, serverError, "unavailable"},
	fault.ProviderTimeout:  {http.StatusGatewayTimeout, serverError, "provider_timeout"},
	fault.ProviderError:    {http.StatusBadGateway, serverError, "provider_error"},
	fault.BudgetExhausted:  {http.StatusPaymentRequired, "insufficient_quota", "budget_exhausted"},
}

const statusCanceled = 499 // nginx's word for a client that went away

// EncodeFault is an error in the schema's words. It has no place for the request's id: clients of this schema read that
// from the x-request-id header.
func (Codec) EncodeFault(f *fault.Fault, _ string) (status int, body []byte) {
	w := say(f)
	return w.status, appendFault(make([]byte, 0, 160+len(f.Message)), f, w)
}

// say picks the words for a fault.
func say(f *fault.Fault) saying {
	if int(f.Kind) >= len(sayings) {
		return sayings[fault.Internal]
	}
	w := sayings[f.Kind]
	switch f.Kind {
	case fault.ProviderAuth:
		if f.Status == http.StatusUnauthorized || f.Status == http.StatusForbidden {
			w.status = f.Status
		}
		return w // the provider's own code, invalid_api_key, would speak of the client's key
	case fault.ProviderError:
		if f.Status >= 500 && f.Status <= 599 {
			w.status = f.Status
		}
	case fault.RateLimited:
		if f.Type == "tokens" {
			w.kind = f.Type
		}
		return w
	case fault.ContextLength, fault.ContentFiltered, fault.QuotaExhausted:
		return w // clients act on the code; other schemas have other words for it
	}
	if f.Code != "" {
		w.code = f.Code
	}
	return w
}

// appendFault appends the body: {"error":{"message","type","param","code"}} with null for what is not known.
func appendFault(dst []byte, f *fault.Fault, w saying) []byte {
	dst = strictjson.AppendString(append(dst, `{"error":{"message":`...), f.Message)
	dst = strictjson.AppendString(append(dst, `,"type":`...), w.kind)
	dst = appendOrNull(append(dst, `,"param":`...), f.Param)
	dst = appendOrNull(append(dst, `,"code":`...), w.code)
	return append(dst, '}', '}')
}

func appendOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return strictjson.AppendString(dst, s)
}

// appendFaultEvent appends the error event of a stream.
func appendFaultEvent(dst []byte, f *fault.Fault) []byte {
	dst = appendFault(append(dst, "data: "...), f, say(f))
	return append(dst, '\n', '\n')
}
