package fakeprovider

import "strings"

// openaiFinish is the finish_reason that follows from the blocks.
func openaiFinish(r *Reply) string {
	switch {
	case r.Finish == finishLength:
		return "length"
	case r.Finish != "":
		return r.Finish
	case r.has(ToolBlock):
		return "tool_calls"
	}
	return "stop"
}

// openaiUsage reports in OpenAI's sums: prompt tokens include cached ones (D84).
func openaiUsage(u *Usage) map[string]any {
	prompt := u.Input + u.CacheRead + u.CacheWrite + u.CacheWrite1h
	return map[string]any{
		"prompt_tokens": prompt, "completion_tokens": u.Output, "total_tokens": prompt + u.Output,
		"prompt_tokens_details": map[string]any{"cached_tokens": u.CacheRead, "audio_tokens": 0},
		"completion_tokens_details": map[string]any{
			"reasoning_tokens": u.Reasoning, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
		},
	}
}

func logprobs(tokens []string) any {
	content := make([]any, 0, len(tokens))
	for _, t := range tokens {
		raw := make([]any, 0, len(t))
		for _, b := range []byte(t) {
			raw = append(raw, int(b))
		}
		content = append(content, map[string]any{"token": t, "logprob": -0.25, "bytes": raw, "top_logprobs": []any{}})
	}
	return map[string]any{"content": content, "refusal": nil}
}

func callID(b Block, id answerID, n int) string {
	if b.ID != "" {
		return b.ID
	}
	return id.part("call_", n)
}

func (v *openai) whole(r *Reply, q *ask, id answerID) []byte {
	choices := make([]any, 0, q.n)
	for i := range q.n {
		message := v.message(r, id)
		choice := map[string]any{"index": i, "message": message, "finish_reason": openaiFinish(r), "logprobs": nil}
		if text, ok := message["content"].(string); ok && q.logprobs {
			choice["logprobs"] = logprobs(split(text, r.Chunks))
		}
		choices = append(choices, choice)
	}
	out := map[string]any{
		"id": id.make("chatcmpl-"), "object": "chat.completion", "created": id.created, "model": r.Model,
		"choices": choices, "service_tier": "default", "system_fingerprint": "fp_fake",
	}
	if !r.NoUsage {
		out["usage"] = openaiUsage(r.Usage)
	}
	return mustJSON(out)
}

func (v *openai) message(r *Reply, id answerID) map[string]any {
	m := map[string]any{"role": "assistant", "content": nil, "refusal": nil, "annotations": []any{}}
	var text, thought, refusal []string
	var calls []any
	for i, b := range r.Blocks {
		switch b.Kind {
		case TextBlock:
			text = append(text, b.Text)
		case ThinkingBlock:
			thought = append(thought, b.Text)
		case RefusalBlock:
			refusal = append(refusal, b.Text)
		case ToolBlock:
			calls = append(calls, map[string]any{"id": callID(b, id, i), "type": "function",
				"function": map[string]any{"name": b.Name, "arguments": b.Args}})
		}
	}
	if text != nil {
		m["content"] = strings.Join(text, "")
	}
	if refusal != nil {
		m["refusal"] = strings.Join(refusal, "")
	}
	if thought != nil && v.opts.ReasoningContent {
		m["reasoning_content"] = strings.Join(thought, "")
	}
	if calls != nil {
		m["tool_calls"] = calls
	}
	return m
}

// openaiStream builds the chunks of one answer.
type openaiStream struct {
	v      *openai
	r      *Reply
	q      *ask
	id     answerID
	frames []frame
}

func (v *openai) events(r *Reply, q *ask, id answerID) []frame {
	s := &openaiStream{v: v, r: r, q: q, id: id}
	for choice := range q.n {
		s.delta(choice, map[string]any{"role": "assistant", "content": "", "refusal": nil}, nil)
	}
	for choice := range q.n {
		s.blocks(choice)
	}
	for choice := range q.n {
		s.chunk(map[string]any{"index": choice, "delta": map[string]any{}, "logprobs": nil, "finish_reason": openaiFinish(r)})
	}
	s.tokens()
	if q.includeUsage && !r.NoUsage {
		s.usage()
	}
	s.frames = append(s.frames, frame{data: sse("", []byte("[DONE]"))})
	return s.frames
}

func (s *openaiStream) blocks(choice int) {
	var calls [][]map[string]any // the fragments of each call
	for i, b := range s.r.Blocks {
		switch b.Kind {
		case TextBlock:
			s.pieces(choice, "content", b.Text)
		case RefusalBlock:
			s.pieces(choice, "refusal", b.Text)
		case ThinkingBlock:
			if s.v.opts.ReasoningContent {
				s.pieces(choice, "reasoning_content", b.Text)
			}
		case ToolBlock:
			calls = append(calls, s.call(len(calls), i, b))
		}
	}
	for _, fragment := range arrange(calls, s.r.Interleave) {
		s.delta(choice, map[string]any{"tool_calls": []any{fragment}}, nil)
	}
}

func (s *openaiStream) pieces(choice int, member, text string) {
	for _, p := range split(text, s.r.Chunks) {
		var lp any
		if member == "content" && s.q.logprobs {
			lp = logprobs([]string{p})
		}
		s.delta(choice, map[string]any{member: p}, lp)
	}
}

// call: id, type and name come with the first fragment alone (D111).
func (s *openaiStream) call(index, block int, b Block) []map[string]any {
	fragments := []map[string]any{{"index": index, "id": callID(b, s.id, block), "type": "function",
		"function": map[string]any{"name": b.Name, "arguments": ""}}}
	for _, p := range split(b.Args, s.r.Chunks) {
		fragments = append(fragments, map[string]any{"index": index, "function": map[string]any{"arguments": p}})
	}
	return fragments
}

// arrange puts the fragments of all calls one call after the other, or in turns.
func arrange(calls [][]map[string]any, interleave bool) []map[string]any {
	var out []map[string]any
	if !interleave {
		for _, c := range calls {
			out = append(out, c...)
		}
		return out
	}
	for i := 0; ; i++ {
		more := false
		for _, c := range calls {
			if i < len(c) {
				out, more = append(out, c[i]), true
			}
		}
		if !more {
			return out
		}
	}
}

func (s *openaiStream) delta(choice int, delta map[string]any, lp any) {
	s.chunk(map[string]any{"index": choice, "delta": delta, "logprobs": lp, "finish_reason": nil})
}

func (s *openaiStream) chunk(choice map[string]any) { s.emit([]any{choice}, nil) }

func (s *openaiStream) usage() { s.emit([]any{}, openaiUsage(s.r.Usage)) }

func (s *openaiStream) emit(choices []any, usage any) {
	c := map[string]any{
		"id": s.id.make("chatcmpl-"), "object": "chat.completion.chunk", "created": s.id.created, "model": s.r.Model,
		"choices": choices, "service_tier": "default", "system_fingerprint": "fp_fake",
	}
	if s.q.includeUsage {
		c["usage"] = usage
	}
	s.frames = append(s.frames, frame{data: sse("", mustJSON(c))})
}

// tokens spreads the answer's output tokens over its content chunks.
func (s *openaiStream) tokens() {
	content := s.frames[s.q.n : len(s.frames)-s.q.n] // without the role and the finish chunks
	if len(content) == 0 {
		content = s.frames[:1]
	}
	for i, n := range shares(s.r.Usage.Output, len(content)) {
		content[i].tokens = n
	}
}
