package embed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// Bounds of the endpoint's use.
const (
	gatherFor     = 3 * time.Millisecond // how long the first text of a batch waits for others
	maxBatch      = 64
	maxCalls      = 4    // at the same time
	maxQueue      = 1024 // texts
	callLimit     = 10 * time.Second
	maxAnswer     = 32 << 20 // bytes
	maxDimensions = 1 << 14
	awayFor       = time.Second // after a failed call, in which nothing is asked
)

// EndpointOptions of NewEndpoint.
type EndpointOptions struct {
	URL        string // of POST /v1/embeddings, complete
	Model      string
	Dimensions int               // asked for; 0: the model's own
	Header     map[string]string // added to every request
	Client     *http.Client      // nil: one of its own without proxies; redirects are never followed
	Now        func() time.Time  // nil: time.Now
}

// Endpoint embeds through an OpenAI-style API. Texts that come within a few milliseconds travel in one call.
type Endpoint struct {
	opts   EndpointOptions
	client *http.Client
	queue  chan *wanted
	calls  chan struct{}

	mu         sync.Mutex
	dimensions int // of the first answer; every other must have the same
	problem    error
	until      time.Time // nothing is asked before

	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

type wanted struct {
	ctx   context.Context
	text  string
	reply chan reply // of capacity 1
}

// NewEndpoint makes an embedder; it asks nothing yet. Close ends it.
func NewEndpoint(o EndpointOptions) *Endpoint {
	if o.Now == nil {
		o.Now = time.Now
	}
	client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxCalls, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}}
	if o.Client != nil {
		client = *o.Client
	}
	// Whoever redirects is no embeddings endpoint, and texts go where they were configured to go only.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	e := &Endpoint{opts: o, client: &client, queue: make(chan *wanted, maxQueue), calls: make(chan struct{}, maxCalls)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.ended.Go(e.gather)
	return e
}

// Embed is the vector of text. The error is ErrAway, ErrBusy, ErrClosed, the context's, or says what was wrong with the answer; it never
// holds the text.
func (e *Endpoint) Embed(ctx context.Context, text string) ([]float32, error) {
	if e.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if e.away() {
		return nil, ErrAway
	}
	w := &wanted{ctx: ctx, text: text, reply: make(chan reply, 1)}
	select {
	case e.queue <- w:
	default:
		return nil, ErrBusy
	}
	select {
	case r := <-w.reply:
		return r.vector, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.ctx.Done():
		return nil, ErrClosed
	}
}

func (e *Endpoint) away() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problem != nil && e.opts.Now().Before(e.until)
}

// Status is how the last call went; ready until one failed.
func (e *Endpoint) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{Ready: e.problem == nil, Dimensions: e.dimensions}
	if e.problem != nil {
		s.Problem = e.problem.Error()
	}
	return s
}

// Close abandons what is in flight and waits for its end.
func (e *Endpoint) Close() {
	e.cancel()
	e.ended.Wait()
	e.client.CloseIdleConnections()
}

// gather makes batches of what waits.
func (e *Endpoint) gather() {
	for {
		select {
		case <-e.ctx.Done():
			return
		case first := <-e.queue:
			batch := e.batch(first)
			select {
			case e.calls <- struct{}{}:
			case <-e.ctx.Done():
				return
			}
			e.ended.Go(func() {
				defer func() { <-e.calls }()
				e.serve(batch)
			})
		}
	}
}

func (e *Endpoint) batch(first *wanted) []*wanted {
	batch := []*wanted{first}
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	for len(batch) < maxBatch {
		select {
		case w := <-e.queue:
			batch = append(batch, w)
		case <-timer.C:
			return batch
		case <-e.ctx.Done():
			return batch
		}
	}
	return batch
}

// serve asks for a batch, without those who have gone meanwhile.
func (e *Endpoint) serve(batch []*wanted) {
	var texts []string
	live := batch[:0]
	for _, w := range batch {
		if w.ctx.Err() == nil {
			live, texts = append(live, w), append(texts, w.text)
		}
	}
	if len(live) == 0 {
		return
	}
	vectors, err := e.ask(texts)
	e.note(err)
	for i, w := range live {
		if err != nil {
			w.reply <- reply{err: err}
			continue
		}
		w.reply <- reply{vector: vectors[i]}
	}
}

func (e *Endpoint) note(err error) {
	if e.ctx.Err() != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.problem = err
	if err != nil {
		e.until = e.opts.Now().Add(awayFor)
	}
}

func (e *Endpoint) ask(texts []string) ([][]float32, error) {
	ctx, cancel := context.WithTimeout(e.ctx, callLimit)
	defer cancel()
	body, err := json.Marshal(struct {
		Model      string   `json:"model"`
		Input      []string `json:"input"`
		Format     string   `json:"encoding_format"`
		Dimensions int      `json:"dimensions,omitempty"`
	}{e.opts.Model, texts, "float", e.opts.Dimensions})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.opts.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the embeddings URL is not usable")
	}
	req.Header.Set("content-type", "application/json")
	for name, value := range e.opts.Header {
		req.Header.Set(name, value)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("embeddings: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("embeddings: %w", err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("embeddings: status %d", resp.StatusCode)
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("embeddings: an answer of more than %d bytes", maxAnswer)
	}
	return e.parse(answer, len(texts))
}

// parse reads an answer strictly: a vector put to the wrong text would be a wrong answer to somebody.
func (e *Endpoint) parse(answer []byte, n int) ([][]float32, error) {
	if !gjson.ValidBytes(answer) {
		return nil, errors.New("embeddings: the answer is no JSON")
	}
	data := gjson.GetBytes(answer, "data")
	if !data.IsArray() {
		return nil, errors.New("embeddings: the answer has no data")
	}
	vectors := make([][]float32, n)
	count := 0
	for _, item := range data.Array() {
		i, err := place(item.Get("index"), n)
		if err != nil {
			return nil, err
		}
		if vectors[i] != nil {
			return nil, fmt.Errorf("embeddings: two vectors for text %d", i)
		}
		if vectors[i], err = vector(item.Get("embedding")); err != nil {
			return nil, err
		}
		count++
	}
	if count != n {
		return nil, fmt.Errorf("embeddings: %d vectors for %d texts", count, n)
	}
	return vectors, e.sameLength(vectors)
}

func place(index gjson.Result, n int) (int, error) {
	if index.Type != gjson.Number || index.Num != math.Trunc(index.Num) || index.Num < 0 || index.Num >= float64(n) {
		return 0, errors.New("embeddings: a vector without a valid index")
	}
	return int(index.Num), nil
}

func vector(v gjson.Result) (out []float32, err error) {
	if !v.IsArray() {
		return nil, errors.New("embeddings: a vector is no array of numbers")
	}
	v.ForEach(func(_, x gjson.Result) bool {
		if x.Type != gjson.Number || math.Abs(x.Num) > math.MaxFloat32 || len(out) == maxDimensions {
			err = errors.New("embeddings: a vector has something that is no number, or too much")
			return false
		}
		out = append(out, float32(x.Num))
		return true
	})
	if err == nil && !normalise(out) {
		err = errors.New("embeddings: a vector has no length")
	}
	return out, err
}

// sameLength holds every answer to the first one: vectors of two models cannot be compared.
func (e *Endpoint) sameLength(vectors [][]float32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	want := e.dimensions
	if want == 0 {
		want = len(vectors[0])
	}
	for _, v := range vectors {
		if len(v) != want {
			return fmt.Errorf("embeddings: a vector of %d dimensions, not %d", len(v), want)
		}
	}
	e.dimensions = want
	return nil
}
