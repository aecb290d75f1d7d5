package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// maxSecret is the longest credential that fits a header Envoy takes.
const maxSecret = 8 << 10

// Secret is a resolved credential. It prints as its source, never as its value.
type Secret struct {
	value  string
	source string // "env OPENAI_API_KEY", "file /run/secrets/x", "vault secret/dragoman/openai#key"
}

// NewSecret wraps a resolved value.
func NewSecret(value, source string) Secret { return Secret{value: value, source: source} }

// Reveal is the value itself: only xds may call it.
func (s Secret) Reveal() string { return s.value }

// Source says where the value came from, "" for no secret.
func (s Secret) Source() string { return s.source }

// String hides the value.
func (s Secret) String() string {
	if s.source == "" {
		return "none"
	}
	return s.source
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// secret reads one reference, wherever it stands in the configuration, and makes its value part of the configuration's version:
// whoever has a secret gets the new one after a rotation, by a reload like any other. The zero Secret follows a fault, which is noted.
func (b *builder) secret(path string, ref *dragomanv1.Secret) Secret {
	return b.longSecret(path, ref, 0)
}

// longSecret is secret for a value that nobody shall find by trying: it has at least so many characters.
func (b *builder) longSecret(path string, ref *dragomanv1.Secret, least int) Secret {
	s, fault := b.resolveSecret(ref)
	if fault == "" && s.source != "" && len(s.value) < least {
		fault = fmt.Sprintf("the secret has fewer than %d characters", least)
	}
	if fault != "" {
		b.fail(path, "%s", fault)
		return Secret{}
	}
	b.mix([]byte(s.value))
	return s
}

// resolveSecret reads what ref points to. fault never shows a value, nor a reference that may itself be a value that was put in
// the wrong place. Neither a Secret nor a fault comes of a reference to Vault whose fault is noted elsewhere.
func (b *builder) resolveSecret(ref *dragomanv1.Secret) (s Secret, fault string) {
	switch source := ref.GetSource().(type) {
	case *dragomanv1.Secret_Env:
		return secretFromEnv(source.Env, b.opts.Env)
	case *dragomanv1.Secret_File:
		b.files = append(b.files, depend(source.File))
		return secretFromFile(source.File)
	case *dragomanv1.Secret_Vault:
		return b.secretFromVault(source.Vault)
	default:
		return s, missingSecret
	}
}

func secretFromEnv(name string, env func(string) (string, bool)) (Secret, string) {
	if !isVariable(name) {
		return Secret{}, "env must be the name of an environment variable, such as OPENAI_API_KEY, not the secret itself"
	}
	shown := name
	if strings.ToUpper(name) != name { // names are upper case by custom; this may be a key
		shown = "that it names"
	}
	value, ok := env(name)
	switch {
	case !ok:
		return Secret{}, fmt.Sprintf("the environment variable %s is not set", shown)
	case value == "":
		return Secret{}, fmt.Sprintf("the environment variable %s is empty", shown)
	case badSecret(value) != "":
		return Secret{}, fmt.Sprintf("the environment variable %s %s", shown, badSecret(value))
	}
	return NewSecret(value, "env "+name), ""
}

func secretFromFile(path string) (Secret, string) {
	if path == "" {
		return Secret{}, "file must be the path of a file that holds the secret"
	}
	shown := path
	if len(filepath.Base(path)) > 32 { // no name of a file, but perhaps a key
		shown = "that it names"
	}
	data, err := readBounded(path, maxSecret)
	if err != nil {
		return Secret{}, fmt.Sprintf("the file %s %s", shown, err)
	}
	value := strings.TrimRightFunc(string(data), unicode.IsSpace)
	if value == "" {
		return Secret{}, fmt.Sprintf("the file %s is empty", shown)
	}
	if bad := badSecret(value); bad != "" {
		return Secret{}, fmt.Sprintf("the file %s %s", shown, bad)
	}
	return NewSecret(value, "file "+path), ""
}

// badSecret refuses what would break out of the header, or could not be sent in one.
func badSecret(value string) string {
	if len(value) > maxSecret {
		return fmt.Sprintf("holds more than %d bytes", maxSecret)
	}
	if strings.TrimSpace(value) != value {
		return "holds a value that begins or ends with white space"
	}
	for i := 0; i < len(value); i++ {
		if value[i] < ' ' || value[i] > '~' {
			return "holds a line break, a control character or a character that is not ASCII, which no header can carry"
		}
	}
	return ""
}

// isVariable tells a variable's name from most keys.
func isVariable(name string) bool {
	if name == "" || len(name) > 64 || '0' <= name[0] && name[0] <= '9' {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// readBounded reads a regular file of at most limit bytes. Its errors read on after "the file X" and do not name it.
func readBounded(path string, limit int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() { // a FIFO would block for ever
		return nil, errors.New("is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, reason(err)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("is larger than %d bytes", limit)
	}
	return data, nil
}

func reason(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("does not exist")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("may not be read by this user")
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}
