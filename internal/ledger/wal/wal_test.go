package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patient is how long tests wait for what is to happen: no machine is too busy for that. A log that is full says so at once.
const patient = 30 * time.Second

func open(t *testing.T, o Options) *Log {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func put(t *testing.T, l *Log, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if _, err := l.Append([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
}

// rest reads from a position to the end.
func rest(l *Log, p Position) (texts []string, at Position, torn bool) {
	for b := l.Read(p, 7); b != nil; b = l.Read(p, 7) {
		for _, r := range b.Records {
			texts = append(texts, string(r))
		}
		torn = torn || b.Torn
		p = b.Next()
	}
	return texts, p, torn
}

func numbered(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("record %d %s", i, strings.Repeat("x", i%50)))
	}
	return out
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func TestRecordsComeBackInOrder(t *testing.T) {
	l := open(t, Options{Segment: 4096, Wait: patient})
	want := numbered(0, 1000)
	put(t, l, want...)
	got, end, torn := rest(l, Position{})
	if !slices.Equal(got, want) || torn {
		t.Errorf("%d of %d records, torn %v", len(got), len(want), torn)
	}
	if l.Read(end, 10) != nil {
		t.Error("something stands behind the end")
	}
	put(t, l, "one more")
	if b := l.Read(end, 10); b == nil || b.First != 1001 || string(b.Records[0]) != "one more" || b.Writer != l.Writer() {
		t.Errorf("%+v", b)
	}
	if l.Next() != 1002 {
		t.Errorf("next is %d", l.Next())
	}
}

// TestAnotherStartGoesOn: what one start left, the next reads, under the name of the one that wrote it.
func TestAnotherStartGoesOn(t *testing.T) {
	dir := t.TempDir()
	var all []string
	writers := map[string]bool{}
	for i := range 4 {
		l, err := Open(Options{Dir: dir, Segment: 4096, Wait: patient})
		if err != nil {
			t.Fatal(err)
		}
		more := numbered(i*100, i*100+100)
		put(t, l, more...)
		all = append(all, more...)
		writers[l.Writer()] = true
		if i%2 == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		l.stopWithoutClosing()
	}
	l := open(t, Options{Dir: dir, Segment: 4096})
	got, _, _ := rest(l, Position{})
	if !slices.Equal(got, all) || len(writers) != 4 {
		t.Errorf("%d of %d records of %d writers", len(got), len(all), len(writers))
	}
}

// stopWithoutClosing leaves the files as a killed process does.
func (l *Log) stopWithoutClosing() {
	close(l.stop)
	<-l.done
	l.closed = true
	l.abandon()
}

func TestReleaseRemovesWhatIsStored(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, Segment: 4096, Wait: patient})
	put(t, l, numbered(0, 500)...)
	before := len(segments(t, dir))
	_, end, _ := rest(l, Position{})
	l.Release(end, 3)
	if n := len(segments(t, dir)); n < before {
		t.Errorf("a record that is still needed went: %d of %d segments", n, before)
	}
	l.Release(end, 380)
	if n := len(segments(t, dir)); n >= before || n < 2 {
		t.Errorf("%d of %d segments are left", n, before)
	}
	l.Release(end, 0)
	if st := l.Status(); st.Bytes != 4096 {
		t.Errorf("%+v: the segment that is written to should be left", st)
	}
	put(t, l, "after")
	if got, _, _ := rest(l, end); !slices.Equal(got, []string{"after"}) {
		t.Errorf("%q", got)
	}
}

