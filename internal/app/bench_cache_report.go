package app

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"dragoman/processor/cache/semantic"
)

// thresholds of the table and the plots.
var thresholds = []float64{0.80, 0.82, 0.84, 0.86, 0.88, 0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99}

// report prints tables and a plot for people.
func report(w io.Writer, o CacheBench, pairs []*pair, took time.Duration) {
	t := score(pairs, 0, semantic.All)
	fmt.Fprintf(w, "%s: %d pairs, %d with the same answer, %d with different answers; %.1f ms a text\n\n", o.Pairs, len(pairs), t.same, t.different,
		float64(took)/float64(time.Millisecond))
	fmt.Fprintln(w, "precision = right hits / hits; recall = right hits / same-answer pairs; false hits = wrong hits / different-answer pairs")
	fmt.Fprintf(w, "\n%-10s  %-32s  %s\n", "", "with guards", "similarity alone")
	fmt.Fprintf(w, "%-10s  %9s %8s %11s     %9s %8s %11s\n", "threshold", "precision", "recall", "false hits", "precision", "recall", "false hits")
	for _, th := range thresholds {
		fmt.Fprintf(w, "%-10.2f  %s     %s\n", th, row(score(pairs, th, semantic.All)), row(score(pairs, th, 0)))
	}
	ablation(w, o, pairs)
	plotText(w, pairs)
	show(w, o, pairs)
}

func row(t tally) string {
	r := t.rates()
	return fmt.Sprintf("%9.3f %8.3f %10.2f%%", r.Precision, r.Recall, 100*r.FalseHitRate)
}

// ablation shows what each guard is worth: alone, and missing from the others.
func ablation(w io.Writer, o CacheBench, pairs []*pair) {
	fmt.Fprintf(w, "\nat %.2f:%22s  %-32s  %s\n", o.Threshold, "", "this guard alone", "all others")
	first := map[semantic.Guard]int{}
	for _, p := range pairs {
		if p.similarity >= o.Threshold {
			first[p.refusedBy]++
		}
	}
	for _, g := range semantic.Guards {
		fmt.Fprintf(w, "%-13s refuses %4d   %s     %s\n", g, first[g], row(score(pairs, o.Threshold, semantic.Only(g))),
			row(score(pairs, o.Threshold, semantic.All.Without(g))))
	}
}

const plotWidth = 60

// plotText draws recall (#) and false hits (x) by threshold, both of the guarded tier.
func plotText(w io.Writer, pairs []*pair) {
	fmt.Fprintf(w, "\nwith guards: recall #, false hits x; without: recall -, false hits +   (0 to 100 %%)\n")
	for _, th := range thresholds {
		line := []byte(strings.Repeat(" ", plotWidth+1))
		mark := func(v float64, c byte) { line[int(v*plotWidth+0.5)] = c }
		with, without := score(pairs, th, semantic.All).rates(), score(pairs, th, 0).rates()
		mark(without.Recall, '-')
		mark(without.FalseHitRate, '+')
		mark(with.Recall, '#')
		mark(with.FalseHitRate, 'x')
		fmt.Fprintf(w, "%.2f |%s|\n", th, line)
	}
}

// show lists the mistakes.
func show(w io.Writer, o CacheBench, pairs []*pair) {
	if o.Show <= 0 {
		return
	}
	fmt.Fprintf(w, "\nwrong hits at %.2f:\n", o.Threshold)
	list(w, o.Show, pairs, func(p *pair) bool {
		return !p.Same && p.similarity >= o.Threshold && p.refusedBy == semantic.None
	})
	fmt.Fprintf(w, "\nright hits at %.2f that a guard refused:\n", o.Threshold)
	list(w, o.Show, pairs, func(p *pair) bool { return p.Same && p.similarity >= o.Threshold && p.refusedBy != semantic.None })
}

func list(w io.Writer, n int, pairs []*pair, want func(*pair) bool) {
	for _, p := range pairs {
		if want(p) {
			if n--; n < 0 {
				return
			}
			fmt.Fprintf(w, "%.3f %-12s %q | %q\n", p.similarity, p.refusedBy, p.A, p.B)
		}
	}
}

// Sizes of the SVG plot, in its own units.
const (
	svgWidth, svgHeight, svgMargin = 640, 400, 50
)

// plotSVG draws the same curves, and a line at the threshold.
func plotSVG(pairs []*pair, threshold float64) []byte {
	var b bytes.Buffer
	low, high := thresholds[0], thresholds[len(thresholds)-1]
	x := func(th float64) float64 { return svgMargin + (th-low)/(high-low)*(svgWidth-2*svgMargin) }
	y := func(v float64) float64 { return svgHeight - svgMargin - v*(svgHeight-2*svgMargin) }
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", svgWidth, svgHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", svgWidth, svgHeight)
	for i := range 6 {
		v := float64(i) / 5
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%d %%</text>`+"\n",
			svgMargin, y(v), svgWidth-svgMargin, svgMargin-6, y(v)+4, 20*i)
	}
	for _, th := range thresholds {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="10">%.2f</text>`+"\n", x(th), svgHeight-svgMargin+16, th)
	}
	if threshold >= low && threshold <= high {
		fmt.Fprintf(&b, `<path d="M%.1f %dV%d" stroke="#888" stroke-dasharray="4"/>`+"\n", x(threshold), svgMargin, svgHeight-svgMargin)
	}
	for i, c := range []struct {
		name, colour, dash string
		guards             semantic.Set
		value              func(rates) float64
	}{
		{"recall, guarded", "#06c", "", semantic.All, func(r rates) float64 { return r.Recall }},
		{"false hits, guarded", "#c00", "", semantic.All, func(r rates) float64 { return r.FalseHitRate }},
		{"recall, similarity alone", "#06c", "4", 0, func(r rates) float64 { return r.Recall }},
		{"false hits, similarity alone", "#c00", "4", 0, func(r rates) float64 { return r.FalseHitRate }},
	} {
		var points []string
		for _, th := range thresholds {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(th), y(c.value(score(pairs, th, c.guards).rates()))))
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s" points="%s"/>`+"\n", c.colour, c.dash, strings.Join(points, " "))
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s%s</text>`+"\n", svgWidth-svgMargin-200, svgMargin+16*i, c.colour, c.name,
			map[bool]string{true: " (dashed)"}[c.dash != ""])
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
