// Package wal is a bounded write-ahead log on disk: records are appended in memory speed and read back by one consumer, which
// releases what it has stored elsewhere.
//
// Segments are memory-mapped files whose blocks are allocated before they are written to. A record is in the kernel's hands as
// soon as Append returns, without a system call: the death of the process, by kill -9 too, loses none. What the loss of power or of
// the kernel can take is what was appended since the last sync, Options.Sync at most.
//
// A frame is a length and a CRC-32C of the payload (uint32 each, little endian), the payload, and zeros up to a multiple of 8. The
// length is written last: whoever finds a length finds a record.
package wal

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of Append.
var (
	ErrFull     = errors.New("the log is full")
	ErrTooLarge = errors.New("the record is larger than a segment takes")
	ErrClosed   = errors.New("the log is closed")
	ErrFailed   = errors.New("the log's disk has failed")
)

// Options of a log. Dir is required.
type Options struct {
	Dir      string        // made when it is not there, for this user alone
	MaxBytes int64         // of all segments; default 1 GiB, at least 4 segments
	Segment  int           // bytes of one, default 8 MiB
	Sync     time.Duration // how often what was appended goes to the disk, default 1s
	Wait     time.Duration // that Append may wait for a segment to be allocated, default 1s
	Report   func(error)   // of what goes wrong beside the appends (disk full, sync failed), and nil when it is over; may be nil
}

// Log is an open log. Append is safe for concurrent use; Read and Release are one consumer's.
type Log struct {
	o      Options
	lock   *os.File
	writer string // this start's name: 32 hex digits

	mu       sync.Mutex
	cond     *sync.Cond // spare or closed or full has changed
	segments []*segment // in order; the last is appended to
	spare    *segment   // the next one
	number   uint64     // of the last file made
	full     bool       // no spare can be had
	failed   bool
	closed   bool
	mark     []byte // of the next segment's header
	tight    atomic.Bool

	wake chan struct{} // a spare is wanted
	news chan struct{} // something was appended
	done chan struct{}
	stop chan struct{}
}

func (o Options) withDefaults() Options {
	if o.Segment <= 0 {
		o.Segment = 8 << 20
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 30
	}
	o.MaxBytes = max(o.MaxBytes, 4*int64(o.Segment))
	if o.Sync <= 0 {
		o.Sync = time.Second
	}
	if o.Wait <= 0 {
		o.Wait = time.Second
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	return o
}

// Open opens the log in o.Dir, or makes it. Another process that has it open is an error. What an earlier process left is there to
// be read; new records go to a new segment under a name of this start's own (Writer), counted from 1.
func Open(o Options) (*Log, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("no folder for the log: %w", err)
	}
	lock, err := lockFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	l := &Log{o: o, lock: lock, writer: hex.EncodeToString(id[:]), wake: make(chan struct{}, 1), news: make(chan struct{}, 1),
		done: make(chan struct{}), stop: make(chan struct{})}
	l.cond = sync.NewCond(&l.mu)
	if err := l.recover(); err != nil {
		l.abandon()
		return nil, err
	}
	// A log that is full of what no database took yet begins full, and goes on when there is room.
	if l.bytes()+int64(o.Segment) <= o.MaxBytes {
		s, err := l.create()
		if err != nil {
			l.abandon()
			return nil, err
		}
		l.spare = s
	} else {
		l.full = true
	}
	l.judge()
	go l.run()
	return l, nil
}

// abandon lets go of everything.
func (l *Log) abandon() {
	for _, s := range l.segments {
		s.close()
	}
	if l.spare != nil {
		l.spare.close()
	}
	unlockFolder(l.lock)
}

// Writer names this start: with the sequence number it says which record is meant, whatever became of the disk.
func (l *Log) Writer() string { return l.writer }

// Mark is kept at the beginning of every later segment, and given back with what was read (Batch.Mark): what a consumer needs of records
// that were released long ago. At most 64 bytes.
func (l *Log) Mark(m []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mark = bytes.Clone(m[:min(len(m), markSize)])
}

// Append writes one record and returns its number, counted from 1. It makes no system call while there is room in the segment; at its
// end it may wait (Options.Wait) for the next one. The errors are ErrFull, ErrTooLarge, ErrFailed and ErrClosed: the record is then not in the log.
func (l *Log) Append(payload []byte) (seq uint64, err error) {
	size := frameSize(len(payload))
	if size > l.o.Segment-headerSize {
		return 0, ErrTooLarge
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.room(size)
	if err != nil {
		return 0, err
	}
	if err := s.append(payload); err != nil {
		l.failed = true
		l.judge()
		return 0, ErrFailed
	}
	select {
	case l.news <- struct{}{}:
	default:
	}
	return s.first + s.count - 1, nil
}

// Next is a number that the next record has at least.
func (l *Log) Next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.active(); s != nil {
		return s.first + s.count
	}
	return 1
}

