package semantic

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"dragoman/processor/cache"
)

// Entry is a question that was answered. It holds no answer: that is in the exact tier, under Key.
type Entry struct {
	ID        string    // see NewID
	Group     string    // of entries that an index may keep together; see NewGroup
	Partition cache.Key // what a question must have in common with it, beside its text
	Text      string    // as the client wrote it
	Vector    []float32 // of length 1
	Key       cache.Key // of the answer
	Tenant    string    // whose request it was
	Asked     string    // the model as it was asked for
	Model     string    // that answered
	Provider  string
	Exchange  string // id of the request that made it
	Stored    time.Time
	Threshold float64 // of its own: less similar questions are not answered by it; 0 without
}

// Candidate is an entry that is alike.
type Candidate struct {
	Entry      *Entry // shared: not to be written to
	Similarity float64
}

// Wanted are the entries of a partition whose vectors are at least so similar, and no less than their own thresholds.
type Wanted struct {
	Group     string
	Partition cache.Key
	Vector    []float32 // of length 1
	Least     float64
	Limit     int
}

// Index finds entries by vector. Implementations are safe for concurrent use and bounded; entries end after their time.
type Index interface {
	cache.Admin
	// Search finds what is wanted, the most similar first.
	Search(ctx context.Context, w Wanted) ([]Candidate, error)
	// Add keeps an entry, in the place of one with the same ID.
	Add(ctx context.Context, e *Entry) error
	// Remove forgets an entry whose answer is gone.
	Remove(ctx context.Context, id string) error
	// Served notes that an entry answered a question of this similarity, so that Feedback knows above what to raise its threshold.
	Served(ctx context.Context, id string, similarity float64) error
}

// groupHex is how many hex digits of an ID are its group.
const groupHex = 8

// NewGroup is the group of a tenant's entries, or of a scope's: hex digits, the same in every replica.
func NewGroup(p cache.Partition) string {
	owner := "tenant\x00" + p.Tenant
	if p.Scope != "" {
		owner = "scope\x00" + p.Scope
	}
	sum := sha256.Sum256([]byte(owner))
	return hex.EncodeToString(sum[:])[:groupHex]
}

// NewID names the entry of an answer in a partition: 40 hex digits, of which the first 8 are its group. It is no key of the
// exact tier's.
func NewID(group string, partition, key cache.Key) string {
	h := sha256.New()
	h.Write(partition.Bytes())
	h.Write(key.Bytes())
	return group + hex.EncodeToString(h.Sum(nil))[:32]
}

// IDGroup is the group of an ID; false for what is none.
func IDGroup(id string) (string, bool) {
	if len(id) != groupHex+32 {
		return "", false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return id[:groupHex], true
}

// raise is how far above the similarity of a wrong hit an entry's threshold goes.
const raise = 0.005

// Raised is an entry's threshold after a hit of this similarity was wrong. 0 means that nothing is known of the hit: then nothing may
// be answered any more but what is as good as the same.
func Raised(threshold, served float64) float64 {
	if served <= 0 {
		served = 1 - raise
	}
	return max(threshold, served+raise)
}

// Best sorts candidates, the most similar first, and keeps at most limit.
func Best(cs *[]Candidate, limit int) {
	slices.SortStableFunc(*cs, func(a, b Candidate) int { return cmp.Compare(b.Similarity, a.Similarity) })
	*cs = (*cs)[:min(len(*cs), limit)]
}
