package main

import (
	"fmt"
	"strconv"
	"strings"
)

// What the fake provider says, rendered once. The client looks for the markers below in what it gets, so a gateway that
// answers by itself, from the wrong provider, or only in part fails the run.
const (
	markOpenAI    = "as the OpenAI provider of the benchmark says"
	markAnthropic = "as the Anthropic provider of the benchmark says"
	markWord      = " word-" // once in each chunk of a stream
	streamChunks  = 20

	// pacedPrompt in a prompt asks the provider to pace its stream. It stands in the prompt because that passes through
	// every gateway and every schema unchanged.
	pacedPrompt = "Take your time."
	// briefPrompt asks for a failure without a body: Envoy ends a failed attempt at its headers, and over HTTP/1.1 a body that it does not read
	// costs the connection. HTTP/2, which providers speak, keeps it.
	briefPrompt = "Be brief."
)

// filler makes up the size of a realistic prompt or answer.
const filler = "The interpreter stood at the envoy's side and carried each sentence across, neither adding to it nor leaving anything out. "

func text(n int) string { return strings.Repeat(filler, n/len(filler)+1)[:n] }

// answer is one canned HTTP response: its head with the first bytes of the body, and what follows them, one write each.
type answer [][]byte

// answers are everything that the provider can say.
type answers struct {
	openAI, anthropic              answer // whole, about 1 KB
	openAIStream, openAIUsage      answer // 20 chunks; with the usage chunk that include_usage asks for
	anthropicStream, down, unknown answer
	brief                          answer // down without a body
}

func newAnswers() *answers {
	return &answers{
		openAI:          whole(200, fmt.Sprintf(`{"id":"chatcmpl-bench","object":"chat.completion","created":1760000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"%s %s","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":480,"completion_tokens":120,"total_tokens":600,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_bench"}`, text(400), markOpenAI)),
		anthropic:       whole(200, fmt.Sprintf(`{"id":"msg_bench","type":"message","role":"assistant","model":"bench","content":[{"type":"text","text":"%s %s"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":480,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":120,"service_tier":"standard"}}`, text(580), markAnthropic)),
		openAIStream:    openAIStream(false),
		openAIUsage:     openAIStream(true),
		anthropicStream: anthropicStream(),
		down:            whole(503, `{"error":{"message":"The server is overloaded.","type":"server_error","param":null,"code":null}}`),
		brief:           whole(503, ""),
		unknown:         whole(404, `{"error":{"message":"The benchmark's provider has no such endpoint.","type":"invalid_request_error","param":null,"code":null}}`),
	}
}

var reasons = map[int]string{200: "OK", 404: "Not Found", 503: "Service Unavailable"}

func whole(status int, body string) answer {
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n", status, reasons[status], len(body))
	return answer{[]byte(head + body)}
}

// streamed puts each group of events into one HTTP chunk and one write: the first with the head, the last with the end
// of the body.
func streamed(groups ...string) answer {
	const head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
	a := make(answer, len(groups))
	for i, g := range groups {
		a[i] = []byte(strconv.FormatInt(int64(len(g)), 16) + "\r\n" + g + "\r\n")
	}
	a[0] = append([]byte(head), a[0]...)
	a[len(a)-1] = append(a[len(a)-1], "0\r\n\r\n"...)
	return a
}

func openAIStream(usage bool) answer {
	chunk := func(delta, finish string) string {
		return fmt.Sprintf("data: "+`{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench","service_tier":"default","system_fingerprint":"fp_bench","choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}`+"\n\n", delta, finish)
	}
	groups := []string{chunk(`{"role":"assistant","content":"","refusal":null}`, "null")}
	for i := range streamChunks {
		groups = append(groups, chunk(fmt.Sprintf(`{"content":"%s%02d of the answer"}`, markWord, i), "null"))
	}
	end := chunk("{}", `"stop"`)
	if usage {
		end += `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench","choices":[],"usage":{"prompt_tokens":480,"completion_tokens":120,"total_tokens":600}}` + "\n\n"
	}
	return streamed(append(groups, end+"data: [DONE]\n\n")...)
}

func anthropicStream() answer {
	event := func(kind, rest string) string {
		return "event: " + kind + "\n" + `data: {"type":"` + kind + `"` + rest + "}\n\n"
	}
	groups := []string{
		event("message_start", `,"message":{"id":"msg_bench","type":"message","role":"assistant","model":"bench","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":480,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}`) +
			event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`) + event("ping", ""),
	}
	for i := range streamChunks {
		groups = append(groups, event("content_block_delta", fmt.Sprintf(`,"index":0,"delta":{"type":"text_delta","text":"%s%02d of the answer"}`, markWord, i)))
	}
	return streamed(append(groups, event("content_block_stop", `,"index":0`)+
		event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":120}`)+
		event("message_stop", ""))...)
}
