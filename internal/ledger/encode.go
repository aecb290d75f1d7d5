package ledger

import (
	"encoding/binary"
	"hash/fnv"
	"time"
	"unicode/utf8"

	"dragoman/internal/config"
	"dragoman/processor/account"
	"dragoman/translate/chat"
)

// The log's records, by their first byte. Integers are varints (zigzag where they are signed), texts a length and bytes.
const (
	kindBegin   = 1 // a request was sent to its first provider
	kindRequest = 2 // a request has ended, with its failed attempts
	kindAudit   = 3
	format      = 1 // second byte
)

// Bounds of what a record holds: a client, or a provider, may say anything.
const (
	maxText     = 200            // bytes of one
	maxTags     = 16             // of a request
	maxAttempts = 16             // failed ones of a request
	maxTokens   = 10_000_000_000 // of one class of one request; sums of a billion such fit an int64
	maxCost     = config.MicroUSD(1_000_000_000_000)
	maxSpan     = 30 * 24 * time.Hour
)

// Flags of a request and of an attempt.
const (
	flagStream = 1 << iota
	flagKnown
	flagRefused
	flagEstimated
	flagPriced // the cost is known
	flagPrice  // and the price that it was made with follows
	flagUsage
)

type encoder struct{ b []byte }

func (e *encoder) uint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) int(n int64)   { e.b = binary.AppendVarint(e.b, n) }

func (e *encoder) text(s string) {
	s = cut(s)
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

// cut is as much of a text as fits, cut between characters.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > maxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func (e *encoder) tokens(n int64) { e.uint(uint64(min(max(n, 0), maxTokens))) }

func (e *encoder) span(d time.Duration) { e.uint(uint64(min(max(d, 0), maxSpan) / time.Microsecond)) }

func (e *encoder) usage(u *chat.Usage) {
	e.tokens(u.Input)
	e.tokens(u.CacheRead)
	e.tokens(u.CacheWrite)
	e.tokens(u.CacheWrite1h)
	e.tokens(u.Output)
	e.tokens(u.Reasoning)
}

// price writes what a cost was made with, so that every charge can be made again years later.
func (e *encoder) price(p *config.Price) {
	for _, m := range [...]config.MicroUSD{p.Input, p.Output, p.CacheRead, p.CacheWrite, p.CacheWrite1h} {
		e.int(int64(m))
	}
	if p.Long == nil {
		e.uint(0)
		return
	}
	e.uint(uint64(max(p.Above, 1)))
	for _, m := range [...]config.MicroUSD{p.Long.Input, p.Long.Output, p.Long.CacheRead, p.Long.CacheWrite, p.Long.CacheWrite1h} {
		e.int(int64(m))
	}
}

func bit(on bool, flag uint64) uint64 {
	if on {
		return flag
	}
	return 0
}

// request appends a request's record. Texts come as they are: what no database takes is mended when it is read.
func (e *encoder) request(kind byte, r *account.Record) {
	e.b = append(e.b, kind, format)
	priced := r.Priced && r.Price != nil
	e.uint(bit(r.Stream, flagStream) | bit(r.Known, flagKnown) | bit(r.Refused, flagRefused) | bit(r.Estimated, flagEstimated) |
		bit(r.Priced, flagPriced) | bit(priced, flagPrice) | bit(r.Usage.Known, flagUsage))
	e.int(r.Time.UnixMicro())
	for _, s := range [...]string{r.ID, r.Organisation, r.Tenant, r.Team, r.User, r.Key, r.Endpoint, string(r.Schema), r.Asked, r.Route, r.Model,
		r.Provider, r.Cluster, r.Cache, r.Outcome, r.Reason} {
		e.text(s)
	}
	e.uint(uint64(max(r.Status, 0)))
	e.uint(uint64(max(r.Attempts, 0)))
	e.usage(&r.Usage)
	if r.Priced {
		e.uint(uint64(min(max(r.Cost, 0), maxCost)))
	}
	if priced {
		e.price(r.Price)
	}
	e.tokens(r.SavedTokens)
	e.uint(uint64(min(max(r.Saved, 0), maxCost)))
	e.span(r.Duration)
	e.span(r.TTFT)
	e.span(r.Overhead)
	e.uint(uint64(max(r.Dropped, 0)))
	tags := r.Tags[:min(len(r.Tags), maxTags)]
	e.uint(uint64(len(tags)))
	for _, t := range tags {
		e.text(t)
	}
	failed := r.Failed[:min(len(r.Failed), maxAttempts)]
	e.uint(uint64(len(failed)))
	for i := range failed {
		e.attempt(&failed[i])
	}
}

func (e *encoder) attempt(a *account.Attempt) {
	priced := a.Priced && a.Price != nil
	e.uint(bit(a.Known, flagKnown) | bit(a.Priced, flagPriced) | bit(priced, flagPrice) | bit(a.Usage.Known, flagUsage))
	e.uint(uint64(max(a.Number, 0)))
	e.int(a.Time.UnixMicro())
	for _, s := range [...]string{a.Provider, a.Model, a.Cluster, a.Outcome} {
		e.text(s)
	}
	e.uint(uint64(max(a.Status, 0)))
	e.usage(&a.Usage)
	if a.Priced {
		e.uint(uint64(min(max(a.Cost, 0), maxCost)))
	}
	if priced {
		e.price(a.Price)
	}
	e.span(a.Duration)
}

// audit appends an entry of the audit trail.
func (e *encoder) audit(a *Entry) {
	e.b = append(e.b, kindAudit, format)
	e.uint(a.Number)
	e.b = append(e.b, a.Hash[:]...)
	e.entry(a)
}

// entry is what the hash of an entry covers, beside the hash before it.
func (e *encoder) entry(a *Entry) {
	e.int(a.Time.UnixMicro())
	for _, s := range [...]string{a.Action, a.Outcome, a.Organisation, a.Tenant, a.Team, a.User, a.Key, a.Subject, a.Detail, a.RequestID} {
		e.text(s)
	}
	e.uint(a.Count)
}

// PriceVersion names a price: the same figures have the same name on every machine. "" for none.
func PriceVersion(p *config.Price) string {
	if p == nil {
		return ""
	}
	var e encoder
	e.price(p)
	h := fnv.New64a()
	_, _ = h.Write(e.b)
	const digits = "0123456789abcdef"
	var out [16]byte
	for i, sum := 15, h.Sum64(); i >= 0; i, sum = i-1, sum>>4 {
		out[i] = digits[sum&15]
	}
	return string(out[:])
}
