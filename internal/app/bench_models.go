package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"dragoman/internal/benchmodels"
)

// ModelBench is what `dragoman bench models` is asked.
type ModelBench struct {
	URL         string   // of a running gateway
	Key         string   // "" for an open one
	Models      []string // empty: all that it lists
	Tasks       string   // JSON lines of one's own, "" for the built-in ones
	Out         string   // YAML to write, "" for none
	SVG         string   // chart to write, "" for none
	Concurrency int
	Timeout     time.Duration // of one request
	Yes         bool          // do not ask before money is spent
	JSON        bool          // print every outcome as JSON, and no table

	Stdin          io.Reader
	Terminal       bool // somebody sits there: ask, and draw a progress bar on Stderr
	Stdout, Stderr io.Writer
	Client         *http.Client
	Now            func() time.Time
}

// BenchModels runs the tasks against the models of a running gateway.
func BenchModels(ctx context.Context, o ModelBench) error {
	tasks, source := benchmodels.Builtin(), "the built-in tasks"
	if o.Tasks != "" {
		var err error
		if tasks, err = benchmodels.ReadTasks(o.Tasks); err != nil {
			return err
		}
		source = o.Tasks
	}
	client := &benchmodels.Client{URL: strings.TrimSuffix(strings.TrimSuffix(o.URL, "/"), "/v1"), Key: o.Key, HTTP: o.Client}
	models, err := client.Models(ctx)
	if err != nil {
		return err
	}
	if len(o.Models) > 0 {
		if models, err = benchmodels.Pick(models, o.Models); err != nil {
			return err
		}
	}
	if len(models) == 0 {
		return errors.New("the gateway lists no models that could be measured; name some with --models provider/model")
	}
	if err := o.agree(models, tasks); err != nil {
		return err
	}
	run := benchmodels.Options{Client: client, Models: models, Tasks: tasks, Concurrency: o.Concurrency, Timeout: o.Timeout}
	if o.Terminal {
		run.Progress = func(done, total int) { drawProgress(o.Stderr, done, total) }
	}
	results, err := benchmodels.Run(ctx, run)
	if err != nil {
		return err
	}
	return o.report(results, source)
}

// agree shows what the run will cost, and asks. Where nobody sits, --yes has to have been said.
func (o *ModelBench) agree(models []benchmodels.Model, tasks []benchmodels.Task) error {
	likely, most, unpriced := benchmodels.Estimate(models, tasks)
	fmt.Fprintf(o.Stderr, "%d models × %d tasks = %d requests; about $%.4f, at most $%.4f", len(models), len(tasks), len(models)*len(tasks), likely, most)
	if n := len(unpriced); n > 0 {
		fmt.Fprintf(o.Stderr, ", and what %s costs, whose price is unknown", strings.Join(unpriced[:min(n, 5)], ", "))
		if n > 5 {
			fmt.Fprintf(o.Stderr, " and %d more", n-5)
		}
	}
	fmt.Fprintln(o.Stderr)
	switch {
	case o.Yes:
		return nil
	case !o.Terminal:
		return errors.New("this costs money: say --yes to go ahead")
	}
	fmt.Fprint(o.Stderr, "Go ahead? [y/N] ")
	reply, _ := bufio.NewReader(io.LimitReader(o.Stdin, 1024)).ReadString('\n')
	if reply = strings.ToLower(strings.TrimSpace(reply)); reply != "y" && reply != "yes" {
		return errors.New("nothing was sent")
	}
	return nil
}

const barWidth = 40

func drawProgress(w io.Writer, done, total int) {
	filled := barWidth * done / total
	fmt.Fprintf(w, "\r[%s%s] %d/%d", strings.Repeat("#", filled), strings.Repeat(" ", barWidth-filled), done, total)
	if done == total {
		fmt.Fprintln(w)
	}
}

func (o *ModelBench) report(results []benchmodels.Result, source string) error {
	w := bufio.NewWriter(o.Stdout)
	if o.JSON {
		for _, r := range results {
			for _, outcome := range r.Outcomes {
				row := struct {
					Model string `json:"model"`
					benchmodels.Outcome
					Input   int64   `json:"input_tokens"`
					Output  int64   `json:"output_tokens"`
					Seconds float64 `json:"seconds"`
				}{r.Model.Ask, outcome, outcome.Input, outcome.Output, outcome.Took.Seconds()}
				if err := json.NewEncoder(w).Encode(row); err != nil {
					return err
				}
			}
		}
	} else if err := benchmodels.Table(w, results); err != nil {
		return err
	}
	if o.SVG != "" {
		if err := os.WriteFile(o.SVG, benchmodels.Chart(results), 0o644); err != nil {
			return err
		}
	}
	if o.Out != "" {
		var b strings.Builder
		if err := benchmodels.Overrides(&b, results, o.Now(), source); err != nil {
			return err
		}
		if err := replaceFile(o.Out, []byte(b.String())); err != nil {
			return err
		}
		if !o.JSON {
			fmt.Fprintf(w, "\nwritten: %s\n", o.Out)
		}
	}
	return w.Flush()
}

// IsTerminal says whether somebody sits at the file's other end.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
