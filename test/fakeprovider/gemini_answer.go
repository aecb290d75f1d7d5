package fakeprovider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// geminiFinish is the finishReason that follows from the blocks: STOP also for calls (D100).
func geminiFinish(r *Reply) string {
	switch {
	case r.Finish == finishLength:
		return "MAX_TOKENS"
	case r.Finish != "":
		return r.Finish
	}
	return "STOP"
}

// geminiUsage reports in Google's sums: the prompt with what was cached (D84), thoughts apart (D87).
func geminiUsage(u *Usage, output int64) map[string]any {
	thoughts := min(u.Reasoning, output)
	prompt := u.Input + u.CacheRead + u.CacheWrite + u.CacheWrite1h
	m := map[string]any{"promptTokenCount": prompt, "totalTokenCount": prompt + output,
		"promptTokensDetails": []any{map[string]any{"modality": "TEXT", "tokenCount": prompt}}}
	if output > thoughts {
		m["candidatesTokenCount"] = output - thoughts
	}
	if thoughts > 0 {
		m["thoughtsTokenCount"] = thoughts
	}
	if u.CacheRead > 0 {
		m["cachedContentTokenCount"] = u.CacheRead
	}
	return m
}

// parts are those of one block, its text cut into n. Gemini 3 gives calls ids, but not at Vertex AI. The signature of a turn is on its first call, or on its
// last text.
func (v *gemini) parts(r *Reply, q *ask, id answerID, i, n int) (parts []map[string]any) {
	b := r.Blocks[i]
	switch b.Kind {
	case ThinkingBlock:
		for _, s := range split(b.Text, n) {
			parts = append(parts, map[string]any{"text": s, "thought": true})
		}
	case RedactedBlock: // no such thing at Google
	case ToolBlock:
		call := map[string]any{"name": b.Name, "args": json.RawMessage("{}")}
		if b.Args != "" {
			call["args"] = json.RawMessage(b.Args)
		}
		switch {
		case b.ID != "":
			call["id"] = b.ID
		case generationOf(q.model) >= 300 && !q.vertex:
			call["id"] = id.part("fc", i)
		}
		parts = []map[string]any{{"functionCall": call}}
		if generationOf(q.model) >= 300 && (i == 0 || r.Blocks[i-1].Kind != ToolBlock) {
			parts[0]["thoughtSignature"] = v.sign("call " + b.Name)
		}
	default:
		for _, s := range split(b.Text, n) {
			parts = append(parts, map[string]any{"text": s})
		}
	}
	return parts
}

func (v *gemini) response(r *Reply, id answerID, candidates []any) map[string]any {
	m := map[string]any{"candidates": candidates, "modelVersion": r.Model, "responseId": id.make("r")}
	return m
}

func (v *gemini) whole(r *Reply, q *ask, id answerID) []byte {
	candidates := make([]any, 0, q.n)
	for n := range max(q.n, 1) {
		parts := []map[string]any{}
		for i := range r.Blocks {
			parts = append(parts, v.parts(r, q, id, i, 1)...)
		}
		if last := len(parts) - 1; last >= 0 && generationOf(q.model) >= 300 && parts[last]["text"] != nil && parts[last]["thought"] == nil {
			parts[last]["thoughtSignature"] = v.sign("text")
		}
		c := map[string]any{"content": map[string]any{"parts": parts, "role": "model"}, "finishReason": geminiFinish(r), "index": n}
		if q.logprobs {
			c["logprobsResult"] = map[string]any{"chosenCandidates": []any{map[string]any{"token": "echo", "tokenId": 1, "logProbability": -0.5}}}
		}
		candidates = append(candidates, c)
	}
	m := v.response(r, id, candidates)
	if !r.NoUsage {
		m["usageMetadata"] = geminiUsage(r.Usage, r.Usage.Output)
	}
	return mustJSON(m)
}

// events: each piece of text is an event of its own, calls are whole (D112), usage is cumulative on each (D94), and the
// last one says why the answer ended.
func (v *gemini) events(r *Reply, q *ask, id answerID) (frames []frame) {
	for _, m := range v.pieces(r, q, id) {
		frames = append(frames, frame{data: sse("", mustJSON(m))})
	}
	for i, n := range shares(r.Usage.Output, len(frames)) {
		frames[i].tokens = n
	}
	return frames
}

