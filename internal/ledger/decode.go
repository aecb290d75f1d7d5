package ledger

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"

	"dragoman/internal/config"
	"dragoman/processor/account"
	"dragoman/translate/chat"
)

// decoder reads what encoder wrote. After the first fault everything is zero.
type decoder struct {
	b     []byte
	bad   bool
	words map[string]string // texts that were seen, so that a thousand records share them
	last  struct {          // price, and as it was written: hardly ever another one
		written []byte
		price   *config.Price
	}
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

// count reads how many of something follow.
func (d *decoder) count(most uint64) int {
	n := d.uint()
	if n > most {
		d.fail()
		return 0
	}
	return int(n)
}

// bytes reads a length and so many bytes, which alias the log.
func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

// maxWords bounds the texts that are shared.
const maxWords = 10_000

// text reads a text that every database takes: valid UTF-8 without NUL.
func (d *decoder) text() string {
	b := d.bytes()
	if len(b) == 0 {
		return ""
	}
	if s, ok := d.words[string(b)]; ok {
		return s
	}
	s := clean(string(b))
	if d.words == nil || len(d.words) >= maxWords {
		d.words = make(map[string]string)
	}
	d.words[string(b)] = s
	return s
}

// own reads a text that hardly comes again.
func (d *decoder) own() string { return clean(string(d.bytes())) }

func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return s
}

// Times that a partition is made for: a clock that is far off must not make thousands.
var (
	earliest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	latest   = time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

func (d *decoder) time() time.Time {
	return time.UnixMicro(min(max(d.int(), earliest), latest-1)).UTC()
}

func (d *decoder) tokens() int64 { return int64(min(d.uint(), maxTokens)) }

func (d *decoder) cost() config.MicroUSD { return config.MicroUSD(min(d.uint(), uint64(maxCost))) }

func (d *decoder) span() time.Duration {
	return time.Duration(min(d.uint(), uint64(maxSpan/time.Microsecond))) * time.Microsecond
}

func (d *decoder) usage(known bool) chat.Usage {
	return chat.Usage{Known: known, Input: d.tokens(), CacheRead: d.tokens(), CacheWrite: d.tokens(), CacheWrite1h: d.tokens(), Output: d.tokens(),
		Reasoning: d.tokens()}
}

// price reads a price, of which nobody may change anything: others share it.
func (d *decoder) price() *config.Price {
	if n := len(d.last.written); n > 0 && bytes.HasPrefix(d.b, d.last.written) { // a price says itself where it ends
		d.b = d.b[n:]
		return d.last.price
	}
	all := d.b
	p := d.figures()
	if above := d.uint(); above > 0 {
		p.Above, p.Long = int64(min(above, 1<<62)), d.figures()
	}
	if !d.bad {
		d.last.written, d.last.price = append(d.last.written[:0], all[:len(all)-len(d.b)]...), p
	}
	return p
}

func (d *decoder) figures() *config.Price {
	m := func() config.MicroUSD { return config.MicroUSD(d.int()) }
	return &config.Price{Input: m(), Output: m(), CacheRead: m(), CacheWrite: m(), CacheWrite1h: m()}
}

// header takes the first two bytes.
func (d *decoder) header() (kind byte) {
	if len(d.b) < 2 || d.b[1] != format {
		d.fail()
		return 0
	}
	kind = d.b[0]
	d.b = d.b[2:]
	return kind
}

// request reads a request's record behind its header.
func (d *decoder) request() *account.Record {
	r := &account.Record{}
	d.into(r)
	return r
}

func (d *decoder) into(r *account.Record) {
	f := d.uint()
	*r = account.Record{Stream: f&flagStream != 0, Known: f&flagKnown != 0, Refused: f&flagRefused != 0, Estimated: f&flagEstimated != 0,
		Priced: f&flagPriced != 0}
	r.Time = d.time()
	r.ID = d.own()
	for _, s := range [...]*string{&r.Organisation, &r.Tenant, &r.Team, &r.User, &r.Key, &r.Endpoint, (*string)(&r.Schema), &r.Asked, &r.Route,
		&r.Model, &r.Provider, &r.Cluster, &r.Cache, &r.Outcome, &r.Reason} {
		*s = d.text()
	}
	r.Status, r.Attempts = d.count(1<<16), d.count(1<<16)
	r.Usage = d.usage(f&flagUsage != 0)
	if r.Priced {
		r.Cost = d.cost()
	}
	if f&flagPrice != 0 {
		r.Price = d.price()
	}
	r.SavedTokens, r.Saved = d.tokens(), d.cost()
	r.Duration, r.TTFT, r.Overhead = d.span(), d.span(), d.span()
	r.Dropped = d.count(1 << 30)
	if n := d.count(maxTags); n > 0 {
		r.Tags = make([]string, n)
		for i := range r.Tags {
			r.Tags[i] = d.text()
		}
	}
	if n := d.count(maxAttempts); n > 0 {
		r.Failed = make([]account.Attempt, n)
		for i := range r.Failed {
			d.attempt(&r.Failed[i])
		}
	}
}

func (d *decoder) attempt(a *account.Attempt) {
	f := d.uint()
	a.Known, a.Priced = f&flagKnown != 0, f&flagPriced != 0
	a.Number = d.count(1 << 16)
	a.Time = d.time()
	for _, s := range [...]*string{&a.Provider, &a.Model, &a.Cluster, &a.Outcome} {
		*s = d.text()
	}
	a.Status = d.count(1 << 16)
	a.Usage = d.usage(f&flagUsage != 0)
	if a.Priced {
		a.Cost = d.cost()
	}
	if f&flagPrice != 0 {
		a.Price = d.price()
	}
	a.Duration = d.span()
}

// audit reads an entry behind its header.
func (d *decoder) audit() *Entry {
	a := &Entry{Number: d.uint()}
	if len(d.b) < len(a.Hash) {
		d.fail()
		return a
	}
	d.b = d.b[copy(a.Hash[:], d.b):]
	a.Time = d.time()
	for _, s := range [...]*string{&a.Action, &a.Outcome, &a.Organisation, &a.Tenant, &a.Team, &a.User, &a.Key} {
		*s = d.text()
	}
	a.Subject, a.Detail, a.RequestID = d.own(), d.own(), d.own()
	a.Count = d.uint()
	return a
}
