package embed

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"dragoman/internal/embed/wordpiece"
)

// MaxTokens is how long a text may be for the local model: what it was trained on. A longer one is refused and not cut off.
const MaxTokens = 256

// waitersPerWorker bounds the texts that wait: each takes about 5 ms of a core, so more would miss any sensible deadline.
const waitersPerWorker = 64

// Bounds of the helper's life.
const (
	hungAfter  = 10 * time.Second // for one text
	startLimit = 60 * time.Second // a cold disk under load
	endLimit   = 2 * time.Second
	firstPause = time.Second // before the helper is started again, doubled each time
	lastPause  = time.Minute
	longLife   = time.Minute // after which an end is not a consequence of the start
)

// LocalOptions of NewLocal.
type LocalOptions struct {
	Folder  string // complete, as Find gives it
	Workers int    // texts embedded at the same time, a core each; at least 1
	Log     *slog.Logger
}

// Local embeds with a model in a helper process, which it starts, watches and starts again.
type Local struct {
	opts   LocalOptions
	tokens *wordpiece.Tokenizer

	waiting atomic.Int64
	slots   chan struct{} // taken by a text from its sending to its reply, so that the pipe to the helper never fills

	mu       sync.Mutex
	helper   *helper // nil while there is none
	problem  error
	restarts int
	changed  chan struct{} // closed and replaced when helper changes

	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
}

// NewLocal checks the folder and starts the helper in the background: until it is ready, Embed says ErrAway. The error is a
// *MissingError or about the vocabulary. Close ends it.
func NewLocal(o LocalOptions) (*Local, error) {
	if err := complete(o.Folder); err != nil {
		return nil, err
	}
	tokens, err := wordpiece.Load(filepath.Join(o.Folder, vocabFile))
	if err != nil {
		return nil, err
	}
	o.Workers = min(max(o.Workers, 1), 64)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Local{opts: o, tokens: tokens, slots: make(chan struct{}, 2*o.Workers), changed: make(chan struct{}),
		problem: errors.New("the helper is starting"), ended: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	go l.supervise()
	return l, nil
}

// Embed is the vector of text. The error is ErrAway, ErrBusy, ErrClosed, wordpiece.ErrTooLong, the context's, or what the helper said.
func (l *Local) Embed(ctx context.Context, text string) ([]float32, error) {
	ids, err := l.tokens.Encode(text, MaxTokens)
	if err != nil {
		return nil, err
	}
	if l.waiting.Add(1) > int64(waitersPerWorker*l.opts.Workers) {
		l.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer l.waiting.Add(-1)
	h, err := l.current()
	if err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ctx.Done():
		return nil, ErrClosed
	}
	reply := h.send(ids, func() { <-l.slots })
	select {
	case r := <-reply:
		return r.vector, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *Local) current() (*helper, error) {
	if l.ctx.Err() != nil {
		return nil, ErrClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.helper == nil {
		return nil, ErrAway
	}
	return l.helper, nil
}

// Ready waits until the helper works, or ctx ends; then the error says what the helper's problem is.
func (l *Local) Ready(ctx context.Context) error {
	for {
		l.mu.Lock()
		h, problem, changed := l.helper, l.problem, l.changed
		l.mu.Unlock()
		if h != nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(problem, ctx.Err())
		case <-l.ctx.Done():
			return ErrClosed
		}
	}
}

// Status is how it stands.
func (l *Local) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{Ready: l.helper != nil, Restarts: l.restarts}
	if l.helper != nil {
		s.Dimensions = l.helper.dimensions
	} else if l.problem != nil {
		s.Problem = l.problem.Error()
	}
	return s
}

// Close ends the helper and waits for its end.
func (l *Local) Close() {
	l.cancel()
	<-l.ended
}

// supervise keeps one helper running. Its state changes are logged, not the requests that miss it.
func (l *Local) supervise() {
	defer close(l.ended)
	wait := firstPause
	for l.ctx.Err() == nil {
		started := time.Now()
		h, err := startHelper(l.ctx, l.opts.Folder, l.opts.Workers)
		if err == nil {
			l.set(h, nil)
			l.opts.Log.Info("embedder ready", "folder", l.opts.Folder, "dimensions", h.dimensions, "took", time.Since(started).Round(time.Millisecond))
			err = h.wait(l.ctx)
		}
		l.set(nil, err)
		if l.ctx.Err() != nil {
			return
		}
		if time.Since(started) > longLife {
			wait = firstPause
		}
		l.opts.Log.Warn("embedder away: the semantic cache has only misses", "problem", err, "again_in", wait)
		if !pause(wait, l.ctx.Done()) {
			return
		}
		wait = min(2*wait, lastPause)
		l.mu.Lock()
		l.restarts++
		l.mu.Unlock()
	}
}

func (l *Local) set(h *helper, problem error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.helper, l.problem = h, problem
	close(l.changed)
	l.changed = make(chan struct{})
}
