package fakeprovider

import (
	"encoding/base64"
	"encoding/json"
)

// bedrockStop is the stopReason that follows from the blocks.
func bedrockStop(r *Reply) string {
	switch {
	case r.Finish == finishLength:
		return "max_tokens"
	case r.Finish != "":
		return r.Finish
	case r.StopSequence != "":
		return "stop_sequence"
	case r.has(RefusalBlock):
		return "content_filtered"
	case r.has(ToolBlock):
		return "tool_use"
	}
	return "end_turn"
}

// bedrockUsage reports in Bedrock's sums: inputTokens exclude cached ones (D84).
func bedrockUsage(u *Usage) map[string]any {
	m := map[string]any{
		"inputTokens": u.Input, "outputTokens": u.Output, "totalTokens": u.Input + u.CacheRead + u.CacheWrite + u.CacheWrite1h + u.Output,
		"cacheReadInputTokens": u.CacheRead, "cacheWriteInputTokens": u.CacheWrite + u.CacheWrite1h,
	}
	var details []any
	for _, d := range []struct {
		ttl string
		n   int64
	}{{"1h", u.CacheWrite1h}, {"5m", u.CacheWrite}} {
		if d.n > 0 {
			details = append(details, map[string]any{"ttl": d.ttl, "inputTokens": d.n})
		}
	}
	if details != nil {
		m["cacheDetails"] = details
	}
	return m
}

// ending are the members that messageStop and a whole answer share.
func (*bedrock) ending(r *Reply, q *ask) map[string]any {
	m := map[string]any{"stopReason": bedrockStop(r)}
	if q.wantsStop && r.StopSequence != "" {
		m["additionalModelResponseFields"] = map[string]any{"stop_sequence": r.StopSequence}
	}
	return m
}

func (v *bedrock) whole(r *Reply, q *ask, id answerID) []byte {
	content := make([]any, 0, len(r.Blocks))
	for i, b := range r.Blocks {
		content = append(content, v.block(b, q, id, i))
	}
	m := v.ending(r, q)
	m["output"] = map[string]any{"message": map[string]any{"role": "assistant", "content": content}}
	m["metrics"] = map[string]any{"latencyMs": 42}
	if !r.NoUsage {
		m["usage"] = bedrockUsage(r.Usage)
	}
	return mustJSON(m)
}

// block is a whole content block.
func (v *bedrock) block(b Block, q *ask, id answerID, n int) map[string]any {
	switch b.Kind {
	case ThinkingBlock:
		text, signature := v.thinking(b, q)
		return map[string]any{"reasoningContent": map[string]any{"reasoningText": map[string]any{"text": text, "signature": signature}}}
	case RedactedBlock:
		return map[string]any{"reasoningContent": map[string]any{"redactedContent": v.redacted(b)}}
	case ToolBlock:
		args := b.Args
		if args == "" {
			args = "{}"
		}
		return map[string]any{"toolUse": map[string]any{"toolUseId": bedrockCallID(b, id, n), "name": b.Name, "input": json.RawMessage(args)}}
	}
	return map[string]any{"text": b.Text}
}

func (v *bedrock) redacted(b Block) string {
	return base64.StdEncoding.EncodeToString([]byte(v.signer.redacted(b.Text)))
}

func (v *bedrock) thinking(b Block, q *ask) (text, signature string) {
	if q.hideThinking {
		return "", v.signer.thinking(omitted)
	}
	return b.Text, v.signer.thinking(b.Text)
}

func bedrockCallID(b Block, id answerID, n int) string {
	if b.ID != "" {
		return b.ID
	}
	return id.part("tooluse_", n)
}

// bedrockStream builds the events of one answer.
type bedrockStream struct {
	v      *bedrock
	r      *Reply
	q      *ask
	id     answerID
	frames []frame
}

func (v *bedrock) events(r *Reply, q *ask, id answerID) []frame {
	s := &bedrockStream{v: v, r: r, q: q, id: id}
	s.event("messageStart", map[string]any{"role": "assistant"})
	for i, b := range r.Blocks {
		s.block(i, b)
		s.event("contentBlockStop", map[string]any{"contentBlockIndex": i})
	}
	content := s.frames[1:]
	if len(content) == 0 {
		content = s.frames
	}
	for i, n := range shares(r.Usage.Output, len(content)) {
		content[i].tokens = n
	}
	s.event("messageStop", v.ending(r, q))
	if !r.NoUsage {
		s.event("metadata", map[string]any{"usage": bedrockUsage(r.Usage), "metrics": map[string]any{"latencyMs": 42}})
	}
	return s.frames
}

// event adds one, with the padding by which the service hides the lengths of texts.
func (s *bedrockStream) event(kind string, payload map[string]any) {
	payload["p"] = "abcdefghijklmnopqrstuvwxyz"[:1+len(s.frames)%26]
	s.frames = append(s.frames, frame{data: bedrockMessage("event", kind, mustJSON(payload))})
}

// block is the start, of calls only, and the deltas of a block.
func (s *bedrockStream) block(i int, b Block) {
	reasoning := func(m map[string]any) { s.delta(i, map[string]any{"reasoningContent": m}) }
	switch b.Kind {
	case ThinkingBlock:
		text, signature := s.v.thinking(b, s.q)
		for _, p := range split(text, s.r.Chunks) {
			reasoning(map[string]any{"text": p})
		}
		reasoning(map[string]any{"signature": signature})
	case RedactedBlock:
		reasoning(map[string]any{"redactedContent": s.v.redacted(b)})
	case ToolBlock:
		start := map[string]any{"toolUse": map[string]any{"toolUseId": bedrockCallID(b, s.id, i), "name": b.Name}}
		s.event("contentBlockStart", map[string]any{"contentBlockIndex": i, "start": start})
		for _, p := range split(b.Args, s.r.Chunks) {
			s.delta(i, map[string]any{"toolUse": map[string]any{"input": p}})
		}
	default:
		for _, p := range split(b.Text, s.r.Chunks) {
			s.delta(i, map[string]any{"text": p})
		}
	}
}

func (s *bedrockStream) delta(i int, d map[string]any) {
	s.event("contentBlockDelta", map[string]any{"contentBlockIndex": i, "delta": d})
}
