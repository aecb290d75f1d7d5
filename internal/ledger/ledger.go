// Package ledger keeps what every request and every attempt cost, and the audit trail: append-only, through a write-ahead log on
// disk, into a database, exactly once. Nothing of a request waits for the database; a database that is away loses nothing.
//
// What a crash can take: nothing that Record, Begin or Audit has returned for when the process dies (kill -9, a panic), because the log is
// memory that the kernel owns; at most the last wal.Options.Sync (1 s) when the machine loses power. A request that had begun and not
// ended when the process died is recorded at the next start with the outcome Crashed and what is known of it.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/ledger/wal"
	"dragoman/processor/account"
)

// Crashed is the outcome of a request that was under way when the process died.
const Crashed = "crashed"

// Batch is what goes into the database in one transaction.
type Batch struct {
	Writer   string // whose records these are
	Through  uint64 // number of its last record; those up to a number that was stored before are not stored again
	First    uint64
	Records  []Numbered
	Entries  []Numbered
	Prices   map[string]*config.Price // that the records were made with, by PriceVersion
	Received time.Time
}

// Numbered is a record or an entry with its number in the log; one of the two is set.
type Numbered struct {
	Number uint64
	Record *account.Record
	Entry  *Entry
}

// Store is the database.
type Store interface {
	// Apply stores a batch whole or not at all, each record once however often it comes. It keeps nothing of it but texts, tags and prices:
	// records are used again.
	Apply(ctx context.Context, b *Batch) error
}

// Options of a ledger. WAL.Dir and Store are required.
type Options struct {
	WAL      wal.Options
	Store    Store
	Refuse   bool             // no request begins while the log is full; else it is served and counted as unrecorded
	Interval time.Duration    // between two transactions while little happens, default 500ms
	Timeout  time.Duration    // of one transaction, default 30s
	Log      *slog.Logger     // default none
	Now      func() time.Time // default time.Now
}

// maxBatch is how many records one transaction takes.
const maxBatch = 2000

// Ledger is an open ledger. It is an account.Ledger.
type Ledger struct {
	o   Options
	wal *wal.Log

	openMu sync.Mutex
	open   map[string]uint64 // requests under way: a number that their Begin has at least

	chainMu sync.Mutex
	head    Head
	anon    flood

	recorded, unrecorded, stored, entries, failures, broken, torn atomic.Uint64
	oldest                                                        atomic.Int64 // when the oldest of them was made (Unix ns), 0 for none
	down                                                          atomic.Bool  // the last transaction failed

	buffers sync.Pool
	flush   chan chan error
	ctx     context.Context // of what run does
	stop    context.CancelFunc
	done    chan struct{}
}

