package config

import (
	"fmt"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// minObjectSecret is the fewest characters that a secret for ids may have: nobody shall find it by trying.
const minObjectSecret = 16

// objects reads the secret by which ids of files and batches are sealed.
func (b *builder) objects() {
	ref := b.cfg.GetObjects().GetSecret()
	if ref == nil {
		return
	}
	const path = "objects.secret"
	if f, ok := ref.GetSource().(*dragomanv1.Secret_File); ok {
		b.files = append(b.files, depend(f.File))
	}
	s, fault := resolveSecret(ref, b.opts.Env)
	if fault == "" && len(s.Reveal()) < minObjectSecret {
		fault = fmt.Sprintf("the secret has fewer than %d characters", minObjectSecret)
	}
	if fault != "" {
		b.fail(path, "%s", fault)
		return
	}
	b.mix([]byte(s.Reveal()))
	b.snap.Objects.Secret = s
}
