// Package train fits the weights of internal/classify on labelled prompts, and measures how well they route. It is pure Go and
// deterministic: the same prompts give the same file.
package train

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"

	"dragoman/internal/classify"
)

//go:generate go run ./builtin testdata/tasks.jsonl ../../internal/classify/builtin.json

// minRows is how many prompts a fit takes at least, minTaskRows how many of each task.
const (
	minRows     = 20
	minTaskRows = 3
	knots       = 101
)

// Fit fits weights on rows. What the rows have no labels for stays as the built-in model has it. note is kept in the file.
func Fit(rows []Row, note string) (*classify.File, error) {
	return fit(samplesOf(rows), rows, note)
}

func samplesOf(rows []Row) []sample {
	samples, prior := make([]sample, len(rows)), classify.Default()
	for i := range rows {
		samples[i] = sampleOf(rows[i].Text, prior)
	}
	return samples
}

func fit(samples []sample, rows []Row, note string) (*classify.File, error) {
	if len(rows) < minRows {
		return nil, fmt.Errorf("%d prompts are too few to learn from: want at least %d", len(rows), minRows)
	}
	f := classify.NewFile(note)
	if rows[0].HasGain {
		gains, groups := make([]float64, len(rows)), make([]string, len(rows))
		for i := range rows {
			gains[i], groups[i] = rows[i].Gain, rows[i].Group
		}
		if slices.Min(gains) == slices.Max(gains) {
			return nil, errors.New("all prompts have the same label: there is nothing to learn")
		}
		w := fitDifficulty(samples, gains, groups)
		f.Knots = quantiles(samples, &w)
		f.Difficulty = outputOf(&w)
	} else {
		f.Difficulty = classify.Default().Difficulty()
	}
	var err error
	f.Tasks, err = fitTasks(samples, rows)
	return f, err
}

// quantiles are the scores at evenly spaced ranks.
func quantiles(samples []sample, w *weights) []float64 {
	scores := make([]float64, len(samples))
	for i := range samples {
		scores[i] = w.score(&samples[i])
	}
	sort.Float64s(scores)
	out := make([]float64, knots)
	for i := range out {
		out[i] = scores[i*(len(scores)-1)/(knots-1)]
	}
	return out
}

// outputOf writes a fit down: the weight of the built-in model's score is put onto the features that it consists of.
func outputOf(w *weights) *classify.Output {
	bias, dense := w.bias, slices.Clone(w.dense[:classify.NumFeatures])
	if len(w.dense) > classify.NumFeatures {
		prior := classify.Default().Difficulty()
		bias += w.dense[classify.NumFeatures] * prior.Bias
		for i, f := range classify.Features() {
			dense[i] += w.dense[classify.NumFeatures] * prior.Weights[f.Name]
		}
	}
	return classify.NewOutput(bias, dense, w.grams)
}

// fitTasks fits the tasks' weights; nil when the rows have no task, or too few.
func fitTasks(samples []sample, rows []Row) (map[string]*classify.Output, error) {
	var labelled []sample
	var targets [][]float64
	var counts [classify.Tasks]int
	for i := range rows {
		if rows[i].HasTask {
			target := make([]float64, classify.Tasks)
			target[rows[i].Task] = 1
			counts[rows[i].Task]++
			s := samples[i]
			s.dense = s.dense[:classify.NumFeatures]
			labelled, targets = append(labelled, s), append(targets, target)
		}
	}
	if len(labelled) == 0 {
		return nil, nil
	}
	for task, n := range counts {
		if n < minTaskRows {
			return nil, fmt.Errorf("%d prompts are of the task %s: want at least %d of each task, or no tasks at all", n, classify.Task(task), minTaskRows)
		}
	}
	out := map[string]*classify.Output{}
	for task, w := range newProblem(labelled, targets, taskRidge).solve() {
		out[classify.Task(task).String()] = classify.NewOutput(w.bias, w.dense, nil)
	}
	return out, nil
}

// Split says how the folds of a test are made.
type Split string

// The splits.
const (
	Random  Split = "random"  // five folds, drawn
	Grouped Split = "grouped" // up to five folds of whole groups: what a group's prompts score was learnt from other groups alone
)

// maxFolds bounds how many fits a test takes.
const maxFolds = 5

// foldsOf gives each row its fold.
func foldsOf(rows []Row, split Split, seed uint64) (fold []int, n int, err error) {
	random := rand.New(rand.NewPCG(seed, 0))
	fold = make([]int, len(rows))
	if split == Random {
		for i, at := range random.Perm(len(rows)) {
			fold[at] = i % 5
		}
		return fold, 5, nil
	}
	var names []string
	for i := range rows {
		if rows[i].Group == "" {
			return nil, 0, fmt.Errorf("the test %q needs a group (subject, topic) in each row", split)
		}
		if !slices.Contains(names, rows[i].Group) {
			names = append(names, rows[i].Group)
		}
	}
	if len(names) < 2 {
		return nil, 0, fmt.Errorf("the test %q needs at least two groups", split)
	}
	n = max(2, min(len(names)/2, maxFolds))
	number := map[string]int{}
	for i, at := range random.Perm(len(names)) {
		number[names[at]] = i % n
	}
	for i := range rows {
		fold[i] = number[rows[i].Group]
	}
	return fold, n, nil
}
