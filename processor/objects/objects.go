// Package objects says whose an object at a provider is: a file or a batch that was made through a shared key, which shows
// every tenant's objects to whoever holds it.
//
// Nothing is stored. The id that a client gets is the provider's own with a seal behind it (file-abc.SEAL): a MAC over the
// tenant, the account it was made in, and the id. Only what opens as the caller's own goes to a provider, and the seal tells which
// one. So ownership lives as long as the secret does: through restarts, and for every replica, while a store that is lost or behind
// would orphan objects, and one that is open by mistake would show them. A secret that is changed closes all of them.
//
// For lists an object carries a mark of its owner at the provider (Mark): lists of the shared key are cut down to those.
package objects

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"dragoman/internal/fault"
)

const (
	sealBytes = 15 // of a MAC: 20 characters
	markBytes = 9  // of an owner's mark: 12 characters

	// MaxID is the longest id of a provider that is taken.
	MaxID = 200
)

// Keeper seals and opens ids. It is safe for concurrent use.
type Keeper struct {
	seal, mark []byte
	cursors    cipher.AEAD
}

// NewKeeper makes one of a secret: its ids open with every other one of the same secret.
func NewKeeper(secret []byte) *Keeper {
	aead, err := cipher.NewGCM(block(derive(secret, "dragoman cursors")))
	if err != nil {
		panic(err) // AES has the block size that GCM needs
	}
	return &Keeper{seal: derive(secret, "dragoman objects"), mark: derive(secret, "dragoman owners"), cursors: aead}
}

// NewRandomKeeper makes one whose ids end with it.
func NewRandomKeeper() *Keeper {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: it ends the program instead
	return NewKeeper(secret[:])
}

func derive(secret []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, 32)
	if err != nil {
		panic(err) // 32 bytes are not too many for SHA-256
	}
	return key
}

func block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // 32 bytes are a key of AES-256
	}
	return b
}

// Owner is whose an object is, and where.
type Owner struct {
	Tenant  string
	Account string // the cluster whose credential made it
}

// Seal is the id as its owner gets it.
func (k *Keeper) Seal(o Owner, id string) string { return id + "." + k.sealOf(o, id) }

func (k *Keeper) sealOf(o Owner, id string) string {
	return encode(mac(k.seal, o.Tenant, o.Account, id)[:sealBytes])
}

// Open finds the account of a sealed id of the tenant among accounts, and the provider's own id. ok is false for whatever was not
// sealed for this tenant, or in an account that is not there any more. It takes some 500 ns for each account.
func (k *Keeper) Open(tenant, sealed string, accounts []string) (account, id string, ok bool) {
	at := strings.LastIndexByte(sealed, '.')
	if at <= 0 || !wellFormed(sealed[:at]) {
		return "", "", false
	}
	id = sealed[:at]
	for _, account := range accounts {
		if hmac.Equal([]byte(k.sealOf(Owner{tenant, account}, id)), []byte(sealed[at+1:])) {
			return account, id, true
		}
	}
	return "", "", false
}

// wellFormed says that an id can stand in a path and means one segment of it.
func wellFormed(id string) bool {
	if len(id) > MaxID || id == "." || id == ".." {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if c != '-' && c != '_' && c != '.' && c != ':' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return id != ""
}

// WellFormed says whether a provider's id can be sealed.
func WellFormed(id string) bool { return wellFormed(id) }

// Mark names a tenant to those who hold the secret, and to nobody else: 12 letters, digits, - and _.
func (k *Keeper) Mark(tenant string) string { return encode(mac(k.mark, tenant)[:markBytes]) }

// Cursor is a place in a provider's list that the tenant may go on from without seeing what stands there.
func (k *Keeper) Cursor(o Owner, after string) string {
	nonce := make([]byte, k.cursors.NonceSize())
	_, _ = rand.Read(nonce)
	return cursorPrefix + encode(k.cursors.Seal(nonce, nonce, []byte(o.Account+"\x00"+after), []byte(o.Tenant)))
}

const cursorPrefix = "dgmc_"

// OpenCursor is the place; after is "" for the account's beginning. ok is false for what is no cursor of this tenant.
func (k *Keeper) OpenCursor(tenant, cursor string) (account, after string, ok bool) {
	text, ok := strings.CutPrefix(cursor, cursorPrefix)
	if !ok || len(text) > 4*MaxID {
		return "", "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	n := k.cursors.NonceSize()
	if err != nil || len(raw) < n {
		return "", "", false
	}
	plain, err := k.cursors.Open(nil, raw[:n], raw[n:], []byte(tenant))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(plain), "\x00")
}

// NotFound is what a caller hears of an id that is not its own: the same whether the object exists or not.
func NotFound(kind, id string) *fault.Fault {
	f := fault.New(fault.NotFound, "No such %s object here: %q. Ids are those that this gateway gave to the same tenant.", kind, clip(id))
	f.Param, f.Code = "id", "object_not_found"
	return f
}

// mac is over texts, each with its length before it, so that none can run into the next.
func mac(key []byte, texts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, t := range texts {
		h.Write([]byte{byte(len(t) >> 8), byte(len(t))})
		h.Write([]byte(t))
	}
	return h.Sum(nil)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
