package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"dragoman/internal/classify"
)

// made are prompts on four subjects, of which two need the strong model mostly and two hardly ever. Nothing but their names tells.
func made(n int, seed uint64) (rows []Row) {
	random := rand.New(rand.NewPCG(seed, 1))
	subjects := []string{"zorble quimper", "fimple brandow", "gandle wostrik", "harple dunscot"}
	needs := []float64{0.8, 0.1, 0.1, 0.7}
	for i := range n {
		k := i % len(subjects)
		text := fmt.Sprintf("Tell me something about %s in lesson %d please", subjects[k], random.IntN(100))
		r := Row{Text: classify.Text{User: text, Turns: 1}, Group: subjects[k], HasGain: true, HasPair: true, Weak: 1, Strong: 1}
		if random.Float64() < needs[k] {
			r.Weak, r.Gain = 0, 1
		}
		rows = append(rows, r)
	}
	return rows
}

func TestFitLearnsWhatNeedsTheStrongModel(t *testing.T) {
	f, err := Fit(made(800, 1), "note")
	if err != nil {
		t.Fatal(err)
	}
	m, err := f.Model("fitted")
	if err != nil {
		t.Fatal(err)
	}
	judged, err := Judge(m, made(800, 2))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Measure(judged)
	if err != nil || r.APGR < 0.64 { // 0.698 is what knowing the odds gives
		t.Errorf("APGR %+v %v", r, err)
	}
	// Difficulty is a rank: evenly spread over prompts like those that it was trained on.
	above := 0
	for _, j := range judged {
		if j.Score > 0.5 {
			above++
		}
	}
	if above < 300 || above > 500 {
		t.Errorf("%d of 800 are harder than half", above)
	}
}

func TestFitIsDeterministicAndReadable(t *testing.T) {
	a, err := Fit(made(400, 1), "n")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Fit(made(400, 1), "n")
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if !bytes.Equal(x, y) {
		t.Error("the same prompts give other weights")
	}
	if _, err := classify.Parse("fitted", x); err != nil {
		t.Error(err)
	}
}

// With few prompts there are no words to learn, and the built-in judgement carries.
func TestFitOnFewPrompts(t *testing.T) {
	f, err := Fit(made(40, 1), "")
	if err != nil || f.Difficulty.Grams != "" || len(f.Difficulty.Weights) == 0 {
		t.Errorf("%+v %v", f, err)
	}
	for _, c := range []struct {
		rows []Row
		want string
	}{{made(5, 1), "too few"}, {sameLabel(made(40, 1)), "the same label"}, {oneTask(made(40, 1)), "of the task code"}} {
		if _, err := Fit(c.rows, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func sameLabel(rows []Row) []Row {
	for i := range rows {
		rows[i].Gain = 0
	}
	return rows
}

func oneTask(rows []Row) []Row {
	for i := range rows {
		rows[i].HasTask = true
	}
	return rows
}

func TestCrossValidation(t *testing.T) {
	rows := made(400, 1)
	random, err := Test(rows, Random, 1)
	if err != nil || random.Folds != 5 || random.Routing.APGR < 0.6 || !(random.Intervals.APGR.Low < random.Routing.APGR) {
		t.Errorf("random: %+v %v", random, err)
	}
	grouped, err := Test(rows, Grouped, 1)
	if err != nil || grouped.Folds != 2*groupedRepeats {
		t.Fatalf("grouped: %+v %v", grouped, err)
	}
	if grouped.Routing.APGR > random.Routing.APGR-0.03 {
		t.Errorf("what is known by its group alone is found without it: %g, %g", grouped.Routing.APGR, random.Routing.APGR)
	}
	if again, _ := Test(rows, Random, 1); *again.Routing != *random.Routing {
		t.Error("another run gives another figure")
	}
	for i := range rows {
		rows[i].HasPair = false
	}
	if r, err := Test(rows, Random, 1); err != nil || r.Routing != nil || *r.AUC < 0.6 {
		t.Errorf("without pairs: %+v %v", r, err)
	}
	rows[3].Group = ""
	if _, err := Test(rows, Grouped, 1); err == nil || !strings.Contains(err.Error(), "needs a group") {
		t.Errorf("got %v", err)
	}
	if _, err := Judge(classify.Default(), rows); err == nil {
		t.Error("judged without pairs")
	}
}

// In no fold is a group on both sides.
func TestGroupedFoldsKeepGroupsWhole(t *testing.T) {
	rows := made(400, 1)
	for i := range rows {
		rows[i].Group = fmt.Sprint(i % 45)
	}
	fold, n, err := foldsOf(rows, Grouped, 7)
	if err != nil || n != maxFolds {
		t.Fatal(n, err)
	}
	of, used := map[string]int{}, map[int]bool{}
	for i, k := range fold {
		if was, ok := of[rows[i].Group]; ok && was != k {
			t.Fatalf("group %s is in folds %d and %d", rows[i].Group, was, k)
		}
		of[rows[i].Group], used[k] = k, true
	}
	if len(used) != n {
		t.Errorf("%d folds of %d are used", len(used), n)
	}
}

func TestCholeskySolves(t *testing.T) {
	a := [][]float64{{4, 0, 0}, {2, 5, 0}, {-1, 1, 6}} // lower triangle
	b := []float64{4*1 + 2*2 - 1*3, 2*1 + 5*2 + 1*3, -1*1 + 1*2 + 6*3}
	cholesky(a, b)
	for i, want := range []float64{1, 2, 3} {
		if math.Abs(b[i]-want) > 1e-9 {
			t.Errorf("x[%d] = %g", i, b[i])
		}
	}
}

func TestMinimiseFindsTheMinimum(t *testing.T) {
	x := []float64{9, -7}
	minimise(x, 100, func(x, g []float64) float64 {
		g[0], g[1] = 2*(x[0]-3), 200*(x[1]+1)
		return (x[0]-3)*(x[0]-3) + 100*(x[1]+1)*(x[1]+1)
	})
	if math.Abs(x[0]-3) > 1e-3 || math.Abs(x[1]+1) > 1e-3 {
		t.Errorf("found %v", x)
	}
}

// TestBuiltinWeightsAreCurrent: what is embedded is what go generate makes.
func TestBuiltinWeightsAreCurrent(t *testing.T) {
	rows, err := ReadRows("testdata/tasks.jsonl", Fields{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := Builtin(rows)
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := os.ReadFile("../../internal/classify/builtin.json")
	if err != nil {
		t.Fatal(err)
	}
	var a, b classify.File
	if json.Unmarshal(made, &a) != nil || json.Unmarshal(embedded, &b) != nil || a.Features != b.Features || len(a.Tasks) != len(b.Tasks) {
		t.Fatal("run go generate ./internal/train")
	}
	for task, o := range a.Tasks {
		for name, w := range o.Weights {
			if math.Abs(w-b.Tasks[task].Weights[name]) > 1e-3*(1+math.Abs(w)) { // processors may round differently
				t.Errorf("tasks.%s.%s is %g, and made anew %g: run go generate ./internal/train", task, name, b.Tasks[task].Weights[name], w)
			}
		}
	}
	for name, w := range a.Difficulty.Weights {
		if w != b.Difficulty.Weights[name] {
			t.Errorf("difficulty.%s: run go generate ./internal/train", name)
		}
	}
}
