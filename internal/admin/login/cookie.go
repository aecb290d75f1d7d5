package login

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// flowCookie is the name of the cookie of a login under way.
func (s *Logins) flowCookie(r *http.Request) string {
	if s.o.Guard.Secure(r) {
		return "__Host-dragoman_login"
	}
	return "dragoman_login"
}

// setCookie sets a cookie that scripts cannot read and that other sites cannot have sent along, but by a link that somebody follows.
func (s *Logins) setCookie(w http.ResponseWriter, r *http.Request, name, value string, expires time.Time) {
	age := int(expires.Sub(s.o.Now()).Seconds())
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: s.o.Guard.Secure(r), SameSite: http.SameSiteLaxMode})
}

// sealer is the cipher of cookies; every replica has the same key.
func (s *Logins) sealer(ctx context.Context) (cipher.AEAD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret == nil {
		var fresh [32]byte
		if _, err := io.ReadFull(s.o.Random, fresh[:]); err != nil {
			return nil, err
		}
		secret, err := s.o.Store.LoginSecret(ctx, fresh)
		if err != nil {
			return nil, &Fault{Status: http.StatusServiceUnavailable, Message: "The database that logins need does not answer: try again in a while.", Cause: err}
		}
		s.secret = &secret
	}
	block, err := aes.NewCipher(s.secret[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// setFlow gives the person's browser what belongs to the login, which nobody but this gateway can read or make.
func (s *Logins) setFlow(ctx context.Context, w http.ResponseWriter, r *http.Request, f *flow) error {
	aead, err := s.sealer(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(s.o.Random, nonce); err != nil {
		return err
	}
	name := s.flowCookie(r)
	sealed := aead.Seal(nonce, nonce, text, []byte(name))
	s.setCookie(w, r, name, base64.RawURLEncoding.EncodeToString(sealed), f.Expires)
	return nil
}

// takeFlow reads the login that a browser has begun, and takes it away: it can be finished once. nil: there is none.
func (s *Logins) takeFlow(ctx context.Context, w http.ResponseWriter, r *http.Request) (*flow, error) {
	name := s.flowCookie(r)
	c, err := r.Cookie(name)
	if err != nil {
		return nil, nil
	}
	aead, err := s.sealer(ctx)
	if err != nil {
		return nil, err
	}
	s.setCookie(w, r, name, "", time.Unix(0, 0))
	f, err := open(aead, name, c.Value)
	if err != nil || !s.o.Now().Before(f.Expires) {
		return nil, nil
	}
	return f, nil
}

func open(aead cipher.AEAD, name, value string) (*flow, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(sealed) < aead.NonceSize() || len(sealed) > 4096 {
		return nil, errSealed
	}
	text, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(name))
	if err != nil {
		return nil, errSealed
	}
	f := &flow{}
	return f, json.Unmarshal(text, f)
}

// same compares in a time that says nothing of where they differ.
func same(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
