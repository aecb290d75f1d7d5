package ledger

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/ledger/wal"
	"dragoman/processor/account"
)

// How long to wait for a database that has failed.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// takeUp reads what an earlier process left: where its audit trail ended, and what was under way when it died. The records themselves
// are stored by run.
func (l *Ledger) takeUp() {
	var previous Head
	begun := map[string]*account.Record{}
	for p := (wal.Position{}); ; {
		b := l.wal.Read(p, maxBatch)
		if b == nil {
			break
		}
		if previous.Writer != b.Writer {
			previous = headOf(b.Writer, b.Mark)
		}
		p = b.Next()
		d := decoder{}
		for _, payload := range b.Records {
			d.b, d.bad = payload, false
			switch d.header() {
			case kindBegin:
				if r := d.request(); !d.bad {
					begun[r.ID] = r
				}
			case kindRequest:
				if r := d.request(); !d.bad {
					delete(begun, r.ID)
				}
			case kindAudit:
				if a := d.audit(); !d.bad {
					previous = Head{Writer: b.Writer, Number: a.Number, Hash: a.Hash}
				}
			}
		}
		if b.Torn {
			l.sayTorn(b)
		}
	}
	start := Entry{Action: ChainStart, Outcome: "ok"}
	if previous.Number > 0 {
		start.Subject, start.Detail = previous.Writer, fmt.Sprintf("%d %x", previous.Number, previous.Hash)
	}
	l.Audit(start)
	for _, r := range begun {
		r.Outcome, r.Estimated, r.Usage.Known = Crashed, true, true
		l.append(kindRequest, r)
	}
	if len(begun) > 0 {
		l.o.Log.Warn("requests were under way when the last process died; the ledger has them with an estimate of their input", "requests", len(begun))
	}
}

func (l *Ledger) sayTorn(b *wal.Batch) {
	l.torn.Add(1)
	l.o.Log.Error("the end of a segment of the ledger's log is broken: what stood there is lost", "writer", b.Writer, "after", b.First+uint64(len(b.Records))-1)
}

