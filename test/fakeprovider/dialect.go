package fakeprovider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// dialectRules are what a vendor that copied OpenAI's API takes, and how it answers. The sources are those of the table in
// translate/openai/dialects.go, read anew: the vendors' SDKs and what their servers are known to refuse.
type dialectRules struct {
	path      string
	fields    string            // members of a request; the others are refused
	cap       string            // the output cap that it reads, "" for both
	renamed   map[string]string // members under other names: what they are at OpenAI's
	messages  map[string]string // members of messages by role; "*" for any role
	flat      bool              // texts alone must be a string
	rules     []func(v *dialectFake, body map[string]any) *apiError
	reasoning string // of an answer: the member that has it, "content" for a part of the content
	lastUsage bool   // usage comes in the last chunk of an answer, unasked
	status    int    // of an unknown member
}

const (
	commonFields = "model messages stream temperature top_p stop response_format tools tool_choice frequency_penalty presence_penalty"
	anyMessage   = "role content name tool_calls tool_call_id refusal"
)

var dialectRuleSets = map[string]dialectRules{
	"azure": {path: "/openai/v1/chat/completions"},
	"mistral": {
		path: "/v1/chat/completions", cap: "max_tokens", renamed: map[string]string{"random_seed": "seed"}, status: http.StatusUnprocessableEntity,
		fields:   commonFields + " max_tokens random_seed metadata min_tokens repetition_penalty top_k logprobs top_logprobs n prediction parallel_tool_calls reasoning_effort prompt_mode guardrails prompt_cache_key service_tier safe_prompt",
		messages: map[string]string{"system": "role content", "user": "role content", "assistant": "role content tool_calls prefix", "tool": "role content tool_call_id name"},
		rules:    []func(*dialectFake, map[string]any) *apiError{mistralIDs, mistralEnd}, reasoning: "content", lastUsage: true,
	},
	"groq": {
		path: "/openai/v1/chat/completions", flat: true, reasoning: "reasoning", status: http.StatusBadRequest,
		fields:   commonFields + " max_tokens max_completion_tokens functions function_call metadata n parallel_tool_calls reasoning_effort reasoning_format include_reasoning search_settings seed service_tier store stream_options user",
		messages: map[string]string{"system": "role content", "developer": "role content", "user": "role content", "assistant": "role content reasoning tool_calls function_call", "tool": "role content tool_call_id"},
		rules:    []func(*dialectFake, map[string]any) *apiError{groqRules},
	},
	"deepseek": {
		path: "/v1/chat/completions", cap: "max_tokens", flat: true, reasoning: "reasoning_content", status: http.StatusBadRequest,
		fields:   strings.NewReplacer("frequency_penalty", "", "presence_penalty", "").Replace(commonFields) + " max_tokens logprobs top_logprobs stream_options reasoning_effort thinking user user_id",
		messages: map[string]string{"*": anyMessage + " reasoning_content prefix", "developer": "-"},
		rules:    []func(*dialectFake, map[string]any) *apiError{formatIn("text json_object")},
	},
	"openrouter": {
		path: "/api/v1/chat/completions", reasoning: "reasoning", status: http.StatusBadRequest,
		fields:   commonFields + " max_tokens max_completion_tokens models provider plugins reasoning reasoning_effort seed n logprobs top_logprobs logit_bias metadata parallel_tool_calls stream_options top_k min_p top_a user prediction modalities session_id prompt_cache_key",
		messages: map[string]string{"*": anyMessage + " reasoning reasoning_details audio"},
	},
	"ollama": {
		path: "/v1/chat/completions", cap: "max_tokens", flat: true, reasoning: "reasoning", status: http.StatusBadRequest,
		fields:   strings.NewReplacer("tool_choice", "").Replace(commonFields) + " max_tokens seed stream_options reasoning reasoning_effort",
		messages: map[string]string{"*": "role content reasoning tool_calls name tool_call_id", "developer": "-"},
		rules:    []func(*dialectFake, map[string]any) *apiError{ollamaImages},
	},
	"xai": {
		path: "/v1/chat/completions", reasoning: "reasoning_content", status: http.StatusBadRequest,
		fields:   "model messages stream temperature top_p response_format tools tool_choice max_tokens max_completion_tokens seed n logprobs top_logprobs parallel_tool_calls reasoning_effort service_tier user web_search_options search_parameters stream_options",
		messages: map[string]string{"*": anyMessage},
	},
}

// dialectFake is a vendor that copied OpenAI's API.
type dialectFake struct {
	*openai
	rules dialectRules
	known map[string]bool
}

func newDialect(o Options) (*dialectFake, error) {
	rules, ok := dialectRuleSets[o.Dialect]
	if !ok {
		return nil, fmt.Errorf("fakeprovider: no dialect %q", o.Dialect)
	}
	o.ReasoningContent = rules.reasoning != ""
	base, err := newOpenAI(o)
	if err != nil {
		return nil, err
	}
	v := &dialectFake{openai: base, rules: rules, known: map[string]bool{}}
	for _, f := range strings.Fields(rules.fields) {
		v.known[f] = true
	}
	return v, nil
}

