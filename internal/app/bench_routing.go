package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"dragoman/internal/classify"
	"dragoman/internal/train"
)

// RoutingBench is what `dragoman bench routing` is asked: how well the classifier tells prompts that need the strong model.
type RoutingBench struct {
	Data    string       // JSON lines with a prompt, weak and strong, see train.ReadRows
	Weights string       // file of `dragoman train`, "" for the built-in ones
	JSON    bool         // print one object, and nothing else
	Fields  train.Fields // names of the members

	Stdout io.Writer
}

// routingResult is the object of --json. Weights that were trained on the same prompts flatter themselves: `dragoman train` tests on
// prompts that were left out.
type routingResult struct {
	Weights string `json:"weights"`
	*train.Routing
	Interval        train.Interval  `json:"apgr_95"`
	IntervalCPT50   train.Interval  `json:"cpt50_95"`
	IntervalCPT80   train.Interval  `json:"cpt80_95"`
	IntervalGrouped *train.Interval `json:"apgr_95_groups,omitempty"` // whole groups resampled
	Microseconds    float64         `json:"classify_us"`              // for one prompt, on average
}

// BenchRouting measures APGR, CPT50 and CPT80 as RouteLLM does.
func BenchRouting(o RoutingBench) error {
	model, err := classifier(o.Weights)
	if err != nil {
		return err
	}
	rows, err := train.ReadRows(o.Data, o.Fields)
	if err != nil {
		return err
	}
	began := time.Now()
	judged, err := train.Judge(model, rows)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Data, err)
	}
	took := time.Since(began)
	routing, err := train.Measure(judged)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Data, err)
	}
	intervals := train.Bootstrap(judged, false, 1000)
	r := routingResult{Weights: model.Name(), Routing: &routing, Interval: intervals.APGR, IntervalCPT50: intervals.CPT50, IntervalCPT80: intervals.CPT80,
		Microseconds: float64(took.Microseconds()) / float64(len(rows))}
	grouped := splits(nil, rows)[0] == train.Grouped
	if grouped {
		i := train.Bootstrap(judged, true, 1000).APGR
		r.IntervalGrouped = &i
	}
	w := bufio.NewWriter(o.Stdout)
	if o.JSON {
		if err := json.NewEncoder(w).Encode(r); err != nil {
			return err
		}
		return w.Flush()
	}
	fmt.Fprintf(w, "%d prompts, weights: %s, %.1f µs a prompt\n", len(rows), model.Name(), r.Microseconds)
	fmt.Fprintf(w, "  the weak model alone %.3f, the strong one alone %.3f\n", routing.Weak, routing.Strong)
	printRouting(w, &routing, &intervals)
	if grouped {
		fmt.Fprintf(w, "  APGR when whole groups are resampled: [%.3f, %.3f]\n", r.IntervalGrouped.Low, r.IntervalGrouped.High)
	}
	fmt.Fprintf(w, "  by chance: APGR 0.500, CPT50 50 %%, CPT80 80 %%\n")
	return w.Flush()
}

func classifier(weights string) (*classify.Model, error) {
	if weights == "" {
		return classify.Default(), nil
	}
	return classify.Load(weights)
}
