package gemini

import (
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/wire"
)

// heardCodes classifies by the code of google.rpc.Code that the body names (error.status).
var heardCodes = map[string]fault.Kind{
	"INVALID_ARGUMENT": fault.InvalidRequest, "FAILED_PRECONDITION": fault.InvalidRequest, "OUT_OF_RANGE": fault.InvalidRequest,
	"ALREADY_EXISTS": fault.InvalidRequest, "UNAUTHENTICATED": fault.ProviderAuth, "PERMISSION_DENIED": fault.ProviderAuth,
	"NOT_FOUND": fault.NotFound, "RESOURCE_EXHAUSTED": fault.RateLimited, "UNAVAILABLE": fault.Overloaded,
	"DEADLINE_EXCEEDED": fault.ProviderTimeout, "INTERNAL": fault.ProviderError, "UNKNOWN": fault.ProviderError,
	"DATA_LOSS": fault.ProviderError, "ABORTED": fault.ProviderError, "CANCELLED": fault.ProviderError, "UNIMPLEMENTED": fault.ProviderError,
}

// heardStatuses classifies where the body names no known code: another server on the way answered.
var heardStatuses = map[int]fault.Kind{
	400: fault.InvalidRequest, 401: fault.ProviderAuth, 402: fault.QuotaExhausted, 403: fault.ProviderAuth, 404: fault.NotFound,
	408: fault.ProviderTimeout, 409: fault.ProviderError, 413: fault.TooLarge, 422: fault.InvalidRequest, 429: fault.RateLimited,
	503: fault.Overloaded, 504: fault.ProviderTimeout, 529: fault.Overloaded,
}

// heardMessages are meanings that only the text carries, within the kinds that they refine. A refused key comes as a 400
// INVALID_ARGUMENT, as a window that is too small does.
var heardMessages = []struct {
	within fault.Kind
	text   string // in lower case
	kind   fault.Kind
}{
	{fault.InvalidRequest, "api key not valid", fault.ProviderAuth},
	{fault.InvalidRequest, "api key expired", fault.ProviderAuth},
	{fault.InvalidRequest, "api_key_invalid", fault.ProviderAuth},
	{fault.InvalidRequest, "user location is not supported", fault.ProviderAuth},
	{fault.InvalidRequest, "billing", fault.QuotaExhausted},
	{fault.InvalidRequest, "exceeds the maximum number of tokens", fault.ContextLength},
	{fault.InvalidRequest, "exceeds the maximum allowed", fault.ContextLength},
	{fault.InvalidRequest, "request payload size exceeds", fault.TooLarge},
	{fault.RateLimited, "credits are depleted", fault.QuotaExhausted},
	{fault.RateLimited, "spending cap", fault.QuotaExhausted},
	{fault.RateLimited, "spend cap", fault.QuotaExhausted},
}

// wireError is an error body, as far as it is read.
type wireError struct {
	code    string // google.rpc.Code
	status  int
	text    string
	reason  string // of google.rpc.ErrorInfo
	retry   time.Duration
	perDay  bool // a quota of a day is used up
	present bool
}

// errorOf reads an error body. Google's own come as an object or as a list of one (D122); the bodies of other servers
// that say as much in a similar way are read too.
func errorOf(body []byte) (e wireError) {
	if len(body) == 0 || !gjson.ValidBytes(body) {
		return e
	}
	v := gjson.ParseBytes(body)
	if v.IsArray() {
		v = v.Get("0")
	}
	if x := v.Get("error"); x.IsObject() {
		e.present = true
		v = x
	} else if x.Type == gjson.String {
		e.present = true
		e.text = x.String()
		return e
	}
	if !v.IsObject() {
		return e
	}
	if m := v.Get("message"); m.Type == gjson.String {
		e.text = m.String()
	}
	if s := v.Get("status"); s.Type == gjson.String {
		e.code = s.String()
	}
	if c := v.Get("code"); c.Type == gjson.Number {
		e.status = int(min(max(c.Num, 0), 999))
	}
	v.Get("details").ForEach(func(_, d gjson.Result) bool {
		e.detail(d)
		return true
	})
	return e
}

// detail reads one of google.rpc's error details.
func (e *wireError) detail(d gjson.Result) {
	_, kind, _ := strings.Cut(d.Get("@type").String(), "google.rpc.")
	switch kind {
	case "RetryInfo":
		e.retry = duration(d.Get("retryDelay"))
	case "ErrorInfo":
		e.reason = d.Get("reason").String()
	case "QuotaFailure":
		d.Get("violations").ForEach(func(_, q gjson.Result) bool {
			e.perDay = e.perDay || strings.Contains(q.Get("quotaId").String(), "PerDay")
			return true
		})
	}
}

// duration reads google.protobuf.Duration, "34.5s" in JSON.
func duration(v gjson.Result) time.Duration {
	seconds, ok := strings.CutSuffix(v.String(), "s")
	n, err := strconv.ParseFloat(seconds, 64)
	if !ok || err != nil || n != n || n <= 0 {
		return 0
	}
	return time.Duration(min(n, wire.MaxRetryAfter.Seconds()) * float64(time.Second))
}

// DecodeFault classifies an answer that is no 2xx, by the body's code, else by the status, then by the message (D128).
func (Codec) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	e := errorOf(body)
	f := e.fault(status)
	f.RetryAfter = max(wire.RetryAfter(header, time.Now()), e.retry)
	if e.text == "" {
		f.Message = unreadable(status, body)
	}
	return f
}

// fault is the error in neutral terms. status is 0 for an error inside a stream, whose body says it.
func (e *wireError) fault(status int) *fault.Fault {
	k, ok := heardCodes[e.code]
	if !ok {
		k, ok = heardStatuses[status]
	}
	if !ok && status == 0 {
		k, ok = heardStatuses[e.status]
	}
	if !ok {
		k = fault.ProviderFailed
		if status >= 500 || status == 0 {
			k = fault.ProviderError
		}
	}
	lower := strings.ToLower(e.text + " " + e.reason)
	for i := range heardMessages {
		if m := &heardMessages[i]; m.within == k && strings.Contains(lower, m.text) {
			k = m.kind
			break
		}
	}
	if k == fault.RateLimited && e.perDay {
		k = fault.QuotaExhausted // no retry of today helps
	}
	f := &fault.Fault{Kind: k, Message: wire.ClipText(e.text), Status: status, Type: clipWord(e.code), RetryAfter: e.retry}
	if e.reason != "" {
		f.Code = clipWord(e.reason)
	}
	return f
}

// clipWord bounds what a provider may put into metrics and logs.
func clipWord(word string) string {
	if len(word) > 64 {
		return "unknown"
	}
	for i := range len(word) {
		if c := word[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-') {
			return "unknown"
		}
	}
	return word
}

// unreadable says what came where an error of the schema was due (D121).
func unreadable(status int, body []byte) string {
	what := wire.Clip(body)
	if what == "" {
		return "The provider answered with status " + strconv.Itoa(status) + " and an empty or unprintable body."
	}
	return "The provider answered with status " + strconv.Itoa(status) + ": " + what
}
