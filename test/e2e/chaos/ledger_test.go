package chaos

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/ledger"
	"dragoman/internal/store/sqldb"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// The ledger is held against the providers request by request: what each of them served is in one row, and the tokens of that row are those
// that the provider reported, or are marked as an estimate where it could report nothing.

// served is one request as its provider saw it.
type served struct {
	fake          string
	at            time.Time
	status        int
	whole         bool  // the answer was complete, and said what it took
	input, output int64 // as it said
	delivered     int64 // output tokens that left
	row           bool  // it has its row
}

func (s *served) String() string {
	return fmt.Sprintf("{%s status %d whole %t input %d output %d delivered %d}", s.fake, s.status, s.whole, s.input, s.output, s.delivered)
}

// witness collects what the fakes have served: they themselves keep the latest requests alone.
type witness struct {
	mu    sync.Mutex
	next  map[string]int       // by fake: the first serial that was not collected yet
	asked map[string][]*served // by question
}

func newWitness() *witness { return &witness{next: map[string]int{}, asked: map[string][]*served{}} }

// run collects until ctx ends.
func (w *witness) run(ctx context.Context, g *harness.Gateway) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.collect(g)
		}
	}
}

// collect takes what has ended. A request that has not yet holds up those behind it, so that none is passed over.
func (w *witness) collect(g *harness.Gateway) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, fake := range g.Fakes {
		for _, r := range fake.Requests() {
			if r.Serial < w.next[name] {
				continue
			}
			if !r.Done {
				break
			}
			w.next[name] = r.Serial + 1
			if q := questionOf(r.Body); q != "" {
				w.asked[q] = append(w.asked[q], judged(name, r))
			}
		}
	}
}

var questions = regexp.MustCompile(`client \d+ asks question \d+ of many`)

func questionOf(body []byte) string { return string(questions.Find(body)) }

// judged reads what a provider has answered.
func judged(name string, r *fakeprovider.Request) *served {
	s := &served{fake: name, at: r.At, status: r.Status, delivered: r.Delivered}
	if r.Status != 200 || r.Aborted {
		return s
	}
	text := string(r.Response)
	if gjson.Valid(text) {
		s.usage(gjson.Get(text, "usage"))
		s.whole = gjson.Get(text, "usage").Exists()
		return s
	}
	for line := range strings.Lines(text) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !ok {
			continue
		}
		s.usage(gjson.Get(data, "message.usage"))
		s.usage(gjson.Get(data, "usage"))
		s.whole = s.whole || data == "[DONE]" || gjson.Get(data, "type").String() == "message_stop"
	}
	return s
}

func (s *served) usage(u gjson.Result) {
	for _, name := range []string{"prompt_tokens", "input_tokens"} {
		if n := u.Get(name); n.Exists() {
			s.input = n.Int()
		}
	}
	for _, name := range []string{"completion_tokens", "output_tokens"} {
		if n := u.Get(name); n.Exists() {
			s.output = n.Int()
		}
	}
}

// at says whether a row is of an attempt at this fake. An attempt that never reached a provider may name no cluster.
func (s *served) isOf(row *ledger.Charge) bool {
	endpoint := map[byte]string{'1': "/one", '2': "/two"}[s.fake[1]]
	return row.Provider == s.fake[:1] && (row.Cluster == "" || strings.Contains(row.Cluster, endpoint))
}

