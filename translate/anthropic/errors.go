package anthropic

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// spoken is how a kind of fault is told to a client: the status decides what the SDKs do (they retry 408, 409, 429 and
// every 5xx), the type is what its user reads.
type spoken struct {
	status int
	kind   string
}

// spokenKinds has every kind (D123). QuotaExhausted is not 429, for no retry helps against an empty account. Unavailable
// and ProviderFailed have no type of their own at Anthropic; api_error with a 5xx is what it sends for its own failures.
var spokenKinds = map[fault.Kind]spoken{
	fault.Internal:         {500, "api_error"},
	fault.InvalidRequest:   {400, "invalid_request_error"},
	fault.Unsupported:      {400, "invalid_request_error"},
	fault.ContextLength:    {400, "invalid_request_error"},
	fault.ContentFiltered:  {400, "invalid_request_error"},
	fault.Unauthenticated:  {401, "authentication_error"},
	fault.PermissionDenied: {403, "permission_error"},
	fault.NotFound:         {404, "not_found_error"},
	fault.MethodNotAllowed: {405, "invalid_request_error"},
	fault.UploadTimeout:    {408, "timeout_error"},
	fault.TooLarge:         {413, "request_too_large"},
	fault.RateLimited:      {429, "rate_limit_error"},
	fault.QuotaExhausted:   {402, "billing_error"},
	fault.Canceled:         {499, "api_error"},
	fault.ProviderAuth:     {401, "authentication_error"},
	fault.ProviderFailed:   {502, "api_error"},
	fault.Overloaded:       {529, "overloaded_error"},
	fault.Unavailable:      {503, "api_error"},
	fault.ProviderTimeout:  {504, "timeout_error"},
	fault.ProviderError:    {502, "api_error"},
	fault.BudgetExhausted:  {402, "billing_error"},
}

// tooLong begins the vendor's message for a prompt beyond the window. Agents look for it to know that they must compact
// their history.
const tooLong = "prompt is too long"

// EncodeFault is an error as Anthropic's service would answer it.
func (Codec) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	s := speak(f)
	b := appendFault(make([]byte, 0, 160+len(f.Message)), f, s)
	if requestID != "" {
		b = strictjson.AppendString(append(b, `,"request_id":`...), requestID)
	}
	return s.status, append(b, '}')
}

// appendFault writes the error object up to its last brace.
func appendFault(b []byte, f *fault.Fault, s spoken) []byte {
	b = strictjson.AppendString(append(b, `{"type":"error","error":{"type":`...), s.kind)
	return append(strictjson.AppendString(append(b, `,"message":`...), spokenMessage(f)), '}')
}

func speak(f *fault.Fault) spoken {
	s, ok := spokenKinds[f.Kind]
	if !ok {
		s = spokenKinds[fault.Internal]
	}
	switch {
	case f.Kind == fault.ProviderAuth && f.Status == http.StatusForbidden:
		s = spokenKinds[fault.PermissionDenied]
	case f.Kind == fault.ProviderError && f.Status >= 500 && f.Status <= 599:
		s.status = f.Status
	}
	return s
}

// spokenMessage puts the field at fault into the message: the schema has no member for it.
func spokenMessage(f *fault.Fault) string {
	m := f.Message
	if m == "" {
		m = "The request failed: " + f.Kind.String() + "."
	}
	if f.Param != "" && !strings.Contains(m, f.Param) {
		m = f.Param + ": " + m
	}
	if f.Kind == fault.ContextLength && !strings.Contains(m, tooLong) {
		m = tooLong + ": " + m
	}
	return m
}

// heardTypes classifies by the provider's own word (shared.ErrorType of the SDK, and request_too_large).
var heardTypes = map[string]fault.Kind{
	"invalid_request_error": fault.InvalidRequest,
	"authentication_error":  fault.ProviderAuth,
	"permission_error":      fault.ProviderAuth,
	"billing_error":         fault.QuotaExhausted,
	"not_found_error":       fault.NotFound,
	"request_too_large":     fault.TooLarge,
	"rate_limit_error":      fault.RateLimited,
	"timeout_error":         fault.ProviderTimeout,
	"overloaded_error":      fault.Overloaded,
	"api_error":             fault.ProviderError,
}

