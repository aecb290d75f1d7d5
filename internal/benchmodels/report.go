package benchmodels

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// measured are the classes that the results have, in the order of Classes.
func measured(results []Result) (classes []string) {
	for _, class := range Classes {
		for _, r := range results {
			if slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return o.Class == class }) {
				classes = append(classes, class)
				break
			}
		}
	}
	return classes
}

// byQuality is the results with the best first; those without any answer last.
func byQuality(results []Result) []Result {
	out := slices.Clone(results)
	quality := func(r *Result) float64 {
		if q, ok := r.Summary().Quality[defaultClass]; ok {
			return q
		}
		return -1
	}
	slices.SortStableFunc(out, func(a, b Result) int {
		switch x, y := quality(&a), quality(&b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return strings.Compare(a.Model.Ask, b.Model.Ask)
	})
	return out
}

// Table writes a row for each model, and what went wrong below it.
func Table(w io.Writer, results []Result) error {
	classes := measured(results)
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprint(t, "model\tquality")
	for _, class := range classes {
		fmt.Fprint(t, "\t", class)
	}
	fmt.Fprint(t, "\tmedian\ttokens in\tout\tUSD\terrors\n")
	for _, r := range byQuality(results) {
		s := r.Summary()
		fmt.Fprintf(t, "%s\t%s", printable(r.Model.Ask), share(s.Quality, defaultClass))
		for _, class := range classes {
			fmt.Fprint(t, "\t", share(s.Quality, class))
		}
		usd := "?"
		if s.Priced {
			usd = fmt.Sprintf("%.4f", s.USD)
		}
		fmt.Fprintf(t, "\t%s\t%d\t%d\t%s\t%d\n", s.Median.Round(time.Millisecond), s.Input, s.Output, usd, s.Errors)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range byQuality(results) {
		seen := map[string]int{}
		var order []string
		for _, o := range r.Outcomes {
			if o.Error != "" {
				if seen[o.Error] == 0 {
					order = append(order, o.Error)
				}
				seen[o.Error]++
			}
		}
		for _, e := range order[:min(len(order), 3)] {
			fmt.Fprintf(w, "%s: %d × %s\n", printable(r.Model.Ask), seen[e], printable(e))
		}
	}
	return nil
}

func share(quality map[string]float64, class string) string {
	if q, ok := quality[class]; ok {
		return fmt.Sprintf("%.2f", q)
	}
	return "-"
}

// printable keeps what a gateway or a model says from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// Overrides writes the qualities as `models` of a configuration. A model that answered less than half of its tasks gets none.
func Overrides(w io.Writer, results []Result, when time.Time, tasks string) error {
	var b, entries strings.Builder
	fmt.Fprintf(&b, "# Qualities by class of task, as `dragoman bench models` measured them on %s with %s.\n", when.UTC().Format(time.DateOnly), printable(tasks))
	b.WriteString("# Name this file under `catalogue.overrides` of your configuration, or put its entries below `models:` there.\n")
	for _, r := range byQuality(results) {
		s := r.Summary()
		if len(s.Quality) == 0 || 2*s.Errors > len(r.Outcomes) || r.Model.Provider == "" {
			fmt.Fprintf(&b, "# %s answered too few tasks to be judged.\n", printable(r.Model.Ask))
			continue
		}
		fmt.Fprintf(&entries, "- name: %q\n  provider: %q\n  quality:\n    default: %.3f\n", r.Model.Name, r.Model.Provider, s.Quality[defaultClass])
		for _, class := range Classes {
			if q, ok := s.Quality[class]; ok {
				fmt.Fprintf(&entries, "    %s: %.3f\n", class, q)
			}
		}
	}
	if entries.Len() == 0 {
		b.WriteString("models: []\n")
	} else {
		b.WriteString("models:\n" + entries.String())
	}
	_, err := io.WriteString(w, b.String())
	return err
}
