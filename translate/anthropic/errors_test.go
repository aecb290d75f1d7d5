package anthropic_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go/shared"

	"dragoman/internal/fault"
)

func noHeader(string) string { return "" }

func TestD121_D123_every_kind_is_told(t *testing.T) {
	for _, k := range fault.Kinds() {
		status, body := codec.EncodeFault(fault.New(k, "a \"message\""), "req_1")
		var e struct {
			Type      string
			RequestID string `json:"request_id"`
			Error     struct{ Type, Message string }
		}
		if err := json.Unmarshal(body, &e); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if e.Type != "error" || e.RequestID != "req_1" || !strings.Contains(e.Error.Message, `a "message"`) || status < 400 || status > 599 {
			t.Errorf("%v: %d %s", k, status, body)
		}
		var u shared.ErrorObjectUnion
		if raw, _ := json.Marshal(map[string]string{"type": e.Error.Type, "message": ""}); json.Unmarshal(raw, &u) != nil || u.AsAny() == nil && e.Error.Type != "request_too_large" {
			t.Errorf("%v: the SDK does not know the type %s", k, e.Error.Type)
		}
	}
}

func TestEncodeFault_statuses(t *testing.T) {
	for _, c := range []struct {
		f      fault.Fault
		status int
		kind   string
	}{
		{fault.Fault{Kind: fault.InvalidRequest}, 400, "invalid_request_error"},
		{fault.Fault{Kind: fault.Unauthenticated}, 401, "authentication_error"},
		{fault.Fault{Kind: fault.QuotaExhausted}, 402, "billing_error"},
		{fault.Fault{Kind: fault.NotFound}, 404, "not_found_error"},
		{fault.Fault{Kind: fault.TooLarge}, 413, "request_too_large"},
		{fault.Fault{Kind: fault.RateLimited}, 429, "rate_limit_error"},
		{fault.Fault{Kind: fault.Overloaded, Status: 503}, 529, "overloaded_error"}, // D124
		{fault.Fault{Kind: fault.Unavailable}, 503, "api_error"},
		{fault.Fault{Kind: fault.ProviderAuth, Status: 401}, 401, "authentication_error"},
		{fault.Fault{Kind: fault.ProviderAuth, Status: 403}, 403, "permission_error"},
		{fault.Fault{Kind: fault.ProviderError, Status: 500}, 500, "api_error"},
		{fault.Fault{Kind: fault.ProviderError, Status: 409}, 502, "api_error"},
		{fault.Fault{Kind: fault.ProviderError}, 502, "api_error"},
		{fault.Fault{Kind: 250}, 500, "api_error"},
	} {
		status, body := codec.EncodeFault(&c.f, "")
		if status != c.status || !strings.Contains(string(body), `"type":"`+c.kind+`"`) || strings.Contains(string(body), "request_id") {
			t.Errorf("%+v: %d %s", c.f, status, body)
		}
	}
}

func TestEncodeFault_message(t *testing.T) {
	for want, f := range map[string]*fault.Fault{
		"messages[0].role: is wrong":        {Kind: fault.InvalidRequest, Param: "messages[0].role", Message: "is wrong"},
		"stream must be a boolean.":         fault.Invalid("stream", "stream must be a boolean."),
		"prompt is too long: 9 > 8":         {Kind: fault.ContextLength, Message: "9 > 8"},
		"prompt is too long: 210000 tokens": {Kind: fault.ContextLength, Message: "prompt is too long: 210000 tokens"},
		"The request failed: overloaded.":   {Kind: fault.Overloaded},
	} {
		_, body := codec.EncodeFault(f, "")
		if !strings.Contains(string(body), `"message":"`+want+`"`) {
			t.Errorf("got %s, want %s", body, want)
		}
	}
}

