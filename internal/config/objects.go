package config

// minObjectSecret is the fewest characters that a secret for ids may have: nobody shall find it by trying.
const minObjectSecret = 16

// objects reads the secret by which ids of files and batches are sealed.
func (b *builder) objects() {
	ref := b.cfg.GetObjects().GetSecret()
	if ref == nil {
		return
	}
	b.snap.Objects.Secret = b.longSecret("objects.secret", ref, minObjectSecret)
}
