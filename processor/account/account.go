// Package account prices what a request used and writes it down: one record for each request, on every way it can end.
package account

import (
	"context"
	"log/slog"
	"time"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

// Record is one request: finished, or, for Begin, sent to its first provider.
type Record struct {
	ID           string // Envoy's x-request-id
	Time         time.Time
	Organisation string
	Tenant       string // "" when nobody known called
	Team         string
	User         string
	Key          string // its name in the config
	Tags         []string
	Endpoint     string // path
	Schema       chat.Schema
	Asked        string // the model as the client said it
	Route        string
	Model        string // the catalogue's name of the model that answered
	Known        bool   // the catalogue has that model
	Provider     string
	Cluster      string
	Stream       bool
	Cache        string // hit, miss, bypass, stale, coalesced; "" when it is off
	Status       int    // HTTP status that the client got, 0 when it got none
	Outcome      string // ok, or the kind of fault
	Refused      bool   // by the gateway itself: no provider was asked
	Reason       string // the fault's code, "" for none: model_not_found, invalid_api_key
	Attempts     int
	Failed       []Attempt // before the one that answered
	Usage        chat.Usage
	Estimated    bool            // the provider never reported the usage
	Cost         config.MicroUSD // 0 when not Priced; without that of Failed
	Priced       bool            // the cost is known: there is a price, or no provider was asked
	Price        *config.Price   // that Cost was made with; nil when not Priced, when nothing was asked, or when not Usage is what is billed
	// What an answer from the cache, or shared with an identical request, would have cost again.
	SavedTokens int64
	Saved       config.MicroUSD
	Duration    time.Duration
	TTFT        time.Duration
	Overhead    time.Duration // spent in Dragoman
	Dropped     int           // fields left out of the provider's request
	Choice      Choice        // nil: nobody was chosen
}

// Choice says in a line why the model was chosen that was.
type Choice interface{ Explain() string }

// Attempt is one that failed, so that another followed.
type Attempt struct {
	Number   int // from 1
	Time     time.Time
	Provider string
	Model    string
	Known    bool
	Cluster  string // "" when only Envoy knows which of the provider's it was
	Outcome  string // the kind of fault; "failed" when only Envoy saw why
	Status   int    // HTTP status, 0 when unknown or none
	Usage    chat.Usage
	Cost     config.MicroUSD // 0 when not Priced
	Priced   bool            // false: what the provider charges for it is unknown
	Price    *config.Price
	Duration time.Duration
}

// Ledger keeps records. Nothing of it may block for longer than a moment: it is called by each request.
type Ledger interface {
	// Ready is a fault when no request may begin, because what it uses could not be recorded.
	Ready() error
	// Begin notes that a request goes to its first provider. Whatever becomes of the process, a record of its ID is made from it.
	Begin(r *Record)
	// Record takes a finished request.
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

// Ready is always nil.
func (None) Ready() error { return nil }

// Begin does nothing.
func (None) Begin(*Record) {}

// Record does nothing.
func (None) Record(*Record) {}

// Both tells two ledgers everything; what the first is not ready for does not begin.
type Both [2]Ledger

// Ready is the first fault of the two.
func (b Both) Ready() error {
	if err := b[0].Ready(); err != nil {
		return err
	}
	return b[1].Ready()
}

// Begin tells both.
func (b Both) Begin(r *Record) {
	b[0].Begin(r)
	b[1].Begin(r)
}

// Record tells both.
func (b Both) Record(r *Record) {
	b[0].Record(r)
	b[1].Record(r)
}

// Log writes one line for each request: no body, no header, no secret.
type Log struct{ log *slog.Logger }

// NewLog writes to a logger: successes at the level debug, because a line costs a good part of what the whole request
// does, and failures at info.
func NewLog(log *slog.Logger) *Log { return &Log{log} }

// Ready is always nil.
func (*Log) Ready() error { return nil }

// Begin writes nothing: the line of a finished request says it all.
func (*Log) Begin(*Record) {}

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
	var buf [32]slog.Attr
	l.log.LogAttrs(ctx, level, "request", r.attrs(buf[:0])...)
}

// attrs are the fields of the line. What a client can make up is clipped; what is absent is left out.
func (r *Record) attrs(as []slog.Attr) []slog.Attr {
	as = append(as, slog.String("id", clip(r.ID)), slog.String("outcome", r.Outcome), slog.Int("status", r.Status),
		slog.String("endpoint", r.Endpoint), slog.String("tenant", r.Tenant), slog.String("key", r.Key))
	if r.Team != "" {
		as = append(as, slog.String("team", r.Team))
	}
	if r.Asked != "" {
		as = append(as, slog.String("model", clip(r.Asked)), slog.Bool("stream", r.Stream))
	}
	if r.Route != "" {
		as = append(as, slog.String("route", clip(r.Route)))
	}
	if r.Cache != "" {
		as = append(as, slog.String("cache", r.Cache))
	}
	if r.SavedTokens > 0 {
		as = append(as, slog.Int64("saved_tokens", r.SavedTokens), slog.Int64("saved_microusd", int64(r.Saved)))
	}
	if r.Provider != "" {
		as = r.served(as)
	}
	return append(as, slog.Duration("duration", r.Duration), slog.Duration("overhead", r.Overhead))
}

// served are the fields of a request that a provider answered.
func (r *Record) served(as []slog.Attr) []slog.Attr {
	as = append(as, slog.String("provider", r.Provider), slog.String("cluster", r.Cluster), slog.String("served", clip(r.Model)),
		slog.Int("attempts", r.Attempts), slog.Int64("input_tokens", r.Usage.Prompt()), slog.Int64("output_tokens", r.Usage.Output),
		slog.Bool("estimated", r.Estimated), slog.Duration("ttft", r.TTFT))
	if r.Dropped > 0 {
		as = append(as, slog.Int("dropped", r.Dropped))
	}
	if r.Choice != nil {
		as = append(as, slog.String("routing", r.Choice.Explain()))
	}
	if !r.Priced {
		return append(as, slog.String("cost_microusd", "unknown"))
	}
	return append(as, slog.Int64("cost_microusd", int64(r.Cost)))
}

// clip shortens what a client sent.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
