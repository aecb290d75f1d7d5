package ledger

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Trail is where the audit trail is kept.
type Trail interface {
	// Entries calls each with every entry, chain by chain in the order of their numbers.
	Entries(ctx context.Context, each func(*Entry) error) error
	// Anchors are where chains begin whose oldest entries have outlived their time.
	Anchors(ctx context.Context) (map[string]Head, error)
}

// Verdict is what verifying an audit trail came to.
type Verdict struct {
	Chains  int      `json:"chains"` // one for each start of each gateway
	Entries uint64   `json:"entries"`
	Pruned  uint64   `json:"pruned"` // entries that have outlived ledger.retention.audit
	Heads   []string `json:"heads"`  // ends of chains that no later one names: WRITER:NUMBER:HASH. Kept elsewhere, they show later that nothing was cut off
	Faults  []string `json:"faults"` // at most 100
	More    int      `json:"more_faults,omitempty"`
}

// maxFaults bounds a verdict.
const maxFaults = 100

func (v *Verdict) fault(format string, args ...any) {
	if len(v.Faults) == maxFaults {
		v.More++
		return
	}
	v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
}

// Verify recomputes every hash: an entry that was changed, removed or put in breaks its chain. Removing the end of a chain shows when a later
// chain, or one of expected (heads of an earlier verdict), names it.
func Verify(ctx context.Context, t Trail, expected []string) (*Verdict, error) {
	anchors, err := t.Anchors(ctx)
	if err != nil {
		return nil, err
	}
	v := &Verdict{}
	chains := map[string]Head{}
	claims := map[string]claim{} // by "writer number"
	for _, e := range expected {
		parts := strings.Split(e, ":")
		if len(parts) != 3 {
			return nil, fmt.Errorf("%q is no head: write WRITER:NUMBER:HASH, as an earlier verification printed it", e)
		}
		claims[parts[0]+" "+parts[1]] = claim{parts[2], "the head that was expected"}
	}
	var head Head
	err = t.Entries(ctx, func(a *Entry) error {
		if head.Writer != a.Writer {
			head = Head{Writer: a.Writer}
			if h, ok := anchors[a.Writer]; ok {
				head = h
				v.Pruned += h.Number
			}
			v.Chains++
		}
		v.Entries++
		follow(v, &head, a)
		if a.Action == ChainStart && a.Number == 1 && a.Subject != "" {
			number, hash, _ := strings.Cut(a.Detail, " ")
			claims[a.Subject+" "+number] = claim{hash, "the chain " + a.Writer}
		}
		chains[a.Writer] = head
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v, v.ends(ctx, t, chains, anchors, claims)
}

// claim is a hash that an entry should have, and who says so.
type claim struct{ hash, by string }

func where(h Head) string { return h.Writer + " " + strconv.FormatUint(h.Number, 10) }

// follow checks that an entry follows its chain's head, and moves the head.
func follow(v *Verdict, head *Head, a *Entry) {
	switch {
	case a.Number != head.Number+1:
		v.fault("chain %s: after entry %d comes %d: what was between is missing", a.Writer, head.Number, a.Number)
	case HashEntry(head.Hash, a) != a.Hash:
		v.fault("chain %s: entry %d of %s (%s %s) does not have the hash of what it says, or of the entry before it", a.Writer, a.Number,
			a.Time.Format("2006-01-02T15:04:05Z"), a.Action, a.Subject)
	}
	*head = Head{Writer: a.Writer, Number: a.Number, Hash: a.Hash}
}

// ends checks what others say of the chains' ends.
func (v *Verdict) ends(ctx context.Context, t Trail, chains, anchors map[string]Head, claims map[string]claim) error {
	found := map[string]string{}
	for _, h := range chains {
		found[where(h)] = hex.EncodeToString(h.Hash[:])
	}
	for _, h := range anchors {
		found[where(h)] = hex.EncodeToString(h.Hash[:])
	}
	// A claim about an entry that is not an end: the power was lost after it was stored and before it was on the log's disk.
	rest := map[string]bool{}
	for k := range claims {
		if _, ok := found[k]; !ok {
			rest[k] = true
		}
	}
	if len(rest) > 0 {
		err := t.Entries(ctx, func(a *Entry) error {
			h := Head{Writer: a.Writer, Number: a.Number, Hash: a.Hash}
			if rest[where(h)] {
				found[where(h)] = hex.EncodeToString(h.Hash[:])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for k, c := range claims {
		writer, number, _ := strings.Cut(k, " ")
		n, _ := strconv.ParseUint(number, 10, 64)
		switch hash, ok := found[k]; {
		case !ok && anchors[writer].Number > n: // it has outlived its time
		case !ok:
			v.fault("chain %s: entry %s, which %s names, is missing", writer, number, c.by)
		case hash != c.hash:
			v.fault("chain %s: entry %s does not have the hash that %s names", writer, number, c.by)
		}
	}
	slices.Sort(v.Faults)
	for _, h := range chains {
		if _, ok := claims[where(h)]; !ok {
			v.Heads = append(v.Heads, fmt.Sprintf("%s:%d:%x", h.Writer, h.Number, h.Hash))
		}
	}
	slices.Sort(v.Heads)
	return nil
}
