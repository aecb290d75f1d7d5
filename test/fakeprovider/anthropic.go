package fakeprovider

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// anthropic is the vendor Anthropic.
type anthropic struct {
	opts   Options
	signer signer
}

func newAnthropic(o Options) *anthropic { return &anthropic{o, signer("fake:" + o.Name)} }

func (*anthropic) path() string { return "/v1/messages" }

// The versions of the API. The SDKs' majors of 2026-10-21 send that one, and their key as a bearer token; the vendor takes
// both versions, and either form of the key with each (platform.claude.com/docs/en/api/versioning).
const (
	version2023 = "2023-06-01"
	version2026 = "2026-10-21"
)

// headers: a bearer token beside an x-api-key is somebody else's credential that has leaked.
func (*anthropic) headers(h http.Header) []string {
	own := []string{"x-api-key", "anthropic-version", "anthropic-beta", "anthropic-dangerous-direct-browser-access"}
	if h.Get("X-Api-Key") == "" {
		own = append(own, "authorization")
	}
	return own
}

func (v *anthropic) authorize(h http.Header) *apiError {
	key := h.Get("X-Api-Key")
	if bearer, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer "); ok && key == "" {
		key = bearer
	}
	switch {
	case key == "":
		return &apiError{status: http.StatusUnauthorized, kind: "authentication_error", message: "x-api-key header is required"}
	case !slices.Contains(v.opts.Keys, key):
		return &apiError{status: http.StatusUnauthorized, kind: "authentication_error", message: "invalid x-api-key"}
	case h.Get("Anthropic-Version") == "":
		return refuseAt("anthropic-version", "header is required")
	case h.Get("Anthropic-Version") != version2023 && h.Get("Anthropic-Version") != version2026:
		return refuseAt("anthropic-version", "%q is not a valid version", h.Get("Anthropic-Version"))
	}
	return nil
}

// standard headers of every answer, some of which must not pass for the gateway's own (D129).
func (*anthropic) standard(serial int, now int64) map[string]string {
	reset := time.Unix(now+60, 0).UTC().Format(time.RFC3339)
	return map[string]string{
		"Request-Id":                             fmt.Sprintf("req_fake%08d", serial),
		"Anthropic-Organization-Id":              "11111111-2222-3333-4444-555555555555",
		"Anthropic-Ratelimit-Requests-Limit":     "4000",
		"Anthropic-Ratelimit-Requests-Remaining": "3999",
		"Anthropic-Ratelimit-Requests-Reset":     reset,
		"Anthropic-Ratelimit-Tokens-Limit":       "400000",
		"Anthropic-Ratelimit-Tokens-Remaining":   "399000",
		"Anthropic-Ratelimit-Tokens-Reset":       reset,
		"Via":                                    "1.1 google",
		"Cf-Cache-Status":                        "DYNAMIC",
		"Cf-Ray":                                 "fake-FRA",
	}
}

// check is everything Anthropic would refuse, in the order in which it does.
func (v *anthropic) check(h http.Header, body map[string]any) (*ask, *apiError) {
	if e := messagesRequest("", any(body)); e != nil {
		return nil, e
	}
	if model := str(body["model"]); !v.opts.knows(model) {
		return nil, v.modelNotFound(model)
	}
	if h.Get("Anthropic-Version") == version2026 {
		if e := since2026(body); e != nil {
			return nil, e
		}
	}
	for _, rule := range anthropicRules {
		if e := rule(body); e != nil {
			return nil, e
		}
	}
	if e := v.signatures(body); e != nil {
		return nil, e
	}
	return v.ask(body), nil
}

func (v *anthropic) ask(body map[string]any) *ask {
	q := &ask{
		model: str(body["model"]), stream: boolean(body["stream"]), parallel: true, choice: "auto", n: 1,
		maxTokens: integer(body["max_tokens"]), includeUsage: true,
		words:    promptWords(body["messages"]) + promptWords(body["system"]) + promptWords(body["tools"]),
		thinking: thinks(body), hideThinking: str(obj(body["thinking"])["display"]) == "omitted",
		format: obj(obj(obj(body["output_config"])["format"])["schema"]),
	}
	for _, s := range list(body["stop_sequences"]) {
		q.stops = append(q.stops, str(s))
	}
	for _, t := range list(body["tools"]) {
		if s := obj(obj(t)["input_schema"]); s != nil {
			q.tools = append(q.tools, askTool{str(obj(t)["name"]), s})
		}
	}
	choice := obj(body["tool_choice"])
	switch str(choice["type"]) {
	case "any":
		q.choice = "required"
	case "tool":
		q.choice, q.named = "named", str(choice["name"])
	case "none":
		q.choice = "none"
	}
	q.parallel = !boolean(choice["disable_parallel_tool_use"])
	for _, m := range list(body["messages"]) {
		anthropicTurn(q, obj(m))
	}
	return q
}

