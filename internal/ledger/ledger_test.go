package ledger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dragoman/internal/fault"
	"dragoman/internal/ledger"
	"dragoman/internal/ledger/wal"
	"dragoman/internal/store/sqldb"
	"dragoman/internal/store/storetest"
	"dragoman/processor/account"
	"dragoman/test/postgres"
	"dragoman/translate/chat"
)

// patient is how long tests wait for what is to happen: no machine is too busy for that.
const patient = 30 * time.Second

// TestMain is also the process that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LEDGER_TEST_WRITER"); dir != "" {
		writeUntilKilled(dir)
		return
	}
	os.Exit(m.Run())
}

// memory is a database that keeps what it is given, and can be away.
type memory struct {
	mu      sync.Mutex
	away    bool
	records map[string]*account.Record
	entries []*ledger.Entry
	batches int
	through map[string]uint64
}

func newMemory() *memory {
	return &memory{records: map[string]*account.Record{}, through: map[string]uint64{}}
}

func (m *memory) Apply(_ context.Context, b *ledger.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errors.New("away")
	}
	m.batches++
	for _, n := range b.Records {
		if n.Number > m.through[b.Writer] {
			r := *n.Record // which is used again
			m.records[r.ID] = &r
		}
	}
	for _, n := range b.Entries {
		if n.Number > m.through[b.Writer] {
			m.entries = append(m.entries, n.Entry)
		}
	}
	m.through[b.Writer] = b.Through
	return nil
}

func (m *memory) setAway(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.records)
}

func openLedger(t testing.TB, o ledger.Options) *ledger.Ledger {
	t.Helper()
	if o.WAL.Dir == "" {
		o.WAL.Dir = t.TempDir()
	}
	if o.Interval == 0 {
		o.Interval = 5 * time.Millisecond
	}
	l, err := ledger.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(canceled()) })
	return l
}

// canceled is for a Close that waits for nothing.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func flush(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patient)
	defer cancel()
	if err := l.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsReachTheDatabaseAsTheyWere(t *testing.T) {
	m, b := newMemory(), storetest.NewBook(1)
	l := openLedger(t, ledger.Options{Store: m})
	for _, r := range b.Fill(500, time.Now().Add(-time.Hour), time.Now()) {
		l.Begin(r)
		l.Record(r)
	}
	flush(t, l)
	for _, want := range b.Records {
		if got := m.records[want.ID]; !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, want)
		}
	}
	if s := l.Status(); s.Recorded != 500 || s.Unrecorded != 0 || s.Down || s.LagTime != 0 {
		t.Errorf("%+v", s)
	}
}

// TestHostileText: what a client or a provider made up is taken by every database, and bounded.
func TestHostileText(t *testing.T) {
	m := newMemory()
	l := openLedger(t, ledger.Options{Store: m})
	r := &account.Record{ID: "id", Time: time.Now(), Tenant: "a\x00b", Asked: "\xff\xfe" + strings.Repeat("ü", 5000), Route: strings.Repeat("x", 1<<20), Outcome: "ok",
		Usage: chat.Usage{Input: 1 << 62, Output: -5}, Cost: 1 << 62, Priced: true, Duration: -time.Hour, Tags: make([]string, 1000), Failed: make([]account.Attempt, 1000), Status: -1}
	l.Record(r)
	l.Audit(ledger.Entry{Action: "\x00\xff", Subject: strings.Repeat("\xff", 1000), Detail: strings.Repeat("ü", 150)})
	flush(t, l)
	got := m.records["id"]
	if got == nil {
		t.Fatal("it is lost")
	}
	if got.Tenant != "a\uFFFDb" || !strings.HasPrefix(got.Asked, "\uFFFDüü") || len(got.Asked) > 210 || len(got.Route) != 200 || got.Usage.Input > 1e10 || got.Usage.Output != 0 ||
		got.Cost > 1e12 || got.Duration != 0 || len(got.Tags) != 16 || len(got.Failed) != 16 || got.Status != 0 {
		t.Errorf("%+v", got)
	}
	if v, err := ledger.Verify(t.Context(), trail{m.entries}, nil); err != nil || len(v.Faults) > 0 || v.Entries != 2 {
		t.Errorf("%+v %v", v, err)
	}
}

