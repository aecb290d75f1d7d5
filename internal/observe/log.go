// Package observe is how the gateway is watched: structured logs and Prometheus metrics. Metrics follow the names of
// OpenTelemetry's GenAI semantic conventions where they have one; every label is bounded.
package observe

import (
	"io"
	"log/slog"
	"os"
)

// NewLogger writes to w at a level that can be changed while it runs. format is text, json, or "" for text on a terminal and
// JSON elsewhere; an unknown level is info (the configuration has refused it before). What looks like a credential is
// masked, whoever logs it.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, *slog.LevelVar) {
	var v slog.LevelVar
	var l slog.Level
	if l.UnmarshalText([]byte(level)) == nil {
		v.Set(l)
	}
	o := &slog.HandlerOptions{Level: &v, ReplaceAttr: redactAttr}
	if format == "text" || format == "" && terminal(w) {
		return slog.New(slog.NewTextHandler(w, o)), &v
	}
	return slog.New(slog.NewJSONHandler(w, o)), &v
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
