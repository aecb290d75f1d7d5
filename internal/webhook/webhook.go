// Package webhook tells an operator's server of events: POST, JSON, signed, tried again. Events wait in a bounded queue; nothing that
// happens to the server holds up a request.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"dragoman/internal/config"
)

// SignatureHeader holds sha256=HMAC-SHA256(secret, body) in hex.
const SignatureHeader = "x-dragoman-signature"

// Options are what a Sender works with. Report may be nil.
type Options struct {
	Config config.Webhook
	// Report is told of each event: sent, failed (given up) or dropped (the queue was full); err says why. It holds no URL.
	Report func(result string, err error)
	Client *http.Client  // default one of its own, which follows no redirects
	Pause  time.Duration // before the first retry, then twice as long each; default 1s
}

// Sender sends events in their order. The zero value is none: use New.
type Sender struct {
	o     Options
	queue chan []byte
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// New starts a sender. The caller must Close it.
func New(o Options) *Sender {
	if o.Client == nil {
		o.Client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: 30 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Sender{o: o, queue: make(chan []byte, max(o.Config.Queue, 1)), stop: stop}
	s.done.Go(func() { s.run(ctx) })
	return s
}

// Send puts an event in the queue. It never waits.
func (s *Sender) Send(event any) {
	body, err := json.Marshal(event)
	if err != nil {
		s.report("dropped", err)
		return
	}
	select {
	case s.queue <- body:
	default:
		s.report("dropped", fmt.Errorf("%d events wait already", cap(s.queue)))
	}
}

// Close gives up what waits.
func (s *Sender) Close() {
	s.stop()
	s.done.Wait()
	s.o.Client.CloseIdleConnections()
}

func (s *Sender) report(result string, err error) {
	if s.o.Report != nil {
		s.o.Report(result, err)
	}
}

func (s *Sender) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case body := <-s.queue:
			s.deliver(ctx, body)
		}
	}
}

// deliver tries until it is taken, or tried often enough.
func (s *Sender) deliver(ctx context.Context, body []byte) {
	pause := s.o.Pause
	for try := 0; ; try++ {
		again, err := s.post(ctx, body)
		switch {
		case err == nil:
			s.report("sent", nil)
			return
		case ctx.Err() != nil:
			return
		case !again || try >= s.o.Config.Retries:
			s.report("failed", err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Minute)
	}
}

// post makes one try. again says that another may help.
func (s *Sender) post(ctx context.Context, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Config.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.Config.URL, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("the URL cannot be used")
	}
	req.Header.Set("content-type", "application/json")
	req.Header.Set("user-agent", "dragoman")
	if key := s.o.Config.Secret.Reveal(); key != "" {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write(body)
		req.Header.Set(SignatureHeader, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := s.o.Client.Do(req)
	if err != nil {
		return true, fmt.Errorf("no answer: %s", strings.ReplaceAll(err.Error(), s.o.Config.URL, "(URL)"))
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	resp.Body.Close()
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return false, nil
	case resp.StatusCode == 408 || resp.StatusCode == 425 || resp.StatusCode == 429 || resp.StatusCode >= 500:
		return true, fmt.Errorf("answered with %d", resp.StatusCode)
	default:
		return false, fmt.Errorf("answered with %d", resp.StatusCode)
	}
}