// TestTheClockGoesBack: the order of records is the log's, whatever their times.
func TestTheClockGoesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	db, err := sqldb.OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var now atomic.Int64
	now.Store(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).Unix())
	l := openLedger(t, ledger.Options{Store: db, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	b := storetest.NewBook(5)
	for i := range 300 {
		at := time.Unix(now.Add(-3600+int64(i%7)*1000), 0)
		if i == 150 {
			at = time.Unix(0, 0) // a clock without a battery
		}
		l.Record(b.Record(at))
		l.Audit(ledger.Entry{Action: "test"})
		if i%50 == 0 {
			flush(t, l)
		}
	}
	flush(t, l)
	u, err := db.Usage(t.Context(), ledger.Query{Since: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil || u.Total.Requests != 300 {
		t.Errorf("%+v %v", u.Total, err)
	}
	if v, err := ledger.Verify(t.Context(), db, nil); err != nil || len(v.Faults) > 0 || v.Entries < 301 {
		t.Errorf("%+v %v", v, err)
	}
}

// TestC7_a_database_that_is_away_loses_nothing, neither over a restart.
func TestC7_a_database_that_is_away_loses_nothing(t *testing.T) {
	m, b, dir := newMemory(), storetest.NewBook(2), t.TempDir()
	m.away = true
	now := time.Now().Add(time.Minute)
	for i := range 3 {
		l := openLedger(t, ledger.Options{WAL: wal.Options{Dir: dir, Segment: 16 << 10}, Store: m, Now: func() time.Time { return now }})
		for _, r := range b.Fill(300, time.Now().Add(-time.Hour), time.Now()) {
			l.Record(r)
		}
		// The entry of the start may be tried before the older records are there.
		lags := func(s ledger.Status) bool { return s.Down && s.LagTime >= time.Minute }
		for deadline := time.Now().Add(patient); !lags(l.Status()) && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		}
		if s := l.Status(); !lags(s) || s.Failures == 0 || s.Unrecorded > 0 {
			t.Fatalf("%+v", s)
		}
		if i == 2 {
			m.setAway(false)
			for deadline := time.Now().Add(patient); m.count() < 900 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			}
			flush(t, l)
		}
		if err := l.Close(canceled()); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if m.count() != 900 {
		t.Errorf("%d of 900 records", m.count())
	}
	if v, err := ledger.Verify(t.Context(), trail{m.entries}, nil); err != nil || len(v.Faults) > 0 || v.Chains != 3 || len(v.Heads) != 1 {
		t.Errorf("%+v %v", v, err)
	}
}

// TestFull: the policy decides what becomes of requests, and what is not recorded is counted.
func TestFull(t *testing.T) {
	for _, refuse := range []bool{true, false} {
		m, b := newMemory(), storetest.NewBook(3)
		m.away = true
		l := openLedger(t, ledger.Options{WAL: wal.Options{Segment: 8 << 10, MaxBytes: 64 << 10, Sync: 10 * time.Millisecond, Wait: patient}, Store: m, Refuse: refuse})
		refusedAt := 0
		for i := range 1000 {
			var f *fault.Fault
			if err := l.Ready(); errors.As(err, &f) {
				if f.Kind != fault.Unavailable || f.Code != "ledger_full" || f.RetryAfter == 0 {
					t.Fatalf("%+v", f)
				}
				refusedAt = i
				break
			}
			l.Record(b.Record(time.Now()))
		}
		s := l.Status()
		if refuse && (refusedAt == 0 || s.Unrecorded > 0 || !s.Full) || !refuse && (refusedAt != 0 || s.Unrecorded == 0 || s.Recorded+s.Unrecorded < 1000) {
			t.Errorf("refuse %v: at %d, %+v", refuse, refusedAt, s)
		}
		if refuse { // those that had begun are recorded
			for range 20 {
				l.Record(b.Record(time.Now()))
			}
			if s := l.Status(); s.Unrecorded > 0 {
				t.Errorf("%+v", s)
			}
		}
		m.setAway(false)
		for deadline := time.Now().Add(patient); l.Status().Full && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		}
		flush(t, l)
		for deadline := time.Now().Add(patient); l.Ready() != nil && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		}
		if err := l.Ready(); err != nil || uint64(m.count()) != l.Status().Recorded {
			t.Errorf("%v, %d of %d", err, m.count(), l.Status().Recorded)
		}
	}
}

