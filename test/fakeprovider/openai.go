package fakeprovider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
)

// openai is the vendor OpenAI.
type openai struct {
	opts  Options
	spec  *openaiSpec
	store objectStore
}

func newOpenAI(o Options) (*openai, error) {
	spec, err := openaiSchemas()
	return &openai{opts: o, spec: spec}, err
}

func (*openai) path() string { return "/v1/chat/completions" }

func (*openai) headers(http.Header) []string {
	return []string{"authorization", "openai-beta", "openai-organization", "openai-project"}
}

// authorize wants exactly `Authorization: Bearer KEY`.
func (v *openai) authorize(h http.Header) *apiError {
	got := h.Get("Authorization")
	if got == "" {
		return &apiError{status: http.StatusUnauthorized, kind: "invalid_request_error",
			message: "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from https://platform.openai.com/account/api-keys."}
	}
	key, ok := strings.CutPrefix(got, "Bearer ")
	if ok && slices.Contains(v.opts.Keys, key) {
		return nil
	}
	return &apiError{status: http.StatusUnauthorized, kind: "invalid_request_error", code: "invalid_api_key",
		message: "Incorrect API key provided: " + masked(key) + ". You can find your API key at https://platform.openai.com/account/api-keys."}
}

// masked shows a key's ends, as the vendor does: a gateway that repeats its message shows a part of a secret.
func masked(key string) string {
	if len(key) < 13 {
		return strings.Repeat("*", len(key))
	}
	return key[:8] + strings.Repeat("*", len(key)-12) + key[len(key)-4:]
}

// standard headers of every answer, some of which must not pass for the gateway's own (D129).
func (v *openai) standard(serial int, _ int64) map[string]string {
	return map[string]string{
		"X-Request-Id":                   fmt.Sprintf("req_fake%08d", serial),
		"Openai-Version":                 "2020-10-01",
		"Openai-Organization":            "org-fake",
		"Openai-Processing-Ms":           "7",
		"X-Ratelimit-Limit-Requests":     "10000",
		"X-Ratelimit-Remaining-Requests": "9999",
		"X-Ratelimit-Limit-Tokens":       "2000000",
		"X-Ratelimit-Remaining-Tokens":   "1999000",
		"X-Ratelimit-Reset-Requests":     "6ms",
		"X-Ratelimit-Reset-Tokens":       "30ms",
		"Set-Cookie":                     "__cf_bm=fake; path=/; HttpOnly; Secure",
		"Cf-Ray":                         "fake-FRA",
	}
}

// check is everything OpenAI would refuse, in the order in which it does.
func (v *openai) check(_ http.Header, body map[string]any) (*ask, *apiError) {
	if e := v.topLevel(body); e != nil {
		return nil, e
	}
	if err := v.spec.request.Validate(v.plain(body)); err != nil {
		return nil, schemaError(err)
	}
	if model := str(body["model"]); !v.opts.knows(model) {
		return nil, v.modelNotFound(model)
	}
	for _, rule := range openaiRules {
		if e := rule(body); e != nil {
			return nil, e
		}
	}
	return v.ask(body), nil
}

func (v *openai) topLevel(body map[string]any) *apiError {
	var unknown []string
	for name := range body {
		if !v.spec.fields[name] {
			unknown = append(unknown, name)
		}
	}
	sort.Strings(unknown)
	switch {
	case len(unknown) == 1:
		return invalid("", "", "Unrecognized request argument supplied: %s", unknown[0])
	case len(unknown) > 1:
		return invalid("", "", "Unrecognized request arguments supplied: %s", strings.Join(unknown, ", "))
	case body["model"] == nil:
		return invalid("", "", "you must provide a model parameter")
	}
	return nil
}

// plain is the body without the members that only OpenAI-compatible vendors know.
func (v *openai) plain(body map[string]any) any {
	if !v.opts.ReasoningContent {
		return any(body)
	}
	out := without(body, "messages")
	var messages []any
	for _, m := range list(body["messages"]) {
		if mm := obj(m); str(mm["role"]) == "assistant" {
			messages = append(messages, any(without(mm, "reasoning_content")))
		} else {
			messages = append(messages, m)
		}
	}
	if body["messages"] != nil {
		out["messages"] = messages
	}
	return any(out)
}

func (v *openai) ask(body map[string]any) *ask {
	q := &ask{
		model: str(body["model"]), stream: boolean(body["stream"]), parallel: true, choice: "auto", n: 1,
		includeUsage: boolean(obj(body["stream_options"])["include_usage"]),
		maxTokens:    max(integer(body["max_tokens"]), integer(body["max_completion_tokens"])),
		logprobs:     boolean(body["logprobs"]), words: promptWords(body["messages"]) + promptWords(body["tools"]),
	}
	if p, ok := body["parallel_tool_calls"].(bool); ok {
		q.parallel = p
	}
	if n := integer(body["n"]); n > 1 {
		q.n = int(n)
	}
	switch effort := str(body["reasoning_effort"]); effort {
	case "", "none":
	default:
		q.thinking = true
	}
	switch stop := body["stop"].(type) {
	case string:
		q.stops = []string{stop}
	case []any:
		for _, s := range stop {
			q.stops = append(q.stops, str(s))
		}
	}
	for _, t := range list(body["tools"]) {
		if f := obj(obj(t)["function"]); f != nil {
			q.tools = append(q.tools, askTool{str(f["name"]), obj(f["parameters"])})
		}
	}
	switch c := body["tool_choice"].(type) {
	case string:
		q.choice = c
	case map[string]any:
		q.choice, q.named = "named", str(obj(c["function"])["name"])
	}
	openaiTurns(q, list(body["messages"]))
	switch f := obj(body["response_format"]); str(f["type"]) {
	case "json_schema":
		q.format = obj(obj(f["json_schema"])["schema"])
	case "json_object":
		q.jsonObject = true
	}
	return q
}