// thinks: thinking is on, in any form.
func thinks(body map[string]any) bool {
	kind := str(obj(body["thinking"])["type"])
	return kind != "" && kind != "disabled"
}

func anthropicTurn(q *ask, msg map[string]any) {
	q.results = nil
	if str(msg["role"]) != "user" {
		return
	}
	for _, b := range list(msg["content"]) {
		if blk := obj(b); str(blk["type"]) == "tool_result" {
			q.results = append(q.results, askResult{str(blk["tool_use_id"]), textOf(blk["content"]), boolean(blk["is_error"])})
		}
	}
	if text := textOf(msg["content"]); text != "" {
		q.text = text
	}
}

func (*anthropic) model(name string) any {
	return map[string]any{"type": "model", "id": name, "display_name": name, "created_at": "2025-01-01T00:00:00Z",
		"max_input_tokens": 200000, "max_tokens": maxOutput}
}

func (v *anthropic) models(items []any) any {
	return map[string]any{"data": items, "has_more": false, "first_id": v.opts.Models[0], "last_id": v.opts.Models[len(v.opts.Models)-1]}
}

func (*anthropic) refuse(status int, kind, message string) *apiError {
	if kind == "" {
		kind = "invalid_request_error"
	}
	return &apiError{status: status, kind: kind, message: message}
}

func (*anthropic) modelNotFound(name string) *apiError {
	return &apiError{status: http.StatusNotFound, kind: "not_found_error", message: "model: " + name}
}

func (*anthropic) notFound(_, _ string, known bool) *apiError {
	if known {
		return &apiError{status: http.StatusMethodNotAllowed, kind: "invalid_request_error", message: "Method Not Allowed"}
	}
	return &apiError{status: http.StatusNotFound, kind: "not_found_error", message: "Not Found"}
}

func (*anthropic) notJSON(detail string) *apiError {
	return refuseAt("", "The request body is not valid JSON: %s", detail)
}

// anthropicFaults are the vendor's words for each status.
var anthropicFaults = map[int]apiError{
	400: {kind: "invalid_request_error", message: "Invalid request."},
	401: {kind: "authentication_error", message: "invalid x-api-key"},
	402: {kind: "billing_error", message: "There's an issue with your billing or payment information."},
	403: {kind: "permission_error", message: "Your API key does not have permission to use the specified resource."},
	404: {kind: "not_found_error", message: "model: MODEL"},
	408: {kind: "timeout_error", message: "Request timed out"},
	413: {kind: "request_too_large", message: "Request exceeds the maximum size"},
	429: {kind: "rate_limit_error", message: "This request would exceed your organization's rate limit of 40,000 input tokens per minute (org: 11111111-2222-3333-4444-555555555555, model: MODEL). Please reduce the prompt length or the maximum tokens requested, or try again later."},
	500: {kind: "api_error", message: "Internal server error"},
	503: {kind: "api_error", message: "Service unavailable"},
	504: {kind: "timeout_error", message: "Request timed out"},
	529: {kind: "overloaded_error", message: "Overloaded"},
}

func (*anthropic) fault(f *Fault, model string) *apiError {
	e, ok := anthropicFaults[f.Status]
	if !ok {
		e = apiError{kind: "api_error", message: http.StatusText(f.Status)}
	}
	return e.with(f, model)
}

func (*anthropic) errorBody(e *apiError, id answerID) []byte {
	return mustJSON(map[string]any{
		"type": "error", "error": map[string]any{"type": e.kind, "message": e.message}, "request_id": fmt.Sprintf("req_fake%08d", id.serial),
	})
}

func (v *anthropic) errorEvent(e *apiError, id answerID) frame {
	return frame{data: sse("error", v.errorBody(e, id))}
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }
