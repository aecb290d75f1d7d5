package benchmodels

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
)

// Sizes of the chart, in its own units.
const (
	width, height, margin = 760, 460, 60
)

// Chart draws cost against quality as SVG: one point a model, cost on a logarithmic scale. Models without a price stand at the right edge,
// those without answers are left out.
func Chart(results []Result) []byte {
	type point struct {
		name         string
		usd, quality float64
		priced       bool
	}
	var points []point
	low, high := math.Inf(1), math.Inf(-1)
	for _, r := range byQuality(results) {
		s := r.Summary()
		if q, ok := s.Quality[defaultClass]; ok {
			p := point{printable(r.Model.Ask), max(s.USD, 1e-6), q, s.Priced}
			points = append(points, p)
			if p.priced {
				low, high = min(low, p.usd), max(high, p.usd)
			}
		}
	}
	if low > high {
		low, high = 1e-4, 1
	}
	low, high = math.Floor(math.Log10(low)), max(math.Ceil(math.Log10(high)), math.Floor(math.Log10(low))+1)
	x := func(usd float64) float64 { return margin + (math.Log10(usd)-low)/(high-low)*(width-3*margin) }
	y := func(q float64) float64 { return height - margin - q*(height-2*margin) }
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	for i := range 6 {
		q := float64(i) / 5
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.1f</text>`+"\n", margin, y(q), width-margin, margin-6, y(q)+4, q)
	}
	for e := low; e <= high; e++ {
		at := x(math.Pow(10, e))
		fmt.Fprintf(&b, `<path d="M%.1f %dV%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">$%g</text>`+"\n", at, margin, height-margin, at, height-margin+18, math.Pow(10, e))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">cost of the run</text><text x="%d" y="%d">quality</text>`+"\n", width/2, height-12, 12, margin-20)
	for _, p := range points {
		at, label := float64(width-margin), p.name+" (price unknown)"
		if p.priced {
			at, label = x(p.usd), p.name
		}
		anchor, shift := "start", 8.0
		if at > width*0.6 {
			anchor, shift = "end", -8
		}
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="5" fill="#06c"/><text x="%.1f" y="%.1f" text-anchor="%s">`, at, y(p.quality), at+shift, y(p.quality)+4, anchor)
		_ = xml.EscapeText(&b, []byte(label)) // a bytes.Buffer takes everything
		b.WriteString("</text>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