// rows are the ledger's, by request, in the order of attempts.
func rows(t *testing.T, g *harness.Gateway) map[string][]*ledger.Charge {
	t.Helper()
	db, err := sqldb.OpenSQLite(filepath.Join(g.Dir, "ledger", "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := map[string][]*ledger.Charge{}
	err = db.Charges(t.Context(), time.Now().Add(-24*time.Hour), time.Now().Add(time.Hour), func(c *ledger.Charge) error {
		row := *c
		all[c.RequestID] = append(all[c.RequestID], &row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b *ledger.Charge) int { return cmp.Compare(a.Attempt, b.Attempt) })
	}
	return all
}

// settled waits until the ledger has a final row of so many requests.
func settled(t *testing.T, g *harness.Gateway, requests int) map[string][]*ledger.Charge {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		all := rows(t, g)
		if len(all) >= requests || time.Now().After(deadline) {
			return all
		}
	}
}

// audit is what comes of the comparison.
type audit struct {
	requests, attempts, failed, exact, estimated int
	guessed, delivered                           int64 // output tokens of broken streams: in the ledger, and what had left their providers
	wrong                                        []string
}

func (a *audit) mismatch(format string, args ...any) {
	a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
}

// question compares one request's rows with what providers served for it.
func (a *audit) question(q, id string, list []*ledger.Charge, by []*served) {
	a.requests++
	finals := 0
	for i, row := range list {
		a.attempts++
		if row.Final {
			finals++
		} else {
			a.failed++
		}
		if i > 0 && row.Attempt == list[i-1].Attempt {
			a.mismatch("%s (%s): two rows of attempt %d", q, id, row.Attempt)
		}
		for _, s := range by {
			if !s.row && s.isOf(row) {
				s.row = true
				a.pair(q, row, s)
				break
			}
		}
	}
	if finals != 1 {
		a.mismatch("%s (%s): %d final rows of %d", q, id, finals, len(list))
	}
	for _, s := range by {
		if !s.row {
			a.mismatch("%s (%s): served and in no row: %v; rows %s", q, id, s, texts(list))
		}
	}
}

// pair compares one attempt with its row.
func (a *audit) pair(q string, row *ledger.Charge, s *served) {
	input := row.Input + row.CacheRead + row.CacheWrite
	switch {
	case s.whole && row.Final && row.Outcome == "ok":
		a.exact++
		if row.Estimated || row.Output != s.output || input != s.input {
			a.mismatch("%s: %s of the whole answer %v", q, texts([]*ledger.Charge{row}), s)
		}
	case s.whole:
		a.mismatch("%s: a whole answer %v is booked as %s", q, s, texts([]*ledger.Charge{row}))
	case s.status == 200 && s.delivered > 0 && row.Final && row.Stream:
		a.estimated++
		a.guessed += row.Output
		a.delivered += s.delivered
		if !row.Estimated || row.Outcome == "ok" || row.Output == 0 {
			a.mismatch("%s: %s of the broken stream %v", q, texts([]*ledger.Charge{row}), s)
		}
	case row.Output > s.delivered && !row.Estimated:
		a.mismatch("%s: %s of a failed attempt %v", q, texts([]*ledger.Charge{row}), s)
	}
}

func texts(list []*ledger.Charge) string {
	var b strings.Builder
	for _, r := range list {
		fmt.Fprintf(&b, "[%d final %t %s %s status %d in %d out %d estimated %t]", r.Attempt, r.Final, r.Cluster, r.Outcome, r.Status, r.Input+r.CacheRead+r.CacheWrite, r.Output, r.Estimated)
	}
	return b.String()
}

// wantLedger holds every request against the ledger. ids are the gateway's ids of the questions, as clients were told.
func wantLedger(t *testing.T, g *harness.Gateway, w *witness, tallies ...*tally) {
	t.Helper()
	w.collect(g)
	ids, requests := map[string]string{}, 0
	for _, s := range tallies {
		requests += int(s.requests)
		for q, id := range s.ids {
			ids[q] = id
		}
	}
	all := settled(t, g, requests)
	a := &audit{}
	for q, id := range ids {
		if len(all[id]) == 0 {
			a.mismatch("%s (%s): no row", q, id)
		}
		a.question(q, id, all[id], w.asked[q])
		delete(all, id)
		delete(w.asked, q)
	}
	// Of a request whose client got no headers nobody knows the id: their number is what can be compared.
	if untold := requests - len(ids); len(all) != untold {
		a.mismatch("%d requests of the ledger were told to no client, %d clients were told of none", len(all), untold)
	}
	if len(w.asked) > requests-len(ids) {
		a.mismatch("%d questions were served of which no client was told, want at most %d", len(w.asked), requests-len(ids))
	}
	t.Logf("ledger: %d requests in %d rows, %d of them of failed attempts; %d whole answers exact, %d broken streams estimated (%d output tokens of %d that had left); %d mismatches",
		a.requests, a.attempts, a.failed, a.exact, a.estimated, a.guessed, a.delivered, len(a.wrong))
	for _, text := range a.wrong[:min(len(a.wrong), 10)] {
		t.Error(text)
	}
	if a.exact == 0 || a.failed == 0 {
		t.Errorf("nothing was compared: %+v", a)
	}
}
