package fakeprovider

import "slices"

// responsesIncomplete is why an answer is incomplete, "" when it is not.
func responsesIncomplete(r *Reply) string {
	switch r.Finish {
	case finishLength, "max_output_tokens":
		return "max_output_tokens"
	case "content_filter":
		return "content_filter"
	}
	return ""
}

func responsesUsage(r *Reply) any {
	if r.NoUsage {
		return nil
	}
	u := r.Usage
	input := u.Input + u.CacheRead + u.CacheWrite + u.CacheWrite1h
	return map[string]any{
		"input_tokens": input, "output_tokens": u.Output, "total_tokens": input + u.Output,
		"input_tokens_details":  map[string]any{"cached_tokens": u.CacheRead, "cache_write_tokens": u.CacheWrite + u.CacheWrite1h},
		"output_tokens_details": map[string]any{"reasoning_tokens": u.Reasoning},
	}
}

// object is the response object with what it repeats of its request.
func (v *responses) object(r *Reply, q *ask, id answerID, status string, output []any) map[string]any {
	or := func(name string, absent any) any {
		if value := q.request[name]; value != nil {
			return value
		}
		return absent
	}
	o := map[string]any{
		"id": id.make("resp_"), "object": "response", "created_at": id.created, "status": status, "background": false, "error": nil,
		"incomplete_details": nil, "instructions": or("instructions", nil), "max_output_tokens": or("max_output_tokens", nil), "model": r.Model,
		"output": output, "parallel_tool_calls": q.parallel, "previous_response_id": or("previous_response_id", nil),
		"reasoning": or("reasoning", map[string]any{"effort": nil, "summary": nil}), "temperature": or("temperature", 1.0), "top_p": or("top_p", 1.0),
		"text": or("text", map[string]any{"format": map[string]any{"type": "text"}}), "tool_choice": or("tool_choice", "auto"), "tools": or("tools", []any{}),
		"truncation": or("truncation", "disabled"), "metadata": or("metadata", map[string]any{}), "service_tier": "default",
	}
	if reason := responsesIncomplete(r); reason != "" && status == "incomplete" {
		o["incomplete_details"] = map[string]any{"reason": reason}
	}
	if usage := responsesUsage(r); usage != nil && (status == "completed" || status == "incomplete") {
		o["usage"] = usage
	}
	return o
}

func (v *responses) status(r *Reply) string {
	if responsesIncomplete(r) != "" {
		return "incomplete"
	}
	return "completed"
}

// output is the items of an answer. Texts and refusals are one message each.
func (v *responses) output(r *Reply, q *ask, id answerID) []any {
	out := []any{}
	for i, b := range r.Blocks {
		switch b.Kind {
		case TextBlock:
			out = append(out, v.message(id.part("msg_", i), v.status(r), v.text(b.Text, r, q)))
		case RefusalBlock:
			out = append(out, v.message(id.part("msg_", i), v.status(r), map[string]any{"type": "refusal", "refusal": b.Text}))
		case ThinkingBlock:
			out = append(out, v.reasoning(id.part("rs_", i), b.Text, q))
		case ToolBlock:
			out = append(out, map[string]any{"type": "function_call", "id": id.part("fc_", i), "call_id": callID(b, id, i), "name": b.Name,
				"arguments": b.Args, "status": "completed"})
		}
	}
	return out
}

func (v *responses) message(id, status string, part map[string]any) map[string]any {
	content := []any{}
	if part != nil {
		content = append(content, any(part))
	}
	return map[string]any{"type": "message", "id": id, "status": status, "role": "assistant", "content": content}
}

func (v *responses) text(text string, r *Reply, q *ask) map[string]any {
	probs := []any{}
	if q.logprobs {
		probs = list(obj(logprobs(split(text, r.Chunks)))["content"])
	}
	return map[string]any{"type": "output_text", "text": text, "annotations": []any{}, "logprobs": probs}
}

// reasoning shows a summary to those who ask for one, and its opaque content to those who want to carry it themselves.
func (v *responses) reasoning(id, thought string, q *ask) map[string]any {
	item := map[string]any{"type": "reasoning", "id": id, "summary": []any{}}
	if obj(q.request["reasoning"])["summary"] != nil {
		item["summary"] = []any{map[string]any{"type": "summary_text", "text": thought}}
	}
	if slices.Contains(list(q.request["include"]), any("reasoning.encrypted_content")) {
		item["encrypted_content"] = v.encrypt(id)
	}
	return item
}

func (v *responses) whole(r *Reply, q *ask, id answerID) []byte {
	output := v.output(r, q, id)
	v.keep(q, id.make("resp_"), output)
	return mustJSON(v.object(r, q, id, v.status(r), output))
}

// responsesStream builds the events of one answer.
type responsesStream struct {
	v      *responses
	r      *Reply
	q      *ask
	frames []frame
	deltas []int // frames that deliver tokens
}

