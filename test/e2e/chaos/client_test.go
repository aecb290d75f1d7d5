package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/harness"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// tally is what clients have seen.
type tally struct {
	requests, answered          int64
	wholeFailed, streamFailed   int64 // without a first event
	broken                      int64 // streams after their first event
	unended, wrong, failedOver  int64
	tokens                      int64 // output, as whole answers say
	mu                          sync.Mutex
	failures                    []string
	ids                         map[string]string // of requests, by question: the gateway's own
	took, wholeTook, streamTook []time.Duration   // to the first event, of answered requests
}

func (s *tally) fail(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) < 20 {
		s.failures = append(s.failures, what)
	}
}

// told notes a request's id.
func (s *tally) told(question, id string) {
	if id == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[string]string{}
	}
	s.ids[question] = id
}

func (s *tally) first() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.failures[:min(3, len(s.failures))], "\n")
}

func (s *tally) time(d time.Duration, stream bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = append(s.took, d)
	if stream {
		s.streamTook = append(s.streamTook, d)
	} else {
		s.wholeTook = append(s.wholeTook, d)
	}
}

// quantile of the times to the first event.
func (s *tally) quantile(q float64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.took) == 0 {
		return 0
	}
	slices.Sort(s.took)
	return s.took[min(len(s.took)-1, int(q*float64(len(s.took))))]
}

// client asks, reads its answer, thinks, and asks again.
type client struct {
	g         *harness.Gateway
	n         int
	route     string
	stream    bool
	anthropic bool
	tally     *tally
}

func (c client) run(ctx context.Context, t *testing.T) {
	random := rand.New(rand.NewPCG(uint64(c.n), 5))
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(random.Float64() * 2 * float64(think))):
		}
		if ctx.Err() != nil {
			return
		}
		c.ask(context.WithoutCancel(ctx), t, n)
	}
}

// errNoEnd is a stream that ended without its terminal event and without an error.
var errNoEnd = errors.New("the stream ended without its terminal event")

// ask sends one request and counts how it ended. It is never given up but for one that does not end.
func (c client) ask(ctx context.Context, t *testing.T, n int) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	question := fmt.Sprintf("client %d asks question %d of many", c.n, n)
	atomic.AddInt64(&c.tally.requests, 1)
	begin := time.Now()
	a := c.send(ctx, question)
	c.tally.told(question, a.id)
	switch {
	case ctx.Err() != nil:
		atomic.AddInt64(&c.tally.unended, 1)
		c.tally.fail(fmt.Sprintf("no end after %v: %s", time.Since(begin), a))
		return
	case a.err == nil && a.text != "echo: "+question:
		atomic.AddInt64(&c.tally.wrong, 1)
		c.tally.fail("a wrong answer: " + a.String())
	case a.err == nil:
		atomic.AddInt64(&c.tally.answered, 1)
		atomic.AddInt64(&c.tally.tokens, a.tokens)
		c.tally.time(a.first.Sub(begin), c.stream)
	case c.stream && !a.first.IsZero():
		atomic.AddInt64(&c.tally.broken, 1)
		if errors.Is(a.err, errNoEnd) && a.err != nil && strings.Contains(a.body, "[DONE]") {
			t.Errorf("a broken stream ends cleanly: %s", a)
		}
	case c.stream:
		atomic.AddInt64(&c.tally.streamFailed, 1)
		c.tally.fail(a.String())
	default:
		atomic.AddInt64(&c.tally.wholeFailed, 1)
		c.tally.fail(a.String())
	}
	if a.attempts != "" {
		atomic.AddInt64(&c.tally.failedOver, 1)
	}
}

// answer is what came.
type answer struct {
	status   int
	id       string
	attempts string
	provider string
	text     string
	tokens   int64
	first    time.Time // of content
	err      error
	body     string // its end
}

func (a answer) String() string {
	return fmt.Sprintf("status %d from %s after %q attempts, text %q, error %v: %.400s", a.status, a.provider, a.attempts, a.text, a.err, a.body)
}

func (c client) send(ctx context.Context, question string) (a answer) {
	path, extra := "/v1/chat/completions", ""
	switch {
	case c.anthropic:
		path, extra = "/v1/messages", `"max_tokens":200,`
	case c.stream:
		extra = `"stream_options":{"include_usage":true},`
	}
	body := fmt.Sprintf(`{"model":%q,%s"stream":%v,"messages":[{"role":"user","content":%q}]}`, c.route, extra, c.stream, question)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.g.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.g.HTTP.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	a.id = resp.Header.Get("X-Request-Id")
	a.status, a.attempts, a.provider = resp.StatusCode, resp.Header.Get("X-Dragoman-Attempts"), resp.Header.Get("X-Dragoman-Provider")
	if resp.StatusCode != http.StatusOK || !c.stream {
		a.whole(resp.Body, c.anthropic)
		return a
	}
	a.events(resp.Body, c.anthropic)
	return a
}

func (a *answer) whole(r io.Reader, anthropic bool) {
	b, err := io.ReadAll(r)
	a.first, a.err, a.body = time.Now(), err, string(b)
	switch {
	case err != nil:
	case a.status != http.StatusOK:
		a.err, a.first = fmt.Errorf("status %d", a.status), time.Time{}
	case !gjson.ValidBytes(b):
		a.err = errors.New("invalid JSON")
	case anthropic:
		a.text, a.tokens = gjson.GetBytes(b, "content.0.text").String(), gjson.GetBytes(b, "usage.output_tokens").Int()
	default:
		a.text, a.tokens = gjson.GetBytes(b, "choices.0.message.content").String(), gjson.GetBytes(b, "usage.completion_tokens").Int()
	}
}

// events reads server-sent events to their end.
func (a *answer) events(r io.Reader, anthropic bool) {
	lines, ended := bufio.NewScanner(r), false
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		a.body = data
		ev := gjson.Parse(data)
		text := ev.Get("choices.0.delta.content").String()
		if anthropic {
			text = ev.Get("delta.text").String()
		}
		if text != "" && a.first.IsZero() {
			a.first = time.Now()
		}
		a.text += text
		if n := ev.Get("usage.completion_tokens"); n.Exists() {
			a.tokens = n.Int()
		}
		if n := ev.Get("usage.output_tokens"); n.Exists() {
			a.tokens = n.Int()
		}
		switch {
		case ev.Get("error").Exists():
			a.err = errors.New(data)
			return
		case data == "[DONE]", ev.Get("type").String() == "message_stop":
			ended = true
		}
	}
	if a.err = lines.Err(); a.err == nil && !ended {
		a.err = errNoEnd
	}
}
