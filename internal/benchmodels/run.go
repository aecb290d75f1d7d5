package benchmodels

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Options of one run.
type Options struct {
	Client      *Client
	Models      []Model
	Tasks       []Task
	Concurrency int                   // requests at the same time, at least 1
	Timeout     time.Duration         // of one request
	Progress    func(done, total int) // called after each answer, one call at a time; may be nil
}

// Outcome is one model's answer to one task.
type Outcome struct {
	Task   string  `json:"task"`
	Class  string  `json:"class"`
	Score  float64 `json:"score"` // 0..1
	Answer string  `json:"answer,omitempty"`
	Error  string  `json:"error,omitempty"` // no answer, so no score

	Input, Output int64         `json:"-"`
	Took          time.Duration `json:"-"`
}

// Result is all that was found about one model.
type Result struct {
	Model    Model
	Outcomes []Outcome // in the order of the tasks
}

// Run asks every model every task. What goes wrong with a model is an Error in its Outcomes; the only error is the context's.
func Run(ctx context.Context, o Options) ([]Result, error) {
	results := make([]Result, len(o.Models))
	for i := range results {
		results[i] = Result{Model: o.Models[i], Outcomes: make([]Outcome, len(o.Tasks))}
	}
	type job struct{ model, task int }
	jobs := make(chan job)
	var (
		work sync.WaitGroup
		mu   sync.Mutex
		done int
	)
	for range max(1, o.Concurrency) {
		work.Go(func() {
			for j := range jobs {
				results[j.model].Outcomes[j.task] = o.one(ctx, &o.Models[j.model], &o.Tasks[j.task])
				mu.Lock()
				if done++; o.Progress != nil {
					o.Progress(done, len(o.Models)*len(o.Tasks))
				}
				mu.Unlock()
			}
		})
	}
	// Task by task, so that the requests of the moment go to different models and providers.
feed:
	for task := range o.Tasks {
		for model := range o.Models {
			select {
			case jobs <- job{model, task}:
			case <-ctx.Done():
				break feed
			}
		}
	}
	close(jobs)
	work.Wait()
	return results, ctx.Err()
}

func (o *Options) one(ctx context.Context, m *Model, t *Task) Outcome {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	out := Outcome{Task: t.ID, Class: t.Class}
	a, err := o.Client.ask(ctx, m, t)
	out.Took = a.took
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Answer, out.Input, out.Output = a.text, a.input, a.output
	out.Score = t.Grade(a.text)
	return out
}

// Summary is a Result in figures.
type Summary struct {
	Quality map[string]float64 // by class, means of its answered tasks; "default" is the mean of the classes. Empty: nothing was answered
	Errors  int
	Median  time.Duration // of one answer
	Input   int64         // tokens
	Output  int64
	USD     float64 // by the catalogue's price, without discounts; 0 when Priced is false
	Priced  bool
}

// Summary adds up. A task without an answer counts in no quality: that a provider was away says nothing about its model.
func (r *Result) Summary() Summary {
	s := Summary{Quality: map[string]float64{}, Priced: r.Model.Price != nil}
	sums, counts := map[string]float64{}, map[string]float64{}
	var times []time.Duration
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		if o.Error != "" {
			s.Errors++
			continue
		}
		sums[o.Class] += o.Score
		counts[o.Class]++
		s.Input, s.Output = s.Input+o.Input, s.Output+o.Output
		times = append(times, o.Took)
	}
	for _, class := range Classes {
		if counts[class] > 0 {
			s.Quality[class] = sums[class] / counts[class]
			s.Quality[defaultClass] += s.Quality[class]
		}
	}
	if n := len(counts); n > 0 {
		s.Quality[defaultClass] /= float64(n)
		slices.Sort(times)
		s.Median = times[len(times)/2]
	}
	if s.Priced {
		s.USD = (float64(s.Input)*r.Model.Price.Input + float64(s.Output)*r.Model.Price.Output) / 1e6
	}
	return s
}

// defaultClass stands for all classes without a quality of their own.
const defaultClass = "default"

// Estimate is what a run is expected to cost at least (an answer of 150 tokens each), and at most (every answer as long as it may be), in
// USD; unpriced are the models whose price nobody knows.
func Estimate(models []Model, tasks []Task) (likely, most float64, unpriced []string) {
	for _, m := range models {
		if m.Price == nil {
			unpriced = append(unpriced, m.Ask)
			continue
		}
		for _, t := range tasks {
			input := m.Price.Input * float64(len(t.System)+len(t.Prompt)+40) / 4
			likely += (input + m.Price.Output*float64(min(typicalAnswer, t.Tokens))) / 1e6
			most += (input + m.Price.Output*float64(t.Tokens)) / 1e6
		}
	}
	return likely, most, unpriced
}

const typicalAnswer = 150 // tokens
