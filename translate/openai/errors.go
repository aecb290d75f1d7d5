package openai

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

// said is what an error body says.
type said struct{ message, kind, code, param string }

// rule is one row of the table by which a provider's error is classified. Every condition that is set must hold; the first
// row that matches decides.
type rule struct {
	min, max int    // HTTP status, 0: any
	word     string // the error's code or type
	text     string // part of the message, in lower case
	kind     fault.Kind
}

// rules go from the particular to the general: words and messages that mean one thing at any status, then the statuses.
// Servers that copied the schema say the same with other statuses and words (vLLM, llama.cpp, Groq, OpenRouter, xAI,
// Azure, Google's and DeepSeek's endpoints).
var rules = []rule{
	{word: "context_length_exceeded", kind: fault.ContextLength},
	{word: "exceed_context_size_error", kind: fault.ContextLength},
	{min: 400, max: 422, text: "maximum context length", kind: fault.ContextLength},
	{min: 400, max: 422, text: "exceeds the available context size", kind: fault.ContextLength},
	{min: 400, max: 422, text: "exceeds the context window", kind: fault.ContextLength},
	{min: 400, max: 422, text: "prompt is too long", kind: fault.ContextLength},
	{word: "content_policy_violation", kind: fault.ContentFiltered},
	{word: "content_filter", kind: fault.ContentFiltered},
	{word: "image_content_policy_violation", kind: fault.ContentFiltered},
	{word: "insufficient_quota", kind: fault.QuotaExhausted},
	{word: "billing_hard_limit_reached", kind: fault.QuotaExhausted},
	{word: "billing_not_active", kind: fault.QuotaExhausted},
	{word: "credit_balance_exhausted", kind: fault.QuotaExhausted},
	{min: 402, max: 402, kind: fault.QuotaExhausted},
	{word: "model_not_found", kind: fault.NotFound},
	{word: "invalid_api_key", kind: fault.ProviderAuth},
	{min: 400, max: 400, text: "incorrect api key", kind: fault.ProviderAuth},
	{min: 400, max: 400, text: "api key not valid", kind: fault.ProviderAuth},
	{min: 400, max: 400, text: "invalid api key", kind: fault.ProviderAuth},
	{min: 401, max: 401, kind: fault.ProviderAuth},
	{min: 403, max: 403, kind: fault.ProviderAuth},
	{min: 404, max: 404, kind: fault.NotFound},
	{min: 405, max: 405, kind: fault.ProviderFailed},
	{min: 408, max: 408, kind: fault.ProviderTimeout},
	{min: 409, max: 409, kind: fault.Overloaded},
	{min: 413, max: 413, kind: fault.TooLarge},
	{min: 425, max: 425, kind: fault.Overloaded},
	{min: 429, max: 429, text: "overloaded", kind: fault.Overloaded},
	{min: 429, max: 429, kind: fault.RateLimited},
	{min: 400, max: 499, kind: fault.InvalidRequest},
	{min: 503, max: 503, kind: fault.Overloaded},
	{min: 529, max: 529, kind: fault.Overloaded}, // D124
	{min: 504, max: 504, kind: fault.ProviderTimeout},
	{min: 522, max: 522, kind: fault.ProviderTimeout}, // Cloudflare before a provider
	{min: 524, max: 524, kind: fault.ProviderTimeout},
	{min: 500, max: 599, kind: fault.ProviderError},
	// Without a status: an error within a 200, or a stream.
	{max: -1, word: "rate_limit_exceeded", kind: fault.RateLimited},
	{max: -1, word: "rate_limit_error", kind: fault.RateLimited},
	{max: -1, word: "overloaded_error", kind: fault.Overloaded},
	{max: -1, word: "invalid_request_error", kind: fault.InvalidRequest},
	{max: -1, word: "authentication_error", kind: fault.ProviderAuth},
	{max: -1, word: "permission_error", kind: fault.ProviderAuth},
	{max: -1, kind: fault.ProviderError},
	{kind: fault.ProviderFailed}, // 1xx to 3xx
}