func (v *dialectFake) path() string { return v.rules.path }

func (v *dialectFake) serves(hr *http.Request) bool {
	if v.opts.Dialect == azureDialect && v.opts.APIVersion != "" {
		_, ok := azureDeployment(hr.URL.Path)
		return ok
	}
	return hr.URL.Path == v.rules.path
}

// checkAt is everything that the vendor would refuse: first what only it refuses, then what OpenAI would of the same request
// in its own words.
func (v *dialectFake) checkAt(hr *http.Request, body map[string]any) (*ask, *apiError) {
	if v.opts.Dialect == azureDialect {
		return v.checkAzure(hr, body)
	}
	if e := v.members(body); e != nil {
		return nil, e
	}
	for i, m := range list(body["messages"]) {
		if e := v.message(i, obj(m)); e != nil {
			return nil, e
		}
	}
	for _, rule := range v.rules.rules {
		if e := rule(v, body); e != nil {
			return nil, e
		}
	}
	plain := v.plainBody(body)
	q, e := v.openai.check(hr.Header, plain)
	if e != nil {
		return nil, e
	}
	q.thinking = str(body["reasoning_effort"]) != "" && str(body["reasoning_effort"]) != "none"
	return q, nil
}

func (v *dialectFake) members(body map[string]any) *apiError {
	for _, name := range sorted(body) {
		if !v.known[name] {
			return v.extra("body", name)
		}
	}
	if v.rules.cap != "" && body["max_completion_tokens"] != nil {
		return v.extra("body", "max_completion_tokens")
	}
	return nil
}

