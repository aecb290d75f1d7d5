package embed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// provider answers with a vector that tells the text: its length in the first dimension.
func provider(t *testing.T, calls *atomic.Int32) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		var req struct {
			Model      string
			Input      []string
			Format     string `json:"encoding_format"`
			Dimensions int
		}
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Model != "m" || req.Format != "float" || r.Header.Get("x-key") != "v" || req.Dimensions != 2 {
			t.Errorf("%+v %v", req, err)
		}
		var data []string
		for i := len(req.Input) - 1; i >= 0; i-- { // in any order
			data = append(data, fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":[%d,1]}`, i, len(req.Input[i])))
		}
		fmt.Fprintf(w, `{"object":"list","data":[%s],"usage":{"prompt_tokens":1}}`, strings.Join(data, ","))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestEndpointGathers(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var calls atomic.Int32
	s := provider(t, &calls)
	e := NewEndpoint(EndpointOptions{URL: s.URL, Model: "m", Dimensions: 2, Header: map[string]string{"x-key": "v"}})
	defer func() { e.Close(); s.Close() }()
	var crowd sync.WaitGroup
	for i := 1; i <= 100; i++ {
		crowd.Go(func() {
			v, err := e.Embed(t.Context(), strings.Repeat("x", i))
			if err != nil || len(v) != 2 || math.Abs(float64(v[0]/v[1])-float64(i)) > 0.001*float64(i) {
				t.Errorf("text %d: %v %v", i, v, err)
			}
		})
	}
	crowd.Wait()
	if n := calls.Load(); n > 20 {
		t.Errorf("100 concurrent texts took %d calls", n)
	}
	if st := e.Status(); !st.Ready || st.Dimensions != 2 {
		t.Errorf("%+v", st)
	}
}

// TestEndpointAnswersAreChecked: what is not exactly right is no vector, and the error does not hold the text.
func TestEndpointAnswersAreChecked(t *testing.T) {
	for name, answer := range map[string]string{
		"no JSON":       `<html>`,
		"no data":       `{}`,
		"data no list":  `{"data":{}}`,
		"none":          `{"data":[]}`,
		"two":           `{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1]}]}`,
		"twice":         `{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}`,
		"no index":      `{"data":[{"embedding":[1]}]}`,
		"odd index":     `{"data":[{"index":0.5,"embedding":[1]}]}`,
		"no vector":     `{"data":[{"index":0}]}`,
		"base64":        `{"data":[{"index":0,"embedding":"AACAPw=="}]}`,
		"empty vector":  `{"data":[{"index":0,"embedding":[]}]}`,
		"zero vector":   `{"data":[{"index":0,"embedding":[0,0]}]}`,
		"not a number":  `{"data":[{"index":0,"embedding":[1,null]}]}`,
		"infinite":      `{"data":[{"index":0,"embedding":[1e39]}]}`,
		"too wide":      `{"data":[{"index":0,"embedding":[1` + strings.Repeat(",1", maxDimensions) + `]}]}`,
		"another width": `{"data":[{"index":0,"embedding":[1,2,3]}]}`,
	} {
		e := &Endpoint{dimensions: 2}
		if v, err := e.parse([]byte(answer), 1); err == nil {
			t.Errorf("%s: %v", name, v)
		}
	}
}

func TestEndpointAway(t *testing.T) {
	var status atomic.Int32
	status.Store(500)
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		if c := int(status.Load()); c != 200 {
			w.Header().Set("location", "/elsewhere")
			w.WriteHeader(c)
			return
		}
		_, _ = io.WriteString(w, `{"data":[{"index":0,"embedding":[3,4]}]}`)
	}))
	defer s.Close()
	now := time.Unix(0, 0)
	var mu sync.Mutex
	e := NewEndpoint(EndpointOptions{URL: s.URL, Model: "m", Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	defer e.Close()
	for _, code := range []int32{500, 302, 201} {
		status.Store(code)
		before := calls.Load()
		if _, err := e.Embed(t.Context(), "secret text"); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), fmt.Sprint(code)) {
			t.Errorf("status %d: %v", code, err)
		}
		if _, err := e.Embed(t.Context(), "x"); !errors.Is(err, ErrAway) {
			t.Errorf("right after it: %v", err)
		}
		if n := calls.Load() - before; n != 1 {
			t.Errorf("status %d: %d calls", code, n)
		}
		mu.Lock()
		now = now.Add(awayFor)
		mu.Unlock()
	}
	status.Store(200)
	if v, err := e.Embed(t.Context(), "x"); err != nil || v[0] != 0.6 || v[1] != 0.8 {
		t.Errorf("back again: %v %v", v, err)
	}
	if !e.Status().Ready {
		t.Errorf("%+v", e.Status())
	}
}

func TestEndpointDeadlineAndClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
	}))
	e := NewEndpoint(EndpointOptions{URL: s.URL, Model: "m"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := e.Embed(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	waiting := make(chan error)
	go func() {
		_, err := e.Embed(context.Background(), "y")
		waiting <- err
	}()
	time.Sleep(10 * time.Millisecond)
	e.Close()
	if err := <-waiting; err == nil {
		t.Error("no error after Close")
	}
	if _, err := e.Embed(t.Context(), "x"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	close(release)
	s.Close()
}

func TestEndpointRefusesTooMany(t *testing.T) {
	e := &Endpoint{queue: make(chan *wanted, 1), opts: EndpointOptions{Now: time.Now}}
	e.ctx, e.cancel = context.WithCancel(t.Context())
	defer e.cancel()
	e.queue <- &wanted{}
	if _, err := e.Embed(t.Context(), "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

func FuzzEndpointAnswer(f *testing.F) {
	f.Add([]byte(`{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1,2]}]}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		e := &Endpoint{}
		vs, err := e.parse(answer, 2)
		if err != nil {
			return
		}
		for _, v := range vs {
			if n := cosine(v, v); math.Abs(n-1) > 1e-3 || len(v) != e.dimensions {
				t.Fatalf("%v %v", v, n)
			}
		}
	})
}
