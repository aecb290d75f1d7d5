package keystore

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// MakeSecret reads the secret that keys are hashed by from a file, which is made, for this user alone, where it is not there. Two programs that
// do so at the same time get the same.
func MakeSecret(path string) (string, error) {
	for range 2 {
		secret, err := readSecret(path)
		if !errors.Is(err, os.ErrNotExist) {
			return secret, err
		}
		var bits [32]byte
		if _, err := io.ReadFull(rand.Reader, bits[:]); err != nil {
			return "", err
		}
		// A link does not take the place of a file that somebody has made meanwhile.
		err = writeFile(path, []byte(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(bits[:])+"\n"), os.Link)
		if err != nil && !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("the secret that keys are hashed by: %w", err)
		}
	}
	return readSecret(path)
}

// minSecret is the fewest characters that such a secret may have, as of one that the configuration names.
const minSecret = 32

func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the secret that keys are hashed by: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > 8<<10 {
		return "", fmt.Errorf("the secret that keys are hashed by: %s is no small regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the secret that keys are hashed by: others may read %s: chmod 600 it", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the secret that keys are hashed by: %w", err)
	}
	secret := strings.TrimSpace(string(data))
	if len(secret) < minSecret {
		return "", fmt.Errorf("the secret that keys are hashed by: %s has fewer than %d characters", path, minSecret)
	}
	return secret, nil
}
