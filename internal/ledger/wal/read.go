package wal

// Batch is what Read gives: consecutive records of one writer.
type Batch struct {
	Writer  string
	First   uint64   // number of the first record
	Records [][]byte // valid until Release of the last of them
	Mark    []byte   // as it was when the segment of these records began
	Torn    bool     // what stood behind the last of these records in their segment was broken, and is lost
	pos     Position
}

// Position is a place between two records. The zero value is the beginning.
type Position struct {
	file   string // of the segment; names sort as the segments do
	offset int
	index  uint64 // records of the segment before it
}

// Next is the place behind the batch.
func (b *Batch) Next() Position { return b.pos }

// News is told when something was appended. One consumer's.
func (l *Log) News() <-chan struct{} { return l.news }

// Read gives up to max records from p on; nil when there are none yet. It does not wait, and does not keep Append waiting: what stands before
// a segment's end changes no more.
func (l *Log) Read(p Position, max int) *Batch {
	for {
		s, end, torn, later := l.from(p)
		if s == nil {
			return nil
		}
		if s.path != p.file {
			p = Position{file: s.path, offset: headerSize}
		}
		b := &Batch{Writer: s.writer, First: s.first + p.index, Mark: s.mark}
		for len(b.Records) < max && p.offset < end {
			payload, size := s.frame(p.offset)
			if payload == nil {
				p.offset = end // the disk has lost what was there; scan would have stopped here
				b.Torn = true
				break
			}
			b.Records = append(b.Records, payload)
			p.offset += size
			p.index++
		}
		if p.offset >= end && torn {
			b.Torn = true
			l.told(s)
		}
		if b.pos = p; len(b.Records) > 0 || b.Torn {
			return b
		}
		if !later {
			return nil
		}
		p.file += "\x00" // the next one
	}
}

// from is the segment that a position is in, or the next one, with how far it goes now.
func (l *Log) from(p Position) (s *segment, end int, torn, later bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.find(p)
	if i == len(l.segments) {
		return nil, 0, false, false
	}
	s = l.segments[i]
	return s, s.end, s.torn, i+1 < len(l.segments)
}

// told notes that a broken end was told of.
func (l *Log) told(s *segment) {
	l.mu.Lock()
	s.torn = false
	l.mu.Unlock()
}

// find is the index of the segment that a position is in. One that was released stands for the next.
func (l *Log) find(p Position) int {
	for i, s := range l.segments {
		if s.path >= p.file { // names are numbers of one length
			return i
		}
	}
	return len(l.segments)
}

// Release removes the segments that end before p, but those from keep on: the number of the oldest record of this start's that is still
// needed, 0 when none is. The segment that is appended to stays.
func (l *Log) Release(p Position, keep uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	freed := false
	for len(l.segments) > 0 {
		s := l.segments[0]
		last := len(l.segments) == 1
		passed := s.path < p.file || s.path == p.file && p.offset >= s.end
		needed := keep > 0 && s.writer == l.writer && s.first+s.count > keep
		// The last segment holds the newest mark, and may be appended to.
		if !passed || needed || last || s.writer == l.writer && s == l.active() {
			break
		}
		s.remove()
		l.segments, freed = l.segments[1:], true
	}
	if freed {
		l.judge()
		l.want()
	}
}
