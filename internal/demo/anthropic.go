package demo

import "net/http"

// nameAnthropic is the provider's name, and that of its one model.
const nameAnthropic = "demo-anthropic"

// overloaded is Anthropic's own status for having no capacity. https://docs.anthropic.com/en/api/errors
const overloaded = 529

// Anthropic is the provider that speaks Anthropic Messages. https://docs.anthropic.com/en/api/messages
func Anthropic(o Options) http.Handler {
	o = o.withDefaults()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", func(w http.ResponseWriter, r *http.Request) { anthropicMessages(w, r, o) })
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		model := object{"type": "model", "id": nameAnthropic, "display_name": "Demo", "created_at": "1970-01-01T00:00:00Z"}
		writeJSON(w, http.StatusOK, object{"data": []object{model}, "has_more": false, "first_id": nameAnthropic, "last_id": nameAnthropic})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		anthropicError(w, o, http.StatusNotFound, "not_found_error", "The demo provider knows POST /v1/messages and GET /v1/models.")
	})
	return limited(mux, func(w http.ResponseWriter) {
		anthropicError(w, o, http.StatusTooManyRequests, "rate_limit_error", "The demo provider has too many requests in flight.")
	})
}

func anthropicError(w http.ResponseWriter, o Options, status int, kind, message string) {
	id := "req_demo_" + o.ID()
	w.Header().Set("Request-Id", id)
	writeJSON(w, status, object{"type": "error", "error": object{"type": kind, "message": message}, "request_id": id})
}

func anthropicMessages(w http.ResponseWriter, r *http.Request, o Options) {
	req, bad := readRequest(w, r)
	if bad == nil && req.MaxTokens == nil {
		bad = &badRequest{http.StatusBadRequest, "max_tokens", "Field required."}
	}
	if bad != nil {
		kind, message := "invalid_request_error", bad.message
		if bad.status == http.StatusRequestEntityTooLarge {
			kind = "request_too_large"
		}
		if bad.param != "" {
			message = bad.param + ": " + message
		}
		anthropicError(w, o, bad.status, kind, message)
		return
	}
	if _, both := req.asksToFail(); both {
		anthropicError(w, o, overloaded, "overloaded_error", "The demo provider fails because the last user message asks it to.")
		return
	}
	a := answerTo(req, nameAnthropic, "ANTHROPIC_API_KEY")
	stop := "end_turn"
	if a.cut {
		stop = "max_tokens"
	}
	usage := func(output int64) object {
		return object{"input_tokens": a.promptN, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": output}
	}
	msg := object{"id": "msg_demo_" + o.ID(), "type": "message", "role": "assistant", "model": req.Model,
		"content": []object{{"type": "text", "text": a.text()}}, "stop_reason": stop, "stop_sequence": nil, "usage": usage(a.completeN)}
	if !req.Stream {
		writeJSON(w, http.StatusOK, msg)
		return
	}
	// message_start carries the message as it will begin: no content, no reason, and a first count of the output.
	msg["content"], msg["stop_reason"], msg["usage"] = []object{}, nil, usage(1)
	s := newStream(w, r, o.Pace)
	s.send("message_start", object{"type": "message_start", "message": msg})
	s.send("content_block_start", object{"type": "content_block_start", "index": 0, "content_block": object{"type": "text", "text": ""}})
	s.send("ping", object{"type": "ping"})
	for _, word := range a.words {
		if !s.wait() {
			return
		}
		s.send("content_block_delta", object{"type": "content_block_delta", "index": 0, "delta": object{"type": "text_delta", "text": word}})
	}
	s.send("content_block_stop", object{"type": "content_block_stop", "index": 0})
	s.send("message_delta", object{"type": "message_delta", "delta": object{"stop_reason": stop, "stop_sequence": nil},
		"usage": object{"output_tokens": a.completeN}})
	s.send("message_stop", object{"type": "message_stop"})
}
