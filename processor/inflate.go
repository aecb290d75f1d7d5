package processor

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"iter"

	"github.com/andybalholm/brotli"

	"dragoman/internal/fault"
)

// A provider is never told that compression is welcome; some compress all the same.

// unpackers are the encodings that are understood.
var unpackers = map[string]func(io.Reader) (io.Reader, error){
	"gzip":   unzip,
	"x-gzip": unzip,
	"br":     func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
}

func unzip(r io.Reader) (io.Reader, error) {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	// Else the last bytes of a stream would be held back for the header of a further member, which never comes.
	zr.Multistream(false)
	return zr, nil
}

// plainEncoding says that a content-encoding leaves the bytes as they are.
func plainEncoding(encoding string) bool { return encoding == "" || encoding == "identity" }

// inflateWhole gives a whole body without its content-encoding, at most bound bytes of it.
func inflateWhole(encoding string, body []byte, bound int) ([]byte, error) {
	if plainEncoding(encoding) {
		return body, nil
	}
	open := unpackers[encoding]
	if open == nil {
		return nil, badEncoding(encoding)
	}
	zr, err := open(bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.ProviderFailed, "The answer says that it is %s, and is not.", encoding)
	}
	out, err := io.ReadAll(io.LimitReader(zr, int64(bound)+1))
	if err != nil {
		return nil, fault.New(fault.ProviderFailed, "The answer's %s data is damaged.", encoding)
	}
	if len(out) > bound {
		return nil, fault.New(fault.ProviderFailed, "The answer is larger than %d bytes when unpacked.", bound)
	}
	return out, nil
}

func badEncoding(encoding string) *fault.Fault {
	return fault.New(fault.ProviderFailed, "The answer came with content-encoding %s, which was not asked for and is not known.", clip(encoding))
}

// inflater unpacks a stream piece by piece. The zero form passes the bytes.
type inflater struct {
	in    []byte // what the decompressor may still read
	open  func(io.Reader) (io.Reader, error)
	next  func() ([]byte, bool)
	stop  func()
	bound int
	err   error
}

// newInflater makes the inflater of one stream. bound is the most that one piece may grow to, in bytes.
func newInflater(encoding string, bound int) (*inflater, error) {
	f := &inflater{bound: bound}
	if plainEncoding(encoding) {
		return f, nil
	}
	if f.open = unpackers[encoding]; f.open == nil {
		return nil, badEncoding(encoding)
	}
	f.next, f.stop = iter.Pull(f.run)
	return f, nil
}

// run is a coroutine: it yields what it has unpacked, and nil when it has to be fed.
func (f *inflater) run(yield func([]byte) bool) {
	zr, err := f.open(feed{f, yield})
	buf := make([]byte, 16<<10)
	for err == nil {
		var n int
		n, err = zr.Read(buf)
		if n > 0 && !yield(buf[:n]) {
			return
		}
	}
	if !errors.Is(err, io.EOF) {
		f.err = fault.New(fault.ProviderFailed, "The stream's compressed data is damaged.")
	}
}

// feed is the decompressor's input: when it is empty, control goes back to Write.
type feed struct {
	f     *inflater
	yield func([]byte) bool
}

func (r feed) Read(p []byte) (int, error) {
	if len(r.f.in) == 0 && !r.yield(nil) {
		return 0, io.ErrUnexpectedEOF
	}
	if len(r.f.in) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, r.f.in)
	r.f.in = r.f.in[n:]
	return n, nil
}

// ReadByte keeps compress/flate from buffering more than it needs.
func (r feed) ReadByte() (byte, error) {
	var b [1]byte
	_, err := r.Read(b[:])
	return b[0], err
}

// Write unpacks the next piece.
func (f *inflater) Write(p []byte) ([]byte, error) {
	if f.next == nil || len(p) == 0 {
		return p, nil
	}
	f.in = p
	var out []byte
	for {
		chunk, more := f.next()
		if f.err != nil {
			return out, f.err
		}
		if !more || (chunk == nil && len(f.in) == 0) {
			return out, nil
		}
		if out = append(out, chunk...); len(out) > f.bound {
			return nil, fault.New(fault.ProviderFailed, "A piece of the stream is larger than %d bytes when unpacked.", f.bound)
		}
	}
}

// Close lets the coroutine go.
func (f *inflater) Close() {
	if f != nil && f.stop != nil {
		f.stop()
	}
}
