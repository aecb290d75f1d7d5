package fakeprovider

import "encoding/json"

// anthropicStop is the stop_reason that follows from the blocks.
func anthropicStop(r *Reply) string {
	switch {
	case r.Finish == finishLength:
		return "max_tokens"
	case r.Finish != "":
		return r.Finish
	case r.StopSequence != "":
		return "stop_sequence"
	case r.has(RefusalBlock):
		return "refusal"
	case r.has(ToolBlock):
		return "tool_use"
	}
	return "end_turn"
}

// anthropicUsage reports in Anthropic's sums: input tokens exclude cached ones (D84).
func anthropicUsage(u *Usage, output int64) map[string]any {
	return map[string]any{
		"input_tokens": u.Input, "cache_read_input_tokens": u.CacheRead,
		"cache_creation_input_tokens": u.CacheWrite + u.CacheWrite1h,
		"cache_creation":              map[string]any{"ephemeral_5m_input_tokens": u.CacheWrite, "ephemeral_1h_input_tokens": u.CacheWrite1h},
		"output_tokens":               output, "service_tier": "standard",
	}
}

func (v *anthropic) whole(r *Reply, q *ask, id answerID) []byte {
	m := v.message(r, id)
	content := make([]any, 0, len(r.Blocks))
	for i, b := range r.Blocks {
		content = append(content, v.block(b, q, id, i))
	}
	m["content"], m["stop_reason"], m["stop_sequence"] = content, anthropicStop(r), orNull(r.StopSequence)
	if r.NoUsage {
		delete(m, "usage")
	} else {
		m["usage"] = anthropicUsage(r.Usage, r.Usage.Output)
	}
	return mustJSON(m)
}

// message is the frame of an answer, as message_start has it.
func (v *anthropic) message(r *Reply, id answerID) map[string]any {
	m := map[string]any{
		"id": id.make("msg_01"), "type": "message", "role": "assistant", "model": r.Model, "content": []any{},
		"stop_reason": nil, "stop_sequence": nil,
	}
	if !r.NoUsage {
		m["usage"] = anthropicUsage(r.Usage, 1) // a placeholder (D93)
	}
	return m
}

// block is a whole content block.
func (v *anthropic) block(b Block, q *ask, id answerID, n int) map[string]any {
	switch b.Kind {
	case ThinkingBlock:
		text, signature := v.thinking(b, q)
		return map[string]any{"type": "thinking", "thinking": text, "signature": signature}
	case RedactedBlock:
		return map[string]any{"type": "redacted_thinking", "data": v.signer.redacted(b.Text)}
	case ToolBlock:
		args := b.Args
		if args == "" {
			args = "{}"
		}
		return map[string]any{"type": "tool_use", "id": toolUseID(b, id, n), "name": b.Name, "input": json.RawMessage(args)}
	}
	return map[string]any{"type": "text", "text": b.Text}
}

func (v *anthropic) thinking(b Block, q *ask) (text, signature string) {
	if q.hideThinking {
		return "", v.signer.thinking(omitted)
	}
	return b.Text, v.signer.thinking(b.Text)
}

func toolUseID(b Block, id answerID, n int) string {
	if b.ID != "" {
		return b.ID
	}
	return id.part("toolu_01", n)
}

// anthropicStream builds the events of one answer.
type anthropicStream struct {
	v      *anthropic
	r      *Reply
	q      *ask
	id     answerID
	frames []frame
}

func (v *anthropic) events(r *Reply, q *ask, id answerID) []frame {
	s := &anthropicStream{v: v, r: r, q: q, id: id}
	s.event("message_start", map[string]any{"message": v.message(r, id)})
	for i, b := range r.Blocks {
		s.start(i, b)
		if i == 0 && !r.Unpinged {
			s.event("ping", map[string]any{})
		}
		s.deltas(i, b)
		s.event("content_block_stop", map[string]any{"index": i})
	}
	s.tokens()
	s.end()
	return s.frames
}

func (s *anthropicStream) end() {
	delta := map[string]any{"delta": map[string]any{"stop_reason": anthropicStop(s.r), "stop_sequence": orNull(s.r.StopSequence)}}
	if !s.r.NoUsage {
		usage := anthropicUsage(s.r.Usage, s.r.Usage.Output)
		delete(usage, "service_tier")
		delete(usage, "cache_creation")
		delta["usage"] = usage
	}
	s.event("message_delta", delta)
	s.event("message_stop", map[string]any{})
}

func (s *anthropicStream) event(name string, fields map[string]any) {
	fields["type"] = name
	s.frames = append(s.frames, frame{data: sse(name, mustJSON(fields))})
}

// start opens a block: empty, but for what does not come in deltas.
func (s *anthropicStream) start(i int, b Block) {
	whole := s.v.block(b, s.q, s.id, i)
	switch b.Kind {
	case ThinkingBlock:
		whole["thinking"], whole["signature"] = "", ""
	case ToolBlock:
		whole["input"] = map[string]any{}
	case TextBlock, RefusalBlock:
		whole["text"] = ""
	}
	s.event("content_block_start", map[string]any{"index": i, "content_block": whole})
}

func (s *anthropicStream) deltas(i int, b Block) {
	switch b.Kind {
	case ThinkingBlock:
		text, signature := s.v.thinking(b, s.q)
		s.pieces(i, "thinking_delta", "thinking", text)
		s.delta(i, map[string]any{"type": "signature_delta", "signature": signature})
	case ToolBlock:
		if b.Args != "" {
			s.delta(i, map[string]any{"type": "input_json_delta", "partial_json": ""})
		}
		if b.Args != "{}" {
			s.pieces(i, "input_json_delta", "partial_json", b.Args)
		}
	case TextBlock, RefusalBlock:
		s.pieces(i, "text_delta", "text", b.Text)
	}
}

func (s *anthropicStream) pieces(i int, kind, field, text string) {
	for _, p := range split(text, s.r.Chunks) {
		s.delta(i, map[string]any{"type": kind, field: p})
	}
}

func (s *anthropicStream) delta(i int, d map[string]any) {
	s.event("content_block_delta", map[string]any{"index": i, "delta": d})
}

// tokens spreads the answer's output tokens over the events between message_start and message_delta.
func (s *anthropicStream) tokens() {
	content := s.frames[1:]
	if len(content) == 0 {
		content = s.frames
	}
	for i, n := range shares(s.r.Usage.Output, len(content)) {
		content[i].tokens = n
	}
}