func sorted(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// extra refuses a member that the vendor does not know.
func (v *dialectFake) extra(at, name string) *apiError {
	return &apiError{status: v.rules.status, kind: "invalid_request_error", param: name,
		message: fmt.Sprintf("Extra inputs are not permitted: %s.%s", at, name)}
}

func (v *dialectFake) message(i int, m map[string]any) *apiError {
	role := str(m["role"])
	allowed, ok := v.rules.messages[role]
	if !ok {
		allowed, ok = v.rules.messages["*"]
	}
	at := fmt.Sprintf("messages[%d]", i)
	if !ok || allowed == "-" {
		return &apiError{status: v.rules.status, kind: "invalid_request_error", message: at + ".role: unknown variant `" + role + "`"}
	}
	for _, name := range sorted(m) {
		if !slices.Contains(strings.Fields(allowed), name) {
			return v.extra(at, name)
		}
	}
	parts, isList := m["content"].([]any)
	if !isList || !v.rules.flat {
		return nil
	}
	for _, p := range parts {
		if str(obj(p)["type"]) != "text" {
			return nil
		}
	}
	return &apiError{status: v.rules.status, kind: "invalid_request_error", message: at + ".content must be a string"}
}

// plainBody is the same request as OpenAI would take it.
func (v *dialectFake) plainBody(body map[string]any) map[string]any {
	out := maps.Clone(body)
	for own, name := range v.rules.renamed {
		if value, ok := out[own]; ok {
			delete(out, own)
			out[name] = value
		}
	}
	for name := range out {
		if !v.spec.fields[name] || name == "reasoning_effort" {
			delete(out, name)
		}
	}
	var messages []any
	for _, m := range list(body["messages"]) {
		messages = append(messages, plainMessage(obj(m)))
	}
	out["messages"] = messages
	return out
}

func plainMessage(m map[string]any) any {
	out := maps.Clone(m)
	for _, name := range []string{"reasoning", "reasoning_content", "reasoning_details", "prefix"} {
		delete(out, name)
	}
	parts, isList := m["content"].([]any)
	if !isList {
		return any(out)
	}
	var kept []any
	for _, p := range parts {
		part := maps.Clone(obj(p))
		delete(part, "cache_control")
		if str(part["type"]) != "thinking" {
			kept = append(kept, any(part))
		}
	}
	out["content"] = any(kept)
	if len(kept) == 0 {
		out["content"] = nil
	}
	return any(out)
}

// mistralIDs: ids of tool calls have nine letters or digits.
func mistralIDs(v *dialectFake, body map[string]any) *apiError {
	for _, m := range list(body["messages"]) {
		ids := []any{obj(m)["tool_call_id"]}
		for _, c := range list(obj(m)["tool_calls"]) {
			ids = append(ids, obj(c)["id"])
		}
		for _, id := range ids {
			if id != nil && (len(str(id)) != 9 || alnum(str(id)) != str(id)) {
				return &apiError{status: http.StatusBadRequest, kind: "invalid_request_error", code: "3280",
					message: fmt.Sprintf("Tool call id was %s but must be a-z, A-Z, 0-9, with a length of 9.", str(id))}
			}
		}
	}
	return nil
}

// mistralEnd: an assistant's message at the end must say that it is a prefix.
func mistralEnd(v *dialectFake, body map[string]any) *apiError {
	messages := list(body["messages"])
	if len(messages) == 0 {
		return nil
	}
	if last := obj(messages[len(messages)-1]); str(last["role"]) == "assistant" && !boolean(last["prefix"]) {
		return &apiError{status: http.StatusBadRequest, kind: "invalid_request_message_order", code: "3230",
			message: "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant"}
	}
	return nil
}

func groqRules(v *dialectFake, body map[string]any) *apiError {
	if n := integer(body["n"]); n > 1 {
		return invalid("n", "", "'n' : number must be at most 1")
	}
	effort := str(body["reasoning_effort"])
	if effort != "" && !slices.Contains([]string{"none", "default", "low", "medium", "high"}, effort) {
		return invalid("reasoning_effort", "", "`reasoning_effort` must be one of `none`, `default`, `low`, `medium`, `high`")
	}
	return nil
}

func formatIn(kinds string) func(*dialectFake, map[string]any) *apiError {
	return func(v *dialectFake, body map[string]any) *apiError {
		kind := str(obj(body["response_format"])["type"])
		if kind != "" && !slices.Contains(strings.Fields(kinds), kind) {
			return invalid("", "", "This response_format type is unavailable now")
		}
		return nil
	}
}

func ollamaImages(v *dialectFake, body map[string]any) *apiError {
	for _, m := range list(body["messages"]) {
		for _, p := range list(obj(m)["content"]) {
			if url := str(obj(obj(p)["image_url"])["url"]); url != "" && !strings.HasPrefix(url, "data:") {
				return &apiError{status: http.StatusBadRequest, kind: "invalid_request_error", message: "invalid image input"}
			}
		}
	}
	return nil
}

// errorBody has the vendor's shape.
func (v *dialectFake) errorBody(e *apiError, id answerID) []byte {
	switch v.opts.Dialect {
	case "mistral":
		if e.status == http.StatusUnprocessableEntity {
			detail := []any{map[string]any{"type": "extra_forbidden", "loc": []any{"body", e.param}, "msg": e.message, "input": nil}}
			return mustJSON(map[string]any{"object": "error", "message": map[string]any{"detail": detail}, "type": e.kind, "param": nil, "code": nil})
		}
		return mustJSON(map[string]any{"object": "error", "message": e.message, "type": e.kind, "param": nil, "code": orNull(e.code)})
	case "openrouter":
		return mustJSON(map[string]any{"error": map[string]any{"message": e.message, "code": e.status}, "user_id": "user_fake"})
	case "xai":
		return mustJSON(map[string]any{"code": e.kind, "error": e.message})
	}
	return v.openai.errorBody(e, id)
}

// whole and events are OpenAI's answers, changed where the vendor's differ.
func (v *dialectFake) whole(r *Reply, q *ask, id answerID) []byte {
	var out map[string]any
	decodeJSON(v.openai.whole(r, q, id), &out)
	for _, c := range list(out["choices"]) {
		v.reason(obj(obj(c)["message"]))
	}
	v.annotate(out)
	return mustJSON(out)
}

func (v *dialectFake) events(r *Reply, q *ask, id answerID) []frame {
	frames := v.openai.events(r, q, id)
	for i := range frames {
		data, ok := bytes.CutPrefix(frames[i].data, []byte("data: {"))
		if !ok {
			continue
		}
		var chunk map[string]any
		decodeJSON(append([]byte("{"), data...), &chunk)
		for _, c := range list(chunk["choices"]) {
			v.reason(obj(obj(c)["delta"]))
			if v.rules.lastUsage && obj(c)["finish_reason"] != nil && !r.NoUsage {
				chunk["usage"] = openaiUsage(r.Usage)
			}
		}
		frames[i].data = sse("", mustJSON(chunk))
	}
	if v.opts.Dialect == azureDialect {
		frames = azureFrames(frames, r, id)
	}
	return frames
}

func decodeJSON(data []byte, into *map[string]any) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		panic(err) // its own answer
	}
}

// reason moves a message's reasoning to where the vendor has it.
func (v *dialectFake) reason(m map[string]any) {
	text, ok := m["reasoning_content"].(string)
	if !ok || v.rules.reasoning == "reasoning_content" {
		return
	}
	delete(m, "reasoning_content")
	switch v.rules.reasoning {
	case "":
	case "content":
		parts := []any{map[string]any{"type": "thinking", "thinking": []any{map[string]any{"type": "text", "text": text}}}}
		if said := str(m["content"]); said != "" {
			parts = append(parts, map[string]any{"type": "text", "text": said})
		}
		m["content"] = parts
	default:
		m[v.rules.reasoning] = text
	}
}
