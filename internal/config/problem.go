package config

import (
	"fmt"
	"sort"
	"strings"
)

// maxProblems bounds how many faults one load reports; the rest is counted.
const maxProblems = 50

// Problem is one fault of a configuration. It never holds a secret's value.
type Problem struct {
	Source  string // file name, or "environment"
	Line    int    // from 1; 0 when the fault is not about a line of the file
	Path    string // routes[1].candidates[0].model, or a variable's name; "" for the whole file
	Message string
}

// String is source:line: path: message, with what is unknown left out.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Source)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.Message)
	return b.String()
}

// Problems is every fault that one load found. It is the error of Parse, Compile, Load, Open and Store.Reload.
type Problems struct {
	List []Problem
	More int // found beyond the 50 listed
}

// Error is one problem a line.
func (p *Problems) Error() string {
	lines := make([]string, 0, len(p.List)+1)
	for _, one := range p.List {
		lines = append(lines, one.String())
	}
	if p.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", p.More))
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) add(one Problem) {
	if len(p.List) >= maxProblems {
		p.More++
		return
	}
	p.List = append(p.List, one)
}

// err is nil without problems: a *Problems must not become a non-nil error by itself. It sorts them as they stand in the
// file, those of no line last.
func (p *Problems) err() error {
	if len(p.List) == 0 {
		return nil
	}
	sort.SliceStable(p.List, func(i, j int) bool {
		a, b := p.List[i].Line, p.List[j].Line
		return a != b && a != 0 && (b == 0 || a < b)
	})
	return p
}

func problem(source, path, format string, args ...any) *Problems {
	return &Problems{List: []Problem{{Source: source, Path: path, Message: fmt.Sprintf(format, args...)}}}
}

// didYouMean is ` (did you mean "x"?)` for the known name nearest to what was written, "" when none is near.
func didYouMean(written string, known []string) string {
	if len(written) > 64 {
		return ""
	}
	best, distance := "", max(len(written)/3, 1)+1
	for _, k := range known {
		if len(k) > 64 {
			continue
		}
		if d := editDistance(strings.ToLower(written), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// editDistance counts insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// oneOf lists words for a message: a, b or c.
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
