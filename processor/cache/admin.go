package cache

import (
	"context"
	"time"
)

// Admin is what an operator may do with a tier's entries. Every tier of the cache implements it.
type Admin interface {
	// Purge removes every entry that the filter matches, and says how many they were.
	Purge(ctx context.Context, f Filter) (removed int, err error)
	// Feedback says that the answer of an entry was wrong, or right. found is false when the tier has no such entry.
	Feedback(ctx context.Context, key string, wrong bool) (found bool, err error)
}

// Filter names the entries to purge: those for which all that is set holds. The zero value matches all.
type Filter struct {
	Key       string        // the entry, as x-dragoman-cache-entry names it
	Tenant    string        // whose request made it
	Model     string        // as asked for, or of the catalogue
	OlderThan time.Duration // stored at least so long ago
}

// Matches holds the filter, but for Key, against an entry's provenance.
func (f Filter) Matches(tenant, asked, model string, age time.Duration) bool {
	return (f.Tenant == "" || f.Tenant == tenant) && (f.Model == "" || f.Model == asked || f.Model == model) && age >= f.OlderThan
}
