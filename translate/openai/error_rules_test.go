package openai

import (
	"testing"
	"time"

	"dragoman/internal/fault"
)

// heard is an error as a vendor sends it.
var heard = []struct {
	vendor string
	status int
	body   string
	kind   fault.Kind
}{
	{"openai", 400, `{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}`, fault.ContextLength},
	{"openai", 400, `{"error":{"message":"rejected","code":"content_policy_violation"}}`, fault.ContentFiltered},
	{"openai", 400, `{"error":{"message":"rejected","code":"image_content_policy_violation"}}`, fault.ContentFiltered},
	{"openai", 429, `{"error":{"message":"You exceeded","type":"insufficient_quota","code":"insufficient_quota"}}`, fault.QuotaExhausted},
	{"openai", 400, `{"error":{"message":"limit","code":"billing_hard_limit_reached"}}`, fault.QuotaExhausted},
	{"openai", 403, `{"error":{"message":"inactive","code":"billing_not_active"}}`, fault.QuotaExhausted},
	{"openai", 404, `{"error":{"message":"The model does not exist","code":"model_not_found"}}`, fault.NotFound},
	{"openai", 401, `{"error":{"message":"Incorrect API key provided: sk-a*b","code":"invalid_api_key"}}`, fault.ProviderAuth},
	{"openai", 429, `{"error":{"message":"That model is currently overloaded with other requests"}}`, fault.Overloaded},
	{"openai", 429, `{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}`, fault.RateLimited},
	{"openai", 400, `{"error":{"message":"Invalid value","type":"invalid_request_error"}}`, fault.InvalidRequest},
	{"openai", 500, `{"error":{"message":"The server had an error","type":"server_error"}}`, fault.ProviderError},
	{"openai", 503, `{"error":{"message":"try later","code":"service_unavailable"}}`, fault.Overloaded},

	{"azure", 400, `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}`, fault.ContentFiltered},
	{"azure", 400, `{"error":{"message":"x","code":"ResponsibleAIPolicyViolation"}}`, fault.ContentFiltered},
	{"azure", 429, `{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded the token rate limit. Please retry after 26 seconds."}}`, fault.RateLimited},
	{"azure", 404, `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`, fault.NotFound},
	{"azure", 401, `{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}`, fault.ProviderAuth},
	{"azure", 408, `{"error":{"code":"Timeout","message":"The operation was timeout."}}`, fault.ProviderTimeout},

	{"mistral", 422, `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","max_completion_tokens"],"msg":"Extra inputs are not permitted","input":5}]},"type":"invalid_request_error","param":null,"code":null}`, fault.InvalidRequest},
	{"mistral", 400, `{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt","code":"3051"}`, fault.ContextLength},
	{"mistral", 429, `{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","code":"3505"}`, fault.Overloaded},
	{"mistral", 401, `{"detail":"Unauthorized"}`, fault.ProviderAuth},

	{"groq", 498, `{"error":{"message":"capacity_exceeded","type":"capacity_exceeded"}}`, fault.Overloaded},
	{"groq", 413, `{"error":{"message":"Request too large for model on tokens per minute (TPM): Limit 6000, Requested 9000","type":"tokens","code":"rate_limit_exceeded"}}`, fault.RateLimited},
	{"groq", 413, `{"error":{"message":"Request Entity Too Large","code":"request_too_large"}}`, fault.TooLarge},
	{"groq", 400, `{"error":{"message":"Please reduce the length of the messages or completion.","type":"invalid_request_error"}}`, fault.ContextLength},
	{"groq", 400, `{"error":{"message":"Failed to call a function.","code":"tool_use_failed","failed_generation":"<function=x"}}`, fault.ProviderFailed},
	{"groq", 400, `{"error":{"message":"Failed to generate JSON.","code":"json_validate_failed"}}`, fault.ProviderFailed},
	{"groq", 400, `{"error":{"message":"The model has been decommissioned","code":"model_decommissioned"}}`, fault.NotFound},
	{"groq", 400, `{"error":{"message":"Organization has been restricted.","code":"organization_restricted"}}`, fault.ProviderAuth},

	{"together", 422, "{\"error\":{\"message\":\"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097\",\"type\":\"invalid_request_error\"}}", fault.ContextLength},
	{"together", 402, `{"error":{"message":"Credit limit exceeded","type":"credit_limit"}}`, fault.QuotaExhausted},
	{"fireworks", 412, `{"error":{"object":"error","type":"invalid_request_error","message":"Account x is suspended, possibly due to reaching the monthly spending limit"}}`, fault.QuotaExhausted},
	{"fireworks", 400, `{"error":{"message":"The prompt is too long: 9000","type":"invalid_request_error"}}`, fault.ContextLength},
	{"fireworks", 400, `{"error":{"message":"Extra inputs are not permitted, field: 'x'"}}`, fault.InvalidRequest},
	{"deepseek", 402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`, fault.QuotaExhausted},
	{"deepseek", 400, `{"error":{"message":"This model's maximum context length is 65536 tokens."}}`, fault.ContextLength},
	{"a proxy of deepseek", 403, `{"error":{"message":"insufficient balance"}}`, fault.QuotaExhausted},

	{"qwen", 400, `{"error":{"message":"Output data may contain inappropriate content.","type":"data_inspection_failed","code":"data_inspection_failed"}}`, fault.ContentFiltered},
	{"qwen", 400, `{"code":"DataInspectionFailed","message":"Input data may contain inappropriate content."}`, fault.ContentFiltered},
	{"qwen", 400, `{"error":{"message":"Access denied, please make sure your account is in good standing.","type":"Arrearage","code":"Arrearage"}}`, fault.QuotaExhausted},
	{"qwen", 400, `{"error":{"message":"<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]","code":"invalid_parameter_error"}}`, fault.ContextLength},

	{"openrouter", 402, `{"error":{"message":"This request requires more credits","code":402}}`, fault.QuotaExhausted},
	{"openrouter", 429, `{"error":{"message":"insufficient credits","code":429}}`, fault.QuotaExhausted},
	{"openrouter", 403, `{"error":{"code":403,"message":"Your input was flagged","metadata":{"reasons":["violence"]}}}`, fault.ContentFiltered},
	{"openrouter", 403, `{"error":{"code":403,"message":"The model requires moderation","metadata":{}}}`, fault.ContentFiltered},
	{"openrouter", 408, `{"error":{"code":408,"message":"timed out"}}`, fault.ProviderTimeout},
	{"openrouter", 502, `{"error":{"code":502,"message":"Provider returned error","metadata":{"provider_name":"X","raw":"upstream exploded"}}}`, fault.ProviderError},
	{"openrouter", 400, `{"error":{"code":400,"message":"Provider returned error","metadata":{"raw":{"error":{"message":"exceeds the context window"}}}}}`, fault.ContextLength},
	{"openrouter with a key of its own", 400, `{"error":{"code":400,"message":"Provider returned error","metadata":{"raw":"Your credit balance is too low to access the Anthropic API."}}}`, fault.QuotaExhausted},

	{"xai", 400, `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***yz."}`, fault.ProviderAuth},
	{"xai", 400, `{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 537812 tokens."}`, fault.ContextLength},
	{"xai", 403, `{"code":"The caller does not have permission","error":"Your team has used all available credits"}`, fault.QuotaExhausted},
	{"perplexity", 401, `<html><head><title>401 Authorization Required</title></head></html>`, fault.ProviderAuth},
	{"nvidia", 402, `{"type":"urn:nvcf","title":"Payment Required","status":402,"detail":"Cloud credits expired"}`, fault.QuotaExhausted},

	{"ollama", 400, `{"error":{"message":"the input length exceeds the context length","type":"invalid_request_error"}}`, fault.ContextLength},
	{"ollama", 404, `{"error":{"message":"model 'x' not found","type":"not_found_error"}}`, fault.NotFound},
	{"ollama", 503, `{"error":{"message":"server busy, please try again. maximum pending requests exceeded"}}`, fault.Overloaded},
	{"vllm", 400, `{"error":{"message":"You passed 40000 input tokens. However, the model's context length is only 32768 tokens","type":"BadRequestError","code":400}}`, fault.ContextLength},
	{"llama.cpp", 400, `{"error":{"code":400,"message":"too big","type":"exceed_context_size_error"}}`, fault.ContextLength},
	{"llama.cpp", 400, `{"error":{"message":"the request exceeds the available context size"}}`, fault.ContextLength},
	{"lmstudio", 400, `{"error":"The number of tokens to keep from the initial prompt is greater than the context length"}`, fault.ContextLength},
	{"lmstudio", 400, `{"error":"Trying to keep the first 5000 tokens when context the overflows."}`, fault.ContextLength},

	{"google", 400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`, fault.ProviderAuth},
	{"google", 429, `[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan","status":"RESOURCE_EXHAUSTED"}}]`, fault.QuotaExhausted},
	{"another", 400, `{"error":{"message":"Invalid API key"}}`, fault.ProviderAuth},
	{"another", 400, `{"error":{"message":"none left","code":"credit_balance_exhausted"}}`, fault.QuotaExhausted},
	{"another", 403, ``, fault.ProviderAuth},
	{"another", 405, ``, fault.ProviderFailed},
	{"another", 409, ``, fault.Overloaded},
	{"another", 425, ``, fault.Overloaded},
	{"another", 504, ``, fault.ProviderTimeout},
	{"another", 522, ``, fault.ProviderTimeout},
	{"another", 524, ``, fault.ProviderTimeout},
	{"another", 529, ``, fault.Overloaded},
	{"another", 302, ``, fault.ProviderFailed},
	{"in a stream", 0, `{"error":{"message":"x","type":"rate_limit_error"}}`, fault.RateLimited},
	{"in a stream", 0, `{"error":{"message":"x","code":"rate_limit_exceeded"}}`, fault.RateLimited},
	{"in a stream", 0, `{"error":{"message":"x","type":"overloaded_error"}}`, fault.Overloaded},
	{"in a stream", 0, `{"error":{"message":"x","type":"invalid_request_error"}}`, fault.InvalidRequest},
	{"in a stream", 0, `{"error":{"message":"x","type":"authentication_error"}}`, fault.ProviderAuth},
	{"in a stream", 0, `{"error":{"message":"x","type":"permission_error"}}`, fault.ProviderAuth},
	{"in a stream", 0, `{"error":{"message":"x"}}`, fault.ProviderError},
}

// Every row of the table decides at least one of the vendors' errors, so that none is dead or shadowed by another.
func TestErrorRules_each_row_decides(t *testing.T) {
	decided := make([]bool, len(rules))
	for _, c := range heard {
		f := Codec{}.DecodeFault(c.status, func(string) string { return "" }, []byte(c.body))
		if f.Kind != c.kind {
			t.Errorf("%s %d %s: %v, want %v", c.vendor, c.status, c.body, f.Kind, c.kind)
		}
		e := readError([]byte(c.body))
		decided[ruleFor(c.status, &e)] = true
	}
	for i, ok := range decided {
		if !ok {
			t.Errorf("row %d decides nothing: %+v", i, rules[i])
		}
	}
}

func TestErrors_say_what_the_provider_behind_said(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"message":"Provider returned error","metadata":{"raw":"boom"}}}`:                        "Provider returned error: boom",
		`{"error":{"message":"Provider returned error","metadata":{"raw":{"error":"boom"}}}}`:              `Provider returned error: {"error":"boom"}`,
		`{"error":{"message":"Provider returned error","metadata":{"raw":"key sk-ant-abcdefgh12345678"}}}`: "Provider returned error: key [redacted]",
		`{"error":{"message":"x","metadata":[1]}}`:                                                         "x",
		`{"object":"error","message":{"detail":[{"msg":"Extra inputs are not permitted"}]}}`:               "Extra inputs are not permitted",
	} {
		if f := (Codec{}).DecodeFault(502, nil, []byte(body)); f.Message != want {
			t.Errorf("%s: %q, want %q", body, f.Message, want)
		}
	}
}

func TestD128_retry_after_in_a_message(t *testing.T) {
	for message, want := range map[string]time.Duration{
		"Rate limit reached. Please try again in 7.66s. Visit https://x": 7660 * time.Millisecond,
		"Please try again in 1m26.4s":                                    86400 * time.Millisecond,
		"Please try again in 250ms.":                                     250 * time.Millisecond,
		"Please retry after 26 seconds.":                                 26 * time.Second,
		"Please retry after 2 minutes.":                                  2 * time.Minute,
		"retry in 300 milliseconds":                                      300 * time.Millisecond,
		"Please try again in 9999h":                                      time.Hour,
		"Please try again in a while":                                    0,
		"retry after -5 seconds":                                         0,
		"retry after NaN seconds":                                        0,
		"retry after":                                                    0,
	} {
		f := Codec{}.DecodeFault(429, func(string) string { return "" }, []byte(`{"error":{"message":"`+message+`"}}`))
		if f.RetryAfter != want {
			t.Errorf("%s: %v, want %v", message, f.RetryAfter, want)
		}
	}
	f := Codec{}.DecodeFault(429, func(name string) string { return map[string]string{"retry-after": "3"}[name] }, []byte(`{"error":{"message":"try again in 9s"}}`))
	if f.RetryAfter != 3*time.Second {
		t.Errorf("the header counts first: %v", f.RetryAfter)
	}
}