// TestFull: the log takes what it was sized for, says so in time, and goes on when there is room.
func TestFull(t *testing.T) {
	reports := make(chan error, 10)
	l := open(t, Options{Segment: 4096, MaxBytes: 4 * 4096, Sync: 10 * time.Millisecond, Wait: patient, Report: func(err error) { reports <- err }})
	n, tight := 0, 0
	for ; n < 10_000; n++ {
		if l.Tight() && tight == 0 {
			tight = n
		}
		if _, err := l.Append(make([]byte, 100)); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if want := 4 * ((4096 - headerSize) / frameSize(100)); n != want || tight == 0 || tight > n-30 {
		t.Errorf("it took %d records, want %d, and said after %d that it was tight", n, want, tight)
	}
	if st := l.Status(); !st.Full || !st.Tight || st.Bytes != 4*4096 {
		t.Errorf("%+v", st)
	}
	if err := <-reports; !errors.Is(err, ErrFull) {
		t.Errorf("reported: %v", err)
	}
	_, end, _ := rest(l, Position{})
	l.Release(end, 0)
	if err := <-reports; err != nil {
		t.Errorf("reported: %v", err)
	}
	put(t, l, "again")
	if st := l.Status(); st.Full || st.Tight {
		t.Errorf("%+v", st)
	}
}

// TestAFullLogOpens: what no database took yet is read, and nothing new is taken until there is room.
func TestAFullLogOpens(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Segment: 4096, MaxBytes: 4 * 4096, Sync: 10 * time.Millisecond, Wait: patient}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = l.Append(make([]byte, 100))
	}
	l.stopWithoutClosing()
	l = open(t, o)
	if _, err := l.Append([]byte("x")); !errors.Is(err, ErrFull) || !l.Tight() {
		t.Errorf("a full log takes a record: %v", err)
	}
	got, end, _ := rest(l, Position{})
	if len(got) < 100 {
		t.Errorf("%d records", len(got))
	}
	l.Release(end, 0)
	for deadline := time.Now().Add(patient); l.Tight(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it stays full")
		}
	}
	put(t, l, "x")
}

// TestCorruptTail: what a loss of power leaves at the end of a segment costs that end, never more, and is told.
func TestCorruptTail(t *testing.T) {
	for name, damage := range map[string]struct {
		do   func(data []byte, end int) []byte
		lost int
		torn bool
	}{
		"half a record":     {func(d []byte, end int) []byte { clear(d[end-20 : end]); return d }, 1, true},
		"a flipped bit":     {func(d []byte, end int) []byte { d[end-10] ^= 1; return d }, 1, true},
		"a length too long": {func(d []byte, end int) []byte { copy(d[end:], "\xff\xff\xff\x7f"); return d }, 0, true},
		"rubbish behind":    {func(d []byte, end int) []byte { copy(d[end+64:], "rubbish"); return d }, 0, true},
		"truncated":         {func(d []byte, end int) []byte { return d[:end-3] }, 1, true},
		"nothing":           {func(d []byte, _ int) []byte { return d }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := Open(Options{Dir: dir, Segment: 8192})
			if err != nil {
				t.Fatal(err)
			}
			want := numbered(100, 130)
			put(t, l, want...)
			end := l.active().end
			l.stopWithoutClosing()
			path := segments(t, dir)[0]
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage.do(data, end), 0o600); err != nil {
				t.Fatal(err)
			}
			l = open(t, Options{Dir: dir, Segment: 8192})
			put(t, l, "new")
			got, _, torn := rest(l, Position{})
			if !slices.Equal(got, append(want[:len(want)-damage.lost:len(want)-damage.lost], "new")) || torn != damage.torn {
				t.Errorf("%d of %d records, torn %v", len(got)-1, len(want), torn)
			}
		})
	}
}

