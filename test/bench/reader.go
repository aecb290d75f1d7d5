package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// reader reads HTTP/1.1 messages from a connection, for both the load generator and the fake provider: with no allocation
// for a message, because net/http would cost more than what is measured.
type reader struct {
	from       io.Reader
	buf        []byte
	start, end int // what was read and not yet taken: buf[start:end]
}

const (
	readBuffer = 64 << 10
	maxBody    = 4 << 20 // larger than anything said in a benchmark
)

func newReader(from io.Reader) *reader { return &reader{from: from, buf: make([]byte, readBuffer)} }

// head is what the framing of a message needs of its headers.
type head struct {
	length  int // content-length, -1: none
	chunked bool
	close   bool // connection: close
	wanted  bool // the line that was looked for is there
}

var (
	errLine = errors.New("a header line is longer than the buffer")
	errSize = fmt.Errorf("a body is larger than %d bytes", maxBody)
)

// fill reads more. It makes room first by moving what is left to the front.
func (r *reader) fill() error {
	if r.start == r.end {
		r.start, r.end = 0, 0
	} else if r.end == len(r.buf) {
		if r.start == 0 {
			return errLine
		}
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	n, err := r.from.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	return err
}

// line takes one line, without its end. It is valid until the next call.
func (r *reader) line() ([]byte, error) {
	scanned := 0
	for {
		if i := bytes.IndexByte(r.buf[r.start+scanned:r.end], '\n'); i >= 0 {
			line := r.buf[r.start : r.start+scanned+i]
			r.start += scanned + i + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		scanned = r.end - r.start
		if err := r.fill(); err != nil {
			return nil, unexpected(err, scanned > 0)
		}
	}
}

// unexpected tells an end between two messages from one within.
func unexpected(err error, within bool) error {
	if within && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// status reads the first line of a response.
func (r *reader) status() (int, error) {
	line, err := r.line()
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " {
		return 0, fmt.Errorf("not an HTTP/1.1 response: %q", line)
	}
	return strconv.Atoi(string(line[9:12]))
}

// headers reads up to the empty line, and looks for one line that begins with wanted.
func (r *reader) headers(wanted string) (head, error) {
	h := head{length: -1}
	for {
		line, err := r.line()
		if err != nil {
			return h, unexpected(err, true)
		}
		if len(line) == 0 {
			return h, nil
		}
		if wanted != "" && bytes.HasPrefix(line, []byte(wanted)) {
			h.wanted = true
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return h, fmt.Errorf("not a header: %q", line)
		}
		if err := h.read(name, bytes.TrimSpace(value)); err != nil {
			return h, err
		}
	}
}

func (h *head) read(name, value []byte) (err error) {
	switch {
	case is(name, "content-length"):
		h.length, err = strconv.Atoi(string(value))
		if err == nil && (h.length < 0 || h.length > maxBody) {
			err = errSize
		}
	case is(name, "transfer-encoding"):
		h.chunked = is(value, "chunked")
	case is(name, "connection"):
		h.close = is(value, "close")
	}
	return err
}

// is compares ASCII without regard to case; the length first, which settles most.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// body appends a message's body to into. first, when given, is called once, after the first bytes of the body were read.
func (r *reader) body(h head, into []byte, first func()) ([]byte, error) {
	if !h.chunked {
		return r.take(max(h.length, 0), into, first)
	}
	for {
		line, err := r.line()
		if err != nil {
			return into, unexpected(err, true)
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil || len(into)+int(n) > maxBody {
			return into, fmt.Errorf("not the size of a chunk: %q", line)
		}
		if n > 0 {
			if into, err = r.take(int(n), into, first); err != nil {
				return into, err
			}
			first = nil
		}
		if line, err = r.line(); err != nil {
			return into, unexpected(err, true)
		}
		if len(line) > 0 {
			return into, fmt.Errorf("not the end of a chunk: %q", line)
		}
		if n == 0 {
			return into, nil
		}
	}
}

// take appends the next n bytes to into.
func (r *reader) take(n int, into []byte, first func()) ([]byte, error) {
	for n > 0 {
		if r.start == r.end {
			if err := r.fill(); err != nil {
				return into, unexpected(err, true)
			}
		}
		if first != nil {
			first()
			first = nil
		}
		m := min(n, r.end-r.start)
		into = append(into, r.buf[r.start:r.start+m]...)
		r.start += m
		n -= m
	}
	return into, nil
}
