package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"dragoman/internal/embed"
	"dragoman/processor/cache/semantic"
)

// CacheBench is what `dragoman bench cache` is asked: how well the semantic tier tells questions with the same answer from
// questions that only look alike.
type CacheBench struct {
	Pairs     string  // JSON lines with a, b and same_answer
	Threshold float64 // of the summary
	JSON      bool    // print one object for the guarded tier at Threshold, and nothing else
	SVG       string  // file for the plot, "" for none
	Split     string  // all | even | odd rows, counted from 0: guards tuned on one half are checked on the other
	Show      int     // wrong hits, and right ones that a guard refused, to list: at most so many of each
	Embedder  string  // folder of the local embedder, "" for the usual places

	LookupEnv      func(string) (string, bool)
	Stdout, Stderr io.Writer
}

// Bounds of a pairs file.
const (
	maxPairs     = 1_000_000
	maxPairBytes = 1 << 20
)

// pair is one row with all that is measured of it.
type pair struct {
	A, B string
	Same bool

	textA, textB *semantic.Text
	similarity   float64
	refusedBy    semantic.Guard // with all guards on
}

// BenchCache runs it. Missing assets are a *embed.MissingError, which says how to get them.
func BenchCache(ctx context.Context, o CacheBench) error {
	pairs, err := readPairs(o.Pairs, o.Split)
	if err != nil {
		return err
	}
	folder, err := embed.Find(o.Embedder, o.LookupEnv)
	if err != nil {
		return err
	}
	local, err := embed.NewLocal(embed.LocalOptions{Folder: folder, Workers: runtime.GOMAXPROCS(0)})
	if err != nil {
		return err
	}
	defer local.Close()
	start, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := local.Ready(start); err != nil {
		return err
	}
	took, err := measure(ctx, local, pairs)
	if err != nil {
		return err
	}
	if o.SVG != "" {
		if err := os.WriteFile(o.SVG, plotSVG(pairs, o.Threshold), 0o644); err != nil {
			return err
		}
	}
	if o.JSON {
		return json.NewEncoder(o.Stdout).Encode(score(pairs, o.Threshold, semantic.All).rates())
	}
	w := bufio.NewWriter(o.Stdout)
	report(w, o, pairs, took)
	return w.Flush()
}

// readPairs reads JSON lines; members beyond a, b and same_answer are passed over.
func readPairs(path, split string) ([]*pair, error) {
	in := io.Reader(os.Stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxPairBytes)
	var pairs []*pair
	row := 0
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		p, err := parsePair(lines.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if split == "even" && row%2 == 0 || split == "odd" && row%2 == 1 || split == "all" || split == "" {
			pairs = append(pairs, p)
		}
		if row++; row > maxPairs {
			return nil, fmt.Errorf("%s: more than %d pairs", path, maxPairs)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("%s: no pairs", path)
	}
	return pairs, nil
}

func parsePair(line []byte) (*pair, error) {
	var row struct {
		A    *string `json:"a"`
		B    *string `json:"b"`
		Same *bool   `json:"same_answer"`
	}
	if err := json.Unmarshal(line, &row); err != nil {
		return nil, err
	}
	if row.A == nil || row.B == nil || row.Same == nil {
		return nil, errors.New(`want an object with the members "a", "b" (texts) and "same_answer" (true or false)`)
	}
	return &pair{A: *row.A, B: *row.B, Same: *row.Same}, nil
}

// measure embeds every text once, on all cores, and fills in what each pair's outcome depends on. It returns how long one text took on
// average.
func measure(ctx context.Context, e *embed.Local, pairs []*pair) (time.Duration, error) {
	texts := map[string][]float32{}
	for _, p := range pairs {
		p.textA, p.textB = semantic.Analyse(p.A), semantic.Analyse(p.B)
		texts[p.textA.Normal()], texts[p.textB.Normal()] = nil, nil
	}
	began := time.Now()
	if err := embedAll(ctx, e, texts); err != nil {
		return 0, err
	}
	took := time.Since(began) / time.Duration(len(texts))
	for _, p := range pairs {
		p.similarity = semantic.Similarity(texts[p.textA.Normal()], texts[p.textB.Normal()])
		p.refusedBy = semantic.All.Check(p.textA, p.textB, p.similarity)
	}
	return took, nil
}

// embedAll fills in the vectors. A text that the model does not take (too long) keeps none: it matches nothing.
func embedAll(ctx context.Context, e *embed.Local, texts map[string][]float32) error {
	todo := make(chan string)
	var (
		mu     sync.Mutex
		failed error
		work   sync.WaitGroup
	)
	for range 2 * runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for text := range todo {
				v, err := e.Embed(ctx, text)
				mu.Lock()
				texts[text] = v
				if err != nil && !embed.TooLong(err) && failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	all := make([]string, 0, len(texts))
	for text := range texts {
		all = append(all, text)
	}
	for _, text := range all {
		todo <- text
	}
	close(todo)
	work.Wait()
	return failed
}

// tally counts what would have been served.
type tally struct {
	right, wrong    int // hits
	same, different int // pairs
}

// rates are the three figures of a tally. Precision is right hits of all hits (1 when there are none), recall right hits of the pairs
// with the same answer, false-hit rate wrong hits of the pairs with different answers.
type rates struct {
	Precision    float64 `json:"precision"`
	Recall       float64 `json:"recall"`
	FalseHitRate float64 `json:"false_hit_rate"`
}

// score is the outcome at a threshold with some guards on.
func score(pairs []*pair, threshold float64, guards semantic.Set) (t tally) {
	for _, p := range pairs {
		hit := p.similarity >= threshold && (guards == 0 || guards == semantic.All && p.refusedBy == semantic.None ||
			guards != semantic.All && guards.Check(p.textA, p.textB, p.similarity) == semantic.None)
		switch {
		case p.Same:
			t.same++
			if hit {
				t.right++
			}
		default:
			t.different++
			if hit {
				t.wrong++
			}
		}
	}
	return t
}

func (t tally) rates() rates {
	part := func(n, of int, none float64) float64 {
		if of == 0 {
			return none
		}
		return float64(n) / float64(of)
	}
	return rates{part(t.right, t.right+t.wrong, 1), part(t.right, t.same, 0), part(t.wrong, t.different, 0)}
}
