package semantic

import (
	"math"
	"slices"

	"dragoman/processor/cache"
)

// A search reads one byte a dimension. The first headDims of them, with a bound for the rest, rule most entries out; the floats
// decide about the few that are left.
const headDims = 96

// partition holds the vectors of one partition, row by row.
type partition struct {
	key    cache.Key
	width  int
	slots  []*slot
	heads  []int8    // the first headDims codes of each row: side by side, because the search seldom needs more
	tails  []int8    // the others
	scales []float32 // a code times its row's scale is the dimension's value
	rest   []float32 // length of the vector without its first headDims dimensions
	floats []float32
}

// slack is more than the bytes make a difference: each dimension is off by at most half a step, and most of that cancels out.
const slack = 0.02

func (p *partition) add(s *slot, vector []float32) (row int) {
	codes, scale := quantise(vector)
	head := p.head()
	p.slots, p.scales, p.floats = append(p.slots, s), append(p.scales, scale), append(p.floats, vector...)
	p.heads, p.tails = append(p.heads, codes[:head]...), append(p.tails, codes[head:]...)
	p.rest = append(p.rest, restLength(vector))
	return len(p.slots) - 1
}

// head is how many dimensions are looked at first, tail how many later.
func (p *partition) head() int { return min(headDims, p.width) }
func (p *partition) tail() int { return p.width - p.head() }

// remove puts the last row into the place of row.
func (p *partition) remove(row int) {
	last := len(p.slots) - 1
	p.slots[row] = p.slots[last]
	p.slots[row].row = row
	p.slots[last] = nil
	p.scales[row], p.rest[row] = p.scales[last], p.rest[last]
	move(p.heads, row, last, p.head())
	move(p.tails, row, last, p.tail())
	move(p.floats, row, last, p.width)
	p.slots, p.scales, p.rest = p.slots[:last], p.scales[:last], p.rest[:last]
	p.heads, p.tails, p.floats = p.heads[:last*p.head()], p.tails[:last*p.tail()], p.floats[:last*p.width]
	if last < cap(p.slots)/4 && cap(p.slots) > 64 { // give memory back after a purge
		p.slots, p.scales, p.rest = slices.Clone(p.slots), slices.Clone(p.scales), slices.Clone(p.rest)
		p.heads, p.tails, p.floats = slices.Clone(p.heads), slices.Clone(p.tails), slices.Clone(p.floats)
	}
}

func move[T any](rows []T, to, from, width int) {
	copy(rows[to*width:(to+1)*width], rows[from*width:(from+1)*width])
}

// search gives rows that are similar enough to accept, and keeps the best of what it makes of them.
func (p *partition) search(vector []float32, least float64, limit int, accept func(row int, similarity float64) (Candidate, bool)) []Candidate {
	if len(vector) != p.width {
		return nil
	}
	query, scale := quantise(vector)
	head, tail := p.head(), p.tail()
	rest := restLength(vector)
	bar := float32(least) - slack
	var best []Candidate
	for row := range p.slots {
		unit := scale * p.scales[row]
		sum := dot8(query[:head], p.heads[row*head:(row+1)*head])
		// Cauchy and Schwarz: what the other dimensions can add.
		if float32(sum)*unit+rest*p.rest[row] < bar {
			continue
		}
		sum += dot8(query[head:], p.tails[row*tail:(row+1)*tail])
		if float32(sum)*unit < bar {
			continue
		}
		similarity := float64(dot(vector, p.floats[row*p.width:(row+1)*p.width]))
		if similarity < least || len(best) == limit && similarity <= best[limit-1].Similarity {
			continue
		}
		if c, ok := accept(row, similarity); ok {
			best = insert(best, c, limit)
		}
	}
	return best
}

func insert(best []Candidate, c Candidate, limit int) []Candidate {
	at, _ := slices.BinarySearchFunc(best, c, func(x, y Candidate) int {
		if x.Similarity >= y.Similarity {
			return -1
		}
		return 1
	})
	best = slices.Insert(best, at, c)
	return best[:min(len(best), limit)]
}

// quantise maps a vector to -127…127; a dimension's value is its code times scale.
func quantise(v []float32) (codes []int8, scale float32) {
	var most float32
	for _, x := range v {
		most = max(most, float32(math.Abs(float64(x))))
	}
	codes = make([]int8, len(v))
	if most == 0 {
		return codes, 0
	}
	scale = most / 127
	for i, x := range v {
		codes[i] = int8(math.RoundToEven(float64(x / scale)))
	}
	return codes, scale
}

func restLength(v []float32) float32 {
	tail := v[min(headDims, len(v)):]
	return float32(math.Sqrt(float64(dot(tail, tail))))
}

// dot8 has four sums, as dot has.
func dot8(a, b []int8) int32 {
	var s0, s1, s2, s3 int32
	b = b[:len(a)]
	n := len(a) &^ 7
	for i := 0; i < n; i += 8 {
		x, y := a[i:i+8:i+8], b[i:i+8:i+8]
		s0 += int32(x[0])*int32(y[0]) + int32(x[4])*int32(y[4])
		s1 += int32(x[1])*int32(y[1]) + int32(x[5])*int32(y[5])
		s2 += int32(x[2])*int32(y[2]) + int32(x[6])*int32(y[6])
		s3 += int32(x[3])*int32(y[3]) + int32(x[7])*int32(y[7])
	}
	for i := n; i < len(a); i++ {
		s0 += int32(a[i]) * int32(b[i])
	}
	return s0 + s1 + s2 + s3
}
