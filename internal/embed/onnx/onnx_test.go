package onnx

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestMain starts the tests anew with the variable that keeps ONNX Runtime from reporting its use to its vendor, as the helper does: the
// library reads the environment that the process began with.
func TestMain(m *testing.M) {
	const name = "ORT_DISABLE_TELEMETRY"
	if os.Getenv(name) != "1" {
		exe, err := os.Executable()
		if err == nil {
			err = syscall.Exec(exe, os.Args, append(os.Environ(), name+"=1"))
		}
		panic(err)
	}
	os.Exit(m.Run())
}

func folder() string {
	if f := os.Getenv("DRAGOMAN_EMBEDDER"); f != "" {
		return f
	}
	return filepath.Join("..", "..", "..", ".tools", "embedder")
}

func open(t testing.TB) *Session {
	t.Helper()
	s, err := Open(filepath.Join(folder(), "libonnxruntime.so"), filepath.Join(folder(), "model.onnx"))
	if err != nil {
		t.Fatalf("%v: run make embedder", err)
	}
	t.Cleanup(s.Close)
	return s
}

type reference struct {
	Text   string
	IDs    []uint16
	Vector []float32
}

func references(t testing.TB) (refs []reference) {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &refs); err != nil || len(refs) == 0 {
		t.Fatal(len(refs), err)
	}
	return refs
}

func cosine(a, b []float32) (dot float64) {
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
	}
	return dot
}

// TestReferences compares with the vectors that Python's onnxruntime gave for the same model. The quantised model rounds activations,
// so machines with other instructions differ in the third place.
func TestReferences(t *testing.T) {
	s := open(t)
	if s.Dimensions() != 384 {
		t.Fatalf("%d dimensions", s.Dimensions())
	}
	for _, r := range references(t) {
		v, err := s.Embed(r.IDs)
		if err != nil {
			t.Fatal(err)
		}
		if len(v) != len(r.Vector) || cosine(v, r.Vector) < 0.995 {
			t.Errorf("%q: cosine to the reference %.4f", r.Text, cosine(v, r.Vector))
		}
		if n := cosine(v, v); math.Abs(n-1) > 1e-5 {
			t.Errorf("%q: length %v", r.Text, n)
		}
	}
}

// TestConcurrent: one session serves many callers, and each gets its own vector.
func TestConcurrent(t *testing.T) {
	s := open(t)
	refs := references(t)
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for j := range 20 {
				r := refs[(i+j)%len(refs)]
				if v, err := s.Embed(r.IDs); err != nil || cosine(v, r.Vector) < 0.995 {
					t.Errorf("%q: %v", r.Text, err)
					return
				}
			}
		})
	}
	work.Wait()
}

func TestBadInput(t *testing.T) {
	s := open(t)
	for name, ids := range map[string][]uint16{"none": nil, "too many": make([]uint16, 513), "no such id": {101, 65535, 102}} {
		if v, err := s.Embed(ids); err == nil {
			t.Errorf("%s: %d numbers", name, len(v))
		}
	}
	if v, err := s.Embed(make([]uint16, 512)); err != nil || len(v) != 384 {
		t.Errorf("512 tokens: %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	lib, model := filepath.Join(folder(), "libonnxruntime.so"), filepath.Join(folder(), "model.onnx")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string][2]string{
		"no library":        {"/nowhere/lib.so", model},
		"no shared library": {text, model},
		"no model":          {lib, "/nowhere/model.onnx"},
		"not a model":       {lib, text},
	} {
		if s, err := Open(files[0], files[1]); err == nil {
			s.Close()
			t.Errorf("%s: was opened", name)
		}
	}
}

// TestOnlyTheHelperLoadsNativeCode: dragoman itself stays a static binary, which a crash in native code cannot end.
func TestOnlyTheHelperLoadsNativeCode(t *testing.T) {
	for _, c := range []struct {
		program string
		native  bool
	}{{"dragoman/cmd/dragoman", false}, {"dragoman/cmd/dragoman-embedder", true}} {
		cmd := exec.Command("go", "list", "-deps", c.program)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(out), "ebitengine/purego"); got != c.native {
			t.Errorf("%s: depends on purego: %v", c.program, got)
		}
	}
}

func BenchmarkEmbed24Tokens(b *testing.B) {
	s := open(b)
	refs := references(b)
	ids := refs[len(refs)-1].IDs[:24]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Embed(ids); err != nil {
			b.Fatal(err)
		}
	}
}
