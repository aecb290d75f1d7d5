package access

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"time"

	"dragoman/internal/config"
)

// TokenPrefix begins every token of an administrator, so that secret scanners and people recognise one.
const TokenPrefix = "dga_"

// Token lets a program administer. The token itself is not part of it: it is shown once, when it is made.
type Token struct {
	ID        string // in the order in which they were made
	Name      string // unique among those of the same tenant and team that are not revoked
	Hash      [32]byte
	Grant     config.RoleGrant
	Prefix    string // the beginning of the token, for display
	Created   time.Time
	CreatedBy string
	Expires   time.Time // zero: never
	Revoked   time.Time // zero: it is not
	RevokedBy string
	LastUsed  time.Time // zero: never; up to a minute late
}

// Session is a person who has logged in. Its id, which the browser has, is not part of it.
type Session struct {
	Hash    [32]byte // SHA-256 of the id
	Kind    string   // KindOIDC, KindGitHub
	Name    string
	Grants  []config.RoleGrant
	Created time.Time
	Expires time.Time
}

// Store keeps tokens and sessions, for all replicas. Its methods are safe for concurrent use; what is not there is ErrNone.
type Store interface {
	// AddToken stores a new token. The error is ErrTaken where one of its tenant and team that is not revoked has its name.
	AddToken(ctx context.Context, t *Token) error
	TokenByHash(ctx context.Context, hash [32]byte) (*Token, error)
	TokenByID(ctx context.Context, id string) (*Token, error)
	// Tokens are those after an id, in the order of their ids.
	Tokens(ctx context.Context, after string, limit int) ([]*Token, error)
	// RevokeToken ends a token; one that has ended stays as it is.
	RevokeToken(ctx context.Context, id, by string, at time.Time) error
	// UseToken notes a use.
	UseToken(ctx context.Context, id string, at time.Time) error
	// HasAdminToken says whether a token of role admin has ever been made.
	HasAdminToken(ctx context.Context) (bool, error)

	// AddSession stores a session and ends the oldest of the same person beyond the newest 20.
	AddSession(ctx context.Context, s *Session) error
	SessionByHash(ctx context.Context, hash [32]byte) (*Session, error)
	EndSession(ctx context.Context, hash [32]byte) error
	// PruneSessions removes sessions that have expired and returns them, each once whichever replica asks.
	PruneSessions(ctx context.Context, now time.Time) ([]*Session, error)

	// LoginSecret is what the cookies of a login are sealed by, the same for all replicas; fresh becomes it where there is none.
	LoginSecret(ctx context.Context, fresh [32]byte) ([32]byte, error)
}

// Errors of a Store.
var (
	ErrNone  = errors.New("there is no such token or session")
	ErrTaken = errors.New("another token that is not revoked has this name")
)

// MaxSessions is how many sessions one person may have.
const MaxSessions = 20

// letters keep the order of what they encode.
var letters = base32.HexEncoding.WithPadding(base32.NoPadding)

// NewSecret makes a token: dga_ and 256 bits of rand as 52 lower-case letters and digits. The error is rand's.
func NewSecret(rand io.Reader) (string, error) {
	var bits [32]byte
	if _, err := io.ReadFull(rand, bits[:]); err != nil {
		return "", err
	}
	return TokenPrefix + strings.ToLower(letters.EncodeToString(bits[:])), nil
}

// secretLen is the length of a token.
const secretLen = len(TokenPrefix) + 52

// HashSecret is what is kept of a token, or of a session's id. Both have 256 random bits, so that a plain hash is enough.
func HashSecret(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

// NewToken makes a token with its secret. The grant must have been checked.
func NewToken(rand io.Reader, now time.Time, name string, grant config.RoleGrant, by string, expires time.Time) (*Token, string, error) {
	secret, err := NewSecret(rand)
	if err != nil {
		return nil, "", err
	}
	var id [16]byte
	if _, err := io.ReadFull(rand, id[8:]); err != nil {
		return nil, "", err
	}
	binary.BigEndian.PutUint64(id[:], uint64(now.UnixMicro()))
	return &Token{ID: "token_" + strings.ToLower(letters.EncodeToString(id[:])), Name: name, Hash: HashSecret(secret), Grant: grant,
		Prefix: secret[:len(TokenPrefix)+6] + "…", Created: now.UTC().Truncate(time.Microsecond), CreatedBy: by, Expires: expires.UTC()}, secret, nil
}
