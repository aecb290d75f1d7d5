package redis

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/klauspost/compress/zstd"
	goredis "github.com/redis/go-redis/v9"

	"dragoman/processor/turns"
)

const (
	turnsGetDeadline = 250 * time.Millisecond // a request waits for it, and fails without: a conversation may be a megabyte
	turnsPutDeadline = 500 * time.Millisecond // the end of an answer waits for it: to lose a turn is worse than to wait
)

// Turns keeps conversations and signatures where all replicas find them. It implements turns.Store.
type Turns struct {
	client   *Client
	ttl      turns.TTL
	maxBytes int
	packer   *zstd.Encoder
	unpacker *zstd.Decoder
}

// NewTurns makes a store on a client, which stays the caller's. An entry of more than maxBytes, uncompressed, is not kept.
func NewTurns(client *Client, ttl turns.TTL, maxBytes int) (*Turns, error) {
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, err
	}
	unpacker, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	return &Turns{client: client, ttl: ttl, maxBytes: maxBytes, packer: packer, unpacker: unpacker}, nil
}

// key hashes what a client chose: keys have one length, and no tenant's can be made to look like another's.
func (s *Turns) key(k turns.Key) string {
	h := sha256.New()
	for _, part := range [...]string{k.Tenant, k.ID} {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	h.Write([]byte{byte(k.Kind)})
	return s.client.Key("turn", base64.RawURLEncoding.EncodeToString(h.Sum(nil)))
}

// Get implements turns.Store: one round trip of at most 250 ms (one for each slot of a cluster). A value that this version
// cannot unpack counts as absent.
func (s *Turns) Get(ctx context.Context, keys ...turns.Key) ([][]byte, error) {
	values := make([][]byte, len(keys))
	if len(keys) == 0 {
		return values, nil
	}
	found := make([]*goredis.StringCmd, len(keys))
	err := s.client.Do(ctx, "turns_get", turnsGetDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i, k := range keys {
				found[i] = p.Get(ctx, s.key(k))
			}
			return nil
		})
		return absentIsFine(err)
	})
	if err != nil {
		return nil, err
	}
	for i, cmd := range found {
		packed, err := cmd.Bytes()
		if err == nil {
			values[i] = s.unpack(packed)
		} else if !errors.Is(err, goredis.Nil) {
			return nil, err
		}
	}
	return values, nil
}

func absentIsFine(err error) error {
	if errors.Is(err, goredis.Nil) {
		return nil
	}
	return err
}

// A packed value begins with its length, so that unpacking is bounded before it begins.
func (s *Turns) pack(value []byte) []byte {
	out := binary.AppendUvarint(make([]byte, 0, 16+len(value)/2), uint64(len(value)))
	return s.packer.EncodeAll(value, out)
}

func (s *Turns) unpack(packed []byte) []byte {
	size, n := binary.Uvarint(packed)
	if n <= 0 || size > uint64(s.maxBytes) {
		return nil
	}
	value, err := s.unpacker.DecodeAll(packed[n:], make([]byte, 0, size))
	if err != nil || uint64(len(value)) != size {
		return nil
	}
	return value
}

// Put implements turns.Store: one round trip of at most 500 ms.
func (s *Turns) Put(ctx context.Context, entries ...turns.Entry) error {
	for i := range entries {
		if len(entries[i].Value) > s.maxBytes {
			return turns.ErrTooLarge
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return s.client.Do(ctx, "turns_put", turnsPutDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i := range entries {
				e := &entries[i]
				p.Set(ctx, s.key(e.Key), s.pack(e.Value), s.ttl.Of(e.Key.Kind))
			}
			return nil
		})
		return err
	})
}

// Delete implements turns.Store: one round trip of at most 500 ms.
func (s *Turns) Delete(ctx context.Context, keys ...turns.Key) (bool, error) {
	if len(keys) == 0 {
		return false, nil
	}
	deleted := make([]*goredis.IntCmd, len(keys))
	err := s.client.Do(ctx, "turns_delete", turnsPutDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i, k := range keys {
				deleted[i] = p.Del(ctx, s.key(k))
			}
			return nil
		})
		return err
	})
	if err != nil {
		return false, err
	}
	return deleted[0].Val() > 0, nil
}
