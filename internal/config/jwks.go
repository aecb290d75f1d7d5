package config

import (
	"encoding/json"
	"fmt"
)

// maxJWKS bounds a file of public keys: large issuers have some ten, each of about a KiB.
const maxJWKS = 256 << 10

// jwks reads an issuer's public keys (RFC 7517). Envoy would take a file that holds none, or a secret one, and refuse every token or believe
// whoever has read the file.
func (b *builder) jwks(path, file string) []byte {
	data, err := b.read(file, maxJWKS)
	if err != nil {
		b.fail(path, "the file %s %s", file, err)
		return nil
	}
	if fault := badJWKS(data); fault != "" {
		b.fail(path, "the file %s %s", file, fault)
	}
	return data
}

func badJWKS(data []byte) string {
	var set struct {
		Keys []struct {
			Type    string          `json:"kty"`
			Private json.RawMessage `json:"d"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return "is no JSON Web Key Set: {\"keys\": [...]}"
	}
	if len(set.Keys) == 0 {
		return "holds no key: {\"keys\": [...]}"
	}
	for i, k := range set.Keys {
		switch {
		case k.Type != "RSA" && k.Type != "EC" && k.Type != "OKP":
			return fmt.Sprintf("holds a key of the type %q (keys[%d]); public keys are of the types RSA, EC and OKP", clip(k.Type), i)
		case k.Private != nil:
			return fmt.Sprintf("holds a private key (keys[%d]): who has it can make tokens, so that it belongs to the issuer alone", i)
		}
	}
	return ""
}
