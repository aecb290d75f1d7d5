package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dragoman/internal/classify"
	"dragoman/internal/train"
)

// Training is what `dragoman train` is asked.
type Training struct {
	From   string       // JSON lines, see train.ReadRows
	Out    string       // weights file to write, "" for none
	Tests  []string     // random, grouped; empty: grouped where the prompts have groups, and random
	Seed   uint64       // of the folds
	JSON   bool         // print the reports as JSON, and nothing else
	Fields train.Fields // names of the members

	Stdout io.Writer
}

// TrainFields are the names of a file's members, "" for the usual ones.
type TrainFields = train.Fields

// Train fits the classifier on a user's prompts, tests it by cross-validation and writes the weights.
func Train(o Training) error {
	rows, err := train.ReadRows(o.From, o.Fields)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(o.Stdout)
	if !o.JSON {
		describe(w, rows)
	}
	var reports []*train.Report
	for _, split := range splits(o.Tests, rows) {
		report, err := train.Test(rows, split, o.Seed)
		if err != nil {
			return fmt.Errorf("%s: %w", o.From, err)
		}
		reports = append(reports, report)
		if !o.JSON {
			printReport(w, report)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if o.JSON {
		if err := json.NewEncoder(w).Encode(reports); err != nil {
			return err
		}
	}
	if o.Out != "" {
		if err := writeWeights(o.Out, o.From, rows); err != nil {
			return err
		}
		if !o.JSON {
			fmt.Fprintf(w, "\nwritten: %s\n", o.Out)
		}
	}
	return w.Flush()
}

// splits are the tests to run, the stricter one first.
func splits(asked []string, rows []train.Row) (out []train.Split) {
	for _, name := range asked {
		out = append(out, train.Split(name))
	}
	if len(out) > 0 {
		return out
	}
	groups := map[string]bool{}
	for i := range rows {
		groups[rows[i].Group] = true
	}
	if len(groups) > 1 && !groups[""] {
		out = append(out, train.Grouped)
	}
	return append(out, train.Random)
}

func describe(w io.Writer, rows []train.Row) {
	groups, tasks := map[string]bool{}, 0
	for i := range rows {
		if rows[i].Group != "" {
			groups[rows[i].Group] = true
		}
		if rows[i].HasTask {
			tasks++
		}
	}
	fmt.Fprintf(w, "%d prompts, %d groups, %d with a task\n", len(rows), len(groups), tasks)
}

func printReport(w io.Writer, r *train.Report) {
	what := map[train.Split]string{
		train.Grouped: "grouped: each prompt judged by weights that saw nothing of its group",
		train.Random:  "random: each prompt judged by weights that did not see it",
	}[r.Split]
	fmt.Fprintf(w, "\n%s (%d folds)\n", what, r.Folds)
	if r.Routing != nil {
		printRouting(w, r.Routing, r.Intervals)
	}
	if r.AUC != nil {
		fmt.Fprintf(w, "  AUC    %.3f  (of two prompts with different labels, how often the harder one ranks higher)\n", *r.AUC)
	}
	if r.TaskAccuracy != nil {
		fmt.Fprintf(w, "  tasks  %.1f %% right\n", 100**r.TaskAccuracy)
	}
}

func printRouting(w io.Writer, r *train.Routing, i *train.Intervals) {
	fmt.Fprintf(w, "  APGR   %.3f  [%.3f, %.3f]\n", r.APGR, i.APGR.Low, i.APGR.High)
	fmt.Fprintf(w, "  CPT50  %.1f %%  [%.1f, %.1f]\n", 100*r.CPT50, 100*i.CPT50.Low, 100*i.CPT50.High)
	fmt.Fprintf(w, "  CPT80  %.1f %%  [%.1f, %.1f]\n", 100*r.CPT80, 100*i.CPT80.Low, 100*i.CPT80.High)
}

// writeWeights writes beside the file first, so that a gateway that watches it never reads half of one.
func writeWeights(out, from string, rows []train.Row) error {
	f, err := train.Fit(rows, fmt.Sprintf("dragoman train, %d prompts of %s", len(rows), filepath.Base(from)))
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	if _, err := classify.Parse(out, data); err != nil {
		return err
	}
	return replaceFile(out, append(data, '\n'))
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if e := f.Chmod(0o644); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
