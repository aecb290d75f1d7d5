package keystore

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
)

// cacheFile is the file of the last known keys, by which a start without the database lets callers in. It holds hashes and what keys may do, and
// ends with an HMAC by the secret: who may write the file, but does not have the secret, cannot put a key into it.
type cacheFile struct {
	path    string
	mac     []byte
	dirty   atomic.Bool
	written time.Time // of the one who saves alone
	took    time.Duration
}

func newCacheFile(path, secret string) *cacheFile {
	return &cacheFile{path: path, mac: derive(secret, "cache")}
}

const (
	// cacheMagic begins the file; its number is that of the format.
	cacheMagic = "dragoman keys 1\n"
	// cacheStale is how old the file may get while nothing changes: it says as of when it was right.
	cacheStale = 10 * time.Minute
	// maxCache bounds what is read: MaxKeys of a KiB each.
	maxCache = 1 << 30
)

// touch notes that the file lacks something.
func (c *cacheFile) touch() {
	if c != nil {
		c.dirty.Store(true)
	}
}

// due says that it is time to write: at most a twentieth of the time goes into writing.
func (c *cacheFile) due(now time.Time) bool {
	age := now.Sub(c.written)
	return c.dirty.Load() && age > 20*c.took || age > cacheStale
}

// saveCache writes the file when it is time to, or at last.
func (s *Store) saveCache(last bool) {
	c := s.cache
	if c == nil || s.status.Load().Source != SourceDatabase {
		return
	}
	if now := s.o.Now(); !c.due(now) && !(last && c.dirty.Load()) {
		return
	}
	c.dirty.Store(false)
	began := time.Now()
	err := c.write(encodeCache(time.UnixMicro(s.seen.Load()), s.table.list(), c.mac))
	c.written, c.took = s.o.Now(), time.Since(began)
	if err != nil {
		c.dirty.Store(true)
		s.o.Log.Warn("the file of known keys was not written: a start without the database would know older ones", "error", err)
	}
}

// write puts the file in the place of the old one, at once and for good.
func (c *cacheFile) write(data []byte) error {
	return writeFile(c.path, data, os.Rename)
}

// writeFile writes a file that only this user may read, and has place put it where it belongs.
func writeFile(path string, data []byte, place func(from, to string) error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return place(f.Name(), path)
}

// fromCache takes the keys from the file.
func (s *Store) fromCache() {
	if s.cache == nil {
		return
	}
	asOf, records, err := s.cache.read()
	switch {
	case errors.Is(err, os.ErrNotExist):
		s.o.Log.Error("no key of the database is known before it answers: there is no file of the last known ones", "file", s.cache.path)
		return
	case err != nil:
		s.o.Log.Error("no key of the database is known before it answers: the file of the last known ones is ignored", "file", s.cache.path, "error", err)
		return
	}
	s.table.replace(records)
	s.seen.Store(asOf.UnixMicro())
	st := *s.status.Load()
	st.Keys, st.Source = s.table.size(), SourceCache
	s.status.Store(&st)
	s.o.Log.Warn("callers are let in by the last known keys until the database answers", "file", s.cache.path, "keys", st.Keys, "as_of", asOf.UTC().Format(time.RFC3339))
}

// read is what the file holds, if it was written with this secret.
func (c *cacheFile) read() (asOf time.Time, records []*record, err error) {
	f, err := os.Open(c.path)
	if err != nil {
		return asOf, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCache+1))
	if err != nil {
		return asOf, nil, err
	}
	return decodeCache(data, c.mac)
}

// encodeCache is the file: the magic, as of when it is right (µs), the number of keys, the keys, and the HMAC of all that.
func encodeCache(asOf time.Time, records []*record, mac []byte) []byte {
	b := append(make([]byte, 0, 64+len(records)*256), cacheMagic...)
	b = binary.AppendVarint(b, asOf.UnixMicro())
	b = binary.AppendUvarint(b, uint64(len(records)))
	for _, r := range records {
		for _, s := range [...]string{r.id, r.place.Tenant, r.place.Team, r.place.User, r.spec} {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
		for _, n := range [...]int64{r.expires, r.revoked, r.revision, r.use.at.Load()} {
			b = binary.AppendVarint(b, n)
		}
		b = binary.AppendUvarint(b, uint64(len(r.secrets)))
		for _, s := range r.secrets {
			b = binary.AppendVarint(append(b, s.hash[:]...), s.ends)
		}
	}
	h := hmac.New(sha256.New, mac)
	h.Write(b)
	return h.Sum(b)
}

// errCache is what is said of a file that cannot be trusted or read.
var errCache = errors.New("it is broken, was changed by somebody, or was written with another identity.keys.secret")

// decodeCache reads what encodeCache writes.
func decodeCache(data, mac []byte) (asOf time.Time, records []*record, err error) {
	if len(data) > maxCache {
		return asOf, nil, fmt.Errorf("it is larger than %d bytes", maxCache)
	}
	body, sum := data, []byte(nil)
	if n := len(data) - sha256.Size; n >= 0 {
		body, sum = data[:n], data[n:]
	}
	h := hmac.New(sha256.New, mac)
	h.Write(body)
	if !hmac.Equal(h.Sum(nil), sum) || !bytes.HasPrefix(body, []byte(cacheMagic)) {
		return asOf, nil, errCache
	}
	d := &decoder{b: body[len(cacheMagic):], names: interner{}}
	asOf = time.UnixMicro(d.int())
	n := d.count(minCached)
	records = make([]*record, 0, n)
	for range n {
		records = append(records, d.record())
	}
	if d.failed || len(d.b) > 0 {
		return time.Time{}, nil, errCache
	}
	return asOf, records, nil
}

// decoder reads from the front of b. After a failure what it reads means nothing.
type decoder struct {
	b      []byte
	names  interner
	failed bool
}

func (d *decoder) fail() {
	d.failed, d.b = true, nil
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// The fewest bytes that a key and a secret take.
const (
	minCached       = 10
	minCachedSecret = sha256.Size + 1
)

// count reads how many follow, each of at least so many bytes: what the file cannot hold is not made room for.
func (d *decoder) count(least int) int {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(len(d.b)-n)/uint64(least) {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return int(v)
}

func (d *decoder) text() string {
	n := d.count(1)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) record() *record {
	r := &record{id: d.text(), use: &use{}}
	r.place = config.Place{Tenant: d.names.of(d.text()), Team: d.names.of(d.text()), User: d.text()}
	r.spec = d.text()
	r.expires, r.revoked, r.revision = d.int(), d.int(), d.int()
	r.use.atLeast(d.int())
	r.secrets = make([]ending, d.count(minCachedSecret))
	for i := range r.secrets {
		r.secrets[i].ends = d.hash(&r.secrets[i].hash)
	}
	return r
}

// hash reads a hash into h, and the end that follows it.
func (d *decoder) hash(h *Hash) int64 {
	if len(d.b) < len(h) {
		d.fail()
		return 0
	}
	d.b = d.b[copy(h[:], d.b):]
	return d.int()
}