func (r *rule) matches(status int, e *said, lower string) bool {
	switch {
	case r.max < 0 && status != 0:
		return false
	case r.max > 0 && (status < r.min || status > r.max):
		return false
	case r.word != "" && r.word != e.code && r.word != e.kind:
		return false
	}
	return r.text == "" || strings.Contains(lower, r.text)
}

func classify(status int, e *said) fault.Kind {
	lower := strings.ToLower(e.message)
	for i := range rules {
		if rules[i].matches(status, e, lower) {
			return rules[i].kind
		}
	}
	return fault.ProviderFailed
}

// DecodeFault classifies a non-2xx answer. The message is the provider's own, cut to 300 characters and without what looks
// like a credential: OpenAI's 401 repeats part of the key.
func (Codec) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	e := readError(body)
	f := &fault.Fault{Kind: classify(status, &e), Param: e.param, Code: e.code, Status: status, Type: e.kind}
	f.Message = e.message
	if f.Message == "" {
		f.Message = unreadable(status, body)
	}
	f.RetryAfter = wire.RetryAfter(header, now(header))
	return f
}

// now is the provider's clock where it shows it: an HTTP date is meant by that, and ours may differ.
func now(header func(string) string) time.Time {
	if header != nil {
		if t, err := http.ParseTime(header("date")); err == nil {
			return t
		}
	}
	return time.Now()
}

// unreadable describes an error without a message of the schema.
func unreadable(status int, body []byte) string {
	body = bytes.TrimSpace(body)
	text := wire.Clip(body)
	prefix := "The provider answered with status " + strconv.Itoa(status)
	switch {
	case text == "":
		return prefix + " and no explanation."
	case body[0] == '<':
		return prefix + " and a web page: " + text
	default:
		return prefix + ": " + text
	}
}

// embeddedFault classifies the error object of an answer whose status was 200. Some providers give the status as its code.
func embeddedFault(raw []byte) *fault.Fault {
	e := readError(raw)
	status, err := strconv.Atoi(e.code)
	if err != nil || status < 400 || status > 599 {
		status = 0
	}
	f := &fault.Fault{Kind: classify(status, &e), Message: e.message, Param: e.param, Code: e.code, Status: status, Type: e.kind}
	if f.Message == "" {
		f.Message = "The provider reported an error in its answer: " + wire.Clip(raw)
	}
	return f
}

// readError reads an error body of any of the shapes that servers of this schema send: {"error":{…}}, {"error":"…"}, the
// same in an array (D122), the error object alone, {"detail":…} of Python servers, {"errors":[…]}. The body may be cut:
// what stands before the cut counts.
func readError(body []byte) said {
	var e said
	s := strictjson.NewLenient(bytes.ToValidUTF8(body, []byte("\uFFFD")))
	defer s.Release()
	e.read(s, 0)
	e.message, e.kind = wire.ClipText(e.message), wire.ClipText(e.kind)
	e.code, e.param = wire.ClipText(e.code), wire.ClipText(e.param)
	return e
}

// maxNesting is how deep an error object may be wrapped.
const maxNesting = 4

func (e *said) read(s *strictjson.Scanner, depth int) {
	switch {
	case depth > maxNesting:
		s.Skip()
	case s.Kind() == strictjson.String && depth > 0:
		e.message = first(e.message, strings.Clone(s.String()))
	case s.Kind() == strictjson.Array:
		for s.Enter(strictjson.Array); s.Next(); {
			if s.Index() == 0 {
				e.read(s, depth+1)
			}
		}
	case s.Kind() == strictjson.Object:
		for s.Enter(strictjson.Object); s.Next(); {
			e.member(s, depth)
		}
	}
}

func (e *said) member(s *strictjson.Scanner, depth int) {
	switch string(s.Key()) {
	case "error", "errors", "detail":
		e.read(s, depth+1)
	case "message", "msg":
		e.message = first(e.message, scalar(s))
	case "type":
		e.kind = first(e.kind, scalar(s))
	case "code":
		e.code = first(e.code, scalar(s))
	case "param":
		e.param = first(e.param, scalar(s))
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// scalar is a string, or a number's digits.
func scalar(s *strictjson.Scanner) string {
	switch s.Kind() {
	case strictjson.String:
		return strings.Clone(s.String())
	case strictjson.Number:
		return string(s.Skip())
	default:
		return ""
	}
}
