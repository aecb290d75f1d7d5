// Package eventstream frames application/vnd.amazon.eventstream, the binary encoding of AWS's streamed answers, right for
// any split of the bytes. Each message carries two CRC-32 sums: of its prelude, so that no damaged length is believed, and
// of the whole. The encoding is that of the Smithy specification, "Amazon Event Stream".
//
// A Reader is fed and pulled, as that of package sse:
//
//	r.Feed(chunk)
//	for r.Next() {
//		m := r.Message()
//		…
//	}
//	if err := r.Err(); err != nil { … }
//
// The Raw bytes of all messages, in order, are the bytes that were fed. A message that lies within one chunk is not copied.
package eventstream

import (
	"encoding/binary"
	"hash/crc32"

	"dragoman/internal/fault"
)

// Sizes of a message's parts in bytes.
const (
	preludeSize = 12 // total length, headers' length, CRC of these two
	trailerSize = 4  // CRC of everything before it
	overhead    = preludeSize + trailerSize

	// MaxHeaders is how long all headers of a message together may be, by the specification.
	MaxHeaders = 128 << 10
)

// Message is one message. Its slices are valid until the next call of Next or Feed.
type Message struct {
	Raw     []byte // as it came
	Headers []byte // encoded, and known to be well-formed: see Header and Text
	Payload []byte
}

// Reader frames one stream. It belongs to one goroutine at a time.
type Reader struct {
	max   int
	chunk []byte // what was fed last
	pos   int    // of chunk: up to here messages have been returned or kept in held
	held  []byte // the beginning of a message whose end was not fed yet
	used  bool   // held belongs to the message returned last
	need  int    // length of the message in progress, 0 until its prelude has been read
	msg   Message
	err   error
}

// NewReader makes a Reader that refuses messages of more than maxMessage bytes, framing included.
func NewReader(maxMessage int) *Reader { return &Reader{max: maxMessage} }

// Feed gives the Reader the next bytes of the stream, once Next has returned false for those before. It keeps p until Next
// returns false again.
func (r *Reader) Feed(p []byte) { r.chunk, r.pos = p, 0 }

// Message is what Next went to.
func (r *Reader) Message() *Message { return &r.msg }

// Err is a *fault.Fault (ProviderFailed) when a message is damaged or too large. The Reader stays at its fault.
func (r *Reader) Err() error { return r.err }

// Partial says whether the bytes fed so far end within a message.
func (r *Reader) Partial() bool { return !r.used && len(r.held) > 0 || r.pos < len(r.chunk) }

// Next goes to the next whole message; false when more bytes are needed, or on a fault.
func (r *Reader) Next() bool {
	if r.used {
		r.held, r.used = r.held[:0], false
	}
	if r.err != nil {
		return false
	}
	if len(r.held) > 0 {
		return r.complete()
	}
	rest := r.chunk[r.pos:]
	if len(rest) < preludeSize {
		return r.keep()
	}
	if !r.prelude(rest) {
		return false
	}
	if len(rest) < r.need {
		return r.keep()
	}
	r.pos += r.need
	return r.parse(rest[:r.need])
}

// complete adds to the message whose beginning is held.
func (r *Reader) complete() bool {
	if r.need == 0 {
		if !r.take(preludeSize) {
			return r.keep()
		}
		if !r.prelude(r.held) {
			return false
		}
	}
	if !r.take(r.need) {
		return r.keep()
	}
	r.used = true
	return r.parse(r.held)
}

// take moves bytes from the chunk until held has n of them.
func (r *Reader) take(n int) bool {
	m := min(n-len(r.held), len(r.chunk)-r.pos)
	r.held = append(r.held, r.chunk[r.pos:r.pos+m]...)
	r.pos += m
	return len(r.held) == n
}

// keep holds the rest of the chunk, which its owner takes back.
func (r *Reader) keep() bool {
	r.held = append(r.held, r.chunk[r.pos:]...)
	r.chunk, r.pos = nil, 0
	return false
}

// prelude reads a message's length, which is believed only when its CRC is right.
func (r *Reader) prelude(b []byte) bool {
	total, headers := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	switch {
	case crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]):
		return r.fail("The provider's stream is damaged: the checksum of a message's prelude is wrong.")
	case uint64(total) > uint64(r.max):
		return r.fail("The provider sent a stream message of more than %d bytes.", r.max)
	case headers > MaxHeaders || uint64(headers)+overhead > uint64(total):
		return r.fail("The provider's stream is damaged: the lengths of a message contradict each other.")
	}
	r.need = int(total)
	return true
}

func (r *Reader) parse(raw []byte) bool {
	r.need = 0
	end := len(raw) - trailerSize
	if crc32.ChecksumIEEE(raw[:end]) != binary.BigEndian.Uint32(raw[end:]) {
		return r.fail("The provider's stream is damaged: the checksum of a message is wrong.")
	}
	split := preludeSize + int(binary.BigEndian.Uint32(raw[4:]))
	r.msg = Message{Raw: raw, Headers: raw[preludeSize:split:split], Payload: raw[split:end:end]}
	for b := r.msg.Headers; len(b) > 0; {
		var ok bool
		if _, b, ok = cutHeader(b); !ok {
			return r.fail("The provider's stream is damaged: a message's headers cannot be read.")
		}
	}
	return true
}

func (r *Reader) fail(format string, args ...any) bool {
	r.err = fault.New(fault.ProviderFailed, format, args...)
	r.held, r.chunk, r.pos = nil, nil, 0
	r.msg = Message{}
	return false
}
