package config

import (
	"strings"
	"testing"
)

func TestObjectSecret(t *testing.T) {
	const secret = "canary-secret-0123456789"
	const env = "OPENAI_API_KEY=sk-x\nGOOD=" + secret + "\nSHORT=canary-short"
	s := mustLoad(t, "objects: {secret: {env: GOOD}}", env)
	if s.Objects.Secret.Reveal() != secret || s.Objects.Secret.Source() != "env GOOD" {
		t.Errorf("got %v", s.Objects.Secret)
	}
	none := mustLoad(t, "{}", env)
	if none.Objects.Secret.Source() != "" {
		t.Errorf("got %v", none.Objects.Secret)
	}
	if none.Version == s.Version {
		t.Error("the secret is no part of the configuration's version")
	}
	for yaml, want := range map[string]string{
		"objects: {secret: {env: SHORT}}":          "fewer than 16 characters",
		"objects: {secret: {env: MISSING}}":        "MISSING is not set",
		"objects: {secret: {file: /does/not/be}}":  "does not exist",
		"objects: {secret: {}}":                    "objects.secret",
		"limits: {max_upload_bytes: 1}":            "max_upload_bytes: must be from",
		"limits: {max_upload_bytes: 2e13}":         "max_upload_bytes",
		"objects: {secret: " + secret + "}":        "objects.secret",
		"objects: {secret: {env: GOOD, file: /x}}": "objects.secret",
	} {
		_, err := loadYAML(yaml, env)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", yaml, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary-s") {
			t.Errorf("the secret is shown: %v", err)
		}
	}
	if got := mustLoad(t, "limits: {max_upload_bytes: 5000}", env).Limits.MaxUpload; got != 5000 {
		t.Errorf("max upload %d", got)
	}
}