func TestD123_D125_heard_faults(t *testing.T) {
	body := func(kind, message string) string {
		b, _ := json.Marshal(map[string]any{"type": "error", "error": map[string]string{"type": kind, "message": message}, "request_id": "req_011"})
		return string(b)
	}
	for _, c := range []struct {
		status int
		body   string
		kind   fault.Kind
	}{
		{400, body("invalid_request_error", "messages: at least one message is required"), fault.InvalidRequest},
		{400, body("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), fault.ContextLength},
		{400, body("invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 2"), fault.ContextLength},
		{400, body("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), fault.QuotaExhausted},
		{400, body("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-02-01 at 00:00 UTC."), fault.QuotaExhausted},
		{400, body("invalid_request_error", "Output blocked by content filtering policy"), fault.ContentFiltered},
		{401, body("authentication_error", "invalid x-api-key"), fault.ProviderAuth},
		{402, body("billing_error", "pay"), fault.QuotaExhausted},
		{403, body("permission_error", "no"), fault.ProviderAuth},
		{404, body("not_found_error", "model: claude-0"), fault.NotFound},
		{413, body("request_too_large", "Request exceeds the maximum size"), fault.TooLarge},
		{429, body("rate_limit_error", "slow down"), fault.RateLimited},
		{500, body("api_error", "Internal server error"), fault.ProviderError},
		{504, body("timeout_error", "late"), fault.ProviderTimeout},
		{529, body("overloaded_error", "Overloaded"), fault.Overloaded},
		{529, "", fault.Overloaded},
		{503, "<html>busy</html>", fault.Overloaded},
		{502, "bad gateway", fault.ProviderError},
		{500, body("error_of_tomorrow", "x"), fault.ProviderError},
		{418, body("error_of_tomorrow", "x"), fault.ProviderFailed},
		{409, "{}", fault.ProviderError},
		{404, `{"message":"no route"}`, fault.NotFound},
		{400, `[{"error":{"message":"google","status":"INVALID_ARGUMENT"}}]`, fault.InvalidRequest},
		{401, `{"error":"unauthorized"}`, fault.ProviderAuth},
		{429, `null`, fault.RateLimited},
	} {
		f := codec.DecodeFault(c.status, noHeader, []byte(c.body))
		if f.Kind != c.kind || f.Status != c.status || f.Message == "" {
			t.Errorf("%d %s: %+v, want %v", c.status, c.body, f, c.kind)
		}
	}
}

func TestDecodeFault_message_is_clear_and_holds_no_secret(t *testing.T) {
	for in, want := range map[string]string{
		`{"type":"error","error":{"type":"authentication_error","message":"invalid key sk-ant-api03-AAAABBBBCCCC"}}`: "invalid key [redacted]",
		"<html><head><title>502</title></head><body>nginx</body></html>":                                             "The provider answered with status 502 Bad Gateway: 502 nginx",
		"":                 "The provider answered with status 502 Bad Gateway and an empty or unprintable body.",
		"\x1f\x8b\x08\x00": "The provider answered with status 502 Bad Gateway and an empty or unprintable body.",
		`{"error":"key sk-ant-api03-AAAABBBBCCCC"}`: "key [redacted]",
		`{"ok":true}`: `The provider answered with status 502 Bad Gateway: {"ok":true}`,
	} {
		if f := codec.DecodeFault(502, noHeader, []byte(in)); f.Message != want {
			t.Errorf("%q:\n got %q\nwant %q", in, f.Message, want)
		}
	}
	f := codec.DecodeFault(500, noHeader, []byte(`{"error":{"type":"`+strings.Repeat("x", 500)+`","message":"`+strings.Repeat("y", 5000)+`"}}`))
	if len(f.Message) > 310 || f.Type != "unknown" {
		t.Errorf("must be short: %d bytes, type %q", len(f.Message), f.Type)
	}
}

func TestD128_retry_after_of_a_fault(t *testing.T) {
	f := codec.DecodeFault(529, func(name string) string { return map[string]string{"retry-after": "7"}[name] }, nil)
	if f.RetryAfter != 7*time.Second {
		t.Errorf("got %v", f.RetryAfter)
	}
	if codec.DecodeFault(529, nil, nil).RetryAfter != 0 {
		t.Error("no headers, no hint")
	}
}