// openaiTurns reads the last user text and the tool results that follow it.
func openaiTurns(q *ask, messages []any) {
	for _, m := range messages {
		msg := obj(m)
		switch str(msg["role"]) {
		case "user":
			q.text, q.results = textOf(msg["content"]), nil
		case "tool":
			q.results = append(q.results, askResult{id: str(msg["tool_call_id"]), text: textOf(msg["content"])})
		}
	}
	if len(messages) > 0 && str(obj(messages[len(messages)-1])["role"]) != "tool" {
		q.results = nil
	}
}

// textOf joins the text parts of a content.
func textOf(content any) string {
	if s, ok := content.(string); ok {
		return s
	}
	var parts []string
	for _, p := range list(content) {
		if t, ok := obj(p)["text"].(string); ok {
			parts = append(parts, t)
		}
	}
	return strings.Join(parts, " ")
}

func (*openai) model(name string) any {
	return map[string]any{"id": name, "object": "model", "created": json.Number("1735689600"), "owned_by": "openai"}
}

func (*openai) models(items []any) any { return map[string]any{"object": "list", "data": items} }

func (*openai) refuse(status int, _, message string) *apiError {
	return &apiError{status: status, kind: "invalid_request_error", message: message}
}

func (*openai) modelNotFound(name string) *apiError {
	return &apiError{status: http.StatusNotFound, kind: "invalid_request_error", code: "model_not_found",
		message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", name)}
}

func (*openai) notFound(method, path string, known bool) *apiError {
	if known {
		return &apiError{status: http.StatusMethodNotAllowed, kind: "invalid_request_error", code: "method_not_supported",
			message: fmt.Sprintf("Not allowed to %s on %s. (HINT: Perhaps you meant to use a different HTTP method?)", method, path)}
	}
	return &apiError{status: http.StatusNotFound, kind: "invalid_request_error",
		message: fmt.Sprintf("Invalid URL (%s %s)", method, path)}
}

func (*openai) notJSON(string) *apiError {
	return invalid("", "", "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble figuring out how to fix this, please contact us through our help center at help.openai.com.)")
}

// openaiFaults are the vendor's words for each status.
var openaiFaults = map[int]apiError{
	400: {kind: "invalid_request_error", message: "Invalid request."},
	401: {kind: "invalid_request_error", code: "invalid_api_key", message: "Incorrect API key provided: sk-fake-********cdef. You can find your API key at https://platform.openai.com/account/api-keys."},
	403: {kind: "request_forbidden", code: "unsupported_country_region_territory", message: "Country, region, or territory not supported"},
	404: {kind: "invalid_request_error", code: "model_not_found", message: "The model `MODEL` does not exist or you do not have access to it."},
	408: {kind: "timeout", message: "Request timed out."},
	413: {kind: "invalid_request_error", code: "request_too_large", message: "The request body is too large."},
	429: {kind: "tokens", code: "rate_limit_exceeded", message: "Rate limit reached for MODEL in organization org-fake on tokens per min (TPM): Limit 30000, Used 29800, Requested 1200. Please try again in 2s. Visit https://platform.openai.com/account/rate-limits to learn more."},
	500: {kind: "server_error", message: "The server had an error while processing your request. Sorry about that! You can retry your request, or contact us through our help center at help.openai.com if the error persists."},
	503: {kind: "server_error", code: "service_unavailable", message: "The engine is currently overloaded, please try again later."},
	529: {kind: "server_error", code: "overloaded", message: "The engine is currently overloaded, please try again later."},
}

func (*openai) fault(f *Fault, model string) *apiError {
	e, ok := openaiFaults[f.Status]
	if !ok {
		e = apiError{kind: "server_error", message: http.StatusText(f.Status)}
	}
	return e.with(f, model)
}

// with puts in what a script says.
func (e apiError) with(f *Fault, model string) *apiError {
	e.status = f.Status
	e.message = strings.ReplaceAll(e.message, "MODEL", model)
	if f.Message != "" {
		e.message = f.Message
	}
	if f.Type != "" {
		e.kind = f.Type
	}
	if f.Code != "" {
		e.code = f.Code
	}
	return &e
}

func (*openai) errorBody(e *apiError, _ answerID) []byte {
	return mustJSON(map[string]any{"error": map[string]any{
		"message": e.message, "type": e.kind, "param": orNull(e.param), "code": orNull(e.code),
	}})
}

func (v *openai) errorEvent(e *apiError, id answerID) frame {
	return frame{data: sse("", v.errorBody(e, id))}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// sse frames one event.
func sse(event string, data []byte) []byte {
	var b []byte
	if event != "" {
		b = append(b, "event: "+event+"\n"...)
	}
	b = append(b, "data: "...)
	b = append(b, data...)
	return append(b, "\n\n"...)
}
