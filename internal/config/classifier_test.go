package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragoman/internal/classify"
)

func TestClassifierWeights(t *testing.T) {
	if s := mustLoad(t, "{}", bothKeys); s.Classifier != classify.Default() {
		t.Error("without a file the built-in weights do not serve")
	}
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.json"), filepath.Join(dir, "bad.json")
	builtin, err := os.ReadFile("../classify/builtin.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(good, builtin, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte(`{"weigths": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustLoad(t, "classifier: {weights: {file: "+good+"}}", bothKeys)
	if s.Classifier == classify.Default() || s.Classifier == nil {
		t.Error("the file's weights do not serve")
	}
	for yaml, want := range map[string]string{
		"classifier: {weights: {}}":                       "classifier.weights.file: is missing",
		"classifier: {weights: {file: " + bad + "}}":      `classifier.weights.file: ` + bad + `: json: unknown field "weigths"`,
		"classifier: {weights: {file: " + dir + "/none}}": "does not exist",
		"classifier: {weights: {file: x, url: y}}":        "url",
		"classifier: {weights: /tmp/weights.json}":        "classifier.weights",
	} {
		if _, err := loadYAML(yaml, bothKeys); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}
