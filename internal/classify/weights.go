package classify

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
	"slices"
	"sync"
)

// MaxWeightsFile bounds a weights file; the largest that `dragoman train` writes is below a megabyte.
const MaxWeightsFile = 16 << 20

// format is the version of the file's form.
const format = 1

//go:embed builtin.json
var builtinJSON []byte

// Default is the built-in model.
//
// No label of a routing benchmark is in it. Its weights of the tasks are fitted on a few hundred prompts of the project's own in nine
// languages (internal/train/testdata/tasks.jsonl); its weights of the difficulty are set by hand, by what is commonly known to be hard
// for small models (internal/train/prior.json gives the reason for each).
func Default() *Model {
	builtinOnce.Do(func() {
		m, err := Parse("built-in", builtinJSON)
		if err != nil {
			panic(err) // embedded; its tests find it
		}
		builtin = m
	})
	return builtin
}

var (
	builtinOnce sync.Once
	builtin     *Model
)

// File is a weights file. Features that it does not name weigh nothing.
type File struct {
	Format   int    `json:"dragoman_weights"` // 1
	Features string `json:"features"`         // Fingerprint of the program that made it
	Note     string `json:"note,omitempty"`   // for people
	// Difficulty ranks by score. Knots are scores at evenly spaced quantiles of the training prompts; without any the difficulty is the
	// score's logistic.
	Difficulty *Output   `json:"difficulty"`
	Knots      []float64 `json:"knots,omitempty"`
	// Tasks by their names, all of them; absent: the built-in ones.
	Tasks map[string]*Output `json:"tasks,omitempty"`
}

// Output is one linear model.
type Output struct {
	Bias    float64            `json:"bias"`
	Weights map[string]float64 `json:"weights,omitempty"` // by feature name
	Grams   string             `json:"ngrams,omitempty"`  // base64 of Buckets float32, little-endian
}

// Fingerprint changes when features or lexica do: weights for other ones mean nothing.
var Fingerprint = sync.OnceValue(func() string {
	h := fnv.New64a()
	for i := range features {
		io.WriteString(h, features[i].Name+"\n"+features[i].Doc+"\n")
	}
	h.Write(lexicaJSON)
	return fmt.Sprintf("%016x", h.Sum64())
})

// Load reads a weights file. Each error names the path, and what in the file is wrong.
func Load(path string) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // has the path in it
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxWeightsFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxWeightsFile {
		return nil, fmt.Errorf("%s: is larger than %d MiB: no weights file", path, MaxWeightsFile>>20)
	}
	return Parse(path, data)
}

// Parse compiles the content of a weights file, strictly. name stands in its errors and is the model's name.
func Parse(name string, data []byte) (*Model, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var f File
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: something stands behind the weights", name)
	}
	m, err := f.Model(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// Model compiles the weights.
func (f *File) Model(name string) (*Model, error) {
	switch {
	case f.Format != format:
		return nil, fmt.Errorf("dragoman_weights: is %d; this program reads %d", f.Format, format)
	case f.Features != Fingerprint():
		return nil, fmt.Errorf("features: the weights were made for other features (%q; this program has %q): train them again", f.Features, Fingerprint())
	case f.Difficulty == nil:
		return nil, errors.New("difficulty: is missing")
	}
	m := &Model{name: name, knots: f.Knots}
	if err := checkKnots(f.Knots); err != nil {
		return nil, err
	}
	if err := f.Difficulty.compile("difficulty", &m.difficulty); err != nil {
		return nil, err
	}
	if f.Tasks == nil {
		m.tasks = Default().tasks
		return m, nil
	}
	for named := range f.Tasks {
		if _, ok := TaskNamed(named); !ok {
			return nil, fmt.Errorf("tasks.%.40s: there is no such task; the tasks are %v", named, taskNames)
		}
	}
	for task := range Tasks {
		o := f.Tasks[task.String()]
		if o == nil {
			return nil, fmt.Errorf("tasks.%s: is missing", task)
		}
		if err := o.compile("tasks."+task.String(), &m.tasks[task]); err != nil {
			return nil, err
		}
		if (m.tasks[task].grams == nil) != (m.tasks[0].grams == nil) {
			return nil, fmt.Errorf("tasks.%s.ngrams: all tasks have them, or none", task)
		}
	}
	return m, nil
}

func checkKnots(knots []float64) error {
	if len(knots) == 1 || len(knots) > 10_001 {
		return fmt.Errorf("knots: has %d; want 2 to 10001, or none", len(knots))
	}
	for i, k := range knots {
		if math.IsNaN(k) || math.Abs(k) > maxWeight {
			return fmt.Errorf("knots[%d]: must be a number of at most %g", i, maxWeight)
		}
		if i > 0 && k < knots[i-1] {
			return fmt.Errorf("knots[%d]: is smaller than the one before", i)
		}
	}
	return nil
}

// maxWeight keeps sums finite whatever a file says.
const maxWeight = 1e6

func (o *Output) compile(path string, l *linear) error {
	if math.IsNaN(o.Bias) || math.Abs(o.Bias) > maxWeight {
		return fmt.Errorf("%s.bias: must be at most %g", path, maxWeight)
	}
	l.bias = o.Bias
	for name, w := range o.Weights {
		i, ok := featureNamed(name)
		if !ok {
			return fmt.Errorf("%s.weights.%.60s: there is no such feature; `dragoman classify --features` lists them", path, name)
		}
		if math.IsNaN(w) || math.Abs(w) > maxWeight {
			return fmt.Errorf("%s.weights.%s: must be at most %g", path, name, maxWeight)
		}
		l.dense[i] = w
	}
	if o.Grams == "" {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(o.Grams)
	if err != nil || len(raw) != 4*Buckets {
		return fmt.Errorf("%s.ngrams: must be base64 of %d numbers of four bytes", path, Buckets)
	}
	l.grams = make([]float32, Buckets)
	for i := range l.grams {
		w := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		if w != w || math.Abs(float64(w)) > maxWeight {
			return fmt.Errorf("%s.ngrams: number %d must be at most %g", path, i, maxWeight)
		}
		l.grams[i] = w
	}
	return nil
}

// NewOutput writes a linear model down. grams is Buckets long or empty.
func NewOutput(bias float64, dense []float64, grams []float64) *Output {
	o := &Output{Bias: round(bias), Weights: map[string]float64{}}
	for i, w := range dense {
		if w = round(w); w != 0 {
			o.Weights[features[i].Name] = w
		}
	}
	if slices.ContainsFunc(grams, func(w float64) bool { return w != 0 }) {
		raw := make([]byte, 0, 4*Buckets)
		for _, w := range grams {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(w)))
		}
		o.Grams = base64.StdEncoding.EncodeToString(raw)
	}
	return o
}

// round keeps five digits behind the point: weights are to be read.
func round(w float64) float64 { return math.Round(w*1e5) / 1e5 }

// NewFile starts a weights file of this program's form.
func NewFile(note string) *File { return &File{Format: format, Features: Fingerprint(), Note: note} }

// Difficulty writes the model's weights of the difficulty down, without n-grams.
func (m *Model) Difficulty() *Output { return NewOutput(m.difficulty.bias, m.difficulty.dense[:], nil) }
