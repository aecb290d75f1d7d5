package app

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"

	"dragoman/internal/classify"
)

// maxExplained bounds the text that `dragoman classify` reads, and how many parts it lists.
const (
	maxExplainedBytes = 16 << 20
	maxExplainedParts = 12
)

// Classification is what `dragoman classify` is asked.
type Classification struct {
	Text     string // file, - for standard input
	Weights  string // file of `dragoman train`, "" for the built-in ones
	Features bool   // list the features instead

	Stdout io.Writer
}

// Classify shows what the classifier makes of a text, and why.
func Classify(o Classification) error {
	model, err := classifier(o.Weights)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(o.Stdout)
	if o.Features {
		for _, f := range classify.Features() {
			fmt.Fprintf(w, "%-20s %s\n", f.Name, f.Doc)
		}
		return w.Flush()
	}
	in := io.Reader(os.Stdin)
	if o.Text != "-" && o.Text != "" {
		f, err := os.Open(o.Text)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxExplainedBytes))
	if err != nil {
		return err
	}
	e := model.Explain(classify.Text{User: string(text), Bytes: len(text), Turns: 1})
	fmt.Fprintf(w, "task        %s (%.2f)\n", e.Result.Task, e.Confidence)
	fmt.Fprintf(w, "difficulty  %.2f\nweights     %s\n", e.Result.Difficulty, model.Name())
	names := classify.TaskNames()
	slices.SortFunc(names, func(a, b string) int {
		if e.Tasks[a] > e.Tasks[b] {
			return -1
		}
		return 1
	})
	fmt.Fprint(w, "\ntasks\n")
	for _, name := range names {
		fmt.Fprintf(w, "  %-22s %.3f\n", name, e.Tasks[name])
	}
	printParts(w, "what spoke for the task", e.Task)
	printParts(w, "what moved the difficulty", e.Difficulty)
	return w.Flush()
}

func printParts(w io.Writer, title string, parts []classify.Part) {
	fmt.Fprintf(w, "\n%s\n", title)
	for i, p := range parts {
		if i == maxExplainedParts {
			fmt.Fprintf(w, "  and %d smaller ones\n", len(parts)-i)
			break
		}
		fmt.Fprintf(w, "  %-22s %6.3f  adds %+.3f\n", p.Feature, p.Value, p.Adds)
	}
}