// heardStatuses classifies where the body names no known type: another server on the way answered.
var heardStatuses = map[int]fault.Kind{
	400: fault.InvalidRequest, 401: fault.ProviderAuth, 402: fault.QuotaExhausted, 403: fault.ProviderAuth, 404: fault.NotFound,
	408: fault.ProviderTimeout, 409: fault.ProviderError, 413: fault.TooLarge, 422: fault.InvalidRequest, 429: fault.RateLimited,
	503: fault.Overloaded, 504: fault.ProviderTimeout, 529: fault.Overloaded,
}

// heardMessages are meanings that only the text carries, within the kinds that they refine (D125): the account's limits
// come as a 400 invalid_request_error, as a window that is too small does.
var heardMessages = []struct {
	within fault.Kind
	text   string // in lower case
	kind   fault.Kind
}{
	{fault.InvalidRequest, "credit balance is too low", fault.QuotaExhausted},
	{fault.InvalidRequest, "api usage limits", fault.QuotaExhausted},
	{fault.InvalidRequest, "spend limit", fault.QuotaExhausted},
	{fault.InvalidRequest, "spending limit", fault.QuotaExhausted},
	{fault.InvalidRequest, "regain access on", fault.QuotaExhausted},
	{fault.RateLimited, "credit balance is too low", fault.QuotaExhausted},
	{fault.InvalidRequest, tooLong, fault.ContextLength},
	{fault.InvalidRequest, "exceed context limit", fault.ContextLength},
	{fault.InvalidRequest, "exceeds the context window", fault.ContextLength},
	{fault.InvalidRequest, "maximum context length", fault.ContextLength},
	{fault.InvalidRequest, "content filtering policy", fault.ContentFiltered},
	{fault.ProviderAuth, "credit balance is too low", fault.QuotaExhausted},
}

// DecodeFault classifies an answer that is no 2xx, by the body's error type, else by the status, then by the message.
func (Codec) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	kind, text := errorOf(body)
	f := heard(kind, text, status)
	f.RetryAfter = wire.RetryAfter(header, time.Now())
	if text == "" {
		f.Message = unreadable(status, body)
	}
	return f
}

// errorOf reads an error body's type and message, "" where it has none. The bodies of other servers that say as much in
// a similar way are read too.
func errorOf(body []byte) (kind, text string) {
	if len(body) == 0 || !gjson.ValidBytes(body) {
		return "", ""
	}
	v := gjson.ParseBytes(body)
	if v.IsArray() { // as Google's endpoints wrap theirs (D122)
		v = v.Get("0")
	}
	if e := v.Get("error"); e.IsObject() {
		v = e
	} else if e.Type == gjson.String {
		return "", e.Str
	}
	if !v.IsObject() {
		return "", ""
	}
	if m := v.Get("message"); m.Type == gjson.String {
		text = m.Str
	}
	if k := v.Get("type"); k.Type == gjson.String {
		kind = k.Str
	}
	return kind, text
}

// heard makes the fault for a provider's error. status is 0 for an error inside a stream.
func heard(kind, text string, status int) *fault.Fault {
	k, ok := heardTypes[kind]
	if !ok {
		k, ok = heardStatuses[status]
	}
	if !ok {
		k = fault.ProviderFailed
		if status >= 500 || status == 0 {
			k = fault.ProviderError
		}
	}
	lower := strings.ToLower(text)
	for i := range heardMessages {
		if m := &heardMessages[i]; m.within == k && strings.Contains(lower, m.text) {
			k = m.kind
			break
		}
	}
	return &fault.Fault{Kind: k, Message: wire.ClipText(text), Status: status, Type: clipType(kind)}
}

// clipType bounds what a provider may put into metrics and logs as its error's type.
func clipType(kind string) string {
	if len(kind) > 64 || !plainName(strings.ReplaceAll(kind, ".", "_")) {
		return "unknown"
	}
	return kind
}

// unreadable says what came where an error of the schema was due (D121).
func unreadable(status int, body []byte) string {
	what := wire.Clip(body)
	if what == "" {
		return "The provider answered with status " + statusText(status) + " and an empty or unprintable body."
	}
	return "The provider answered with status " + statusText(status) + ": " + what
}

// statusText is a status as a person reads it: 502 Bad Gateway.
func statusText(status int) string {
	s := strconv.Itoa(status)
	if t := http.StatusText(status); t != "" {
		s += " " + t
	}
	return s
}
