package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// EnvPython names the Python that has the SDKs; without it the one that `make sdk` makes is used.
const EnvPython = "DRAGOMAN_SDK_PYTHON"

// PythonOptions are what python/run.py is told beyond its target.
type PythonOptions struct {
	Client   string   // one of run.py's, "" for the usual ones
	Native   bool     // also the cases that hold only where the provider speaks the client's schema
	NativeAt []string // the same for some of the models
	Parallel int      // copies of everything at once, at least 1
	Cases    []string // only cases whose name contains one of these
}

// Python runs the cases of the Python SDKs, sync and async, against each model. The report has an entry for every case,
// "ok" or what went wrong; the error is for a run that gave no report.
func Python(ctx context.Context, t Target, models []string, o PythonOptions) (map[string]string, error) {
	python, err := findPython()
	if err != nil {
		return nil, err
	}
	args := []string{filepath.Join(folder(), "python", "run.py"), "--parallel", fmt.Sprint(max(o.Parallel, 1))}
	if o.Client != "" {
		args = append(args, "--client", o.Client)
	}
	if o.Native {
		args = append(args, "--native")
	}
	for _, m := range o.NativeAt {
		args = append(args, "--native-for", m)
	}
	for _, c := range o.Cases {
		args = append(args, "--case", c)
	}
	return report(ctx, "the Python SDKs", python, append(append(args, t.BaseURL, t.Key), models...)...)
}

// report runs a program that prints its report.
func report(ctx context.Context, what, program string, args ...string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(withoutProxies(os.Environ()), "PYTHONDONTWRITEBYTECODE=1")
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	runErr := cmd.Run()
	var report map[string]string
	if err := json.Unmarshal(out.Bytes(), &report); err != nil || len(report) == 0 {
		return nil, fmt.Errorf("%s gave no report: %w: %s", what, errors.Join(runErr, err), tail(errs.String()))
	}
	return report, nil
}

// withoutProxies: loopback is never to be reached through a proxy, nor is an SDK to be pointed elsewhere.
func withoutProxies(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		upper := strings.ToUpper(name)
		if strings.HasSuffix(upper, "_PROXY") || strings.HasPrefix(upper, "OPENAI_") || strings.HasPrefix(upper, "ANTHROPIC_") ||
			strings.HasPrefix(upper, "GEMINI_") || strings.HasPrefix(upper, "GOOGLE_") {
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

func tail(s string) string {
	if len(s) > 2000 {
		return "…" + s[len(s)-2000:]
	}
	return s
}

// folder is this package's.
func folder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

func findPython() (string, error) {
	path := os.Getenv(EnvPython)
	if path == "" {
		path = filepath.Join(folder(), "..", "..", ".tools", "sdk", "bin", "python")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("there is no Python with the SDKs at %s: run `make sdk`, or name one by $%s", path, EnvPython)
	}
	return path, nil
}
