package wal

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	suffix     = ".wal"
	magic      = "DGMWAL1\n"
	markSize   = 64
	headerSize = 128 // magic 8, writer 16, first 8, mark 1+64, zeros, CRC-32C of what stands before it 4
	crcAt      = headerSize - 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment is one mapped file. Log.mu guards what changes.
type segment struct {
	path    string
	f       *os.File
	data    []byte
	writer  string
	first   uint64 // number of its first record
	count   uint64
	end     int // of its last record
	synced  int
	syncing int
	mark    []byte
	torn    bool // something other than zeros stands behind the last good record
}

func frameSize(payload int) int { return (8 + payload + 7) &^ 7 }

// createSegment makes a file whose blocks exist already: a write to the mapping can then not find the disk full.
func createSegment(path string, size int) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("no new segment of the log: %w", err)
	}
	err = allocate(f, int64(size))
	var s *segment
	if err == nil {
		s, err = mapSegment(path, f, size)
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, fmt.Errorf("no new segment of the log: %w", err)
	}
	return s, nil
}

func mapSegment(path string, f *os.File, size int) (*segment, error) {
	data, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &segment{path: path, f: f, data: data, end: headerSize}, nil
}

// begin writes the header.
func (s *segment) begin(writer string, first uint64, mark []byte) {
	s.writer, s.first, s.mark = writer, first, mark
	h := s.data[:headerSize]
	copy(h, magic)
	id, _ := hex.DecodeString(writer)
	copy(h[8:24], id)
	binary.LittleEndian.PutUint64(h[24:], first)
	h[32] = byte(len(mark))
	copy(h[33:33+markSize], mark)
	binary.LittleEndian.PutUint32(h[crcAt:], crc32.Checksum(h[:crcAt], castagnoli))
}

var errFault = errors.New("the mapped file cannot be written")

// append writes a frame for which there is room. A disk that fails under the mapping raises a fault, which must not end the process.
func (s *segment) append(payload []byte) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			err = errFault
		}
	}()
	at := s.data[s.end:]
	copy(at[8:], payload)
	binary.LittleEndian.PutUint32(at[4:], crc32.Checksum(payload, castagnoli))
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&at[0])), littleEndian(uint32(len(payload))))
	s.end += frameSize(len(payload))
	s.count++
	return nil
}

// littleEndian is the number whose bytes in memory are n's in little-endian order.
func littleEndian(n uint32) uint32 {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], n)
	return binary.NativeEndian.Uint32(b[:])
}

// openSegment maps what an earlier process left and counts its records. One without a whole header was never begun: nil.
func openSegment(path string) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if info.Size() < headerSize || info.Size() > 1<<32 {
		f.Close()
		return nil, nil
	}
	s, err := mapSegment(path, f, int(info.Size()))
	if err != nil {
		f.Close()
		return nil, err
	}
	if !s.readHeader() {
		s.close()
		return nil, nil
	}
	s.scan()
	return s, nil
}

func (s *segment) readHeader() bool {
	h := s.data[:headerSize]
	if string(h[:8]) != magic || binary.LittleEndian.Uint32(h[crcAt:]) != crc32.Checksum(h[:crcAt], castagnoli) {
		return false
	}
	s.writer, s.first = hex.EncodeToString(h[8:24]), binary.LittleEndian.Uint64(h[24:])
	s.mark = append([]byte(nil), h[33:33+min(int(h[32]), markSize)]...)
	return true
}

// scan finds the end of what is whole.
func (s *segment) scan() {
	for {
		payload, size := s.frame(s.end)
		if payload == nil {
			break
		}
		s.end += size
		s.count++
	}
	s.synced = s.end
	for _, b := range s.data[s.end:] {
		if b != 0 {
			s.torn = true
			break
		}
	}
}

// frame is the record at an offset, nil when there is none or it is broken.
func (s *segment) frame(at int) (payload []byte, size int) {
	if at+8 > len(s.data) {
		return nil, 0
	}
	n := int(binary.LittleEndian.Uint32(s.data[at:]))
	if n == 0 || n > len(s.data)-at-8 {
		return nil, 0
	}
	payload = s.data[at+8 : at+8+n]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(s.data[at+4:]) {
		return nil, 0
	}
	return payload, frameSize(n)
}

func (s *segment) close() {
	_ = syscall.Munmap(s.data)
	_ = s.f.Close()
}

func (s *segment) remove() {
	s.close()
	_ = os.Remove(s.path)
}
