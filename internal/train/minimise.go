package train

import "math"

// memory is how many steps L-BFGS remembers.
const memory = 8

// minimise finds a minimum of a smooth convex function by L-BFGS with a backtracking line search (Nocedal & Wright, algorithm 7.5).
// f returns the value at x and writes the gradient. It is deterministic: no randomness, one order of sums.
func minimise(x []float64, iterations int, f func(x, gradient []float64) float64) {
	n := len(x)
	g, direction := make([]float64, n), make([]float64, n)
	next, nextG := make([]float64, n), make([]float64, n)
	var steps, changes [][]float64
	value := f(x, g)
	for range iterations {
		if norm(g) < 1e-6*max(1, norm(x)) {
			return
		}
		descend(direction, g, steps, changes)
		slope := dot(direction, g)
		if slope >= 0 { // the memory misleads: begin anew
			steps, changes = nil, nil
			descend(direction, g, nil, nil)
			slope = dot(direction, g)
		}
		length := 1.0
		if len(steps) == 0 {
			length = 1 / max(1, norm(g))
		}
		after, ok := 0.0, false
		for range 40 {
			for i := range x {
				next[i] = x[i] + length*direction[i]
			}
			if after = f(next, nextG); after <= value+1e-4*length*slope {
				ok = true
				break
			}
			length /= 2
		}
		if !ok || value-after < 1e-10*math.Abs(value) {
			if ok {
				copy(x, next)
			}
			return
		}
		s, y := make([]float64, n), make([]float64, n)
		for i := range x {
			s[i], y[i] = next[i]-x[i], nextG[i]-g[i]
		}
		if dot(s, y) > 1e-12 {
			steps, changes = append(steps, s), append(changes, y)
			if len(steps) > memory {
				steps, changes = steps[1:], changes[1:]
			}
		}
		copy(x, next)
		copy(g, nextG)
		value = after
	}
}

// descend computes the direction of the next step from the gradient and the remembered ones.
func descend(direction, g []float64, steps, changes [][]float64) {
	for i := range g {
		direction[i] = -g[i]
	}
	m := len(steps)
	alpha := make([]float64, m)
	for k := m - 1; k >= 0; k-- {
		alpha[k] = dot(steps[k], direction) / dot(steps[k], changes[k])
		add(direction, -alpha[k], changes[k])
	}
	if m > 0 {
		scale := dot(steps[m-1], changes[m-1]) / dot(changes[m-1], changes[m-1])
		for i := range direction {
			direction[i] *= scale
		}
	}
	for k := range m {
		beta := dot(changes[k], direction) / dot(steps[k], changes[k])
		add(direction, alpha[k]-beta, steps[k])
	}
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func add(to []float64, times float64, v []float64) {
	for i := range to {
		to[i] += times * v[i]
	}
}

func norm(v []float64) float64 { return math.Sqrt(dot(v, v)) }
