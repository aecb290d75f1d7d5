package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
)

func TestThereAndBack(t *testing.T) {
	var pipe bytes.Buffer
	bodies := [][]byte{Hello(384), Request([]uint16{101, 65535, 102}), Vector([]float32{0.5, -1}), Failure(errors.New("no")), nil}
	for i, b := range bodies {
		if err := Write(&pipe, uint32(i), b); err != nil {
			t.Fatal(err)
		}
	}
	for i, b := range bodies {
		id, body, err := Read(&pipe)
		if err != nil || id != uint32(i) || !bytes.Equal(body, b) {
			t.Errorf("%d: %d %v %v", i, id, body, err)
		}
	}
	if _, _, err := Read(&pipe); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if d, err := ParseHello(bodies[0]); d != 384 || err != nil {
		t.Error(d, err)
	}
	if ids, err := ParseRequest(bodies[1]); err != nil || !slices.Equal(ids, []uint16{101, 65535, 102}) {
		t.Error(ids, err)
	}
	if v, err := ParseReply(bodies[2], 2); err != nil || !slices.Equal(v, []float32{0.5, -1}) {
		t.Error(v, err)
	}
	if _, err := ParseReply(bodies[3], 2); err == nil || err.Error() != "no" {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"cut head":   {1, 0},
		"cut id":     {4, 0, 0, 0, 1},
		"cut body":   {6, 0, 0, 0, 1, 0, 0, 0, 1},
		"no id":      {3, 0, 0, 0, 1, 0, 0},
		"gigantic":   {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"a bit more": binary.LittleEndian.AppendUint64(nil, maxBody+5),
	} {
		if _, _, err := Read(bytes.NewReader(b)); err == nil || err == io.EOF {
			t.Errorf("%s: %v", name, err)
		}
	}
	if Write(io.Discard, 1, make([]byte, maxBody+1)) == nil {
		t.Error("too long a body was written")
	}
	for _, b := range [][]byte{nil, {1, 0, 0, 0}, {2, 0, 0, 0, 1, 0, 0, 0}, {1, 0, 0, 0, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 0, 1, 0}} {
		if d, err := ParseHello(b); err == nil {
			t.Errorf("hello %v: %d", b, d)
		}
	}
	for _, n := range []int{0, 1, 3, 2*MaxTokens + 2} {
		if _, err := ParseRequest(make([]byte, n)); err == nil {
			t.Errorf("request of %d bytes", n)
		}
	}
	for _, b := range [][]byte{nil, {0}, make([]byte, 8), append([]byte{7}, make([]byte, 8)...)} {
		if _, err := ParseReply(b, 2); err == nil {
			t.Errorf("reply %v", b)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{6, 0, 0, 0, 1, 0, 0, 0, 1, 2})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			_, body, err := Read(r)
			if err != nil {
				return
			}
			_, _ = ParseHello(body)
			_, _ = ParseRequest(body)
			if v, err := ParseReply(body, 3); err == nil && len(v) != 3 {
				t.Fatal(v)
			}
		}
	})
}