func (v *gemini) pieces(r *Reply, q *ask, id answerID) (out []map[string]any) {
	output := int64(0)
	add := func(n int, part map[string]any, finish string) {
		c := map[string]any{"content": map[string]any{"parts": []any{part}, "role": "model"}, "index": n}
		if finish != "" {
			c["finishReason"] = finish
			output = r.Usage.Output
		}
		m := v.response(r, id, []any{c})
		if !r.NoUsage {
			m["usageMetadata"] = geminiUsage(r.Usage, output)
		}
		out = append(out, m)
	}
	for n := range max(q.n, 1) {
		for i := range r.Blocks {
			parts := v.parts(r, q, id, i, r.Chunks)
			for k, p := range parts {
				if i == len(r.Blocks)-1 && k == len(parts)-1 && r.Blocks[i].Kind == ToolBlock {
					add(n, p, geminiFinish(r))
				} else {
					add(n, p, "")
				}
			}
		}
		if k := len(r.Blocks); k > 0 && r.Blocks[k-1].Kind == ToolBlock {
			continue
		}
		last := map[string]any{"text": ""}
		if generationOf(q.model) >= 300 {
			last["thoughtSignature"] = v.sign("text")
		}
		add(n, last, geminiFinish(r))
	}
	return out
}

// array is a stream without alt=sse.
func (v *gemini) array(q *ask, id answerID) []byte {
	var b bytes.Buffer
	sep := "["
	for _, m := range v.pieces(q.complete(q.defaultReply()), q, id) {
		b.WriteString(sep)
		b.Write(mustJSON(m))
		sep = ",\r\n"
	}
	return append(b.Bytes(), ']')
}

func (v *gemini) countTokens(c *geminiCall, body map[string]any) (*ask, *apiError) {
	whole := obj(body["generateContentRequest"])
	if whole != nil && body["contents"] != nil {
		return nil, refuseGoogle("contents and generate_content_request must not both be set.")
	}
	if whole == nil {
		whole = body
	} else if str(whole["model"]) != "models/"+c.model {
		return nil, refuseGoogle("generate_content_request.model must be models/%s.", c.model)
	}
	if e := geminiContents(c, whole); e != nil {
		return nil, e
	}
	n := promptWords(whole["contents"]) + promptWords(whole["systemInstruction"]) + promptWords(whole["tools"])
	return &ask{model: c.model, body: func(answerID) []byte {
		return mustJSON(map[string]any{"totalTokens": max(n, 1), "promptTokensDetails": []any{map[string]any{"modality": "TEXT", "tokenCount": n}}})
	}}, nil
}

// embed answers each of the operations for vectors.
func (v *gemini) embed(c *geminiCall, body map[string]any) (*ask, *apiError) {
	requests := []any{body}
	switch c.method {
	case "batchEmbedContents":
		requests = list(body["requests"])
	case "predict":
		requests = list(body["instances"])
	}
	if !strings.Contains(c.model, "embedding") {
		return nil, v.modelNotFound(c.model)
	}
	if len(requests) == 0 {
		return nil, refuseGoogle("* BatchEmbedContentsRequest.requests: requests is not specified\n")
	}
	var texts []string
	for i, r := range requests {
		one := obj(r)
		if model := one["model"]; c.method == "batchEmbedContents" && model != "models/"+c.model {
			return nil, refuseGoogle("* BatchEmbedContentsRequest.requests[%d].model: unexpected model name format, expected models/%s\n", i, c.model)
		}
		text := str(one["content"])
		for _, p := range list(obj(one["content"])["parts"]) {
			text += str(obj(p)["text"])
		}
		if text == "" {
			return nil, refuseGoogle("* EmbedContentRequest.content: content is empty\n")
		}
		texts = append(texts, text)
	}
	size := max(int(integer(obj(requests[0])["outputDimensionality"])), int(integer(obj(body["parameters"])["outputDimensionality"])))
	if size == 0 {
		size = 3072
	}
	return &ask{model: c.model, body: func(answerID) []byte { return geminiVectors(c.method, texts, size) }}, nil
}

