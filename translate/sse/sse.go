// Package sse splits a stream of server-sent events (WHATWG HTML, "Server-sent events") into its events, right for any
// split of the bytes: line ends of LF, CRLF or CR, a leading byte order mark, comments, several data lines. id and retry
// fields are read over.
//
// A Reader is fed and pulled:
//
//	r.Feed(chunk)
//	for r.Next() {
//		ev := r.Event()
//		…
//	}
//	if err := r.Err(); err != nil { … }
//
// and at the end of the body r.Finish() followed by the same loop. The Raw bytes of all events, in order, are exactly the
// bytes that were fed, so a tap can pass or leave out whole events. An event that lies within one chunk is not copied.
package sse

import (
	"bytes"

	"dragoman/internal/fault"
)

// Event is one block of lines up to and with its blank line. Its slices are valid until the next call of Next or Feed.
type Event struct {
	Raw     []byte // as it came
	Name    []byte // of the last `event` field, nil when there is none
	Data    []byte // the `data` fields joined by line feeds, nil when there is none: such an event is not dispatched
	Comment []byte // of the last comment line, nil when there is none
	Partial bool   // the stream ended before the event's blank line
}

// Reader frames one stream. It belongs to one goroutine at a time.
type Reader struct {
	max   int
	chunk []byte // what was fed last
	pos   int    // of chunk: up to here events have been returned or kept in held
	lf    int    // of chunk: its first LF at or behind some earlier pos, or its end
	held  []byte // the beginning of an event whose end was not fed yet
	used  bool   // held belongs to the event returned last
	data  []byte // of an event with several data lines

	bom    int8 // bytes of a byte order mark seen at the start of the stream, -1 when its beginning is over
	inLine bool // the line in progress is not empty
	cr     bool // the byte before was a CR that ended a line: a LF belongs to it
	last   bool // the event's blank line ended in CR: a LF belongs to it

	first    bool // no event has been returned
	finished bool
	event    Event
	err      error
}

// NewReader makes a Reader that refuses events of more than maxEvent bytes, line ends included.
func NewReader(maxEvent int) *Reader { return &Reader{max: maxEvent, first: true} }

// Feed gives the Reader the next bytes of the stream, once Next has returned false for those before. It keeps p until Next
// returns false again.
func (r *Reader) Feed(p []byte) {
	r.chunk, r.pos, r.lf = p, 0, 0
}

// Finish says that the stream has ended. Next then returns what is left, as a Partial event unless it is whole.
func (r *Reader) Finish() {
	r.Feed(nil)
	r.finished = true
}

// Event is what Next went to.
func (r *Reader) Event() *Event { return &r.event }

// Err is a *fault.Fault (ProviderFailed) when an event is too large. The Reader stays at its fault.
func (r *Reader) Err() error { return r.err }

// Next goes to the next whole event; false when more bytes are needed, or on a fault.
func (r *Reader) Next() bool {
	if r.used {
		r.held, r.used = r.held[:0], false
	}
	if r.err != nil {
		return false
	}
	start := r.pos
	whole := r.scan()
	n := len(r.held) + r.pos - start
	if n > r.max {
		r.err = fault.New(fault.ProviderFailed, "The provider sent a stream event of more than %d bytes.", r.max)
		r.held = nil
		return false
	}
	if !whole {
		r.held = append(r.held, r.chunk[start:]...)
		r.chunk, r.pos, r.lf = nil, 0, 0
		if !r.finished || n == 0 {
			return false
		}
		partial := !r.last
		r.last, r.inLine, r.cr, r.used = false, false, false, true
		r.parse(r.held)
		r.event.Partial = partial
		return true
	}
	raw := r.chunk[start:r.pos]
	if len(r.held) > 0 {
		r.held = append(r.held, raw...)
		raw, r.used = r.held, true
	}
	r.parse(raw)
	return true
}

var mark = [3]byte{0xEF, 0xBB, 0xBF}