func (s *responsesStream) emit(kind string, members map[string]any) {
	members["type"], members["sequence_number"] = kind, len(s.frames)
	s.frames = append(s.frames, frame{data: sse(kind, mustJSON(members))})
}

func (v *responses) events(r *Reply, q *ask, id answerID) []frame {
	s := &responsesStream{v: v, r: r, q: q}
	for _, kind := range []string{"response.created", "response.in_progress"} {
		s.emit(kind, map[string]any{"response": v.object(r, q, id, "in_progress", []any{})})
	}
	output := v.output(r, q, id)
	for i, entry := range output {
		s.item(i, obj(entry))
	}
	v.keep(q, id.make("resp_"), output)
	for i, n := range shares(r.Usage.Output, max(len(s.deltas), 1)) {
		at := len(s.frames) - 1
		if i < len(s.deltas) {
			at = s.deltas[i]
		}
		s.frames[at].tokens = n
	}
	s.emit("response."+v.status(r), map[string]any{"response": v.object(r, q, id, v.status(r), output)})
	return s.frames
}

func (s *responsesStream) item(i int, item map[string]any) {
	at := func(more map[string]any) map[string]any {
		m := map[string]any{"item_id": item["id"], "output_index": i}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	switch str(item["type"]) {
	case "message":
		s.emit("response.output_item.added", map[string]any{"output_index": i, "item": s.v.message(str(item["id"]), "in_progress", nil)})
		s.message(at, obj(list(item["content"])[0]))
	case "function_call":
		begun := without(item, "arguments")
		begun["arguments"], begun["status"] = "", "in_progress"
		s.emit("response.output_item.added", map[string]any{"output_index": i, "item": begun})
		s.pieces(str(item["arguments"]), func(p string) {
			s.emit("response.function_call_arguments.delta", at(map[string]any{"delta": p}))
		})
		s.emit("response.function_call_arguments.done", at(map[string]any{"name": item["name"], "arguments": item["arguments"]}))
	case "reasoning":
		s.emit("response.output_item.added", map[string]any{"output_index": i, "item": map[string]any{"type": "reasoning", "id": item["id"], "summary": []any{}}})
		for n, entry := range list(item["summary"]) {
			s.summary(at, n, str(obj(entry)["text"]))
		}
	}
	s.emit("response.output_item.done", map[string]any{"output_index": i, "item": item})
}

// pieces emits the pieces of a text.
func (s *responsesStream) pieces(text string, emit func(string)) {
	for _, p := range split(text, s.r.Chunks) {
		s.deltas = append(s.deltas, len(s.frames))
		emit(p)
	}
}

func (s *responsesStream) message(at func(map[string]any) map[string]any, part map[string]any) {
	if refusal, ok := part["refusal"].(string); ok {
		s.emit("response.content_part.added", at(map[string]any{"content_index": 0, "part": map[string]any{"type": "refusal", "refusal": ""}}))
		s.pieces(refusal, func(p string) {
			s.emit("response.refusal.delta", at(map[string]any{"content_index": 0, "delta": p}))
		})
		s.emit("response.refusal.done", at(map[string]any{"content_index": 0, "refusal": refusal}))
	} else {
		text := str(part["text"])
		s.emit("response.content_part.added", at(map[string]any{"content_index": 0, "part": map[string]any{"type": "output_text", "text": "", "annotations": []any{}, "logprobs": []any{}}}))
		s.pieces(text, func(p string) {
			probs := []any{}
			if s.q.logprobs {
				probs = unspelled(list(obj(logprobs([]string{p}))["content"]))
			}
			s.emit("response.output_text.delta", at(map[string]any{"content_index": 0, "delta": p, "logprobs": probs}))
		})
		s.emit("response.output_text.done", at(map[string]any{"content_index": 0, "text": text, "logprobs": unspelled(list(part["logprobs"]))}))
	}
	s.emit("response.content_part.done", at(map[string]any{"content_index": 0, "part": part}))
}

// unspelled are log probabilities as events have them: without a token's bytes.
func unspelled(probs []any) []any {
	out := make([]any, 0, len(probs))
	for _, p := range probs {
		out = append(out, any(without(obj(p), "bytes")))
	}
	return out
}

func (s *responsesStream) summary(at func(map[string]any) map[string]any, n int, text string) {
	part := func(text string) map[string]any { return map[string]any{"type": "summary_text", "text": text} }
	s.emit("response.reasoning_summary_part.added", at(map[string]any{"summary_index": n, "part": part("")}))
	s.pieces(text, func(p string) {
		s.emit("response.reasoning_summary_text.delta", at(map[string]any{"summary_index": n, "delta": p}))
	})
	s.emit("response.reasoning_summary_text.done", at(map[string]any{"summary_index": n, "text": text}))
	s.emit("response.reasoning_summary_part.done", at(map[string]any{"summary_index": n, "part": part(text)}))
}