// Open opens a ledger, takes up what an earlier process left in the log, and starts to store.
func Open(o Options) (*Ledger, error) {
	if o.Interval <= 0 {
		o.Interval = 500 * time.Millisecond
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Ledger{o: o, open: make(map[string]uint64), flush: make(chan chan error), done: make(chan struct{})}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.buffers.New = func() any { return &encoder{b: make([]byte, 0, 1024)} }
	o.WAL.Report = l.walChanged
	var err error
	if l.wal, err = wal.Open(o.WAL); err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	l.takeUp()
	go l.run()
	return l, nil
}

// walChanged tells operators what became of the log.
func (l *Ledger) walChanged(err error) {
	if err != nil {
		l.o.Log.Error("the ledger's log is full, or its disk has failed", "error", err, "requests_are_refused", l.o.Refuse)
		return
	}
	l.o.Log.Info("the ledger's log is well again")
}

// Ready is fault.Unavailable while the log has no room for new requests and the policy is to refuse them.
func (l *Ledger) Ready() error {
	if !l.o.Refuse || !l.wal.Tight() {
		return nil
	}
	f := fault.New(fault.Unavailable, "The gateway cannot record what requests cost: the ledger's log is full because its database has not taken records for long, or the disk is full. Requests are refused until it can (ledger.on_full).")
	f.Code, f.RetryAfter = "ledger_full", 30*time.Second
	return f
}

// Begin notes that a request goes to its first provider: should the process die, the next one records it as Crashed.
func (l *Ledger) Begin(r *account.Record) {
	l.openMu.Lock()
	l.open[r.ID] = l.wal.Next()
	l.openMu.Unlock()
	l.append(kindBegin, r)
}

// Record takes a finished request. It returns within microseconds, but at the end of a log segment, where it may wait for the disk for
// a second. A record that finds no room is counted, and said.
func (l *Ledger) Record(r *account.Record) {
	if r.Refused && r.Tenant == "" && !l.takesAnonymous(r) {
		return
	}
	l.append(kindRequest, r)
	if r.Refused {
		l.Audit(Entry{Action: "request", Outcome: r.Outcome, Organisation: r.Organisation, Tenant: r.Tenant, Team: r.Team, User: r.User,
			Key: r.Key, Subject: r.Endpoint, Detail: r.Reason, RequestID: r.ID})
	}
	l.openMu.Lock()
	delete(l.open, r.ID)
	l.openMu.Unlock()
}

func (l *Ledger) takesAnonymous(r *account.Record) bool {
	l.chainMu.Lock()
	defer l.chainMu.Unlock()
	return l.anon.takes(l.o.Now(), r.Endpoint, r.Outcome)
}

func (l *Ledger) append(kind byte, r *account.Record) {
	e := l.buffers.Get().(*encoder)
	defer l.buffers.Put(e)
	e.b = e.b[:0]
	e.request(kind, r)
	if _, err := l.wal.Append(e.b); err != nil {
		l.lost(err, kind != kindBegin)
		return
	}
	if kind == kindRequest {
		l.recorded.Add(1)
	}
}

// lost counts what found no room. The first of a time is said by the log's own report.
func (l *Ledger) lost(err error, counts bool) {
	if counts {
		l.unrecorded.Add(1)
	}
	if errors.Is(err, wal.ErrFailed) && l.failures.Add(1) == 1 {
		l.o.Log.Error("the ledger's log has failed and takes nothing until the next start", "error", err)
	}
}

// Audit adds an entry to the trail. Time (when it is zero), Writer, Number and Hash are filled in.
func (l *Ledger) Audit(a Entry) {
	if a.Time.IsZero() {
		a.Time = l.o.Now()
	}
	l.chainMu.Lock()
	defer l.chainMu.Unlock()
	l.chain(&a)
}

// chain appends an entry; chainMu is held, so that the log has the entries in the order of their numbers.
func (l *Ledger) chain(a *Entry) {
	a.mend()
	a.Writer, a.Number = l.wal.Writer(), l.head.Number+1
	a.Hash = HashEntry(l.head.Hash, a)
	e := l.buffers.Get().(*encoder)
	defer l.buffers.Put(e)
	e.b = e.b[:0]
	e.audit(a)
	if _, err := l.wal.Append(e.b); err != nil {
		l.lost(err, true)
		return
	}
	l.head = Head{Writer: a.Writer, Number: a.Number, Hash: a.Hash}
	l.wal.Mark(l.head.mark())
	l.entries.Add(1)
}

// Head is the end of the audit trail so far: kept elsewhere, it shows later that nothing was cut off.
func (l *Ledger) Head() Head {
	l.chainMu.Lock()
	defer l.chainMu.Unlock()
	return l.head
}

// Flush returns when everything that was recorded before is in the database, or with the error that keeps it from being so.
func (l *Ledger) Flush(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case l.flush <- answer:
	case <-l.done:
		return wal.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-l.done:
		return wal.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stores what can be stored before ctx ends and closes the log. What is left stays in it for the next start.
func (l *Ledger) Close(ctx context.Context) error {
	l.chainMu.Lock()
	l.countAnonymous()
	l.chainMu.Unlock()
	err := l.Flush(ctx)
	l.stop()
	<-l.done
	h := l.Head()
	l.o.Log.Info("the ledger is closed", "audit_chain", h.Writer, "entries", h.Number, "head", fmt.Sprintf("%x", h.Hash))
	return errors.Join(err, l.wal.Close())
}

// Status of a ledger, for metrics and /status.
type Status struct {
	Recorded   uint64        `json:"recorded"`   // requests written to the log by this process
	Unrecorded uint64        `json:"unrecorded"` // requests and audit entries that found no room in it
	Entries    uint64        `json:"audit_entries"`
	Stored     uint64        `json:"stored"`   // records and entries that the database has taken from this process
	Failures   uint64        `json:"failures"` // transactions that failed
	Broken     uint64        `json:"broken"`   // records of the log that could not be read: the disk has lost them
	Bytes      int64         `json:"log_bytes"`
	MaxBytes   int64         `json:"log_max_bytes"`
	Full       bool          `json:"log_full"`
	Down       bool          `json:"database_down"`
	Lag        string        `json:"lag"` // age of the oldest record that the database does not have
	LagTime    time.Duration `json:"-"`
}

// Status is a ledger's state now.
func (l *Ledger) Status() Status {
	w := l.wal.Status()
	s := Status{Recorded: l.recorded.Load(), Unrecorded: l.unrecorded.Load(), Entries: l.entries.Load(), Stored: l.stored.Load(),
		Failures: l.failures.Load(), Broken: l.broken.Load() + l.torn.Load(), Bytes: w.Bytes, MaxBytes: w.MaxBytes, Full: w.Tight, Down: l.down.Load()}
	if at := l.oldest.Load(); at > 0 {
		s.LagTime = max(0, l.o.Now().Sub(time.Unix(0, at)))
	}
	s.Lag = s.LagTime.Round(time.Millisecond).String()
	return s
}
