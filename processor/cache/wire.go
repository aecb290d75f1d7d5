package cache

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/klauspost/compress/zstd"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

// The form in which entries leave the process, for stores that replicas share and that outlive them:
//
//	"DGE" and the version
//	the time it was stored, Unix nanoseconds, 8 bytes big endian: stores compare it as text
//	tenant, asked, model, provider: what a purge reads without unpacking the rest
//	the length of the rest, unpacked
//	the rest in zstd
//
// Numbers are varints, texts and lists have their length before them. A reader takes exactly its own version: what another
// release wrote is a miss.
const (
	wireMagic  = "DGE"
	wireNumber = 1

	storedSize = 8 // of the time, which begins at the fifth byte

	// HeadSize is at least as long as what Provenance reads.
	HeadSize = 1024
	maxName  = 200

	// Bounds of lists, so that a small entry cannot unpack into a huge one.
	maxChoices = 128 // OpenAI's own cap of n
	maxParts   = 1024
	maxItems   = 256 // extra members, citations
)

var (
	// ErrWire says that bytes are no entry of this version.
	ErrWire = errors.New("not an entry of the cache, or of another version")
	// ErrUnstorable says that an entry holds what the wire form has no place for, or more of something than it allows.
	ErrUnstorable = errors.New("the answer cannot be stored outside of the process")
)

// Both are made for whole buffers: they start no goroutine and may be used by several at once.
var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(4))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(4), zstd.WithDecodeAllCapLimit(true))
)

// Encode writes an entry. The error is ErrUnstorable.
func Encode(e *Entry) ([]byte, error) {
	b := append(make([]byte, 0, 512), wireMagic...)
	b = append(b, wireNumber)
	b = append(b, StoredBytes(e.Stored)...)
	for _, name := range [...]string{e.Tenant, e.Asked, e.Model, e.Provider} {
		if len(name) > maxName {
			return nil, ErrUnstorable
		}
		b = appendText(b, name)
	}
	rest, err := encodeRest(e)
	if err != nil {
		return nil, err
	}
	b = binary.AppendUvarint(b, uint64(len(rest)))
	return packer.EncodeAll(rest, b), nil
}

// StoredBytes is a time as encoded entries have it at their bytes 5 to 12.
func StoredBytes(t time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())) }

// Provenance reads who made an entry, and when, of its first HeadSize bytes.
func Provenance(b []byte) (tenant, asked, model string, stored time.Time, err error) {
	r := wireReader{b: b}
	e := r.head()
	return e.Tenant, e.Asked, e.Model, e.Stored, r.err()
}

// Decode reads an entry of at most most bytes, unpacked. The error is ErrWire; no input makes it take much more memory than
// that. The entry shares none with b.
func Decode(b []byte, most int) (*Entry, error) {
	r := wireReader{b: b}
	e := r.head()
	n := r.uint()
	if r.bad || n > uint64(max(most, 0)) {
		return nil, ErrWire
	}
	rest, err := unpacker.DecodeAll(r.b, make([]byte, 0, n))
	if err != nil || uint64(len(rest)) != n {
		return nil, ErrWire
	}
	r = wireReader{b: rest}
	r.rest(&e)
	if r.bad || len(r.b) != 0 {
		return nil, ErrWire
	}
	return &e, nil
}

