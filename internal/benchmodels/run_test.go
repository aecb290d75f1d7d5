package benchmodels

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const listed = `{"object":"list","data":[{"id":"auto","owned_by":"dragoman"},
 {"id":"good","owned_by":"p","price_usd_per_million_tokens":{"input":10,"output":100},"capabilities":["tools"]},
 {"id":"bad","owned_by":"p"},{"id":"slow","owned_by":"q"},{"id":"vectors","owned_by":"p","capabilities":["embeddings"]},
 {"id":"order","owned_by":"p","capabilities":["rerank"]},{"id":"old","owned_by":"p","deprecated":true}]}`

// gateway answers "2" for good, refuses bad, and hangs for slow.
func gateway(t *testing.T, most *atomic.Int32) *Client {
	var now atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer key-1" || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", r.Header)
		}
		if r.URL.Path == "/v1/models" {
			io.WriteString(w, listed)
			return
		}
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		var body struct {
			Model    string
			Messages []struct{ Role, Content string }
			Tokens   int64 `json:"max_completion_tokens"`
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil || body.Tokens != 50 || body.Messages[len(body.Messages)-1].Role != "user" {
			t.Errorf("asked %+v", body)
		}
		w.Header().Set("x-dragoman-provider", "p")
		switch body.Model {
		case "p/good":
			fmt.Fprint(w, `{"choices":[{"message":{"content":"It is 2"}}],"usage":{"prompt_tokens":1000,"completion_tokens":100}}`)
		case "p/bad":
			w.WriteHeader(http.StatusPaymentRequired)
			fmt.Fprint(w, "{\"error\":{\"message\":\"no\\u001b[31m money\"}}")
		case "q/slow":
			<-r.Context().Done()
		case "q/other":
			fmt.Fprint(w, `{"choices":[{"message":{"content":"2"}}]}`)
		case "q/empty":
			fmt.Fprint(w, `{"choices":[]}`)
		default:
			fmt.Fprint(w, `<html>`)
		}
	}))
	t.Cleanup(s.Close)
	return &Client{URL: s.URL + "/", Key: "key-1", HTTP: s.Client()}
}

func sums(n int) (tasks []Task) {
	for i := range n {
		tasks = append(tasks, Task{ID: fmt.Sprint(i), Class: Classes[i%2], System: "s", Prompt: "1+1?", Tokens: 50,
			Checks: []Check{{Numeric: &Numeric{Value: 2}}, {Lacks: []string{[]string{"it", "not"}[i%2]}}}})
	}
	return tasks
}

func TestModelsThatCanBeAsked(t *testing.T) {
	c := gateway(t, new(atomic.Int32))
	models, err := c.Models(t.Context())
	if err != nil || len(models) != 3 || models[0].Ask != "p/good" || models[0].Price.Output != 100 || models[2].Ask != "q/slow" {
		t.Fatalf("%+v %v", models, err)
	}
	picked, err := Pick(models, []string{"slow", "p/good", "q/unknown", "good"})
	if err != nil || len(picked) != 3 || picked[0] != models[2] || picked[1] != models[0] || picked[2] != (Model{Ask: "q/unknown", Provider: "q", Name: "unknown"}) {
		t.Errorf("%+v %v", picked, err)
	}
	if _, err := Pick(models, []string{"nobody"}); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("%v", err)
	}
	likely, most, unpriced := Estimate(models, sums(2))
	if !(0 < likely && likely <= most) || !slices.Equal(unpriced, []string{"p/bad", "q/slow"}) {
		t.Errorf("%g %g %v", likely, most, unpriced)
	}
}

func TestRun(t *testing.T) {
	var most atomic.Int32
	c := gateway(t, &most)
	var models []Model
	for _, name := range []string{"p/good", "p/bad", "q/slow", "q/other", "q/empty", "q/html"} {
		provider, id, _ := strings.Cut(name, "/")
		models = append(models, Model{Ask: name, Provider: provider, Name: id})
	}
	models[0].Price = &Price{Input: 10, Output: 100}
	last, calls := 0, 0
	results, err := Run(t.Context(), Options{Client: c, Models: models, Tasks: sums(4), Concurrency: 3, Timeout: 300 * time.Millisecond,
		Progress: func(done, total int) {
			if calls++; done != last+1 || total != 24 {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last = done
		}})
	if err != nil || calls != 24 {
		t.Fatal(err, calls)
	}
	if n := most.Load(); n > 3 || n < 2 {
		t.Errorf("%d requests at the same time", n)
	}
	good := results[0].Summary()
	if good.Errors != 0 || good.Quality["knowledge"] != 0.5 || good.Quality["code"] != 1 || good.Quality["default"] != 0.75 || good.Input != 4000 || good.USD != 0.08 || good.Median <= 0 {
		t.Errorf("%+v", good)
	}
	for i, want := range []string{"status 402: no", "deadline", "p answered in its place", "no choices", "no completion"} {
		o := results[i+1].Outcomes[3]
		if !strings.Contains(o.Error, want) || o.Score != 0 || results[i+1].Summary().Errors != 4 || len(results[i+1].Summary().Quality) != 0 {
			t.Errorf("%s: %+v", models[i+1].Ask, o)
		}
	}
	wantReports(t, results)
}

func wantReports(t *testing.T, results []Result) {
	var table, yaml strings.Builder
	if err := Table(&table, results); err != nil {
		t.Fatal(err)
	}
	first := strings.Fields(strings.Split(table.String(), "\n")[1])
	if first[4] = ""; strings.Join(first, " ") != "p/good 0.75 0.50 1.00  4000 400 0.0800 0" {
		t.Errorf("table:\n%s", table.String())
	}
	if !strings.Contains(table.String(), "p/bad: 4 × status 402: no?[31m money\n") {
		t.Errorf("what a provider says steers the terminal:\n%q", table.String())
	}
	if err := Overrides(&yaml, results, time.Unix(0, 0), "a\nb"); err != nil {
		t.Fatal(err)
	}
	want := "models:\n- name: \"good\"\n  provider: \"p\"\n  quality:\n    default: 0.750\n    knowledge: 0.500\n    code: 1.000\n"
	if !strings.Contains(yaml.String(), want) || strings.Count(yaml.String(), "too few tasks") != 5 || strings.Contains(yaml.String(), "\nb") {
		t.Errorf("overrides:\n%s", yaml.String())
	}
	yaml.Reset()
	if err := Overrides(&yaml, results[1:2], time.Unix(0, 0), "x"); err != nil || !strings.HasSuffix(yaml.String(), "judged.\nmodels: []\n") {
		t.Errorf("of nobody:\n%s", yaml.String())
	}
	chart := string(Chart(results))
	if strings.Count(chart, "<circle") != 1 || !strings.Contains(chart, ">p/good</text>") || strings.Contains(chart, "NaN") || strings.Contains(chart, "Inf") {
		t.Errorf("chart:\n%s", chart)
	}
	if empty := string(Chart(results[1:2])); strings.Contains(empty, "NaN") || strings.Contains(empty, "Inf") {
		t.Errorf("chart of nothing:\n%s", empty)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	c := gateway(t, new(atomic.Int32))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Run(ctx, Options{Client: c, Models: []Model{{Ask: "q/slow"}}, Tasks: sums(100), Concurrency: 2, Timeout: time.Minute})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
