package train

import (
	"errors"
	"fmt"
	"math"

	"dragoman/internal/classify"
)

// Report is what a test of k folds found: every prompt was judged by weights that had not seen it (nor, grouped, its group).
type Report struct {
	Split Split `json:"split"`
	Folds int   `json:"folds"`
	// Routing is there when the rows say how good both models were.
	Routing   *Routing   `json:"routing,omitempty"`
	Intervals *Intervals `json:"intervals,omitempty"` // 95 %, prompts of each fold resampled
	// AUC is there for other labels of difficulty: the probability that of two prompts with different labels the harder one ranks higher.
	AUC *float64 `json:"auc,omitempty"`
	// TaskAccuracy is there when the rows have tasks.
	TaskAccuracy *float64 `json:"task_accuracy,omitempty"`
}

// groupedRepeats is how many times the groups are dealt into folds anew.
const groupedRepeats = 5

// Test cross-validates. The same rows, split and seed give the same report.
//
// Prompts are compared with prompts of the same fold only, and the folds' figures averaged by their sizes. Scores of different folds must
// not be pooled: without the groups that need the strong model most, the others' scores are lower as a whole, and that alone orders groups.
func Test(rows []Row, split Split, seed uint64) (*Report, error) {
	samples, report := samplesOf(rows), &Report{Split: split}
	repeats := 1
	if split == Grouped {
		repeats = groupedRepeats
	}
	var folds [][]Judged
	right, labelled := 0, 0
	for repeat := range repeats {
		fold, n, err := foldsOf(rows, split, seed+uint64(repeat)<<32)
		if err != nil {
			return nil, err
		}
		report.Folds += n
		for k := range n {
			judged, r, l, err := testFold(samples, rows, fold, k)
			if err != nil {
				return nil, fmt.Errorf("fold %d of %d: %w", k+1, n, err)
			}
			folds = append(folds, judged)
			right, labelled = right+r, labelled+l
		}
	}
	if labelled > 0 {
		accuracy := float64(right) / float64(labelled)
		report.TaskAccuracy = &accuracy
	}
	return report, report.judge(rows, folds)
}

// testFold fits on all other folds and judges the prompts of fold k.
func testFold(samples []sample, rows []Row, fold []int, k int) (judged []Judged, right, labelled int, err error) {
	var trainSamples []sample
	var trainRows []Row
	for i := range rows {
		if fold[i] != k {
			trainSamples, trainRows = append(trainSamples, samples[i]), append(trainRows, rows[i])
		}
	}
	f, err := fit(trainSamples, trainRows, "")
	if err != nil {
		return nil, 0, 0, err
	}
	m, err := f.Model("fold")
	if err != nil {
		return nil, 0, 0, err
	}
	for i := range rows {
		if fold[i] != k {
			continue
		}
		r := m.Classify(rows[i].Text)
		j := Judged{Score: r.Difficulty, Weak: rows[i].Weak, Strong: rows[i].Strong, Group: rows[i].Group}
		if !rows[i].HasPair {
			j.Strong = rows[i].Gain
		}
		judged = append(judged, j)
		if rows[i].HasTask {
			labelled++
			if r.Task == rows[i].Task {
				right++
			}
		}
	}
	return judged, right, labelled, nil
}

func (r *Report) judge(rows []Row, folds [][]Judged) error {
	switch {
	case rows[0].HasPair:
		routing, intervals, err := measureFolds(folds)
		if err != nil {
			return err
		}
		routing.Rows = len(rows)
		r.Routing, r.Intervals = &routing, &intervals
	case rows[0].HasGain:
		auc, n := 0.0, 0.0
		for _, judged := range folds {
			auc += aucOf(judged) * float64(len(judged))
			n += float64(len(judged))
		}
		auc /= n
		r.AUC = &auc
	}
	return nil
}

// bootstraps is how many resamples an interval rests on.
const bootstraps = 1000

// Judge lets a model score rows that say how good both models were.
func Judge(m *classify.Model, rows []Row) ([]Judged, error) {
	judged := make([]Judged, len(rows))
	for i := range rows {
		if !rows[i].HasPair {
			return nil, errors.New("routing is measured against weak and strong of each row: how good both models' answers were")
		}
		judged[i] = Judged{Score: m.Classify(rows[i].Text).Difficulty, Weak: rows[i].Weak, Strong: rows[i].Strong, Group: rows[i].Group}
	}
	return judged, nil
}

// aucOf compares all pairs of prompts with different labels in one pass over the sorted scores. Labels count to two digits, so that
// they are few.
func aucOf(judged []Judged) float64 {
	c := newCurve(judged) // by falling score
	counts := map[float64]float64{}
	won, pairs, from := 0.0, 0.0, 0
	for _, to := range c.borders {
		here := map[float64]float64{}
		for i := from; i < to; i++ {
			here[math.Round(100*c.rows[i].Strong)]++
		}
		for label, n := range here {
			for above, m := range counts {
				if above != label {
					pairs += n * m
					if above > label {
						won += n * m
					}
				}
			}
			for other, m := range here {
				if other > label {
					pairs, won = pairs+n*m, won+n*m/2
				}
			}
		}
		for label, n := range here {
			counts[label] += n
		}
		from = to
	}
	if pairs == 0 {
		return 0.5
	}
	return won / pairs
}
