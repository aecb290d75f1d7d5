// Package account prices what a request used and writes it down: one record for each request, on every way it can end.
package account

import (
	"context"
	"log/slog"
	"time"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

// Record is one finished request.
type Record struct {
	ID        string // Envoy's x-request-id
	Time      time.Time
	Tenant    string
	Team      string
	Key       string // its name in the config
	Endpoint  string // path
	Schema    chat.Schema
	Asked     string // the model as the client said it
	Route     string
	Model     string // the catalogue's name of the model that answered
	Provider  string
	Cluster   string
	Stream    bool
	Cache     string // hit, miss, bypass; "" when it is off
	Status    int    // HTTP status that the client got, 0 when it got none
	Outcome   string // ok, or the kind of fault
	Attempts  int
	Usage     chat.Usage
	Estimated bool            // the provider never reported the usage
	Cost      config.MicroUSD // 0 when not Priced
	Priced    bool
	Duration  time.Duration
	TTFT      time.Duration
	Overhead  time.Duration // spent in Dragoman
	Dropped   int           // fields left out of the provider's request
}

// Ledger keeps records. Record must not block: it is called at the end of each request.
type Ledger interface {
	Record(r *Record)
}

// Cost prices a usage. priced is false when the model has no known price: that is not the same as free.
func Cost(m *config.Model, u chat.Usage) (cost config.MicroUSD, priced bool) {
	if m == nil || m.Price == nil {
		return 0, false
	}
	return m.Price.Cost(u), true
}

// None keeps nothing.
type None struct{}

// Record does nothing.
func (None) Record(*Record) {}

// Log writes one line for each request: no body, no header, no secret.
type Log struct{ log *slog.Logger }

// NewLog writes to a logger, successes at level debug and failures at info.
func NewLog(log *slog.Logger) *Log { return &Log{log} }

// Record writes the line.
func (l *Log) Record(r *Record) {
	level := slog.LevelDebug
	if r.Outcome != "ok" {
		level = slog.LevelInfo
	}
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("id", r.ID), slog.String("outcome", r.Outcome), slog.Int("status", r.Status),
		slog.String("tenant", r.Tenant), slog.String("key", r.Key), slog.String("model", r.Asked), slog.String("route", r.Route),
		slog.Duration("duration", r.Duration), slog.Duration("overhead", r.Overhead),
	}
	if r.Team != "" {
		attrs = append(attrs, slog.String("team", r.Team))
	}
	if r.Cache != "" {
		attrs = append(attrs, slog.String("cache", r.Cache))
	}
	if r.Provider != "" {
		attrs = append(attrs, slog.String("provider", r.Provider), slog.String("cluster", r.Cluster), slog.String("served", r.Model),
			slog.Int("attempts", r.Attempts), slog.Int64("input_tokens", r.Usage.Prompt()), slog.Int64("output_tokens", r.Usage.Output),
			slog.Bool("estimated", r.Estimated), slog.Duration("ttft", r.TTFT))
		if r.Priced {
			attrs = append(attrs, slog.Int64("cost_microusd", int64(r.Cost)))
		}
	}
	l.log.LogAttrs(ctx, level, "request", attrs...)
}