// TestDamageInTheMiddle: later segments are read all the same, under their right numbers.
func TestDamageInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Options{Dir: dir, Segment: 4096, Wait: patient})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, numbered(0, 300)...)
	l.stopWithoutClosing()
	files := segments(t, dir)
	data, _ := os.ReadFile(files[1])
	data[headerSize+1000] ^= 0xff
	if err := os.WriteFile(files[1], data, 0o600); err != nil {
		t.Fatal(err)
	}
	data, _ = os.ReadFile(files[2])
	data[3] ^= 0xff // its header
	if err := os.WriteFile(files[2], data, 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, Options{Dir: dir, Segment: 4096})
	n, torn, last := 0, false, uint64(0)
	for p := (Position{}); ; {
		b := l.Read(p, 10)
		if b == nil {
			break
		}
		for i, r := range b.Records {
			last = b.First + uint64(i)
			if !strings.HasPrefix(string(r), fmt.Sprintf("record %d ", last-1)) {
				t.Fatalf("number %d is %q", last, r)
			}
			n++
		}
		torn = torn || b.Torn
		p = b.Next()
	}
	if last != 300 || n < 150 || n >= 300 || !torn {
		t.Errorf("%d records up to %d, torn %v", n, last, torn)
	}
	if _, err := os.Stat(files[2] + ".unreadable"); err != nil {
		t.Errorf("a segment that cannot be read is not kept: %v", err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one opens it: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append([]byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	open(t, Options{Dir: dir})
}

func TestBounds(t *testing.T) {
	l := open(t, Options{Segment: 4096})
	if _, err := l.Append(make([]byte, 4096)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if _, err := l.Append(make([]byte, 4096-headerSize-8)); err != nil {
		t.Errorf("as much as fits: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: file}); err == nil {
		t.Error("a file is taken for a folder")
	}
}

func TestMarksAreKept(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Options{Dir: dir, Segment: 4096, Wait: patient})
	if err != nil {
		t.Fatal(err)
	}
	l.Mark([]byte("first"))
	put(t, l, numbered(0, 100)...)
	l.Mark([]byte(strings.Repeat("m", 70)))
	put(t, l, numbered(100, 200)...)
	l.stopWithoutClosing()
	l = open(t, Options{Dir: dir, Segment: 4096})
	marks := map[string]bool{}
	for p := (Position{}); ; {
		b := l.Read(p, 10)
		if b == nil {
			break
		}
		marks[string(b.Mark)] = true
		p = b.Next()
	}
	if !marks["first"] || !marks[strings.Repeat("m", 64)] {
		t.Errorf("%v", marks)
	}
}

func TestManyWriters(t *testing.T) {
	l := open(t, Options{Segment: 16 << 10, Wait: patient})
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 500 {
				if _, err := l.Append([]byte(fmt.Sprintf("%d/%d", i, j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen, p := map[string]bool{}, Position{}
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()
	for finished := false; ; {
		b := l.Read(p, 100)
		if b == nil {
			if finished {
				break
			}
			select {
			case <-done:
				finished = true
			case <-l.News():
			}
			continue
		}
		for _, r := range b.Records {
			if seen[string(r)] {
				t.Errorf("%q twice", r)
			}
			seen[string(r)] = true
		}
		p = b.Next()
		l.Release(p, 0)
	}
	if len(seen) != 4000 {
		t.Errorf("%d records", len(seen))
	}
}

func BenchmarkAppend(b *testing.B) {
	l, err := Open(Options{Dir: b.TempDir(), MaxBytes: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	payload := make([]byte, 300)
	b.ReportAllocs()
	p := Position{}
	for i := 0; b.Loop(); i++ {
		if _, err := l.Append(payload); err != nil {
			b.Fatal(err)
		}
		if i%10_000 == 9_999 {
			for bt := l.Read(p, 10_000); bt != nil; bt = l.Read(p, 10_000) {
				p = bt.Next()
			}
			l.Release(p, 0)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), 200)
	f.Fuzz(func(t *testing.T, rubbish []byte, at int) {
		dir := t.TempDir()
		l, err := Open(Options{Dir: dir, Segment: 4096})
		if err != nil {
			t.Fatal(err)
		}
		put(t, l, numbered(0, 40)...)
		l.stopWithoutClosing()
		path := segments(t, dir)[0]
		data, _ := os.ReadFile(path)
		if at < 0 || at > len(data) {
			at = 0
		}
		copy(data[at:], rubbish)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err = Open(Options{Dir: dir, Segment: 4096})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		got, _, _ := rest(l, Position{})
		if at >= headerSize && len(got) > 40 {
			t.Errorf("%d records of 40", len(got))
		}
	})
}
