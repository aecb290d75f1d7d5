package openai

import (
	"strings"

	"dragoman/internal/fault"
)

// rule is one row of the table by which a provider's error is classified. Every condition that is set must hold; the first
// row that matches decides.
type rule struct {
	min, max int    // HTTP status, 0: any
	word     string // the error's code or type, in any case
	text     string // part of the message, in lower case
	kind     fault.Kind
}

// rules go from the particular to the general: words and messages that mean one thing at any status, then the statuses.
// Servers that copied the schema say the same with other statuses and words; a comment names who says so where few do.
var rules = []rule{
	{word: "context_length_exceeded", kind: fault.ContextLength},
	{word: "exceed_context_size_error", kind: fault.ContextLength}, // llama.cpp
	{min: 400, max: 422, text: "maximum context length", kind: fault.ContextLength},
	{min: 400, max: 422, text: "exceeds the available context size", kind: fault.ContextLength}, // llama.cpp
	{min: 400, max: 422, text: "exceeds the context window", kind: fault.ContextLength},
	{min: 400, max: 422, text: "exceeds the context length", kind: fault.ContextLength}, // Ollama
	{min: 400, max: 422, text: "context length is only", kind: fault.ContextLength},     // vLLM
	{min: 400, max: 422, text: "prompt is too long", kind: fault.ContextLength},
	{min: 400, max: 422, text: "maximum prompt length", kind: fault.ContextLength},              // xAI
	{min: 400, max: 422, text: "range of input length should be", kind: fault.ContextLength},    // Qwen
	{min: 400, max: 422, text: "`inputs` tokens + `max_new_tokens`", kind: fault.ContextLength}, // Together
	{min: 400, max: 422, text: "reduce the length of the messages", kind: fault.ContextLength},  // Groq
	{min: 400, max: 500, text: "greater than the context length", kind: fault.ContextLength},    // LM Studio
	{min: 400, max: 500, text: "when context the overflows", kind: fault.ContextLength},         // LM Studio

	{word: "content_policy_violation", kind: fault.ContentFiltered},
	{word: "content_filter", kind: fault.ContentFiltered}, // Azure
	{word: "responsibleaipolicyviolation", kind: fault.ContentFiltered},
	{word: "image_content_policy_violation", kind: fault.ContentFiltered},
	{word: "data_inspection_failed", kind: fault.ContentFiltered}, // Qwen
	{word: "datainspectionfailed", kind: fault.ContentFiltered},
	{min: 403, max: 403, text: "was flagged", kind: fault.ContentFiltered}, // OpenRouter
	{min: 403, max: 403, text: "requires moderation", kind: fault.ContentFiltered},

	{word: "insufficient_quota", kind: fault.QuotaExhausted},
	{word: "billing_hard_limit_reached", kind: fault.QuotaExhausted},
	{word: "billing_not_active", kind: fault.QuotaExhausted},
	{word: "credit_balance_exhausted", kind: fault.QuotaExhausted},
	{word: "arrearage", kind: fault.QuotaExhausted}, // Qwen
	{min: 402, max: 402, kind: fault.QuotaExhausted},
	{min: 400, max: 429, text: "used all available credits", kind: fault.QuotaExhausted}, // xAI
	{min: 400, max: 429, text: "monthly spending limit", kind: fault.QuotaExhausted},     // xAI, Fireworks (412)
	{min: 400, max: 429, text: "insufficient balance", kind: fault.QuotaExhausted},
	{min: 400, max: 429, text: "insufficient credits", kind: fault.QuotaExhausted},
	{min: 400, max: 429, text: "exceeded your current quota", kind: fault.QuotaExhausted},
	{min: 400, max: 403, text: "credit balance is too low", kind: fault.QuotaExhausted},

	{word: "model_not_found", kind: fault.NotFound},
	{word: "model_decommissioned", kind: fault.NotFound}, // Groq
	{word: "invalid_api_key", kind: fault.ProviderAuth},
	{word: "organization_restricted", kind: fault.ProviderAuth}, // Groq
	{min: 400, max: 400, text: "incorrect api key", kind: fault.ProviderAuth},
	{min: 400, max: 400, text: "api key not valid", kind: fault.ProviderAuth},
	{min: 400, max: 400, text: "invalid api key", kind: fault.ProviderAuth},

	{min: 400, max: 400, word: "tool_use_failed", kind: fault.ProviderFailed},      // Groq: the model wrote no valid call
	{min: 400, max: 400, word: "json_validate_failed", kind: fault.ProviderFailed}, // Groq: nor what the format asks for
	{min: 413, max: 413, word: "rate_limit_exceeded", kind: fault.RateLimited},     // Groq: more than a minute's tokens
	{word: "service_tier_capacity_exceeded", kind: fault.Overloaded},               // Mistral
	{min: 498, max: 498, kind: fault.Overloaded},                                   // Groq: no capacity in the flex tier

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
	case r.word != "" && !strings.EqualFold(r.word, e.code) && !strings.EqualFold(r.word, e.kind):
		return false
	}
	return r.text == "" || strings.Contains(lower, r.text)
}

func classify(status int, e *said) fault.Kind {
	if i := ruleFor(status, e); i >= 0 {
		return rules[i].kind
	}
	return fault.ProviderFailed
}

// ruleFor is the row that decides, -1 when none does.
func ruleFor(status int, e *said) int {
	lower := strings.ToLower(e.message + " " + e.raw)
	for i := range rules {
		if rules[i].matches(status, e, lower) {
			return i
		}
	}
	return -1
}
