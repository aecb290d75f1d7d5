package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// serveRaw answers every connection's requests with the given bytes.
func serveRaw(t *testing.T, reply string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := &request{r: newReader(conn)}
				for in.next() == nil {
					if _, err := conn.Write([]byte(reply)); err != nil || reply == "" {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func ok(body string) string {
	return "HTTP/1.1 200 OK\r\ncontent-length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

func TestAnswersAreChecked(t *testing.T) {
	words := strings.Repeat(markWord, streamChunks)
	stream := want{mark: markWord, words: streamChunks, terminal: "data: [DONE]"}
	for name, c := range map[string]struct {
		want   want
		status int
		body   string
		says   string // "" for right
	}{
		"whole":          {want{mark: markOpenAI}, 200, "so " + markOpenAI, ""},
		"status":         {want{mark: markOpenAI}, 500, markOpenAI, "status 500"},
		"other provider": {want{mark: markOpenAI}, 200, markAnthropic, "lacks"},
		"stream":         {stream, 200, words + "\n\ndata: [DONE]\n\n", ""},
		"cut stream":     {stream, 200, words, "does not end"},
		"event missing":  {stream, 200, words[len(markWord):] + "data: [DONE]", "19 of 20"},
		"more after end": {stream, 200, words + "data: [DONE]\n\ndata: {}", "does not end"},
		"error clipped":  {want{mark: "x"}, 500, strings.Repeat("e", 5000), "e…"},
	} {
		err := c.want.check(c.status, []byte(c.body))
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: refused: %v", name, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: got %v, want %q in it", name, err, c.says)
		case err != nil && len(err.Error()) > 600:
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestMeasureCountsWhatWasAnswered(t *testing.T) {
	at := serveProvider(t, 0)
	l := load{clients: 3, warmUp: 20 * time.Millisecond, duration: 150 * time.Millisecond}
	s, err := l.measure(t.Context(), cases[0].provider(at.Up), map[string][]int{"self": {os.Getpid()}, "twice": {os.Getpid(), os.Getpid()}})
	if err != nil {
		t.Fatal(err)
	}
	if s.errors > 0 || s.requests == 0 || s.meant != s.requests || s.whole.total != s.requests || s.first.total != s.requests {
		t.Errorf("%d requests, %d as meant, %d timed, %d errors (%v)", s.requests, s.meant, s.whole.total, s.errors, s.firstError)
	}
	if s.elapsed < l.duration || s.elapsed > l.duration+2*time.Second {
		t.Errorf("counted for %v, want %v", s.elapsed, l.duration)
	}
	if self, twice := s.cpu["self"], s.cpu["twice"]; self <= 0 || twice < 3*self/2 || twice > 5*self/2 {
		t.Errorf("CPU %v, and %v when counted twice", self, twice)
	}
}

func TestMeasureStopsWhenEverythingFails(t *testing.T) {
	l := load{clients: 2, duration: time.Minute}
	begin := time.Now()
	s, err := l.measure(t.Context(), cases[0].provider(serveRaw(t, ok("nonsense"))), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.errors < maxErrors || s.requests > 0 || s.firstError == nil || !strings.Contains(s.firstError.Error(), "nonsense") {
		t.Errorf("%d requests, %d errors, the first: %v", s.requests, s.errors, s.firstError)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v to see that", took)
	}
}

func TestMeasureEndsWithItsContext(t *testing.T) {
	// An answer that never comes: the head promises more than there is.
	silent := serveRaw(t, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nonly")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	s, err := load{clients: 4, duration: time.Minute}.measure(ctx, cases[0].provider(silent), nil)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if err != nil || s.requests > 0 || s.errors == 0 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestMeasureFailsWithoutTheProcess(t *testing.T) {
	at := serveProvider(t, 0)
	const nobody = 1 << 30
	if _, err := (load{clients: 1, duration: time.Millisecond}).measure(t.Context(), cases[0].provider(at.Up), map[string][]int{"x": {nobody}}); err == nil {
		t.Error("the CPU of a process that is not there was measured")
	}
}

func TestClientConnectsAgain(t *testing.T) {
	for name, c := range map[string]struct {
		reply string
		fails bool
	}{
		"told to close":  {"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: " + strconv.Itoa(len(markOpenAI)) + "\r\n\r\n" + markOpenAI, false},
		"cut off":        {"", true},
		"kept":           {ok(markOpenAI), false},
		"kept, mistaken": {ok("nonsense"), true},
	} {
		c2 := &client{call: cases[0].provider(serveRaw(t, c.reply)), deadline: time.Now().Add(10 * time.Second)}
		for range 3 {
			if _, err := c2.ask(t.Context()); (err != nil) != c.fails {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if kept := c2.conn != nil; kept != strings.HasPrefix(name, "kept") {
			t.Errorf("%s: the connection is kept: %t", name, kept)
		}
		c2.close()
	}
}

func TestMeantIsWhatTheHeaderSays(t *testing.T) {
	address := serveRaw(t, "HTTP/1.1 200 OK\r\nx-dragoman-cache: hit\r\ncontent-length: "+strconv.Itoa(len(markOpenAI))+"\r\n\r\n"+markOpenAI)
	for header, meant := range map[string]bool{"": true, "x-dragoman-cache: hit": true, "x-dragoman-cache: miss": false} {
		call := cases[0].gateway(address, "/v1/chat/completions", "bench")
		call.want.header = header
		c := &client{call: call, deadline: time.Now().Add(10 * time.Second)}
		got, err := c.ask(t.Context())
		c.close()
		if err != nil || got.meant != meant {
			t.Errorf("%q: meant %t, %v", header, got.meant, err)
		}
	}
}

func TestPollSaysWhyItGaveUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	nothing := func() error { return nil }
	tries := 0
	err := poll(ctx, "it", nothing, func() error {
		if tries++; tries > 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		return errors.New("the reason")
	})
	if err == nil || !strings.Contains(err.Error(), "it is not ready: the reason") {
		t.Errorf("got %v", err)
	}
	dead := errors.New("dead")
	if err := poll(t.Context(), "it", func() error { return dead }, func() error { return errors.New("again") }); !errors.Is(err, dead) {
		t.Errorf("got %v, want that it is dead", err)
	}
	if err := poll(t.Context(), "it", func() error { return dead }, nothing); err != nil {
		t.Errorf("ready, but %v", err)
	}
}
