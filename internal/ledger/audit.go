package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Entry is one line of the audit trail: what an administrator did, or what the gateway refused. It holds no secret and no content of a
// request. Its texts are cut at 200 bytes.
type Entry struct {
	Time         time.Time
	Action       string // request, cache.purge, key.revoke, chain.start …
	Outcome      string // ok, or the kind of fault
	Organisation string
	Tenant       string
	Team         string
	User         string
	Key          string
	Subject      string // what it was done to
	Detail       string
	RequestID    string
	Count        uint64 // how often within the second, when it was not written down each time; 0 stands for once

	// The chain: each start of the program has its own, named by the writer, counted from 1. Its first entry names the end of the
	// chain before it.
	Writer string
	Number uint64
	Hash   [sha256.Size]byte // over the hash before it and this entry
}

// ChainStart is the action of each chain's first entry. Its Subject is the chain before it, its Detail that one's end.
const ChainStart = "chain.start"

// HashEntry is the hash of an entry that follows one with the hash before; the first of a chain follows zeros.
func HashEntry(before [sha256.Size]byte, a *Entry) [sha256.Size]byte {
	e := encoder{b: append(make([]byte, 0, 512), before[:]...)}
	e.text(a.Writer)
	e.uint(a.Number)
	e.entry(a)
	return sha256.Sum256(e.b)
}

// mend makes the entry what it will be when it is read again, so that its hash holds.
func (a *Entry) mend() {
	for _, s := range [...]*string{&a.Action, &a.Outcome, &a.Organisation, &a.Tenant, &a.Team, &a.User, &a.Key, &a.Subject, &a.Detail, &a.RequestID} {
		*s = cut(clean(cut(*s)))
	}
	a.Time = time.UnixMicro(min(max(a.Time.UnixMicro(), earliest), latest-1)).UTC()
	a.Count = min(a.Count, 1<<40)
}

// Head is the end of a chain.
type Head struct {
	Writer string
	Number uint64
	Hash   [sha256.Size]byte
}

// mark is a head as the write-ahead log keeps it at the beginning of a segment, which knows its writer.
func (h Head) mark() []byte {
	return append(binary.LittleEndian.AppendUint64(nil, h.Number), h.Hash[:]...)
}

func headOf(writer string, mark []byte) (h Head) {
	if len(mark) == 8+len(h.Hash) {
		h.Writer, h.Number = writer, binary.LittleEndian.Uint64(mark)
		copy(h.Hash[:], mark[8:])
	}
	return h
}

// Each of the anonymous refusals up to these many in a second is written down; those beyond are counted in one entry.
const anonymousEach = 10

// flood counts what nobody known was refused, so that whoever has no key cannot fill the log.
type flood struct {
	second int64
	seen   int
	more   map[[2]string]uint64 // by endpoint and outcome
}

// takes says that the refusal is to be written down as it is. Else it was counted.
func (f *flood) takes(now time.Time, endpoint, outcome string) bool {
	if s := now.Unix(); s != f.second {
		f.second, f.seen = s, 0
	}
	if f.seen++; f.seen <= anonymousEach {
		return true
	}
	if f.more == nil {
		f.more = make(map[[2]string]uint64)
	}
	f.more[[2]string{endpoint, outcome}]++ // paths and kinds are closed sets
	return false
}

// rest takes what was counted.
func (f *flood) rest(now time.Time) []Entry {
	var out []Entry
	for k, n := range f.more {
		out = append(out, Entry{Time: now, Action: "request", Outcome: k[1], Subject: k[0], Count: n})
	}
	f.more = nil
	return out
}
