package gemini

import (
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
)

func noHeader(string) string { return "" }

func googleError(code, message string, details ...string) string {
	return `{"error":{"code":400,"message":"` + message + `","status":"` + code + `","details":[` + strings.Join(details, ",") + `]}}`
}

func TestD121_errors_are_classified(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		kind   fault.Kind
		typed  string
	}{
		{"bad argument", 400, googleError("INVALID_ARGUMENT", "Unknown name x"), fault.InvalidRequest, "INVALID_ARGUMENT"},
		{"refused key", 400, googleError("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), fault.ProviderAuth, "INVALID_ARGUMENT"},
		{"refused key by reason", 400, googleError("INVALID_ARGUMENT", "x", `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}`), fault.ProviderAuth, "INVALID_ARGUMENT"},
		{"place", 400, googleError("FAILED_PRECONDITION", "User location is not supported for the API use."), fault.ProviderAuth, "FAILED_PRECONDITION"},
		{"billing", 400, googleError("FAILED_PRECONDITION", "Please enable billing on project"), fault.QuotaExhausted, "FAILED_PRECONDITION"},
		{"window", 400, googleError("INVALID_ARGUMENT", "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576)."), fault.ContextLength, "INVALID_ARGUMENT"},
		{"size", 400, googleError("INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."), fault.TooLarge, "INVALID_ARGUMENT"},
		{"no credential", 401, googleError("UNAUTHENTICATED", "x"), fault.ProviderAuth, "UNAUTHENTICATED"},
		{"no permission", 403, googleError("PERMISSION_DENIED", "x"), fault.ProviderAuth, "PERMISSION_DENIED"},
		{"no model", 404, googleError("NOT_FOUND", "models/x is not found"), fault.NotFound, "NOT_FOUND"},
		{"rate", 429, googleError("RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details.", `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}`), fault.RateLimited, "RESOURCE_EXHAUSTED"},
		{"day", 429, googleError("RESOURCE_EXHAUSTED", "x", `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel"}]}`), fault.QuotaExhausted, "RESOURCE_EXHAUSTED"},
		{"overload", 503, googleError("UNAVAILABLE", "The model is overloaded."), fault.Overloaded, "UNAVAILABLE"},
		{"internal", 500, googleError("INTERNAL", "x"), fault.ProviderError, "INTERNAL"},
		{"deadline", 504, googleError("DEADLINE_EXCEEDED", "x"), fault.ProviderTimeout, "DEADLINE_EXCEEDED"},
		{"cancelled", 499, googleError("CANCELLED", "x"), fault.ProviderError, "CANCELLED"},
		{"D122 list", 429, "[" + googleError("RESOURCE_EXHAUSTED", "x") + "]", fault.RateLimited, "RESOURCE_EXHAUSTED"},
		{"another server", 502, "<html>Bad Gateway", fault.ProviderError, ""},
		{"another server's 429", 429, "slow down", fault.RateLimited, ""},
		{"a code nobody knows", 418, googleError("OF TOMORROW", "x"), fault.ProviderFailed, "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Codec{}.DecodeFault(c.status, noHeader, []byte(c.body))
			if f.Kind != c.kind || f.Type != c.typed || f.Status != c.status || f.Message == "" {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestD128_retry_hints(t *testing.T) {
	retry := func(delay string) string {
		return googleError("RESOURCE_EXHAUSTED", "x", `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":`+delay+`}`)
	}
	for delay, want := range map[string]time.Duration{
		`"34.5s"`: 34500 * time.Millisecond, `"0s"`: 0, `"-3s"`: 0, `"99999999s"`: time.Hour, `"x"`: 0, `3`: 0, `"NaNs"`: 0, `null`: 0,
	} {
		if f := (Codec{}).DecodeFault(429, noHeader, []byte(retry(delay))); f.RetryAfter != want {
			t.Errorf("%s: %v", delay, f.RetryAfter)
		}
	}
	header := func(name string) string {
		if name == "retry-after" {
			return "60"
		}
		return ""
	}
	if f := (Codec{}).DecodeFault(429, header, []byte(retry(`"7s"`))); f.RetryAfter != time.Minute {
		t.Errorf("with a header: %v", f.RetryAfter)
	}
}

func TestEncodeFault_speaks_Googles_words(t *testing.T) {
	for _, kind := range fault.Kinds() {
		status, body := Codec{}.EncodeFault(fault.New(kind, "m"), "r")
		e := gjson.GetBytes(body, "error")
		if e.Get("code").Int() != int64(status) || e.Get("status").Str == "" || e.Get("message").Str != "m" {
			t.Errorf("%s: %d %s", kind, status, body)
		}
		if _, known := spokenKinds[kind]; !known {
			t.Errorf("%s has no row", kind)
		}
		if _, known := heardCodes[e.Get("status").Str]; !known {
			t.Errorf("%s: %s is no code of google.rpc", kind, e.Get("status").Str)
		}
	}
	status, body := Codec{}.EncodeFault(&fault.Fault{Kind: fault.RateLimited, Message: "slow", Param: "contents[0]", Code: "tokens_per_minute", RetryAfter: 1500 * time.Millisecond}, "req-7")
	if status != 429 || string(body) != `{"error":{"code":429,"message":"contents[0]: slow","status":"RESOURCE_EXHAUSTED","details":[`+
		`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TOKENS_PER_MINUTE","domain":"dragoman"},`+
		`{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"contents[0]","description":"contents[0]: slow"}]},`+
		`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.5s"},`+
		`{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"req-7"}]}}` {
		t.Errorf("%d %s", status, body)
	}
	for _, c := range []struct {
		f      fault.Fault
		status int
		code   string
	}{
		{fault.Fault{Kind: fault.ProviderAuth, Status: 403}, 403, "PERMISSION_DENIED"}, {fault.Fault{Kind: fault.ProviderError, Status: 520}, 520, "INTERNAL"},
		{fault.Fault{Kind: 99}, 500, "INTERNAL"},
	} {
		if status, body := (Codec{}).EncodeFault(&c.f, ""); status != c.status || gjson.GetBytes(body, "error.status").Str != c.code {
			t.Errorf("%+v: %d %s", c.f, status, body)
		}
	}
}

func TestEncodeModels(t *testing.T) {
	list := []translate.ListedModel{{Name: "auto", OwnedBy: "dragoman"}, {Name: "gemini/x", OwnedBy: "gemini", Context: 100, MaxOutput: 10}}
	if got := string(Codec{}.EncodeModels(list)); got != `{"models":[{"name":"models/auto","displayName":"auto","description":"Served by dragoman.","version":"001","supportedGenerationMethods":["generateContent","countTokens"]},`+
		`{"name":"models/gemini/x","displayName":"gemini/x","description":"Served by gemini.","version":"001","inputTokenLimit":100,"outputTokenLimit":10,"supportedGenerationMethods":["generateContent","countTokens"]}]}` {
		t.Error(got)
	}
	if got := string(Codec{}.EncodeModels(nil)); got != `{"models":[]}` {
		t.Error(got)
	}
	if got := gjson.GetBytes(Codec{}.EncodeModel(list[1]), "name").Str; got != "models/gemini/x" {
		t.Error(got)
	}
}
