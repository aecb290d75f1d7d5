package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serveProvider runs the fake provider in this process.
func serveProvider(t *testing.T, pace time.Duration) providerAddresses {
	t.Helper()
	up, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{answers: newAnswers(), pace: pace}
	go p.serve(up, p.choose)
	go p.serve(down, func([]byte, []byte) (answer, bool) { return p.answers.down, false })
	t.Cleanup(func() {
		up.Close()
		down.Close()
	})
	return providerAddresses{up.Addr().String(), down.Addr().String()}
}

// The canned answers are read here by an HTTP implementation that is not the benchmark's own.
func TestProviderAnswersAsItsSchemaSays(t *testing.T) {
	at := serveProvider(t, 0)
	for _, c := range []struct {
		url, body   string
		status      int
		contentType string
		holds       []string
	}{
		{at.Up + "/v1/chat/completions", `{}`, 200, "application/json", []string{markOpenAI, `"finish_reason":"stop"`}},
		{at.Up + "/v1/messages", `{}`, 200, "application/json", []string{markAnthropic, `"stop_reason":"end_turn"`}},
		{at.Up + "/v1/chat/completions", `{"stream":true}`, 200, "text/event-stream; charset=utf-8", []string{"word-00", "word-19", "data: [DONE]\n\n"}},
		{at.Up + "/v1/messages", `{"stream":true}`, 200, "text/event-stream; charset=utf-8", []string{"word-00", "word-19", "event: message_stop\n"}},
		{at.Up + "/v1/other", `{}`, 404, "application/json", []string{"no such endpoint"}},
		{at.Down + "/v1/chat/completions", `{}`, 503, "application/json", []string{"overloaded"}},
	} {
		// A reader that is no buffer makes net/http send the body in chunks.
		for name, body := range map[string]io.Reader{"length": strings.NewReader(c.body), "chunks": io.MultiReader(strings.NewReader(c.body))} {
			resp, err := http.Post("http://"+c.url, "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != c.status || resp.Header.Get("Content-Type") != c.contentType {
				t.Errorf("%s %s by %s: status %d, %s, %v", c.url, c.body, name, resp.StatusCode, resp.Header.Get("Content-Type"), err)
			}
			for _, s := range c.holds {
				if !bytes.Contains(got, []byte(s)) {
					t.Errorf("%s %s by %s: lacks %q: %s", c.url, c.body, name, s, got)
				}
			}
			validate(t, got)
		}
	}
}

// validate parses what the answers hold of JSON.
func validate(t *testing.T, body []byte) {
	t.Helper()
	if !bytes.Contains(body, []byte("data: ")) {
		if !json.Valid(body) {
			t.Errorf("invalid JSON: %s", body)
		}
		return
	}
	for line := range bytes.Lines(body) {
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok && string(data) != "[DONE]\n" && !json.Valid(data) {
			t.Errorf("invalid JSON in an event: %s", data)
		}
	}
}

func TestUsageChunkOnlyWhenAskedFor(t *testing.T) {
	p := &provider{answers: newAnswers()}
	for body, want := range map[string]bool{
		`{"stream":true}`: false, `{"stream":true,"stream_options":{"include_usage":true}}`: true,
	} {
		a, _ := p.choose([]byte("/v1/chat/completions"), []byte(body))
		if got := bytes.Contains(bytes.Join(a, nil), []byte(`"usage"`)); got != want {
			t.Errorf("%s: usage sent: %t, want %t", body, got, want)
		}
	}
}

func TestPacedStreamTakesItsTime(t *testing.T) {
	const pace = 3 * time.Millisecond
	at := serveProvider(t, pace)
	for _, paced := range []bool{true, false} {
		k := kase{stream: true, paced: paced}
		c := &client{call: k.provider(at.Up), deadline: time.Now().Add(10 * time.Second)}
		got, err := c.ask(t.Context())
		c.close()
		if err != nil {
			t.Fatal(err)
		}
		if least := streamChunks * pace; paced && got.whole < least {
			t.Errorf("a paced stream took %v, want at least %v", got.whole, least)
		}
		if paced && got.first > got.whole/2 {
			t.Errorf("the first byte came after %v of %v", got.first, got.whole)
		}
		if most := streamChunks * pace; !paced && got.whole > most {
			t.Errorf("a stream that is not paced took %v", got.whole)
		}
	}
}

func TestProviderGivesUpOnWhatItDoesNotKnow(t *testing.T) {
	for _, input := range []string{"GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.0\r\n\r\n", "\r\n", "POST / HTTP/1.1\r\nnonsense\r\n\r\n"} {
		in := &request{r: newReader(strings.NewReader(input))}
		if err := in.next(); err == nil {
			t.Errorf("%q was read as a request", input)
		}
	}
}

// The sizes that the cases promise.
func TestRequestAndAnswerHaveTheSizesPromised(t *testing.T) {
	for i := range cases {
		k := &cases[i]
		for name, body := range map[string]string{"openai": k.openAIBody("bench"), "anthropic": k.anthropicBody("bench")} {
			if !json.Valid([]byte(body)) {
				t.Errorf("%s, %s: the request is no JSON: %s", k.name, name, body)
			}
			if n := len(body); (n < 1900 || n > 2300) && !k.semantic { // a question is short
				t.Errorf("%s, %s: the request has %d bytes", k.name, name, n)
			}
		}
	}
	a := newAnswers()
	for name, whole := range map[string]answer{"openai": a.openAI, "anthropic": a.anthropic} {
		_, body, _ := bytes.Cut(whole[0], []byte("\r\n\r\n"))
		if n := len(body); n < 900 || n > 1200 {
			t.Errorf("%s: the answer has %d bytes", name, n)
		}
	}
	for name, stream := range map[string]answer{"openai": a.openAIStream, "anthropic": a.anthropicStream} {
		if n := bytes.Count(bytes.Join(stream, nil), []byte(markWord)); n != streamChunks || len(stream) != streamChunks+2 {
			t.Errorf("%s: %d words in %d writes", name, n, len(stream))
		}
	}
}

func TestFailoverIsAskedForByAHeader(t *testing.T) {
	line := []byte("\r\n" + failoverHeader + ": 1\r\n")
	for i := range cases {
		if got := bytes.Contains(cases[i].provider("127.0.0.1:1").request, line); got != cases[i].failover {
			t.Errorf("%s: the header of the plain Envoy's failover route is sent: %t", cases[i].name, got)
		}
	}
}
