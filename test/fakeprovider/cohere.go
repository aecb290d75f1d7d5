package fakeprovider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// cohere is the vendor Cohere, API v2.
type cohere struct{ opts Options }

func (*cohere) path() string { return "/v2/chat" }

func (*cohere) headers(http.Header) []string { return []string{"authorization", "x-client-name"} }

func (v *cohere) authorize(h http.Header) *apiError {
	got := h.Get("Authorization")
	if got == "" {
		return &apiError{status: http.StatusUnauthorized, message: "no api key supplied"}
	}
	if key, ok := strings.CutPrefix(got, "Bearer "); !ok || !slices.Contains(v.opts.Keys, key) {
		return &apiError{status: http.StatusUnauthorized, message: "invalid api token"}
	}
	return nil
}

// standard headers of every answer, some of which must not pass for the gateway's own (D129).
func (*cohere) standard(serial int, _ int64) map[string]string {
	return map[string]string{
		"X-Debug-Trace-Id":                fmt.Sprintf("trace_fake%08d", serial),
		"X-Endpoint-Monthly-Call-Limit":   "1000",
		"X-Trial-Endpoint-Call-Limit":     "40",
		"Num_chars":                       "10",
		"Num_tokens":                      "5",
		"Via":                             "1.1 google",
		"Access-Control-Expose-Headers":   "X-Debug-Trace-ID",
		"Cache-Control":                   "no-cache, no-store, no-transform, must-revalidate, private, max-age=0",
		"X-Trial-Endpoint-Call-Remaining": "39",
	}
}

// check is everything Cohere would refuse, in the order in which it does.
func (v *cohere) check(_ http.Header, body map[string]any) (*ask, *apiError) {
	if body["model"] == nil {
		return nil, refuseCohere("a model parameter is required for this endpoint.")
	}
	if e := cohereChat("", any(body)); e != nil {
		return nil, cohereWords(e, "chat")
	}
	if model := str(body["model"]); !v.opts.knows(model) {
		return nil, v.modelNotFound(model)
	}
	for _, rule := range cohereRules {
		if e := rule(body); e != nil {
			return nil, e
		}
	}
	return v.ask(body), nil
}

func refuseCohere(format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

// cohereWords puts what a shape found into the vendor's words.
func cohereWords(e *apiError, page string) *apiError {
	path, what, _ := strings.Cut(e.message, ": ")
	if what == "Extra inputs are not permitted" {
		name := path[strings.LastIndexByte(path, '.')+1:]
		return refuseCohere("unknown field: parameter '%s' is not a valid field. For proper usage, please refer to https://docs.cohere.com/reference/%s", name, page)
	}
	return refuseCohere("invalid request: %s: %s", path, what)
}

func (v *cohere) ask(body map[string]any) *ask {
	q := &ask{
		model: str(body["model"]), stream: boolean(body["stream"]), parallel: true, choice: "auto", n: 1, includeUsage: true,
		maxTokens: integer(body["max_tokens"]), logprobs: boolean(body["logprobs"]),
		words: promptWords(body["messages"]) + promptWords(body["tools"]) + promptWords(body["documents"]),
	}
	thinking := str(obj(body["thinking"])["type"])
	q.thinking = thinking == "enabled" || thinking == "" && strings.Contains(q.model, "reasoning")
	for _, s := range list(body["stop_sequences"]) {
		q.stops = append(q.stops, str(s))
	}
	for _, t := range list(body["tools"]) {
		f := obj(obj(t)["function"])
		q.tools = append(q.tools, askTool{str(f["name"]), obj(f["parameters"])})
	}
	switch str(body["tool_choice"]) {
	case "REQUIRED":
		q.choice = "required"
	case "NONE":
		q.choice = "none"
	}
	if f := obj(body["response_format"]); str(f["type"]) == "json_object" {
		q.format = obj(f["json_schema"])
		q.jsonObject = q.format == nil
	}
	cohereTurns(q, list(body["messages"]))
	return q
}

// cohereTurns reads the last user text and the tool results that follow it.
func cohereTurns(q *ask, messages []any) {
	for _, m := range messages {
		msg := obj(m)
		switch str(msg["role"]) {
		case "user":
			q.text, q.results = textOf(msg["content"]), nil
		case "assistant":
			q.results = nil
		case "tool":
			q.results = append(q.results, askResult{id: str(msg["tool_call_id"]), text: toolText(msg["content"])})
		}
	}
}

// toolText is a tool's output as text: its documents are JSON.
func toolText(content any) string {
	text := textOf(content)
	for _, p := range list(content) {
		if d := obj(obj(p)["document"]); d != nil {
			text += string(mustJSON(d["data"]))
		}
	}
	return text
}

func (*cohere) model(name string) any {
	return map[string]any{"name": name, "endpoints": []any{"chat"}, "finetuned": false, "context_length": json.Number("256000")}
}

func (*cohere) models(items []any) any { return map[string]any{"models": items} }

func (*cohere) refuse(status int, _, message string) *apiError {
	return &apiError{status: status, message: message}
}

func (*cohere) modelNotFound(name string) *apiError {
	return &apiError{status: http.StatusNotFound,
		message: fmt.Sprintf("model '%s' not found, make sure the correct model ID was used and that you have access to the model.", name)}
}

func (*cohere) notFound(_, path string, known bool) *apiError {
	if known {
		return &apiError{status: http.StatusMethodNotAllowed, message: "method not allowed"}
	}
	return &apiError{status: http.StatusNotFound, message: "page not found: " + path}
}

func (*cohere) notJSON(detail string) *apiError {
	return refuseCohere("invalid json syntax: %s", detail)
}

// cohereFaults are the vendor's words for each status (its page on errors).
var cohereFaults = map[int]string{
	400: "invalid request: message must be at least 1 token long or tool results must be specified.",
	401: "invalid api token",
	402: "Please add or update your payment method at https://dashboard.cohere.com/billing?tab=payment to continue",
	403: "user does not have access to this resource",
	404: "model 'MODEL' not found, make sure the correct model ID was used and that you have access to the model.",
	408: "request timed out",
	413: "request entity too large",
	422: "invalid request: unprocessable entity",
	429: "You are past the per minute request limit, please wait and try again later.",
	498: "blocked input: please adjust your prompt and try again",
	499: "request cancelled by user",
	500: "internal server error, this has been reported to our developers. id fake",
	503: "service unavailable, please try again later",
	504: "context deadline exceeded",
	529: "the service is overloaded, please try again later",
}

func (*cohere) fault(f *Fault, model string) *apiError {
	e := apiError{message: cohereFaults[f.Status]}
	if e.message == "" {
		e.message = http.StatusText(f.Status)
	}
	return e.with(f, model)
}

func (*cohere) errorBody(e *apiError, id answerID) []byte {
	return mustJSON(map[string]any{"id": id.make("err-"), "message": e.message})
}

// errorEvent is how a generation fails within a stream.
func (*cohere) errorEvent(e *apiError, id answerID) frame {
	return cohereEvent("message-end", map[string]any{
		"id": id.make("chat-"), "delta": map[string]any{"finish_reason": "ERROR", "error": e.message},
	})
}

func cohereEvent(kind string, members map[string]any) frame {
	members["type"] = kind
	return frame{data: sse(kind, mustJSON(members))}
}
