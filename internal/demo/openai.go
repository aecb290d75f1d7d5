package demo

import "net/http"

// nameOpenAI is the provider's name, and that of its one model.
const nameOpenAI = "demo-openai"

type object map[string]any

// OpenAI is the provider that speaks OpenAI chat completions.
// https://platform.openai.com/docs/api-reference/chat
func OpenAI(o Options) http.Handler {
	o = o.withDefaults()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { openAIChat(w, r, o) })
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		model := object{"id": nameOpenAI, "object": "model", "created": 0, "owned_by": "dragoman"}
		writeJSON(w, http.StatusOK, object{"object": "list", "data": []object{model}})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		openAIError(w, http.StatusNotFound, "invalid_request_error", "", "unknown_url", "The demo provider knows POST /v1/chat/completions and GET /v1/models.")
	})
	return limited(mux, func(w http.ResponseWriter) {
		openAIError(w, http.StatusTooManyRequests, "requests", "", "rate_limit_exceeded", "The demo provider has too many requests in flight.")
	})
}

func openAIError(w http.ResponseWriter, status int, kind, param, code, message string) {
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	writeJSON(w, status, object{"error": object{"message": message, "type": kind, "param": orNull(param), "code": orNull(code)}})
}

func openAIChat(w http.ResponseWriter, r *http.Request, o Options) {
	req, bad := readRequest(w, r)
	if bad == nil && req.N != nil && *req.N != 1 {
		bad = &badRequest{http.StatusBadRequest, "n", "The demo provider gives one answer: n must be 1."}
	}
	if bad != nil {
		openAIError(w, bad.status, "invalid_request_error", bad.param, "", bad.message)
		return
	}
	if first, _ := req.asksToFail(); first {
		openAIError(w, http.StatusServiceUnavailable, "server_error", "", "service_unavailable", "The demo provider fails because the last user message asks it to.")
		return
	}
	a := answerTo(req, nameOpenAI, "OPENAI_API_KEY")
	finish := "stop"
	if a.cut {
		finish = "length"
	}
	id, created := "chatcmpl-demo-"+o.ID(), o.Now().Unix()
	usage := object{"prompt_tokens": a.promptN, "completion_tokens": a.completeN, "total_tokens": a.promptN + a.completeN,
		"prompt_tokens_details": object{"cached_tokens": 0}, "completion_tokens_details": object{"reasoning_tokens": 0}}
	if !req.Stream {
		choice := object{"index": 0, "message": object{"role": "assistant", "content": a.text(), "refusal": nil}, "logprobs": nil, "finish_reason": finish}
		writeJSON(w, http.StatusOK, object{"id": id, "object": "chat.completion", "created": created, "model": req.Model,
			"choices": []object{choice}, "usage": usage})
		return
	}
	s := newStream(w, r, o.Pace)
	chunk := func(choices []object, more object) {
		c := object{"id": id, "object": "chat.completion.chunk", "created": created, "model": req.Model, "choices": choices}
		if req.StreamOptions.IncludeUsage {
			c["usage"] = more["usage"]
		}
		s.send("", c)
	}
	delta := func(d object, finish any) {
		chunk([]object{{"index": 0, "delta": d, "logprobs": nil, "finish_reason": finish}}, nil)
	}
	delta(object{"role": "assistant", "content": ""}, nil)
	for _, word := range a.words {
		if !s.wait() {
			return
		}
		delta(object{"content": word}, nil)
	}
	delta(object{}, finish)
	if req.StreamOptions.IncludeUsage {
		chunk([]object{}, object{"usage": usage})
	}
	s.raw("", []byte("[DONE]"))
}
