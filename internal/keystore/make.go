package keystore

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

const (
	// maxSpec bounds what one key says, in bytes of JSON.
	maxSpec = 16 << 10
	// maxOverlap bounds how long two secrets of one key are accepted.
	maxOverlap = 90 * 24 * time.Hour
	// maxSecrets are kept of one key: those that are no longer accepted, so that whoever sends one is told what became of it.
	maxSecrets = 8
)

// fit says how a spec is stored, once the configuration has taken it.
func (s *Store) fit(at config.Place, spec *dragomanv1.Key) (string, error) {
	snap := s.o.Config()
	switch {
	case spec.GetHash() != "":
		return "", fault.Invalid("hash", "is for keys of the configuration: a key that is made here has a secret that the gateway makes")
	case spec.GetRevoked():
		return "", fault.Invalid("revoked", "a new key cannot be revoked")
	case snap.Keys.Open:
		return "", fmt.Errorf("%w: %s", config.ErrNoPlace, at)
	}
	p, err := snap.Caller(at, spec)
	if err != nil {
		return "", invalid(err)
	}
	for _, known := range snap.Keys.ByHash {
		if known.Path() == p.Path() {
			return "", taken(at, spec.GetName())
		}
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(spec)
	if err != nil {
		return "", fault.Invalid("", "the key cannot be written: it holds text that is not UTF-8")
	}
	if len(text) > maxSpec {
		return "", fault.Invalid("", "the key says more than %d bytes", maxSpec)
	}
	return string(text), nil
}

// invalid shows what the configuration finds at fault with a spec as a fault of the request.
func invalid(err error) error {
	var problems *config.Problems
	if !errors.As(err, &problems) || len(problems.List) == 0 {
		return err
	}
	first := problems.List[0]
	return fault.Invalid(strings.TrimPrefix(first.Path, "key."), "%s", first.Message)
}

func taken(at config.Place, name string) error {
	f := fault.Invalid("name", "another key of %s is called %q: revoke that one, rotate it, or choose another name", at, name)
	f.Code = "key_exists"
	return f
}

// lifetime is when a new key ends.
func (s *Store) lifetime(now, expires time.Time) (time.Time, error) {
	most := s.o.Settings.MaxAge
	switch {
	case expires.IsZero() && most == 0:
		return time.Time{}, nil
	case expires.IsZero():
		return micro(now.Add(most)), nil
	case !expires.After(now):
		return time.Time{}, fault.Invalid("expires", "lies in the past")
	case most != 0 && expires.Sub(now) > most:
		return time.Time{}, fault.Invalid("expires", "is further away than identity.keys.max_age (%s) lets it be", most)
	}
	return micro(expires), nil
}

// newSecret makes what a caller will send, and what is kept of it.
func (s *Store) newSecret(now time.Time) (string, Secret, error) {
	secret, err := config.NewKey(s.o.Random)
	if err != nil {
		return "", Secret{}, err
	}
	return secret, Secret{Hash: s.hasher.sum(secret), Prefix: secret[:prefixLength] + "…", Created: micro(now)}, nil
}

// prefixLength shows 30 of a secret's 256 bits.
const prefixLength = len(config.KeyPrefix) + 6

// idPrefix begins every key's ID.
const idPrefix = "key_"

// idText keeps the order of what it writes.
var idText = base32.HexEncoding.WithPadding(base32.NoPadding)

// newID is unique, and greater than those made a millisecond ago.
func newID(now time.Time, random io.Reader) (string, error) {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	if _, err := io.ReadFull(random, b[6:]); err != nil {
		return "", err
	}
	return idPrefix + strings.ToLower(idText.EncodeToString(b[:])), nil
}

func isID(s string) bool {
	return len(s) == len(idPrefix)+26 && strings.HasPrefix(s, idPrefix) && !strings.Contains(s, "/")
}

// SplitPath reads a key's path: tenant/key, tenant/team/key, tenant/@user/key, tenant/team/@user/key.
func SplitPath(path string) (at config.Place, name string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return at, "", false
	}
	at, err := config.ParsePlace(path[:i])
	return at, path[i+1:], err == nil && path[i+1:] != "" && path[i+1] != '@'
}

// shown is a record as an administrator sees it.
func (s *Store) shown(r *Record) *Key {
	k := &Key{ID: r.ID, Place: r.Place, Spec: parseSpec(r.Spec), Created: r.Created, CreatedBy: r.CreatedBy, Expires: r.Expires, Revoked: r.Revoked,
		RevokedBy: r.RevokedBy, LastUsed: s.table.lastUse(r.ID, r.LastUsed)}
	if k.Spec == nil {
		k.Spec = &dragomanv1.Key{Name: r.Name} // of a later version of the program
	}
	if len(r.Secrets) > 0 {
		k.Prefix = r.Secrets[0].Prefix
	}
	if len(r.Secrets) > 1 && r.Revoked.IsZero() && !over(r.Secrets[1].Expires, s.o.Now()) {
		k.Overlap = r.Secrets[1].Expires
	}
	return k
}

// parseSpec is nil for what this program cannot read.
func parseSpec(text string) *dragomanv1.Key {
	k := &dragomanv1.Key{}
	if (protojson.UnmarshalOptions{}).Unmarshal([]byte(text), k) != nil {
		return nil
	}
	return k
}

// SpecJSON is a spec as JSON with the names of the configuration.
func SpecJSON(k *dragomanv1.Key) string {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(k)
	if err != nil {
		return "{}"
	}
	return string(text)
}

// micro cuts a time to what databases keep.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

// over says that a time that is not zero has come.
func over(end, now time.Time) bool { return !end.IsZero() && !end.After(now) }

// clip bounds what is kept or shown of somebody's text.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200]
	}
	return s
}