func geminiVectors(method string, texts []string, size int) []byte {
	list := make([]any, 0, len(texts))
	for _, t := range texts {
		e := map[string]any{"values": Vector(t, size)}
		if method == "predict" {
			e["statistics"] = map[string]any{"truncated": false, "token_count": max(countWords(t), 1)}
			list = append(list, map[string]any{"embeddings": e})
			continue
		}
		list = append(list, e)
	}
	switch method {
	case "predict":
		return mustJSON(map[string]any{"predictions": list, "metadata": map[string]any{"billableCharacterCount": len(strings.Join(texts, ""))}})
	case "embedContent":
		return mustJSON(map[string]any{"embedding": list[0], "usageMetadata": map[string]any{"promptTokenCount": max(countWords(texts[0]), 1)}})
	}
	return mustJSON(map[string]any{"embeddings": list})
}

func (*gemini) model(name string) any {
	methods := []string{"generateContent", "countTokens"}
	if strings.Contains(name, "embedding") {
		methods = []string{"embedContent"}
	}
	return map[string]any{"name": "models/" + name, "version": "001", "displayName": name, "inputTokenLimit": 1 << 20,
		"outputTokenLimit": 65_536, "supportedGenerationMethods": methods}
}

func (*gemini) models(items []any) any { return map[string]any{"models": items} }

func (*gemini) refuse(status int, kind, message string) *apiError {
	if kind == "" || strings.ToUpper(kind) != kind {
		kind = "INVALID_ARGUMENT"
	}
	return &apiError{status: status, kind: kind, message: message}
}

func (*gemini) modelNotFound(name string) *apiError {
	return &apiError{status: http.StatusNotFound, kind: "NOT_FOUND", message: fmt.Sprintf("models/%s is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods.", name)}
}

func (*gemini) notFound(_, _ string, _ bool) *apiError {
	return &apiError{status: http.StatusNotFound, kind: "NOT_FOUND", message: "Requested entity was not found."}
}

func (*gemini) notJSON(detail string) *apiError {
	return refuseGoogle("Invalid JSON payload received. %s", detail)
}

// geminiFaults are the vendor's words for each status.
var geminiFaults = map[int]apiError{
	400: {kind: "INVALID_ARGUMENT", message: "Request contains an invalid argument."},
	401: {kind: "UNAUTHENTICATED", message: "Request had invalid authentication credentials."},
	403: {kind: "PERMISSION_DENIED", message: "Generative Language API has not been used in project 123456 before or it is disabled."},
	404: {kind: "NOT_FOUND", message: "models/MODEL is not found for API version v1beta."},
	429: {kind: "RESOURCE_EXHAUSTED", message: "You exceeded your current quota, please check your plan and billing details."},
	499: {kind: "CANCELLED", message: "The operation was cancelled."},
	500: {kind: "INTERNAL", message: "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting"},
	503: {kind: "UNAVAILABLE", message: "The model is overloaded. Please try again later."},
	504: {kind: "DEADLINE_EXCEEDED", message: "Deadline expired before operation could complete."},
}

func (*gemini) fault(f *Fault, model string) *apiError {
	e, ok := geminiFaults[f.Status]
	if !ok {
		e = apiError{kind: "UNAVAILABLE", message: http.StatusText(f.Status)}
	}
	return e.with(f, model)
}

func (*gemini) errorBody(e *apiError, _ answerID) []byte {
	details := []any{}
	if e.status == http.StatusTooManyRequests {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"})
	}
	if e.code != "" {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": e.code, "domain": "googleapis.com"})
	}
	body := map[string]any{"code": e.status, "message": e.message, "status": e.kind}
	if len(details) > 0 {
		body["details"] = details
	}
	return mustJSON(map[string]any{"error": body})
}

func (v *gemini) errorEvent(e *apiError, id answerID) frame {
	return frame{data: sse("", v.errorBody(e, id))}
}
