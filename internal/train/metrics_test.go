package train

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// Four prompts, of which one needs the strong model: sent first, half of nothing is lost.
func TestMeasureByHand(t *testing.T) {
	rows := []Judged{{Score: 0.9, Weak: 0, Strong: 1}, {Score: 0.5, Weak: 1, Strong: 1}, {Score: 0.3, Weak: 0, Strong: 0}, {Score: 0.1, Weak: 1, Strong: 1}}
	r, err := Measure(rows)
	if err != nil || !near(r.APGR, 0.125+0.75) || !near(r.CPT50, 0.125) || !near(r.CPT80, 0.2) || !near(r.Weak, 0.5) || !near(r.Strong, 0.75) {
		t.Errorf("%+v %v", r, err)
	}
	for i := range rows {
		rows[i].Score = -rows[i].Score
	}
	if r, _ := Measure(rows); !near(r.APGR, 0.125) || !near(r.CPT50, 0.875) || !near(r.CPT80, 0.95) {
		t.Errorf("the wrong way round: %+v", r)
	}
	for i := range rows {
		rows[i].Score = 1
	}
	if r, _ := Measure(rows); !near(r.APGR, 0.5) || !near(r.CPT50, 0.5) || !near(r.CPT80, 0.8) {
		t.Errorf("no opinion: %+v", r)
	}
}

func TestMeasureWithoutGap(t *testing.T) {
	for _, rows := range [][]Judged{nil, {{Weak: 1, Strong: 1}}, {{Weak: 1, Strong: 0}}} {
		if _, err := Measure(rows); !errors.Is(err, ErrNoGap) {
			t.Errorf("%v: %v", rows, err)
		}
	}
}

// A scale other than 0..1 changes nothing, and neither does the order of the rows.
func TestMeasureIsFreeOfScaleAndOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var a, b []Judged
	for range 200 {
		j := Judged{Score: math.Round(random.Float64()*20) / 20, Weak: float64(random.IntN(2)), Strong: float64(1+random.IntN(3)) / 2}
		a = append(a, j)
		b = append([]Judged{{Score: j.Score * 3, Weak: j.Weak*10 + 2, Strong: j.Strong*10 + 2}}, b...)
	}
	x, err := Measure(a)
	if err != nil {
		t.Fatal(err)
	}
	y, _ := Measure(b)
	if !near(x.APGR, y.APGR) || !near(x.CPT50, y.CPT50) || !near(x.CPT80, y.CPT80) {
		t.Errorf("%+v, %+v", x, y)
	}
}

func TestBootstrapHoldsTheFigure(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	var rows []Judged
	for i := range 600 {
		hard := random.Float64()
		j := Judged{Score: hard, Strong: 1, Group: string(rune('a' + i%6))}
		if random.Float64() > hard {
			j.Weak = 1
		}
		rows = append(rows, j)
	}
	r, err := Measure(rows)
	if err != nil {
		t.Fatal(err)
	}
	rowwise, groupwise := Bootstrap(rows, false, 300), Bootstrap(rows, true, 300)
	for _, i := range []Interval{rowwise.APGR, groupwise.APGR} {
		if !(i.Low < r.APGR && r.APGR < i.High) || i.High-i.Low > 0.2 {
			t.Errorf("%g is not in %+v", r.APGR, i)
		}
	}
	if again := Bootstrap(rows, false, 300); again != rowwise {
		t.Error("another run gives another interval")
	}
	if i := Bootstrap([]Judged{{Weak: 1, Strong: 1}}, false, 10); !math.IsNaN(i.APGR.Low) {
		t.Errorf("of nothing: %+v", i)
	}
}

func TestAUC(t *testing.T) {
	if got := aucOf([]Judged{{Score: 3, Strong: 1}, {Score: 2, Strong: 0.5}, {Score: 1, Strong: 0}}); !near(got, 1) {
		t.Errorf("in order: %g", got)
	}
	if got := aucOf([]Judged{{Score: 1, Strong: 1}, {Score: 1, Strong: 0}, {Score: 0, Strong: 1}}); !near(got, 0.25) {
		t.Errorf("a tie and a mistake: %g", got)
	}
	if got := aucOf([]Judged{{Score: 1, Strong: 1}}); got != 0.5 {
		t.Errorf("nothing to compare: %g", got)
	}
}