// TestDiskFull: a file system without room is a full log, and no crash: blocks are there before they are written to.
func TestDiskFull(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Log("needs a file system of its own: only root on Linux can mount one; the bound of the log (TestFull) takes the same way")
		return
	}
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=300k"); err != nil {
		t.Logf("no file system of its own can be mounted here (%v)", err)
		return
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	m, b := newMemory(), storetest.NewBook(4)
	m.away = true
	l := openLedger(t, ledger.Options{WAL: wal.Options{Dir: filepath.Join(dir, "log"), Segment: 64 << 10, Sync: 10 * time.Millisecond, Wait: patient}, Store: m, Refuse: true})
	n := 0
	for l.Ready() == nil && n < 10_000 {
		l.Record(b.Record(time.Now()))
		n++
	}
	if n < 500 || n == 10_000 {
		t.Errorf("it takes %d records", n)
	}
	m.setAway(false)
	ready := func() {
		for deadline := time.Now().Add(patient); l.Ready() != nil && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		}
	}
	ready()
	l.Record(b.Record(time.Now()))
	flush(t, l)
	ready() // the room that this made is found at the log's next look
	if s := l.Status(); uint64(m.count()) != s.Recorded || l.Ready() != nil {
		t.Errorf("%d, %+v", m.count(), s)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// writeUntilKilled begins and ends requests, and says of each when the ledger has it.
func writeUntilKilled(dir string) {
	db, err := sqldb.OpenSQLite(filepath.Join(dir, "ledger.db"))
	if err != nil {
		panic(err)
	}
	l, err := ledger.Open(ledger.Options{WAL: wal.Options{Dir: filepath.Join(dir, "log"), Segment: 64 << 10}, Store: db, Interval: 3 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		r := &account.Record{ID: fmt.Sprintf("%d-%d", os.Getpid(), i), Time: time.Now(), Tenant: "acme", Key: "ci", Outcome: "ok", Usage: chat.Usage{Known: true, Input: 7, Output: 3}, Priced: true}
		l.Begin(r)
		fmt.Println("begun", r.ID)
		if i%10 == 9 {
			continue // it stays under way
		}
		l.Record(r)
		fmt.Println("ended", r.ID)
		if i%100 == 50 {
			l.Audit(ledger.Entry{Action: "test", Subject: r.ID})
		}
	}
}

// TestKill: kill -9 loses no record of which the ledger has returned, and what was under way is recorded as such.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	begun, ended := map[string]bool{}, map[string]bool{}
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "LEDGER_TEST_WRITER="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if what, id, ok := strings.Cut(lines.Text(), " "); ok && what == "begun" {
				begun[id] = true
			} else if what == "ended" {
				ended[id] = true
			}
			if n == 3000*(round+1) {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
	}
	db, err := sqldb.OpenSQLite(filepath.Join(dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := openLedger(t, ledger.Options{WAL: wal.Options{Dir: filepath.Join(dir, "log"), Segment: 64 << 10}, Store: db})
	flush(t, l)
	outcomes := map[string]string{}
	err = db.Charges(t.Context(), time.Unix(0, 0), time.Now().Add(time.Hour), func(c *ledger.Charge) error {
		if outcomes[c.RequestID] != "" {
			t.Errorf("%s is there twice", c.RequestID)
		}
		outcomes[c.RequestID] = c.Outcome
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range begun {
		switch got := outcomes[id]; {
		case ended[id] && got != "ok":
			t.Errorf("%s had ended, and the ledger has %q", id, got)
		case got == "":
			t.Errorf("%s had begun, and the ledger does not know it", id)
		}
	}
	// One that ended in the moment of the kill may have been recorded and not said.
	if lost := len(outcomes) - len(begun); lost < 0 || lost > 4 {
		t.Errorf("%d requests, %d begun", len(outcomes), len(begun))
	}
	u, err := db.Usage(t.Context(), ledger.Query{Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)})
	if err != nil || u.Total.Requests != int64(len(outcomes)) || u.Total.Input != 7*u.Total.Requests {
		t.Errorf("%+v for %d, %v", u.Total, len(outcomes), err)
	}
	if v, err := ledger.Verify(t.Context(), db, nil); err != nil || len(v.Faults) > 0 || v.Chains != 5 || len(v.Heads) != 1 {
		t.Errorf("%+v %v", v, err)
	}
	if c, err := db.Verify(t.Context()); err != nil || len(c.Faults) > 0 {
		t.Errorf("%+v %v", c, err)
	}
}

// TestPostgresStopsUnderLoad: stopped, killed and frozen while requests go on; afterwards nothing is lost or counted twice.
func TestPostgresStopsUnderLoad(t *testing.T) {
	server := postgres.Start(t)
	db, err := sqldb.OpenPostgres(server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := openLedger(t, ledger.Options{WAL: wal.Options{Segment: 256 << 10}, Store: db, Interval: 10 * time.Millisecond, Timeout: time.Second, Refuse: true})
	b := storetest.NewBook(6)
	stop, done := make(chan struct{}), make(chan struct{})
	const frozen = 4 * time.Second // longer than a busy machine lets anybody wait for a processor
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				begin := time.Now()
				r := b.Record(time.Now())
				l.Begin(r)
				l.Record(r)
				if took := time.Since(begin); took > frozen-500*time.Millisecond {
					t.Errorf("a request waited %v for the database", took)
				}
				time.Sleep(300 * time.Microsecond)
			}
		}
	}()
	pause := func(d time.Duration) { time.Sleep(d) }
	pause(500 * time.Millisecond)
	server.Stop()
	away := func(s ledger.Status) bool { return s.Down && s.LagTime > 0 }
	for deadline := time.Now().Add(patient); !away(l.Status()) && time.Now().Before(deadline); {
		pause(10 * time.Millisecond)
	}
	if s := l.Status(); !away(s) {
		t.Errorf("while it is stopped: %+v", s)
	}
	pause(time.Second)
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	pause(500 * time.Millisecond)
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	pause(frozen)
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	pause(500 * time.Millisecond)
	close(stop)
	<-done
	for deadline := time.Now().Add(4 * patient); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err = l.Flush(ctx)
		cancel()
		if err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	want := storetest.Sum(b.Records, func(*account.Record, string, string, time.Time) bool { return true })
	u, err := db.Usage(t.Context(), ledger.Query{Since: time.Now().Add(-2 * time.Hour), Until: time.Now().Add(time.Hour)})
	if err != nil || u.Total.Requests != want.Requests || u.Total.Cost != want.Cost || u.Total.Input != want.Input || u.Total.Attempts != want.Attempts {
		t.Errorf("%+v\nwant\n%+v, %v", u.Total, want, err)
	}
	if c, err := db.Verify(t.Context()); err != nil || len(c.Faults) > 0 {
		t.Errorf("%+v %v", c, err)
	}
	if s := l.Status(); s.Unrecorded > 0 || s.Failures == 0 || s.Down {
		t.Errorf("%+v", s)
	}
}

// TestFlood: whoever has no key cannot fill the ledger.
func TestFlood(t *testing.T) {
	m := newMemory()
	at := time.Now().Truncate(time.Second)
	l := openLedger(t, ledger.Options{Store: m, Now: func() time.Time { return at }})
	for i := range 5000 {
		l.Record(&account.Record{ID: fmt.Sprint(i), Time: at, Endpoint: "/v1/messages", Outcome: "unauthenticated", Refused: true})
	}
	l.Record(&account.Record{ID: "known", Time: at, Tenant: "acme", Outcome: "rate_limited", Refused: true, Reason: "x"})
	flush(t, l)
	told, known := uint64(0), 0
	for _, a := range m.entries {
		if a.Outcome == "unauthenticated" {
			told += max(1, a.Count)
		}
		if a.RequestID == "known" && a.Detail == "x" && a.Tenant == "acme" {
			known++
		}
	}
	if m.count() > 20 || len(m.entries) > 30 || told != 5000 || known != 1 {
		t.Errorf("%d records, %d entries for %d refusals, %d", m.count(), len(m.entries), told, known)
	}
}

// discard takes everything and keeps nothing.
type discard struct{}

func (discard) Apply(context.Context, *ledger.Batch) error { return nil }

// BenchmarkDrain is what reading a record back costs, off the request path.
func BenchmarkDrain(b *testing.B) {
	l := openLedger(b, ledger.Options{WAL: wal.Options{Dir: b.TempDir(), MaxBytes: 8 << 30}, Store: discard{}, Interval: time.Hour})
	r := storetest.NewBook(9).Record(time.Now())
	r.Refused, r.Failed = false, nil
	for range b.N {
		l.Record(r)
	}
	b.ReportAllocs()
	b.ResetTimer()
	flush(b, l)
}

// BenchmarkRequest is what a request pays: Begin and Record, with a record such as requests have.
func BenchmarkRequest(b *testing.B) {
	l := openLedger(b, ledger.Options{WAL: wal.Options{Dir: b.TempDir(), MaxBytes: 8 << 30}, Store: discard{}, Interval: time.Hour}) // what stores is measured by itself
	r := storetest.NewBook(9).Record(time.Now())
	r.Refused, r.Failed = false, nil
	b.ReportAllocs()
	for b.Loop() {
		l.Begin(r)
		l.Record(r)
	}
	if s := l.Status(); s.Unrecorded > 0 {
		b.Errorf("%+v", s)
	}
}