// run is the one goroutine that stores.
func (l *Ledger) run() {
	defer close(l.done)
	defer func() {
		if p := recover(); p != nil { // the disk has failed under a mapped segment
			l.down.Store(true)
			l.o.Log.Error("the ledger does not store any more until the next start", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	debug.SetPanicOnFault(true)
	d := &drain{l: l}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var waiting chan error
		select {
		case <-l.ctx.Done():
			return
		case waiting = <-l.flush:
		case <-timer.C:
		}
		more, err := d.turn(waiting != nil)
		if waiting != nil {
			waiting <- err
		}
		timer.Reset(d.pause(more, err))
	}
}

// drain is the state of the goroutine that stores.
type drain struct {
	l    *Ledger
	pos  wal.Position
	wait time.Duration // before the next try, while the database fails
	dec  decoder
	// Of the batch before, used again: a store keeps nothing of what it was given.
	batch   Batch
	records []account.Record
	priced  *config.Price // the last one that is among the batch's prices
}

// turn stores what is there: one transaction, or, when all is wanted, until nothing is left or one fails.
func (d *drain) turn(all bool) (more bool, err error) {
	l := d.l
	l.chainMu.Lock()
	l.countAnonymous()
	l.chainMu.Unlock()
	until := l.wal.Next()
	for {
		b := l.wal.Read(d.pos, maxBatch)
		if b == nil {
			l.oldest.Store(0)
			return false, nil
		}
		batch := d.decode(b)
		err := d.apply(batch)
		if err != nil {
			return true, err
		}
		if b.Torn {
			l.sayTorn(b)
		}
		d.pos = b.Next()
		l.wal.Release(d.pos, l.oldestOpen())
		if !all || b.Writer == l.wal.Writer() && batch.Through+1 >= until {
			return len(b.Records) == maxBatch, nil
		}
	}
}

// countAnonymous writes down the refusals that were only counted; chainMu is held.
func (l *Ledger) countAnonymous() {
	now := l.o.Now()
	for _, a := range l.anon.rest(now) {
		l.chain(&a)
	}
}

// oldestOpen is the number from which on the log must be kept for requests under way, 0 for none.
func (l *Ledger) oldestOpen() uint64 {
	l.openMu.Lock()
	defer l.openMu.Unlock()
	least := uint64(0)
	for _, n := range l.open {
		if least == 0 || n < least {
			least = n
		}
	}
	return least
}

func (d *drain) decode(b *wal.Batch) *Batch {
	l, out, dec := d.l, d.empty(len(b.Records)), &d.dec
	out.Writer, out.First, out.Through, out.Received = b.Writer, b.First, b.First+uint64(len(b.Records))-1, l.o.Now()
	oldest := time.Time{}
	for i, payload := range b.Records {
		dec.b, dec.bad = payload, false
		n := Numbered{Number: b.First + uint64(i)}
		var at time.Time
		switch dec.header() {
		case kindBegin:
			continue
		case kindRequest:
			n.Record = &d.records[i]
			dec.into(n.Record)
			at = n.Record.Time
		case kindAudit:
			n.Entry = dec.audit()
			n.Entry.Writer = b.Writer
			at = n.Entry.Time
		default:
			dec.bad = true
		}
		if dec.bad {
			l.broken.Add(1)
			l.o.Log.Error("a record of the ledger's log cannot be read and is lost", "writer", b.Writer, "number", n.Number)
			continue
		}
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
		d.add(n)
	}
	dec.b = nil // of the log
	if !oldest.IsZero() {
		l.oldest.Store(oldest.UnixNano())
	}
	return out
}

// empty is the batch, emptied, with room for n records.
func (d *drain) empty(n int) *Batch {
	clear(d.records)
	d.records = slices.Grow(d.records[:0], n)[:n]
	b := &d.batch
	clear(b.Records)
	clear(b.Entries)
	if b.Prices == nil {
		b.Prices = map[string]*config.Price{}
	}
	clear(b.Prices)
	d.priced = nil
	*b = Batch{Records: b.Records[:0], Entries: b.Entries[:0], Prices: b.Prices}
	return b
}

func (d *drain) add(n Numbered) {
	b := &d.batch
	if n.Entry != nil {
		b.Entries = append(b.Entries, n)
		return
	}
	b.Records = append(b.Records, n)
	d.note(n.Record.Price)
	for i := range n.Record.Failed {
		d.note(n.Record.Failed[i].Price)
	}
}

func (d *drain) note(p *config.Price) {
	if p != nil && p != d.priced {
		d.batch.Prices[PriceVersion(p)], d.priced = p, p
	}
}

// apply is one try.
func (d *drain) apply(b *Batch) error {
	if len(b.Records)+len(b.Entries) == 0 {
		return nil
	}
	l := d.l
	ctx, cancel := context.WithTimeout(l.ctx, l.o.Timeout)
	defer cancel()
	err := l.o.Store.Apply(ctx, b)
	if was := l.down.Swap(err != nil); was != (err != nil) {
		level, text := slog.LevelInfo, "the ledger's database takes records again"
		if err != nil {
			level, text = slog.LevelWarn, "the ledger's database does not take records; they wait in the log"
		}
		l.o.Log.Log(ctx, level, text, "error", err)
	}
	if err != nil {
		l.failures.Add(1)
		return err
	}
	l.stored.Add(uint64(len(b.Records) + len(b.Entries)))
	l.oldest.Store(0)
	return nil
}

// pause is how long to wait before the next turn.
func (d *drain) pause(more bool, err error) time.Duration {
	switch {
	case err != nil:
		d.wait = min(max(2*d.wait, firstPause), lastPause)
		return d.wait/2 + rand.N(d.wait/2)
	case more:
		d.wait = 0
		return 0
	default:
		d.wait = 0
		return d.l.o.Interval
	}
}
