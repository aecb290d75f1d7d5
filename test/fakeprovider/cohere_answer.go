package fakeprovider

// cohereFinish is the finish_reason that follows from the blocks.
func cohereFinish(r *Reply) string {
	switch {
	case r.Finish == finishLength:
		return "MAX_TOKENS"
	case r.Finish != "":
		return r.Finish
	case r.has(ToolBlock):
		return "TOOL_CALL"
	case r.StopSequence != "":
		return "STOP_SEQUENCE"
	}
	return "COMPLETE"
}

// cohereUsage: what is billed is less than what the model reads, which holds the vendor's own additions (D90).
func cohereUsage(u *Usage) map[string]any {
	prompt := u.Input + u.CacheRead + u.CacheWrite + u.CacheWrite1h
	out := map[string]any{
		"billed_units": map[string]any{"input_tokens": (prompt + 1) / 2, "output_tokens": u.Output},
		"tokens":       map[string]any{"input_tokens": prompt, "output_tokens": u.Output},
	}
	if u.CacheRead > 0 {
		out["cached_tokens"] = u.CacheRead
	}
	return out
}

func cohereCallOf(b Block, id answerID, n int) map[string]any {
	callID := b.ID
	if callID == "" {
		callID = id.part(b.Name+"_", n)
	}
	return map[string]any{"id": callID, "type": "function", "function": map[string]any{"name": b.Name, "arguments": b.Args}}
}

func cohereLogprob(text string) any {
	ids, probs := []any{}, []any{}
	for i := range len([]rune(text)) {
		ids, probs = append(ids, i), append(probs, -0.25)
	}
	return map[string]any{"text": text, "token_ids": ids, "logprobs": probs}
}

func (v *cohere) whole(r *Reply, q *ask, id answerID) []byte {
	message := map[string]any{"role": "assistant"}
	var content, calls, probs []any
	plan := ""
	for i, b := range r.Blocks {
		switch b.Kind {
		case TextBlock, RefusalBlock:
			if r.has(ToolBlock) {
				plan += b.Text
				continue
			}
			content = append(content, map[string]any{"type": "text", "text": b.Text})
			for _, p := range split(b.Text, r.Chunks) {
				probs = append(probs, cohereLogprob(p))
			}
		case ThinkingBlock:
			content = append(content, map[string]any{"type": "thinking", "thinking": b.Text})
		case ToolBlock:
			calls = append(calls, cohereCallOf(b, id, i))
		}
	}
	for name, value := range map[string][]any{"content": content, "tool_calls": calls} {
		if value != nil {
			message[name] = value
		}
	}
	if plan != "" {
		message["tool_plan"] = plan
	}
	out := map[string]any{"id": id.make("chat-"), "finish_reason": cohereFinish(r), "message": message}
	if !r.NoUsage {
		out["usage"] = cohereUsage(r.Usage)
	}
	if q.logprobs {
		out["logprobs"] = probs
	}
	return mustJSON(out)
}

// cohereStream builds the events of one answer (D120).
type cohereStream struct {
	r      *Reply
	q      *ask
	id     answerID
	frames []frame
}

func (s *cohereStream) event(kind string, index int, message map[string]any) {
	members := map[string]any{}
	if index >= 0 {
		members["index"] = index
	}
	if message != nil {
		members["delta"] = map[string]any{"message": message}
	}
	s.frames = append(s.frames, cohereEvent(kind, members))
}

func (v *cohere) events(r *Reply, q *ask, id answerID) []frame {
	s := &cohereStream{r: r, q: q, id: id}
	s.frames = append(s.frames, cohereEvent("message-start", map[string]any{"id": id.make("chat-"), "delta": map[string]any{
		"message": map[string]any{"role": "assistant", "content": []any{}, "tool_plan": "", "tool_calls": []any{}, "citations": []any{}},
	}}))
	s.blocks()
	for i, n := range shares(r.Usage.Output, max(len(s.frames)-1, 1)) {
		s.frames[min(i+1, len(s.frames)-1)].tokens += n
	}
	end := map[string]any{"finish_reason": cohereFinish(r)}
	if !r.NoUsage {
		end["usage"] = cohereUsage(r.Usage)
	}
	s.frames = append(s.frames, cohereEvent("message-end", map[string]any{"id": id.make("chat-"), "delta": end}))
	return append(s.frames, frame{data: sse("", []byte("[DONE]"))})
}

func (s *cohereStream) blocks() {
	contents, calls := 0, 0
	for i, b := range s.r.Blocks {
		switch b.Kind {
		case TextBlock, RefusalBlock:
			if s.r.has(ToolBlock) {
				for _, p := range split(b.Text, s.r.Chunks) {
					s.event("tool-plan-delta", -1, map[string]any{"tool_plan": p})
				}
				continue
			}
			s.content(contents, "text", b.Text)
			contents++
		case ThinkingBlock:
			s.content(contents, "thinking", b.Text)
			contents++
		case ToolBlock:
			s.call(calls, i, b)
			calls++
		}
	}
}

func (s *cohereStream) content(index int, kind, text string) {
	s.event("content-start", index, map[string]any{"content": map[string]any{"type": kind, kind: ""}})
	for _, p := range split(text, s.r.Chunks) {
		members := map[string]any{"index": index, "delta": map[string]any{"message": map[string]any{"content": map[string]any{kind: p}}}}
		if s.q.logprobs && kind == "text" {
			members["logprobs"] = cohereLogprob(p)
		}
		s.frames = append(s.frames, cohereEvent("content-delta", members))
	}
	s.event("content-end", index, nil)
}

func (s *cohereStream) call(index, block int, b Block) {
	whole := cohereCallOf(b, s.id, block)
	obj(whole["function"])["arguments"] = ""
	s.event("tool-call-start", index, map[string]any{"tool_calls": whole})
	for _, p := range split(b.Args, s.r.Chunks) {
		s.event("tool-call-delta", index, map[string]any{"tool_calls": map[string]any{"function": map[string]any{"arguments": p}}})
	}
	s.event("tool-call-end", index, nil)
}
