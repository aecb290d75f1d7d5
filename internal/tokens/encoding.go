// Package tokens says how many tokens a text or a request has for a model: exactly where the model's tokenizer is public
// and small enough to ship (OpenAI's), else by an estimate that was calibrated against it and states its margin. The time
// and memory it takes are bounded for any input. All of it is safe for concurrent use.
package tokens

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"io"
	"math/bits"
	"sync"
	"unicode/utf8"
)

// vocab/generate.py writes them.

//go:embed vocab/o200k_base.bin
var o200kVocabulary []byte

//go:embed vocab/cl100k_base.bin
var cl100kVocabulary []byte

// The encodings are loaded when first needed, which takes some 25 ms, and then stay: 5 MB for o200k, 3 MB for cl100k. A
// gateway whose requests are all far from their windows never needs them.
var (
	o200k  = sync.OnceValue(func() *encoding { return load(o200kVocabulary, o200kPiece) })
	cl100k = sync.OnceValue(func() *encoding { return load(cl100kVocabulary, cl100kPiece) })
)

// encoding is a byte-pair encoding: text is split into pieces, and a piece's bytes are merged by rank. The vocabulary is
// one block of bytes and an open hash table over it, without a pointer that the garbage collector would have to follow.
type encoding struct {
	piece   func(text string) int // length of the first piece of a text that is not empty
	tokens  []byte                // all tokens, in the order of rank
	offsets []uint32              // of token r: tokens[offsets[r]:offsets[r+1]]
	slots   []uint32              // rank + 1, 0: free
	longest int
}

// load inflates a vocabulary: tokens in the order of rank, a byte of length before each. A fault in it is a bug of this
// program, which its tests find.
func load(packed []byte, piece func(string) int) *encoding {
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		panic("tokens: embedded vocabulary: " + err.Error())
	}
	e := &encoding{piece: piece, tokens: make([]byte, 0, len(raw)), offsets: make([]uint32, 1, len(raw)/5)}
	for len(raw) > 0 {
		n := int(raw[0])
		e.tokens = append(e.tokens, raw[1:1+n]...)
		e.offsets = append(e.offsets, uint32(len(e.tokens)))
		e.longest = max(e.longest, n)
		raw = raw[1+n:]
	}
	count := len(e.offsets) - 1
	e.slots = make([]uint32, 1<<bits.Len(uint(count)*3/2))
	for rank := range count {
		at := e.hash(e.token(rank))
		for e.slots[at] != 0 {
			at = (at + 1) & uint32(len(e.slots)-1)
		}
		e.slots[at] = uint32(rank) + 1
	}
	return e
}

func (e *encoding) token(rank int) []byte { return e.tokens[e.offsets[rank]:e.offsets[rank+1]] }

// hash mixes eight bytes at a time. It need not resist an attacker: the table is fixed, and what is looked up in it never
// goes in.
func (e *encoding) hash(b []byte) uint32 {
	const multiplier = 0x9E3779B97F4A7C15
	h := uint64(len(b)) * multiplier
	for len(b) >= 8 {
		h = bits.RotateLeft64(h^binary.LittleEndian.Uint64(b), 29) * multiplier
		b = b[8:]
	}
	var last uint64
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	h = (h ^ last) * multiplier
	return uint32((h^h>>29)>>7) & uint32(len(e.slots)-1)
}

const noRank = 1<<32 - 1

// rank finds a token, noRank when b is none.
func (e *encoding) rank(b []byte) uint32 {
	if len(b) > e.longest {
		return noRank
	}
	for at := e.hash(b); ; at = (at + 1) & uint32(len(e.slots)-1) {
		slot := e.slots[at]
		if slot == 0 {
			return noRank
		}
		if bytes.Equal(e.token(int(slot-1)), b) {
			return slot - 1
		}
	}
}

// maxPiece bounds the quadratic merging of one piece, in bytes. A longer one is no word of any language: it is counted in
// parts, which adds at most a token for each.
const maxPiece = 256

// count is the number of tokens in text.
func (e *encoding) count(text string) int64 {
	var n int64
	var m merger
	for text != "" {
		size := e.piece(text)
		piece := text[:size]
		text = text[size:]
		for len(piece) > maxPiece {
			cut := maxPiece
			for cut > maxPiece-utf8.UTFMax && !utf8.RuneStart(piece[cut]) {
				cut--
			}
			n += int64(e.pieceTokens(&m, piece[:cut]))
			piece = piece[cut:]
		}
		n += int64(e.pieceTokens(&m, piece))
	}
	return n
}

// merger is the memory that merging one piece takes.
type merger struct {
	bytes [maxPiece]byte
	start [maxPiece + 1]uint16 // of each part
	rank  [maxPiece + 1]uint32 // of each part merged with the next
}

// pieceTokens is the number of tokens that one piece of at most maxPiece bytes is merged into.
func (e *encoding) pieceTokens(m *merger, piece string) int {
	b := m.bytes[:copy(m.bytes[:], piece)]
	if len(b) == 1 || e.rank(b) != noRank {
		return 1
	}
	parts := len(b)
	for i := range b {
		m.start[i] = uint16(i)
	}
	m.start[parts] = uint16(parts)
	for i := 0; i+1 < parts; i++ {
		m.rank[i] = e.rank(b[i : i+2])
	}
	for parts > 1 {
		best, at := uint32(noRank), 0
		for i, r := range m.rank[:parts-1] {
			if r < best {
				best, at = r, i
			}
		}
		if best == noRank {
			break
		}
		copy(m.start[at+1:parts], m.start[at+2:parts+1])
		copy(m.rank[at+1:parts-1], m.rank[at+2:parts])
		parts--
		if at+1 < parts {
			m.rank[at] = e.rank(b[m.start[at]:m.start[at+2]])
		}
		if at > 0 {
			m.rank[at-1] = e.rank(b[m.start[at-1]:m.start[at+1]])
		}
	}
	return parts
}
