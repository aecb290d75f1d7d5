// Package classify says what kind of task a request is and how hard it looks, before any model has seen it: bounded, transparent
// features of the prompt (features.go, lexica.json) and linear models over them whose weights are data (builtin.json, or a file that
// `dragoman train` wrote). It takes a few microseconds and allocates nothing.
package classify

import "math"

// Task is a class of work. Its String is the class's name in the catalogue's `quality`, in headers and in weights files.
type Task uint8

// The tasks.
const (
	Knowledge Task = iota
	Code
	Summarisation
	Reasoning
	InstructionFollowing
	Translation
	Classification
	Chat
	Tasks // how many there are
)

var taskNames = [Tasks]string{
	"knowledge", "code", "summarisation", "reasoning", "instruction_following", "translation", "classification", "chat",
}

// String is the task's name.
func (t Task) String() string {
	if t < Tasks {
		return taskNames[t]
	}
	return "unknown"
}

// TaskNamed finds a task by its name.
func TaskNamed(name string) (Task, bool) {
	for t, n := range taskNames {
		if n == name {
			return Task(t), true
		}
	}
	return 0, false
}

// TaskNames lists all names in the order of the tasks.
func TaskNames() []string { return append([]string(nil), taskNames[:]...) }

// Result is what a Model says of a text.
type Result struct {
	Task Task
	// Confidence is the probability that the model gives Task, 0..1.
	Confidence float64
	// Difficulty is 0..1. A trained model's is a rank: 0.8 looks harder than four fifths of the prompts that it was trained on, so a
	// threshold of 0.8 sends one fifth of such traffic to the strong model. The built-in model's is a judgement without such a
	// yardstick: 0.5 is an ordinary request of a sentence or two.
	Difficulty float64
}

// Model is a set of weights. It is immutable and safe for concurrent use.
type Model struct {
	name       string
	difficulty linear
	knots      []float64 // scores at evenly spaced quantiles of the training prompts, ascending; empty: the logistic of the score
	tasks      [Tasks]linear
}

// linear is one output: a bias, a weight for each feature, and maybe one for each bucket of hashed n-grams.
type linear struct {
	bias  float64
	dense [NumFeatures]float64
	grams []float32 // Buckets long, or nil
}

// Name is "built-in", or the file that the weights came from.
func (m *Model) Name() string { return m.name }

// Classify looks at the text. It costs at most some tens of microseconds however long the text is, and allocates nothing.
func (m *Model) Classify(t Text) Result {
	var s Sample
	s.read(&t, m.wantsGrams())
	scores := m.taskScores(&s)
	best := Task(0)
	for task := range scores {
		if scores[task] > scores[best] {
			best = Task(task)
		}
	}
	sum := 0.0
	for _, score := range scores {
		sum += math.Exp(score - scores[best])
	}
	return Result{Task: best, Confidence: 1 / sum, Difficulty: m.rank(m.difficulty.score(&s))}
}

func (m *Model) wantsGrams() bool { return m.difficulty.grams != nil || m.tasks[0].grams != nil }

func (m *Model) taskScores(s *Sample) (scores [Tasks]float64) {
	for task := range scores {
		scores[task] = m.tasks[task].score(s)
	}
	return scores
}

// Score is the linear sum behind the difficulty: what `train` starts from.
func (m *Model) Score(s *Sample) float64 { return m.difficulty.score(s) }

func (l *linear) score(s *Sample) float64 {
	sum := l.bias
	for i := range s.Dense {
		sum += l.dense[i] * float64(s.Dense[i])
	}
	if l.grams != nil && s.N > 0 {
		part := float32(0)
		for _, bucket := range s.Grams[:s.N] {
			part += l.grams[bucket&(Buckets-1)]
		}
		sum += float64(part) * s.GramScale()
	}
	return sum
}

// rank turns a score into a difficulty.
func (m *Model) rank(score float64) float64 {
	if len(m.knots) < 2 {
		return 1 / (1 + math.Exp(-score))
	}
	return Rank(m.knots, score)
}

// Rank is where score stands among evenly spaced quantiles, 0..1; between two of them by interpolation. Beyond the ends it
// goes on towards 0 and 1 without reaching them, so that even extreme scores keep their order.
func Rank(knots []float64, score float64) float64 {
	last := len(knots) - 1
	margin := 0.5 / float64(last+1)
	switch {
	case score <= knots[0]:
		return margin / (1 + knots[0] - score)
	case score >= knots[last]:
		return 1 - margin/(1+score-knots[last])
	}
	low, high := 0, last
	for high-low > 1 {
		if middle := (low + high) / 2; knots[middle] <= score {
			low = middle
		} else {
			high = middle
		}
	}
	part := (score - knots[low]) / (knots[high] - knots[low])
	return margin + (1-2*margin)*(float64(low)+part)/float64(last)
}
