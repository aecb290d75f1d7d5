package bedrock_test

import (
	"strings"
	"testing"
	"time"

	"dragoman/internal/fault"
)

func header(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// TestD126_Faults is the table of what the service says and what it means.
func TestD126_Faults(t *testing.T) {
	for _, c := range []struct {
		status     int
		kind, body string
		want       fault.Kind
	}{
		{429, "ThrottlingException", `{"message":"Too many requests, please wait before trying again."}`, fault.RateLimited},
		{429, "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/", `{"message":"Too many tokens, please wait before trying again."}`, fault.RateLimited},
		{429, "ThrottlingException", `{"message":"Too many tokens per day, please wait before trying again."}`, fault.QuotaExhausted},
		{400, "ServiceQuotaExceededException", `{"message":"Your request exceeds the service quota for your account."}`, fault.QuotaExhausted},
		{429, "ModelNotReadyException", `{"message":"The model is not ready."}`, fault.Overloaded},
		{408, "ModelTimeoutException", `{"message":"Model timed out."}`, fault.ProviderTimeout},
		{424, "ModelErrorException", `{"message":"Unexpected error","originalStatusCode":500}`, fault.ProviderError},
		{503, "ServiceUnavailableException", `{"message":"Bedrock is unable to process your request."}`, fault.Overloaded},
		{500, "InternalServerException", `{"message":"unexpected"}`, fault.ProviderError},
		{403, "AccessDeniedException", `{"message":"You don't have access to the model with the specified model ID."}`, fault.ProviderAuth},
		{403, "UnrecognizedClientException", `{"message":"The security token included in the request is invalid."}`, fault.ProviderAuth},
		{403, "InvalidSignatureException", `{"message":"The request signature we calculated does not match"}`, fault.ProviderAuth},
		{403, "ExpiredTokenException", `{"message":"The security token included in the request is expired"}`, fault.ProviderAuth},
		{404, "ResourceNotFoundException", `{"message":"Could not resolve the foundation model"}`, fault.NotFound},
		{400, "ValidationException", `{"message":"The provided model identifier is invalid."}`, fault.NotFound},
		{400, "ValidationException", `{"message":"Invocation of model ID x with on-demand throughput isn’t supported."}`, fault.NotFound},
		{400, "ValidationException", `{"message":"Input is too long for requested model."}`, fault.ContextLength},
		{400, "ValidationException", `{"message":"The model returned the following errors: input length and ` + "`max_tokens`" + ` exceed context limit: 1 + 2 > 2"}`, fault.ContextLength},
		{400, "ValidationException", `{"message":"prompt is too long: 5 tokens > 4 maximum"}`, fault.ContextLength},
		{400, "ValidationException", `{"message":"Output blocked by content filtering policy"}`, fault.ContentFiltered},
		{400, "ValidationException", `{"message":"1 validation error detected"}`, fault.InvalidRequest},
		// Without the header: the type in the body, or the status.
		{400, "", `{"__type":"com.amazon.coral.availability#ThrottlingException","message":"Rate exceeded"}`, fault.RateLimited},
		{400, "", `{"__type":"com.amazon.coral.service#ValidationException","Message":"x"}`, fault.InvalidRequest},
		{404, "UnknownOperationException", ``, fault.NotFound},
		{429, "", ``, fault.RateLimited},
		{503, "", `<html>Service Unavailable`, fault.Overloaded},
		{502, "", `<html>Bad Gateway`, fault.ProviderError},
		{418, "", `{"message":"x"}`, fault.ProviderFailed},
		{529, "SomethingNew", `{"message":"x"}`, fault.Overloaded},
	} {
		f := codec.DecodeFault(c.status, header("x-amzn-errortype", c.kind), []byte(c.body))
		if f.Kind != c.want || f.Status != c.status || f.Message == "" {
			t.Errorf("%d %s %s: %+v", c.status, c.kind, c.body, f)
		}
	}
}

func TestD128_RetryAfter(t *testing.T) {
	f := codec.DecodeFault(429, header("x-amzn-errortype", "ThrottlingException", "retry-after", "7"), []byte(`{"message":"x"}`))
	if f.RetryAfter != 7*time.Second || f.Type != "ThrottlingException" {
		t.Errorf("%+v", f)
	}
}

func TestFaultsShowNoSecretAndNoNonsense(t *testing.T) {
	f := codec.DecodeFault(403, header("x-amzn-errortype", "<script>"+strings.Repeat("x", 200)), []byte(`{"message":"key AKIAIOSFODNN7EXAMPLE is bad"}`))
	if strings.Contains(f.Message, "AKIAIOSFODNN7EXAMPLE") || f.Type != "unknown" {
		t.Errorf("%+v", f)
	}
	if f := codec.DecodeFault(500, nil, nil); f.Message == "" {
		t.Errorf("%+v", f)
	}
}