// scan moves pos behind the end of the event in progress and says whether that is within the chunk.
func (r *Reader) scan() bool {
	b := r.chunk
	if r.last {
		return r.endOfBlank()
	}
	for r.pos < len(b) {
		c := b[r.pos]
		if r.cr {
			r.cr = false
			if c == '\n' {
				r.pos++
				continue
			}
		}
		if r.bom >= 0 && r.mark(c) {
			continue
		}
		if !r.inLine {
			switch c {
			case '\n':
				r.pos++
				return true
			case '\r':
				r.pos++
				r.last = true
				return r.endOfBlank()
			}
			r.inLine = true
		}
		r.pos = r.lineEnd()
		if r.pos == len(b) {
			return false
		}
		r.cr = b[r.pos] == '\r'
		r.pos++
		r.inLine = false
	}
	return false
}

// endOfBlank looks behind a blank line that ended in CR: a LF there is part of the event, so that Raw is the same for any
// split. Only streams with bare CRs have to wait for a byte more.
func (r *Reader) endOfBlank() bool {
	if r.pos == len(r.chunk) {
		return false
	}
	if r.chunk[r.pos] == '\n' {
		r.pos++
	}
	r.last = false
	return true
}

// mark reads a byte order mark at the start of the stream and says whether c is part of it.
func (r *Reader) mark(c byte) bool {
	if c == mark[r.bom] {
		r.pos++
		r.bom++
		if r.bom == int8(len(mark)) {
			r.bom = -1
		}
		return true
	}
	r.inLine = r.bom > 0 // half a mark is text
	r.bom = -1
	return false
}

// lineEnd is where the line in progress ends: its CR or LF, or the end of the chunk. The next LF is remembered, so that a
// stream of bare CRs is not searched for one again at each line.
func (r *Reader) lineEnd() int {
	if r.lf <= r.pos {
		r.lf = len(r.chunk)
		if n := bytes.IndexByte(r.chunk[r.pos:], '\n'); n >= 0 {
			r.lf = r.pos + n
		}
	}
	if n := bytes.IndexByte(r.chunk[r.pos:r.lf], '\r'); n >= 0 {
		return r.pos + n
	}
	return r.lf
}

// parse reads the fields of a whole event.
func (r *Reader) parse(raw []byte) {
	r.event = Event{Raw: raw}
	if r.first {
		r.first = false
		raw = bytes.TrimPrefix(raw, mark[:])
	}
	returns := bytes.IndexByte(raw, '\r') >= 0
	lines := 0
	for len(raw) > 0 {
		var line []byte
		line, raw = cutLine(raw, returns)
		if len(line) == 0 {
			continue
		}
		name, value := cutField(line)
		switch string(name) {
		case "":
			r.event.Comment = value
		case "event":
			r.event.Name = value
		case "data":
			r.addData(value, lines)
			lines++
		}
	}
}

func (r *Reader) addData(value []byte, lines int) {
	switch lines {
	case 0:
		r.event.Data = value
		return
	case 1:
		r.data = append(r.data[:0], r.event.Data...)
	}
	r.data = append(append(r.data, '\n'), value...)
	r.event.Data = r.data
}

// cutLine cuts the first line off. Without returns only LF ends a line, which is much faster to find.
func cutLine(b []byte, returns bool) (line, rest []byte) {
	n := -1
	if returns {
		n = bytes.IndexAny(b, "\r\n")
	} else {
		n = bytes.IndexByte(b, '\n')
	}
	switch {
	case n < 0:
		return b, nil
	case b[n] == '\r' && n+1 < len(b) && b[n+1] == '\n':
		return b[:n], b[n+2:]
	default:
		return b[:n], b[n+1:]
	}
}

// cutField splits a line at its first colon; one space behind it is not part of the value.
func cutField(line []byte) (name, value []byte) {
	n := bytes.IndexByte(line, ':')
	if n < 0 {
		return line, line[len(line):]
	}
	value = line[n+1:]
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	return line[:n], value
}
