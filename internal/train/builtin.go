package train

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"

	"dragoman/internal/classify"
)

//go:embed prior.json
var priorJSON []byte

// prior.json: weights set by hand, each with its reason.
type prior struct {
	Note    string  `json:"note"`
	Bias    float64 `json:"bias"`
	Weights map[string]struct {
		Weight float64 `json:"weight"`
		Why    string  `json:"why"`
	} `json:"weights"`
}

// Builtin makes the built-in weights: the difficulty is what prior.json says, the tasks are fitted on rows.
func Builtin(rows []Row) ([]byte, error) {
	var p prior
	if err := json.Unmarshal(priorJSON, &p); err != nil {
		return nil, fmt.Errorf("prior.json: %w", err)
	}
	f := classify.NewFile("Made by go generate ./internal/train: tasks fitted on testdata/tasks.jsonl, difficulty set by hand (prior.json).")
	f.Difficulty = &classify.Output{Bias: p.Bias, Weights: map[string]float64{}}
	for name, w := range p.Weights {
		if w.Why == "" {
			return nil, fmt.Errorf("prior.json: %s has no reason", name)
		}
		f.Difficulty.Weights[name] = w.Weight
	}
	samples := make([]sample, len(rows))
	for i := range rows {
		samples[i] = sampleOf(rows[i].Text, nil)
	}
	var err error
	if f.Tasks, err = fitTasks(samples, rows); err != nil {
		return nil, err
	}
	if f.Tasks == nil {
		return nil, errors.New("the rows have no tasks")
	}
	return json.MarshalIndent(f, "", " ")
}
