package classify

import (
	"cmp"
	"math"
	"slices"
)

// Part is what one feature adds to a score.
type Part struct {
	Feature string  `json:"feature"`
	Value   float64 `json:"value"`
	Adds    float64 `json:"adds"`
}

// Explanation shows how a Result came about.
type Explanation struct {
	Result
	Difficulty []Part             // what moved the difficulty, most first
	Task       []Part             // what spoke for the task against the average of all tasks, most first
	Tasks      map[string]float64 // probabilities by task
}

// Explain classifies and shows each part. It allocates: it is for people.
func (m *Model) Explain(t Text) Explanation {
	var s Sample
	s.Read(t)
	e := Explanation{Result: m.Classify(t), Tasks: map[string]float64{}}
	scores := m.taskScores(&s)
	top, sum := slices.Max(scores[:]), 0.0
	for _, score := range scores {
		sum += math.Exp(score - top)
	}
	for task, score := range scores {
		e.Tasks[Task(task).String()] = math.Exp(score-top) / sum
	}
	e.Difficulty = m.difficulty.parts(&s)
	against := m.tasks[e.Result.Task]
	for i := range against.dense {
		for task := range m.tasks {
			against.dense[i] -= m.tasks[task].dense[i] / float64(Tasks)
		}
	}
	e.Task = against.parts(&s)
	return e
}

func (l *linear) parts(s *Sample) (parts []Part) {
	for i, value := range s.Dense {
		if adds := l.dense[i] * float64(value); adds != 0 {
			parts = append(parts, Part{features[i].Name, float64(value), adds})
		}
	}
	if l.grams != nil {
		without := *l
		without.grams = nil
		parts = append(parts, Part{"ngrams", float64(s.N), l.score(s) - without.score(s)})
	}
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(math.Abs(b.Adds), math.Abs(a.Adds)) })
	return parts
}