// room is the segment that the next record goes to.
func (l *Log) room(size int) (*segment, error) {
	var deadline time.Time
	for {
		switch {
		case l.closed:
			return nil, ErrClosed
		case l.failed:
			return nil, ErrFailed
		}
		s := l.active()
		if s != nil && s.end+size <= len(s.data) {
			return s, nil
		}
		if l.spare != nil {
			l.rotate()
			continue
		}
		if l.full {
			return nil, ErrFull
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(l.o.Wait)
			timer := time.AfterFunc(l.o.Wait, l.cond.Broadcast)
			defer timer.Stop()
		} else if !time.Now().Before(deadline) {
			return nil, ErrFull
		}
		l.want()
		l.cond.Wait()
	}
}

// active is the segment of this start that is appended to, nil when there is none yet.
func (l *Log) active() *segment {
	if n := len(l.segments); n > 0 && l.segments[n-1].writer == l.writer {
		return l.segments[n-1]
	}
	return nil
}

// rotate begins the spare segment.
func (l *Log) rotate() {
	first := uint64(1)
	if s := l.active(); s != nil {
		first = s.first + s.count
	}
	l.spare.begin(l.writer, first, l.mark)
	l.segments = append(l.segments, l.spare)
	l.spare = nil
	l.judge()
	l.want()
}

func (l *Log) want() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// bytes is what the segments take on the disk.
func (l *Log) bytes() int64 {
	n := int64(0)
	for _, s := range l.segments {
		n += int64(len(s.data))
	}
	return n
}

// Status of a log.
type Status struct {
	Bytes    int64 // of segments that hold records
	MaxBytes int64
	Tight    bool // less than two segments of room are left, or none can be allocated: no new work should begin
	Full     bool // the next record may find no room
}

// Status says how much room is left.
func (l *Log) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Status{Bytes: l.bytes(), MaxBytes: l.o.MaxBytes, Full: l.full || l.failed || l.closed, Tight: l.tight.Load()}
}

// Tight is Status.Tight, without a lock.
func (l *Log) Tight() bool { return l.tight.Load() }

// judge sets tight; mu is held.
func (l *Log) judge() {
	l.tight.Store(l.full || l.failed || l.closed || l.bytes()+2*int64(l.o.Segment) > l.o.MaxBytes)
}

// run allocates spare segments and syncs, until the log is closed: two goroutines, because a sync takes as long as the disk does.
func (l *Log) run() {
	defer close(l.done)
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(l.syncs)
	tick := time.NewTicker(l.o.Sync)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-l.stop:
			return
		case <-l.wake:
		case <-tick.C:
		}
		l.report(&last, l.provide())
	}
}

func (l *Log) syncs() {
	tick := time.NewTicker(l.o.Sync)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			l.report(&last, l.Sync())
		}
	}
}

// report tells changes only.
func (l *Log) report(last *error, err error) {
	if (err == nil) != (*last == nil) {
		l.o.Report(err)
	}
	*last = err
}

// provide makes a spare segment when there is none and there is room for one.
func (l *Log) provide() error {
	l.mu.Lock()
	if l.spare != nil || l.closed {
		l.mu.Unlock()
		return nil
	}
	fits := l.bytes()+int64(l.o.Segment) <= l.o.MaxBytes
	if !fits {
		l.full = true
		l.judge()
		l.cond.Broadcast()
		l.mu.Unlock()
		return fmt.Errorf("%w: %d bytes wait to be stored", ErrFull, l.o.MaxBytes)
	}
	l.mu.Unlock()
	s, err := l.create()
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.cond.Broadcast()
	defer l.judge()
	if err != nil {
		l.full = true
		return err
	}
	l.spare, l.full = s, false
	return nil
}

// create allocates a new file. Only run, and Open before it, call it.
func (l *Log) create() (*segment, error) {
	l.number++
	return createSegment(filepath.Join(l.o.Dir, fmt.Sprintf("%016x%s", l.number, suffix)), l.o.Segment)
}

// Sync puts on the disk what was appended so far.
func (l *Log) Sync() error {
	l.mu.Lock()
	var dirty []*segment
	for _, s := range l.segments {
		if s.synced < s.end {
			s.syncing = s.end
			dirty = append(dirty, s)
		}
	}
	l.mu.Unlock()
	for _, s := range dirty {
		// Writes the pages of the mapping too. One that was closed meanwhile is stored elsewhere.
		if err := s.f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("the log cannot be written to the disk: %w", err)
		}
	}
	l.mu.Lock()
	for _, s := range dirty {
		s.synced = max(s.synced, s.syncing)
	}
	l.mu.Unlock()
	return nil
}

// Close syncs and ends the log. What was not released stays on the disk. No Read may be under way.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.cond.Broadcast()
	l.mu.Unlock()
	close(l.stop)
	<-l.done
	err := l.Sync()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		s.close()
	}
	if l.spare != nil {
		l.spare.remove()
	}
	unlockFolder(l.lock)
	return err
}
