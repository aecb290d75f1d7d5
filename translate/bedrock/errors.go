package bedrock

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate/wire"
)

// heardTypes classifies by the service's own word (D126): its exceptions, those of AWS's front end, and those that come in a
// stream, whose first letter is small there.
var heardTypes = map[string]fault.Kind{
	"ValidationException":           fault.InvalidRequest,
	"SerializationException":        fault.InvalidRequest,
	"AccessDeniedException":         fault.ProviderAuth,
	"UnrecognizedClientException":   fault.ProviderAuth,
	"InvalidClientTokenId":          fault.ProviderAuth,
	"InvalidSignatureException":     fault.ProviderAuth,
	"SignatureDoesNotMatch":         fault.ProviderAuth,
	"IncompleteSignatureException":  fault.ProviderAuth,
	"MissingAuthenticationToken":    fault.ProviderAuth,
	"ExpiredTokenException":         fault.ProviderAuth,
	"NotAuthorizedException":        fault.ProviderAuth,
	"OptInRequired":                 fault.ProviderAuth,
	"ResourceNotFoundException":     fault.NotFound,
	"UnknownOperationException":     fault.NotFound,
	"ThrottlingException":           fault.RateLimited,
	"TooManyRequestsException":      fault.RateLimited,
	"RequestLimitExceeded":          fault.RateLimited,
	"ServiceQuotaExceededException": fault.QuotaExhausted,
	"ModelNotReadyException":        fault.Overloaded,
	"ServiceUnavailableException":   fault.Overloaded,
	"ServiceUnavailable":            fault.Overloaded,
	"ModelTimeoutException":         fault.ProviderTimeout,
	"RequestTimeoutException":       fault.ProviderTimeout,
	"ModelErrorException":           fault.ProviderError,
	"ModelStreamErrorException":     fault.ProviderError,
	"InternalServerException":       fault.ProviderError,
	"InternalFailure":               fault.ProviderError,
}

// heardStatuses classifies where no known type is named: another server on the way answered.
var heardStatuses = map[int]fault.Kind{
	400: fault.InvalidRequest, 401: fault.ProviderAuth, 402: fault.QuotaExhausted, 403: fault.ProviderAuth, 404: fault.NotFound,
	408: fault.ProviderTimeout, 413: fault.TooLarge, 422: fault.InvalidRequest, 424: fault.ProviderError, 429: fault.RateLimited,
	503: fault.Overloaded, 504: fault.ProviderTimeout, 529: fault.Overloaded,
}

// heardMessages are meanings that only the text carries, within the kinds that they refine (D125).
var heardMessages = []struct {
	within fault.Kind
	text   string // in lower case
	kind   fault.Kind
}{
	{fault.RateLimited, "per day", fault.QuotaExhausted},
	{fault.RateLimited, "daily", fault.QuotaExhausted},
	{fault.InvalidRequest, "input is too long", fault.ContextLength},
	{fault.InvalidRequest, "prompt is too long", fault.ContextLength},
	{fault.InvalidRequest, "exceed context limit", fault.ContextLength},
	{fault.InvalidRequest, "exceeds the context window", fault.ContextLength},
	{fault.InvalidRequest, "maximum context length", fault.ContextLength},
	{fault.InvalidRequest, "maximum prompt length", fault.ContextLength},
	{fault.InvalidRequest, "too many input tokens", fault.ContextLength},
	{fault.InvalidRequest, "too many tokens", fault.ContextLength},
	{fault.InvalidRequest, "content filtering policy", fault.ContentFiltered},
	{fault.InvalidRequest, "content filters", fault.ContentFiltered},
	{fault.InvalidRequest, "model identifier is invalid", fault.NotFound},
	{fault.InvalidRequest, "on-demand throughput", fault.NotFound},
	{fault.InvalidRequest, "service quota", fault.QuotaExhausted},
}

// DecodeFault classifies an answer that is no 2xx, by the error's type (header x-amzn-errortype, or __type in the body),
// else by the status, then by the message.
func (Codec) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	var kind, text string
	if len(body) > 0 && gjson.ValidBytes(body) {
		kind, text = errorOf(gjson.ParseBytes(body))
	}
	if header != nil {
		if h := header("x-amzn-errortype"); h != "" {
			kind = typeName(h)
		}
	}
	f := heard(kind, text, status)
	f.RetryAfter = wire.RetryAfter(header, time.Now())
	if f.Message == "" {
		f.Message = unreadable(status, body)
	}
	return f
}

// typeName is the bare name of an error: ThrottlingException of com.amazon.coral.availability#ThrottlingException and of
// throttlingException:http://internal.amazon.com/….
func typeName(s string) string {
	if i := strings.IndexByte(s, '#'); i >= 0 {
		s = s[i+1:]
	}
	s, _, _ = strings.Cut(s, ":")
	s = strings.TrimSpace(s)
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		s = string(s[0]-'a'+'A') + s[1:]
	}
	return s
}

// errorOf reads an error body's type and message, "" where it has none. The bodies of other servers that say as much in a
// similar way are read too.
func errorOf(v gjson.Result) (kind, text string) {
	if v.IsArray() {
		v = v.Get("0")
	}
	if e := v.Get("error"); e.IsObject() {
		v = e
	} else if e.Type == gjson.String {
		return "", e.Str
	}
	for _, name := range [...]string{"message", "Message", "originalMessage"} {
		if m := v.Get(name); m.Type == gjson.String && text == "" {
			text = m.Str
		}
	}
	for _, name := range [...]string{"__type", "type"} {
		if k := v.Get(name); k.Type == gjson.String && kind == "" {
			kind = typeName(k.Str)
		}
	}
	return kind, text
}

// heard makes the fault for the service's error. status is 0 for one in a stream or in a 200.
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
	f := &fault.Fault{Kind: k, Message: wire.ClipText(text), Status: status, Type: clipType(kind)}
	if f.Message == "" && f.Type != "" && status == 0 {
		f.Message = "The provider ended its answer with " + f.Type + "."
	}
	return f
}

// clipType bounds what a provider may put into metrics and logs as its error's type.
func clipType(kind string) string {
	if len(kind) > 64 {
		return "unknown"
	}
	for i := range len(kind) {
		if !plain(kind[i]) && kind[i] != '.' {
			return "unknown"
		}
	}
	return kind
}

// unreadable says what came where an error of the schema was due (D121).
func unreadable(status int, body []byte) string {
	word := strconv.Itoa(status)
	if t := http.StatusText(status); t != "" {
		word += " " + t
	}
	if what := wire.Clip(body); what != "" {
		return "The provider answered with status " + word + ": " + what
	}
	return "The provider answered with status " + word + " and an empty or unprintable body."
}
