package strictjson

import (
	"bytes"
	"hash/maphash"
)

// span is a member's name: a part of the body, or of the arena where unescaped names are kept.
type span struct {
	start, end int32
	arena      bool
}

// names finds members that repeat. Names of all open objects stand in one list, each object's above those of the objects
// around it. A small object compares each name with every other; a large one (hostile, or a long logit_bias) gets a hash
// table with a random seed, so that the cost stays linear for any input and memory below a small multiple of the body.
type names struct {
	list   []span
	hashes []uint32 // of list, filled where a table exists
	arena  []byte
	tables [][]int32 // open addressing; entries are positions in list plus one
}

const (
	smallObject = 16
	keepNames   = 4096 // what a released Scanner keeps, in entries
)

var seed = maphash.MakeSeed()

func (n *names) reset() {
	n.list, n.hashes, n.arena, n.tables = n.list[:0], n.hashes[:0], n.arena[:0], n.tables[:0]
}

// drop forgets what was large, so that one hostile body does not hold its memory for ever.
func (n *names) drop() {
	if cap(n.list) > keepNames || cap(n.arena) > 16*keepNames || cap(n.tables) > MaxDepth {
		*n = names{}
	}
	clear(n.tables[:cap(n.tables)])
	n.reset()
}

func (n *names) text(b []byte, s span) []byte {
	if s.arena {
		return n.arena[s.start:s.end]
	}
	return b[s.start:s.end]
}

// span notes the name between the quotes at start and before end.
func (n *names) span(b []byte, start, end int, escaped bool) span {
	if !escaped {
		return span{start: int32(start + 1), end: int32(end - 1)}
	}
	from := len(n.arena)
	n.arena = AppendText(n.arena, b[start:end])
	return span{start: int32(from), end: int32(len(n.arena)), arena: true}
}

// add notes the name of f's member in progress; false when the object has it already.
func (n *names) add(b []byte, f *frame) bool {
	own := n.list[f.names:]
	if len(own) < smallObject {
		key := n.text(b, f.key)
		for _, s := range own {
			if s.end-s.start == f.key.end-f.key.start && bytes.Equal(n.text(b, s), key) {
				return false
			}
		}
		n.list = append(n.list, f.key)
		n.hashes = append(n.hashes, 0)
		return true
	}
	if f.table == 0 {
		n.tables = append(n.tables, nil)
		f.table = int32(len(n.tables))
		for i := range own {
			n.hashes[int(f.names)+i] = n.hash(b, own[i])
		}
	}
	return n.insert(b, f)
}

func (n *names) hash(b []byte, s span) uint32 { return uint32(maphash.Bytes(seed, n.text(b, s))) }

// insert adds the name of f's member in progress to f's table.
func (n *names) insert(b []byte, f *frame) bool {
	if own := len(n.list) - int(f.names); 2*own >= len(n.tables[f.table-1]) {
		n.grow(f, 4*own)
	}
	table, h, key := n.tables[f.table-1], n.hash(b, f.key), n.text(b, f.key)
	mask := uint32(len(table) - 1)
	at := h & mask
	for ; table[at] != 0; at = (at + 1) & mask {
		k := table[at] - 1
		if n.hashes[k] == h && bytes.Equal(n.text(b, n.list[k]), key) {
			return false
		}
	}
	n.list = append(n.list, f.key)
	n.hashes = append(n.hashes, h)
	table[at] = int32(len(n.list))
	return true
}

// grow gives f a table of at least size slots, with all its names.
func (n *names) grow(f *frame, size int) {
	slots := 64
	for slots < size {
		slots *= 2
	}
	table, mask := make([]int32, slots), uint32(slots-1)
	for k := int(f.names); k < len(n.list); k++ {
		at := n.hashes[k] & mask
		for table[at] != 0 {
			at = (at + 1) & mask
		}
		table[at] = int32(k + 1)
	}
	n.tables[f.table-1] = table
}

// leave forgets the names of an object that ends.
func (n *names) leave(f *frame) {
	n.list, n.hashes, n.arena = n.list[:f.names], n.hashes[:f.names], n.arena[:f.arena]
	if f.table != 0 {
		n.tables[f.table-1] = nil
		n.tables = n.tables[:f.table-1]
	}
}
