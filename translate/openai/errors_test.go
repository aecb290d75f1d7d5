package openai_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dragoman/internal/fault"
)

func noHeader(string) string { return "" }

// One case for each row of the table and for each shape of error body.
func TestDecodeFault(t *testing.T) {
	e := func(message, kind, code string) string {
		b, _ := json.Marshal(map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": code}})
		return string(b)
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		kind   fault.Kind
		says   string
	}{
		{"context by code", 400, e("too long", "invalid_request_error", "context_length_exceeded"), fault.ContextLength, "too long"},
		{"context of llama.cpp", 400, `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`, fault.ContextLength, "exceeds"},
		{"context of vLLM", 400, `{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}`, fault.ContextLength, "4096"},
		{"context by size", 400, e("Input exceeds the available context size", "", ""), fault.ContextLength, "Input"},
		{"context window", 422, e("The prompt exceeds the context window of this model", "", ""), fault.ContextLength, "window"},
		{"prompt too long", 413, e("prompt is too long: 9 tokens", "", ""), fault.ContextLength, "9 tokens"},
		{"policy", 400, e("rejected", "invalid_request_error", "content_policy_violation"), fault.ContentFiltered, "rejected"},
		{"Azure's filter", 400, e("The response was filtered", "", "content_filter"), fault.ContentFiltered, "filtered"},
		{"image policy", 400, e("x", "image_content_policy_violation", ""), fault.ContentFiltered, "x"},
		{"quota", 429, e("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), fault.QuotaExhausted, "quota"},
		{"D125 quota as 400", 400, e("limit", "invalid_request_error", "billing_hard_limit_reached"), fault.QuotaExhausted, "limit"},
		{"billing", 403, e("inactive", "", "billing_not_active"), fault.QuotaExhausted, "inactive"},
		{"credit", 400, e("none", "", "credit_balance_exhausted"), fault.QuotaExhausted, "none"},
		{"payment", 402, e("Insufficient Balance", "unknown_error", "invalid_request_error"), fault.QuotaExhausted, "Balance"},
		{"model without access", 403, e("no access to model", "invalid_request_error", "model_not_found"), fault.NotFound, "no access"},
		{"key by code", 400, e("bad", "", "invalid_api_key"), fault.ProviderAuth, "bad"},
		{"key of xAI", 400, `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***yz."}`, fault.ProviderAuth, "Incorrect"},
		{"D122 key of Google", 400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`, fault.ProviderAuth, "not valid"},
		{"invalid key", 400, e("Invalid API Key", "", ""), fault.ProviderAuth, "Invalid"},
		{"401", 401, e("x", "", ""), fault.ProviderAuth, "x"},
		{"403", 403, e("Country not supported", "request_forbidden", "unsupported_country_region_territory"), fault.ProviderAuth, "Country"},
		{"404", 404, e("The model `x` does not exist", "invalid_request_error", "model_not_found"), fault.NotFound, "does not exist"},
		{"405", 405, "", fault.ProviderFailed, "status 405 and no explanation"},
		{"408", 408, e("timeout", "", ""), fault.ProviderTimeout, "timeout"},
		{"409", 409, e("conflict", "", ""), fault.Overloaded, "conflict"},
		{"413", 413, "", fault.TooLarge, "413"},
		{"425", 425, "", fault.Overloaded, "425"},
		{"429 overloaded", 429, e("That model is currently overloaded with other requests.", "server_error", ""), fault.Overloaded, "overloaded"},
		{"429", 429, e("Rate limit reached", "requests", "rate_limit_exceeded"), fault.RateLimited, "Rate limit"},
		{"400", 400, e("Invalid value", "invalid_request_error", "invalid_value"), fault.InvalidRequest, "Invalid value"},
		{"422 of Python", 422, `{"detail":[{"loc":["body","messages"],"msg":"field required","type":"value_error"}]}`, fault.InvalidRequest, "field required"},
		{"418", 418, "teapot", fault.InvalidRequest, "status 418: teapot"},
		{"500", 500, e("The server had an error", "server_error", ""), fault.ProviderError, "had an error"},
		{"502 page", 502, "<html><title>x</title><body><h1>502 Bad Gateway</h1></body></html>", fault.ProviderError, "web page: x 502 Bad Gateway"},
		{"503", 503, e("overloaded", "service_unavailable", ""), fault.Overloaded, "overloaded"},
		{"D124 529", 529, "", fault.Overloaded, "529"},
		{"504", 504, "upstream request timeout", fault.ProviderTimeout, "upstream request timeout"},
		{"522", 522, "", fault.ProviderTimeout, "522"},
		{"524", 524, "", fault.ProviderTimeout, "524"},
		{"302", 302, "", fault.ProviderFailed, "302"},
		{"error as a string", 500, `{"error":"model runner crashed"}`, fault.ProviderError, "model runner crashed"},
		{"a bare message", 500, `{"message":"boom"}`, fault.ProviderError, "boom"},
		{"detail as a string", 503, `{"detail":"warming up"}`, fault.Overloaded, "warming up"},
		{"a list of errors", 500, `{"errors":[{"message":"one"},{"message":"two"}],"success":false}`, fault.ProviderError, "one"},
		{"a cut body", 400, `{"error":{"message":"the real cause","type":"invalid_request_error","par`, fault.InvalidRequest, "the real cause"},
		{"JSON without a message", 500, `{"status":"bad"}`, fault.ProviderError, `status 500: {"status":"bad"}`},
		{"error null", 500, `{"error":null}`, fault.ProviderError, "status 500"},
		{"a deep error", 500, `{"error":{"error":{"error":{"error":{"error":{"error":{"message":"x"}}}}}}}`, fault.ProviderError, "status 500"},
	} {
		f := codec.DecodeFault(c.status, noHeader, []byte(c.body))
		if f.Kind != c.kind || !strings.Contains(f.Message, c.says) || f.Status != c.status {
			t.Errorf("%s: %v %d %q, want %v with %q", c.name, f.Kind, f.Status, f.Message, c.kind, c.says)
		}
	}
}

func TestDecodeFault_keeps_what_was_said(t *testing.T) {
	f := codec.DecodeFault(400, noHeader, []byte(`{"error":{"message":"Unsupported value","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}`))
	if f.Param != "temperature" || f.Code != "unsupported_value" || f.Type != "invalid_request_error" {
		t.Errorf("got %+v", f)
	}
}

// Whatever a provider answers, the message is short, printable and without its credential.
func TestDecodeFault_shows_no_secret_and_no_flood(t *testing.T) {
	for _, in := range []string{
		`{"error":{"message":"Incorrect API key provided: sk-proj-AbCd1234********wxyz. You can find your API key at https://platform.openai.com.","code":"invalid_api_key"}}`,
		`{"error":{"message":"` + strings.Repeat("long ", 10_000) + `"}}`,
		strings.Repeat("x", 1<<20), "\x00\x01\x1b[31m\xff\xfe binary", `Authorization: Bearer abcdefgh12345678`,
		`{"error":{"message":"x","type":"` + strings.Repeat("t", 5000) + `","code":"` + strings.Repeat("c", 5000) + `","param":"` + strings.Repeat("p", 5000) + `"}}`,
		strings.Repeat("[", 100_000), `{"error":` + strings.Repeat(`{"error":`, 50_000),
	} {
		f := codec.DecodeFault(401, noHeader, []byte(in))
		all := f.Message + f.Type + f.Code + f.Param
		if len(all) > 4*330 || !utf8.ValidString(all) || strings.ContainsAny(all, "\x00\x1b\n") {
			t.Errorf("%.40q: %d bytes: %.80q", in, len(all), all)
		}
		for _, secret := range []string{"AbCd1234", "wxyz", "abcdefgh12345678"} {
			if strings.Contains(all, secret) {
				t.Errorf("%.40q shows %q", in, secret)
			}
		}
	}
}

func TestD128_retry_after(t *testing.T) {
	for _, c := range []struct {
		header map[string]string
		want   time.Duration
	}{
		{nil, 0},
		{map[string]string{"retry-after": "20"}, 20 * time.Second},
		{map[string]string{"retry-after-ms": "1500", "retry-after": "2"}, 1500 * time.Millisecond},
		{map[string]string{"x-ms-retry-after-ms": "250"}, 250 * time.Millisecond},
		{map[string]string{"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30 * time.Second},
		{map[string]string{"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0},
		{map[string]string{"retry-after": "999999999"}, time.Hour},
	} {
		f := codec.DecodeFault(429, func(name string) string { return c.header[name] }, nil)
		if f.RetryAfter != c.want {
			t.Errorf("%v: %v, want %v", c.header, f.RetryAfter, c.want)
		}
	}
	if f := codec.DecodeFault(429, nil, nil); f.RetryAfter != 0 {
		t.Errorf("without headers: %v", f.RetryAfter)
	}
}

func TestD121_encode_fault(t *testing.T) {
	for _, c := range []struct {
		in   fault.Fault
		want string
	}{
		{fault.Fault{Kind: fault.Internal}, `500 server_error <nil> internal_error`},
		{fault.Fault{Kind: fault.InvalidRequest, Param: "n"}, `400 invalid_request_error n <nil>`},
		{fault.Fault{Kind: fault.InvalidRequest, Code: "invalid_value"}, `400 invalid_request_error <nil> invalid_value`},
		{fault.Fault{Kind: fault.Unsupported, Param: "seed"}, `400 invalid_request_error seed unsupported_parameter`},
		{fault.Fault{Kind: fault.ContextLength, Code: "other"}, `400 invalid_request_error <nil> context_length_exceeded`},
		{fault.Fault{Kind: fault.ContentFiltered}, `400 invalid_request_error <nil> content_policy_violation`},
		{fault.Fault{Kind: fault.Unauthenticated}, `401 invalid_request_error <nil> invalid_api_key`},
		{fault.Fault{Kind: fault.PermissionDenied}, `403 invalid_request_error <nil> insufficient_permissions`},
		{fault.Fault{Kind: fault.NotFound, Code: "model_not_found", Param: "model"}, `404 invalid_request_error model model_not_found`},
		{fault.Fault{Kind: fault.MethodNotAllowed}, `405 invalid_request_error <nil> method_not_supported`},
		{fault.Fault{Kind: fault.UploadTimeout}, `408 invalid_request_error <nil> request_timeout`},
		{fault.Fault{Kind: fault.TooLarge}, `413 invalid_request_error <nil> request_too_large`},
		{fault.Fault{Kind: fault.RateLimited}, `429 requests <nil> rate_limit_exceeded`},
		{fault.Fault{Kind: fault.RateLimited, Type: "tokens", Code: "x"}, `429 tokens <nil> rate_limit_exceeded`},
		{fault.Fault{Kind: fault.QuotaExhausted}, `429 insufficient_quota <nil> insufficient_quota`},
		{fault.Fault{Kind: fault.Canceled}, `499 invalid_request_error <nil> client_closed_request`},
		{fault.Fault{Kind: fault.ProviderAuth, Status: 401, Code: "invalid_api_key"}, `401 server_error <nil> provider_auth`},
		{fault.Fault{Kind: fault.ProviderAuth, Status: 403}, `403 server_error <nil> provider_auth`},
		{fault.Fault{Kind: fault.ProviderAuth}, `502 server_error <nil> provider_auth`},
		{fault.Fault{Kind: fault.ProviderFailed, Status: 200}, `502 server_error <nil> provider_failed`},
		{fault.Fault{Kind: fault.Overloaded, Status: 529}, `503 server_error <nil> overloaded`}, // D124
		{fault.Fault{Kind: fault.Unavailable}, `503 server_error <nil> unavailable`},
		{fault.Fault{Kind: fault.ProviderTimeout, Status: 524}, `504 server_error <nil> provider_timeout`},
		{fault.Fault{Kind: fault.ProviderError, Status: 507}, `507 server_error <nil> provider_error`},
		{fault.Fault{Kind: fault.ProviderError}, `502 server_error <nil> provider_error`},
		{fault.Fault{Kind: 200}, `500 server_error <nil> internal_error`},
	} {
		c.in.Message = "It \"failed\".\n"
		status, body := codec.EncodeFault(&c.in, "req-1")
		var got struct {
			Error struct {
				Message, Type string
				Param, Code   any
			}
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if s := fmt.Sprint(status, " ", got.Error.Type, " ", got.Error.Param, " ", got.Error.Code); s != c.want || got.Error.Message != c.in.Message {
			t.Errorf("%v: %s, want %s", c.in.Kind, s, c.want)
		}
	}
}

// Every kind has words of its own, so that a new one cannot be forgotten.
func TestEncodeFault_is_complete(t *testing.T) {
	for _, k := range fault.Kinds() {
		status, body := codec.EncodeFault(&fault.Fault{Kind: k, Message: "m"}, "")
		if status < 400 || status > 599 || !json.Valid(body) || !strings.Contains(string(body), `"type":"`) || strings.Contains(string(body), `"type":""`) {
			t.Errorf("%v: %d %s", k, status, body)
		}
	}
}

// What a fault says survives being encoded and read by another gateway.
func TestFault_round_trip(t *testing.T) {
	for _, k := range fault.Kinds() {
		switch k {
		case fault.Internal, fault.Unsupported, fault.Unauthenticated, fault.PermissionDenied, fault.MethodNotAllowed, fault.UploadTimeout,
			fault.Canceled, fault.Unavailable, fault.ProviderFailed, fault.ProviderAuth, fault.BudgetExhausted:
			continue // seen from outside, these are the provider's
		}
		status, body := codec.EncodeFault(&fault.Fault{Kind: k, Message: "m"}, "")
		if f := codec.DecodeFault(status, noHeader, body); f.Kind != k || f.Message != "m" {
			t.Errorf("%v came back as %v", k, f)
		}
	}
}
