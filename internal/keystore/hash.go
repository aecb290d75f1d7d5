package keystore

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// Hash is what is kept of a secret: HMAC-SHA-256 by identity.keys.secret.
type Hash [sha256.Size]byte

// maxSecret bounds what is hashed of a request; a secret of ours has 56 bytes.
const maxSecret = 512

// hasher is HMAC-SHA-256 (RFC 2104) with its key, without the allocations of crypto/hmac: it runs for every request.
type hasher struct{ inner, outer [sha256.BlockSize]byte }

func newHasher(key []byte) *hasher {
	h := &hasher{}
	if len(key) > sha256.BlockSize {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	copy(h.inner[:], key)
	copy(h.outer[:], key)
	for i := range h.inner {
		h.inner[i] ^= 0x36
		h.outer[i] ^= 0x5c
	}
	return h
}

// sum is the hash of what a caller sent, of maxSecret bytes at most.
func (h *hasher) sum(secret string) Hash {
	var in [sha256.BlockSize + maxSecret]byte
	copy(in[:], h.inner[:])
	n := sha256.BlockSize + copy(in[sha256.BlockSize:], secret)
	first := sha256.Sum256(in[:n])
	var out [sha256.BlockSize + sha256.Size]byte
	copy(out[:], h.outer[:])
	copy(out[sha256.BlockSize:], first[:])
	return sha256.Sum256(out[:])
}

// derive is a key for another purpose than hashing what callers send.
func derive(secret, purpose string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("dragoman\x00" + purpose)) // no header that a caller sends can hold a zero byte
	return mac.Sum(nil)
}

// checkOf tells secrets apart without showing them.
func checkOf(secret string) string { return hex.EncodeToString(derive(secret, "check")[:16]) }
