package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dragoman/internal/ledger"
	"dragoman/internal/store/storetest"
)

// trail is entries in memory.
type trail struct{ entries []*ledger.Entry }

func (t trail) Entries(_ context.Context, each func(*ledger.Entry) error) error {
	sorted := slices.Clone(t.entries)
	slices.SortStableFunc(sorted, func(a, b *ledger.Entry) int {
		if a.Writer != b.Writer {
			return strings.Compare(a.Writer, b.Writer)
		}
		return int(a.Number) - int(b.Number)
	})
	for _, a := range sorted {
		if err := each(a); err != nil {
			return err
		}
	}
	return nil
}

func (t trail) Anchors(context.Context) (map[string]ledger.Head, error) { return nil, nil }

// chains are two starts of a gateway.
func chains() []*ledger.Entry {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	first, head := storetest.Chain("one", 5, ledger.Head{}, at)
	second, _ := storetest.Chain("two", 4, head, at.Add(time.Hour))
	var out []*ledger.Entry
	for _, n := range append(first, second...) {
		out = append(out, n.Entry)
	}
	return out
}

// TestTampering: whatever is done to the trail shows.
func TestTampering(t *testing.T) {
	whole, err := ledger.Verify(t.Context(), trail{chains()}, nil)
	if err != nil || len(whole.Faults) > 0 || whole.Chains != 2 || whole.Entries != 9 || len(whole.Heads) != 1 {
		t.Fatalf("%+v %v", whole, err)
	}
	for name, c := range map[string]struct {
		do   func(es []*ledger.Entry) []*ledger.Entry
		want string
	}{
		"changed":         {func(es []*ledger.Entry) []*ledger.Entry { es[2].Outcome = "ok"; return es }, "entry 3"},
		"another time":    {func(es []*ledger.Entry) []*ledger.Entry { es[2].Time = es[2].Time.Add(1000); return es }, "entry 3"},
		"removed":         {func(es []*ledger.Entry) []*ledger.Entry { return slices.Delete(es, 2, 3) }, "after entry 2 comes 4"},
		"first removed":   {func(es []*ledger.Entry) []*ledger.Entry { return es[1:] }, "after entry 0 comes 2"},
		"end cut off":     {func(es []*ledger.Entry) []*ledger.Entry { return slices.Delete(es, 4, 5) }, "entry 5, which the chain two names, is missing"},
		"chain removed":   {func(es []*ledger.Entry) []*ledger.Entry { return es[5:] }, "is missing"},
		"put in":          {func(es []*ledger.Entry) []*ledger.Entry { e := *es[2]; return slices.Insert(es, 3, &e) }, "after entry 3 comes 3"},
		"last cut off":    {func(es []*ledger.Entry) []*ledger.Entry { return es[:8] }, "the head that was expected"},
		"rewritten whole": {rewritten, "does not have the hash that the chain two names"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := ledger.Verify(t.Context(), trail{c.do(chains())}, whole.Heads)
			if err != nil || !strings.Contains(strings.Join(v.Faults, "\n"), c.want) {
				t.Errorf("%+v %v", v, err)
			}
		})
	}
	if _, err := ledger.Verify(t.Context(), trail{chains()}, []string{"nonsense"}); err == nil {
		t.Error("nonsense is expected")
	}
}

// rewritten changes an entry and makes its chain's hashes anew.
func rewritten(es []*ledger.Entry) []*ledger.Entry {
	es[1].Subject = "something else"
	var before [32]byte
	for _, a := range es[:5] {
		a.Hash = ledger.HashEntry(before, a)
		before = a.Hash
	}
	return es
}

func TestFaultsAreBounded(t *testing.T) {
	es := chains()
	var many []*ledger.Entry
	for i := range 500 {
		e := *es[1]
		e.Writer = fmt.Sprint("w", i)
		many = append(many, &e)
	}
	v, err := ledger.Verify(t.Context(), trail{many}, nil)
	if err != nil || len(v.Faults) != 100 || v.More < 400 {
		t.Errorf("%d faults and %d more, %v", len(v.Faults), v.More, err)
	}
}
