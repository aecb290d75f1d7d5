// Package frame is what Dragoman and its embedding helper say to each other over the helper's standard input and output. Every
// frame is a length (4 bytes, of what follows it), an id (4 bytes) and a body, in little-endian. The helper speaks first: Hello with
// id 0. Then each Request is answered by one Reply with its id, in any order.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Version of this protocol; the helper of another build may speak another one.
const Version = 1

// Bounds: no side takes more memory for a frame than these say.
const (
	MaxTokens     = 512
	MaxDimensions = 1 << 14
	maxBody       = 1 + 4*MaxDimensions
	headBytes     = 8
)

// Status of a reply.
const (
	statusVector byte = iota
	statusError
)

// Write sends one frame in one write.
func Write(w io.Writer, id uint32, body []byte) error {
	if len(body) > maxBody {
		return fmt.Errorf("a frame of %d bytes", len(body))
	}
	b := make([]byte, headBytes, headBytes+len(body))
	binary.LittleEndian.PutUint32(b, uint32(4+len(body)))
	binary.LittleEndian.PutUint32(b[4:], id)
	_, err := w.Write(append(b, body...))
	return err
}

// Read receives one frame. io.EOF means that the other side has ended between two frames.
func Read(r io.Reader) (id uint32, body []byte, err error) {
	var head [headBytes]byte
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < 4 || n > 4+maxBody {
		return 0, nil, fmt.Errorf("a frame of %d bytes", n)
	}
	body = make([]byte, n-4)
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return 0, nil, cut(err)
	}
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, cut(err)
	}
	return binary.LittleEndian.Uint32(head[4:]), body, nil
}

func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Hello is the body that the helper begins with: what it speaks and how long its vectors are.
func Hello(dimensions int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, Version)
	return binary.LittleEndian.AppendUint32(b, uint32(dimensions))
}

// ParseHello reads it.
func ParseHello(body []byte) (dimensions int, err error) {
	if len(body) != 8 {
		return 0, errors.New("the helper did not introduce itself")
	}
	if v := binary.LittleEndian.Uint32(body); v != Version {
		return 0, fmt.Errorf("the helper speaks version %d, not %d: build it again", v, Version)
	}
	d := binary.LittleEndian.Uint32(body[4:])
	if d == 0 || d > MaxDimensions {
		return 0, fmt.Errorf("the helper's vectors have %d dimensions", d)
	}
	return int(d), nil
}

// Request is the body that asks for the vector of a text's tokens.
func Request(ids []uint16) []byte {
	b := make([]byte, 0, 2*len(ids))
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint16(b, id)
	}
	return b
}

// ParseRequest reads it.
func ParseRequest(body []byte) ([]uint16, error) {
	if len(body) == 0 || len(body)%2 != 0 || len(body) > 2*MaxTokens {
		return nil, fmt.Errorf("a request of %d bytes", len(body))
	}
	ids := make([]uint16, len(body)/2)
	for i := range ids {
		ids[i] = binary.LittleEndian.Uint16(body[2*i:])
	}
	return ids, nil
}

// Vector is the body of a reply that has one.
func Vector(v []float32) []byte {
	b := append(make([]byte, 0, 1+4*len(v)), statusVector)
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// Failure is the body of a reply that says why there is none.
func Failure(err error) []byte {
	text := err.Error()
	return append([]byte{statusError}, text[:min(len(text), 1000)]...)
}

// ParseReply reads a reply's body: a vector of so many dimensions, or the helper's error.
func ParseReply(body []byte, dimensions int) ([]float32, error) {
	switch {
	case len(body) > 0 && body[0] == statusError:
		return nil, errors.New(string(body[1:]))
	case len(body) != 1+4*dimensions || body[0] != statusVector:
		return nil, fmt.Errorf("a reply of %d bytes", len(body))
	}
	v := make([]float32, dimensions)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(body[1+4*i:]))
	}
	return v, nil
}
