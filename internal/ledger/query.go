package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dragoman/internal/config"
)

// Level is a part of the hierarchy, or of what was asked for: what is not "" must be so.
type Level struct {
	Organisation, Tenant, Team, User, Key, Model string
}

// Spent is what a level has used.
type Spent struct {
	Cost     config.MicroUSD // of what has a known price
	Tokens   int64           // all classes
	Requests int64
	Unpriced int64 // requests and attempts whose cost is unknown
}

// Query asks for sums of what was used.
type Query struct {
	By    []string            // what to tell apart: Dimensions, tag, hour, day, month; none: one sum
	Where map[string][]string // of Dimensions and tag: one of the values
	Since time.Time           // whole hours: rounded down
	Until time.Time           // not itself; rounded up to a whole hour
	Limit int                 // groups at most, those that cost most; default and at most MaxGroups
}

// MaxGroups bounds an answer.
const MaxGroups = 10_000

// Dimensions are what usage can be told apart and filtered by, beside tag and the periods.
var Dimensions = []string{"organisation", "tenant", "team", "user", "key", "route", "model", "provider"}

// Periods are what usage can be told apart by in time, UTC.
var Periods = []string{"hour", "day", "month"}

// TagDimension is a tag of a request; a request with several counts for each of them.
const TagDimension = "tag"

// Check says what is wrong with a query, and fills in what it leaves out.
func (q *Query) Check() error {
	known := append(append(slices.Clone(Dimensions), TagDimension), Periods...)
	for i, by := range q.By {
		if !slices.Contains(known, by) {
			return fmt.Errorf("usage cannot be told apart by %q, but by %s", by, strings.Join(known, ", "))
		}
		if slices.Contains(q.By[:i], by) {
			return fmt.Errorf("%s is named twice", by)
		}
	}
	for name, values := range q.Where {
		if !slices.Contains(known[:len(Dimensions)+1], name) {
			return fmt.Errorf("usage cannot be filtered by %q, but by %s", name, strings.Join(known[:len(Dimensions)+1], ", "))
		}
		if len(values) == 0 || len(values) > 100 {
			return fmt.Errorf("%s must be filtered by 1 to 100 values", name)
		}
	}
	if _, tagged := q.Where[TagDimension]; len(q.Where[TagDimension]) > 1 || tagged && slices.Contains(q.By, TagDimension) {
		return fmt.Errorf("only one tag can be asked for: a request with several would count several times")
	}
	if q.Limit <= 0 || q.Limit > MaxGroups {
		q.Limit = MaxGroups
	}
	q.Since, q.Until = q.Since.UTC().Truncate(time.Hour), q.Until.UTC().Add(time.Hour-1).Truncate(time.Hour)
	if !q.Since.Before(q.Until) {
		return fmt.Errorf("the period from %s to %s is empty", q.Since.Format(time.RFC3339), q.Until.Format(time.RFC3339))
	}
	return nil
}

// Row is the sums of one group.
type Row struct {
	Group       []string        `json:"group"` // in the order of Query.By; periods as 2026-11, 2026-11-21, 2026-11-21T16:00Z
	Requests    int64           `json:"requests"`
	Errors      int64           `json:"errors"`  // requests whose outcome was not ok, refused ones too
	Refused     int64           `json:"refused"` // by the gateway itself
	Hits        int64           `json:"cache_hits"`
	Attempts    int64           `json:"failed_attempts"`
	Input       int64           `json:"input_tokens"`
	CacheRead   int64           `json:"cache_read_tokens"`
	CacheWrite  int64           `json:"cache_write_tokens"`
	Output      int64           `json:"output_tokens"`
	Cost        config.MicroUSD `json:"cost_microusd"`
	Unpriced    int64           `json:"unpriced"` // requests and attempts whose cost is unknown: they are missing in the cost
	Estimated   int64           `json:"estimated"`
	SavedTokens int64           `json:"saved_tokens"`
	Saved       config.MicroUSD `json:"saved_microusd"`
	DurationUS  int64           `json:"duration_us"` // of all requests together
}

// Usage is the answer to a query.
type Usage struct {
	By        []string  `json:"by"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
	Rows      []Row     `json:"rows"` // the dearest first; ordered by the period where one is asked for
	Total     Row       `json:"total"`
	Truncated bool      `json:"truncated"` // there are more groups; Total is of those shown
}

// Charge is one row of the ledger as it is exported.
type Charge struct {
	Time         time.Time        `json:"time"`
	RequestID    string           `json:"request_id"`
	Attempt      int              `json:"attempt"` // from 1
	Final        bool             `json:"final"`   // the request's last attempt; else one that failed before it
	Organisation string           `json:"organisation,omitempty"`
	Tenant       string           `json:"tenant"`
	Team         string           `json:"team,omitempty"`
	User         string           `json:"user,omitempty"`
	Key          string           `json:"key"`
	Route        string           `json:"route"`
	Asked        string           `json:"asked,omitempty"`
	Model        string           `json:"model"`
	Provider     string           `json:"provider"`
	Cluster      string           `json:"cluster"`
	Endpoint     string           `json:"endpoint,omitempty"`
	Stream       bool             `json:"stream"`
	Cache        string           `json:"cache,omitempty"`
	Status       int              `json:"status"`
	Outcome      string           `json:"outcome"`
	Reason       string           `json:"reason,omitempty"`
	Input        int64            `json:"input_tokens"`
	CacheRead    int64            `json:"cache_read_tokens"`
	CacheWrite   int64            `json:"cache_write_tokens"`
	CacheWrite1h int64            `json:"cache_write_1h_tokens"`
	Output       int64            `json:"output_tokens"`
	Reasoning    int64            `json:"reasoning_tokens"`
	Estimated    bool             `json:"estimated"`
	Cost         *config.MicroUSD `json:"cost_microusd"` // null: unknown
	Price        string           `json:"price,omitempty"`
	DurationUS   int64            `json:"duration_us"`
	TTFTUS       int64            `json:"ttft_us,omitempty"`
	SavedTokens  int64            `json:"saved_tokens,omitempty"`
	Saved        config.MicroUSD  `json:"saved_microusd,omitempty"`
	Tags         []string         `json:"tags,omitempty"`
}

// Add adds another group's sums.
func (r *Row) Add(o *Row) {
	r.Requests += o.Requests
	r.Errors += o.Errors
	r.Refused += o.Refused
	r.Hits += o.Hits
	r.Attempts += o.Attempts
	r.Input += o.Input
	r.CacheRead += o.CacheRead
	r.CacheWrite += o.CacheWrite
	r.Output += o.Output
	r.Cost += o.Cost
	r.Unpriced += o.Unpriced
	r.Estimated += o.Estimated
	r.SavedTokens += o.SavedTokens
	r.Saved += o.Saved
	r.DurationUS += o.DurationUS
}

// Subtract takes another group's sums away.
func (r *Row) Subtract(o *Row) {
	r.Requests -= o.Requests
	r.Errors -= o.Errors
	r.Refused -= o.Refused
	r.Hits -= o.Hits
	r.Attempts -= o.Attempts
	r.Input -= o.Input
	r.CacheRead -= o.CacheRead
	r.CacheWrite -= o.CacheWrite
	r.Output -= o.Output
	r.Cost -= o.Cost
	r.Unpriced -= o.Unpriced
	r.Estimated -= o.Estimated
	r.SavedTokens -= o.SavedTokens
	r.Saved -= o.Saved
	r.DurationUS -= o.DurationUS
}
