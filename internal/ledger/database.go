package ledger

import (
	"context"
	"fmt"
	"time"

	"dragoman/internal/config"
)

// Database is all that the ledger's databases can do.
type Database interface {
	Store
	Trail
	// Usage answers a query from the sums.
	Usage(ctx context.Context, q Query) (*Usage, error)
	// Spent is what a level has used since a moment.
	Spent(ctx context.Context, level Level, since time.Time) (Spent, error)
	// AuditPage lists entries of the audit trail, the newest first.
	AuditPage(ctx context.Context, f PageFilter) ([]*Entry, error)
	// Charges calls each with every request and every failed attempt of a period.
	Charges(ctx context.Context, since, until time.Time, each func(*Charge) error) error
	// Prices are the prices that charges were made with, by their version.
	Prices(ctx context.Context) (map[string]*config.Price, error)
	// Verify compares the sums with their rows, and costs with tokens and prices.
	Verify(ctx context.Context) (*Check, error)
	// Rebuild makes the sums anew from their rows, and says of how many days.
	Rebuild(ctx context.Context) (days int, err error)
	// Prune removes what has outlived its time, and says how many rows.
	Prune(ctx context.Context, now time.Time, r Retention) (removed int64, err error)
	// Close closes all connections.
	Close() error
}

// Retention says what is kept for how long; 0 keeps it for ever.
type Retention struct {
	Records time.Duration // requests and attempts
	Hours   time.Duration // sums by hour; those by day and month are kept for ever
	Audit   time.Duration
}

// Check is what comparing the sums with their rows came to.
type Check struct {
	Days     int      `json:"days"`     // compared; days before the oldest row have sums alone
	Rows     int64    `json:"rows"`     // requests and attempts
	Repriced int64    `json:"repriced"` // charges whose cost was made again from tokens and price
	Drift    int64    `json:"drift_microusd"`
	Faults   []string `json:"faults"` // at most 100
	More     int      `json:"more_faults,omitempty"`
}

// Fault notes one.
func (c *Check) Fault(format string, args ...any) {
	if len(c.Faults) == maxFaults {
		c.More++
		return
	}
	c.Faults = append(c.Faults, fmt.Sprintf(format, args...))
}