// encodeRest writes all but the provenance.
func encodeRest(e *Entry) ([]byte, error) {
	r := e.Response
	if r == nil || r.Embedding != nil || r.Rerank != nil || r.Count != nil || len(r.Choices) > maxChoices || len(r.Extra) > maxItems {
		return nil, ErrUnstorable
	}
	b := make([]byte, 0, e.Size())
	b = appendText(b, e.ID)
	b = appendText(b, string(e.Schema))
	b = binary.AppendVarint(b, int64(e.Cost))
	b = appendBool(b, e.Priced)
	b = appendUsage(b, e.Usage)
	b = appendBytes(b, e.Raw)
	b = appendText(b, r.ID)
	b = appendText(b, r.Model)
	b = binary.AppendVarint(b, r.Created)
	b = appendUsage(b, r.Usage)
	b = appendBool(b, r.Billed.Known)
	b = binary.AppendVarint(b, r.Billed.Input)
	b = binary.AppendVarint(b, r.Billed.Output)
	b = binary.AppendUvarint(b, math.Float64bits(r.Billed.Units))
	b = appendExtras(b, r.Extra)
	b = binary.AppendUvarint(b, uint64(len(r.Choices)))
	var err error
	for i := range r.Choices {
		if b, err = appendChoice(b, &r.Choices[i]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendChoice(b []byte, c *chat.Choice) ([]byte, error) {
	if len(c.Parts) > maxParts {
		return nil, ErrUnstorable
	}
	b = appendText(b, string(c.Finish))
	b = appendText(b, c.RawFinish)
	b = appendText(b, c.StopSequence)
	b = appendBytes(b, c.LogProbs)
	b = binary.AppendUvarint(b, uint64(len(c.Parts)))
	var err error
	for i := range c.Parts {
		if b, err = appendPart(b, &c.Parts[i]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendPart writes a part of an answer. Media and results of tools don't occur in what is stored. A prompt-cache mark belongs
// to requests.
func appendPart(b []byte, p *chat.Part) ([]byte, error) {
	if p.Media != nil || p.Result != nil || p.Cache != nil || len(p.Extra) > maxItems || len(p.Citations) > maxItems {
		return nil, ErrUnstorable
	}
	b = append(b, byte(p.Kind))
	b = appendText(b, p.Text)
	b = appendText(b, p.Signature)
	b = appendBool(b, p.Call != nil)
	if c := p.Call; c != nil {
		b = appendText(b, c.ID)
		b = appendText(b, c.Name)
		b = appendText(b, c.Arguments)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Citations)))
	for i := range p.Citations {
		c := &p.Citations[i]
		b = appendText(b, c.Title)
		b = appendText(b, c.URL)
		b = appendText(b, c.Quote)
		b = binary.AppendVarint(b, int64(c.Start))
		b = binary.AppendVarint(b, int64(c.End))
	}
	return appendExtras(b, p.Extra), nil
}

func appendExtras(b []byte, es []chat.Extra) []byte {
	b = binary.AppendUvarint(b, uint64(len(es)))
	for i := range es {
		b = appendText(b, es[i].Name)
		b = appendBytes(b, es[i].JSON)
		b = appendBool(b, es[i].Meaning)
	}
	return b
}

// counts lists a usage's numbers in the order of the wire.
func counts(u *chat.Usage) [8]*int64 {
	return [...]*int64{&u.Input, &u.CacheRead, &u.CacheWrite, &u.CacheWrite1h, &u.Output, &u.Reasoning, &u.AudioInput, &u.AudioOutput}
}

func appendUsage(b []byte, u chat.Usage) []byte {
	b = appendBool(b, u.Known)
	for _, n := range counts(&u) {
		b = binary.AppendVarint(b, *n)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, v []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(v))), v...) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// wireReader reads what the functions above write. After the first fault everything reads as zero.
type wireReader struct {
	b   []byte
	bad bool
}

func (r *wireReader) err() error {
	if r.bad {
		return ErrWire
	}
	return nil
}

func (r *wireReader) fail() { r.bad, r.b = true, nil }

func (r *wireReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *wireReader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *wireReader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *wireReader) text() string { return string(r.take(r.uint())) }

// bytes gives nil for none.
func (r *wireReader) bytes() []byte { return append([]byte(nil), r.take(r.uint())...) }

func (r *wireReader) bool() bool {
	v := r.take(1)
	if len(v) == 1 && v[0] > 1 {
		r.fail()
	}
	return len(v) == 1 && v[0] == 1
}

// list reads a length of at most most.
func (r *wireReader) list(most uint64) int {
	n := r.uint()
	if n > most || n > uint64(len(r.b)) { // each element has a byte at least
		r.fail()
		return 0
	}
	return int(n)
}

func (r *wireReader) head() (e Entry) {
	if string(r.take(uint64(len(wireMagic)))) != wireMagic {
		r.fail()
	}
	if v := r.take(1); len(v) == 1 && v[0] != wireNumber {
		r.fail()
	}
	if v := r.take(storedSize); len(v) == storedSize {
		e.Stored = time.Unix(0, int64(binary.BigEndian.Uint64(v)))
	}
	for _, name := range [...]*string{&e.Tenant, &e.Asked, &e.Model, &e.Provider} {
		n := r.uint()
		if n > maxName {
			r.fail()
		}
		*name = string(r.take(n))
	}
	return e
}

func (r *wireReader) rest(e *Entry) {
	e.ID = r.text()
	e.Schema = chat.Schema(r.text())
	e.Cost = config.MicroUSD(r.int())
	e.Priced = r.bool()
	e.Usage = r.usage()
	e.Raw = r.bytes()
	a := &chat.Response{ID: r.text(), Model: r.text(), Created: r.int(), Usage: r.usage()}
	a.Billed = chat.Billed{Known: r.bool(), Input: r.int(), Output: r.int(), Units: r.float()}
	a.Extra = r.extras()
	for range r.list(maxChoices) {
		a.Choices = append(a.Choices, r.choice())
	}
	e.Response = a
}

func (r *wireReader) choice() chat.Choice {
	c := chat.Choice{Finish: chat.Finish(r.text()), RawFinish: r.text(), StopSequence: r.text(), LogProbs: r.bytes()}
	for range r.list(maxParts) {
		c.Parts = append(c.Parts, r.part())
		if r.bad {
			break
		}
	}
	return c
}

func (r *wireReader) part() (p chat.Part) {
	if kind := r.take(1); len(kind) == 1 {
		p.Kind = chat.PartKind(kind[0])
	}
	p.Text, p.Signature = r.text(), r.text()
	if r.bool() {
		p.Call = &chat.Call{ID: r.text(), Name: r.text(), Arguments: r.text()}
	}
	for range r.list(maxItems) {
		c := chat.Citation{Title: r.text(), URL: r.text(), Quote: r.text()}
		c.Start, c.End = r.offset(), r.offset()
		p.Citations = append(p.Citations, c)
	}
	p.Extra = r.extras()
	return p
}

func (r *wireReader) float() float64 {
	v := math.Float64frombits(r.uint())
	if math.IsNaN(v) {
		r.fail()
	}
	return v
}

// offset reads a position in a text.
func (r *wireReader) offset() int {
	v := r.int()
	if v < 0 || v > math.MaxInt32 {
		r.fail()
	}
	return int(v)
}

func (r *wireReader) extras() (es []chat.Extra) {
	for range r.list(maxItems) {
		es = append(es, chat.Extra{Name: r.text(), JSON: r.bytes(), Meaning: r.bool()})
	}
	return es
}

func (r *wireReader) usage() (u chat.Usage) {
	u.Known = r.bool()
	for _, n := range counts(&u) {
		*n = r.int()
	}
	return u
}
