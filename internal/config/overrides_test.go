package config

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// loadOverridden loads a configuration that names bench.yaml.
func loadOverridden(t *testing.T, dir string) *Snapshot {
	t.Helper()
	s, err := Load(Options{Path: filepath.Join(dir, "dragoman.yaml"), Env: func(name string) (string, bool) {
		if name == "ANTHROPIC_API_KEY" {
			return "SECRET", true
		}
		return "", false
	}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOverridesGoOverTheCatalogueAndUnderTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("bench.yaml", "models:\n- {name: claude-haiku-4-5, provider: anthropic, quality: {default: 0.6, code: 0.1, reasoning: 0.2}}\n")
	write("dragoman.yaml", "catalogue: {overrides: [{file: bench.yaml}]}\nmodels:\n- {name: claude-haiku-4-5, provider: anthropic, quality: {code: 0.5}}\n")
	before := loadOverridden(t, dir)
	want := map[string]float64{"default": 0.6, "code": 0.5, "reasoning": 0.2}
	found := false
	for _, m := range before.Models {
		if m.Name == "claude-haiku-4-5" {
			found = true
			if !maps.Equal(m.Quality, want) {
				t.Errorf("got %v, want %v", m.Quality, want)
			}
			if m.Price == nil || m.Context == 0 {
				t.Error("what the override does not say is gone")
			}
		}
	}
	if !found {
		t.Fatal("the model is gone")
	}
	write("bench.yaml", "models:\n- {name: claude-haiku-4-5, provider: anthropic, quality: {default: 0.7}}\n")
	if after := loadOverridden(t, dir); after.Version == before.Version {
		t.Error("another file of overrides makes no other version")
	}
}
