package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/proto"
)

func TestParseBounds(t *testing.T) {
	cases := []struct{ name, data, want string }{
		{"size", "#" + strings.Repeat("x", maxFileBytes), "c.yaml: the file is larger than 1048576 bytes"},
		{"tokens", "models: [" + strings.Repeat("a,", maxTokens) + "]", "c.yaml: more than 100000 words and signs"},
		{"flow nesting", "models: " + strings.Repeat("{a: ", 1000), "c.yaml:1: nested deeper than 64 levels"},
		{"block nesting", strings.Repeat("- ", 1000), "c.yaml:1: nested deeper than 64 levels"},
		{"not UTF-8", "listen:\n  address: \xff\n", "c.yaml:2: not UTF-8 text"},
		{"a NUL byte", "listen:\n\n \x00", "c.yaml:3: not UTF-8 text"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			started := time.Now()
			f, err := Parse("c.yaml", []byte(c.data))
			if f == nil || err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if took := time.Since(started); took > 30*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestParseEmpty(t *testing.T) {
	for _, data := range []string{"", "\n", "# only a comment\n", "---\n", "null\n", "\ufeff", "---\n# x\n---\n"} {
		f, err := Parse("c.yaml", []byte(data))
		if err != nil || !f.Empty {
			t.Errorf("%q: empty=%t, %v", data, f.Empty, err)
		}
	}
	if f, err := Parse("c.yaml", []byte("listen: {}")); err != nil || f.Empty {
		t.Errorf("not empty: empty=%t, %v", f.Empty, err)
	}
}

func TestLineOfAPath(t *testing.T) {
	f, err := Parse("c.yaml", []byte("providers:\n- name: a\n  credentials:\n  - name: x\n\n  - secret: {env: A}\nretry:\n  timeout: 1m30s\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"providers": 1, "providers[0]": 2, "providers[0].name": 2, "providers[0].credentials[1].secret.env": 6,
		"providers[0].credentials[0].weight": 4, "providers[7].name": 1, "retry.timeout": 8, "retry.backoff": 7, "nowhere": 0, "": 0,
	} {
		if got := f.line(path); got != want {
			t.Errorf("%q is in line %d, want %d", path, got, want)
		}
	}
	if got := f.Config.Retry.Timeout.AsDuration(); got != 90*time.Second {
		t.Errorf("1m30s was read as %s", got)
	}
}

func TestRelatedPaths(t *testing.T) {
	f := &File{broken: []string{"providers[1].name", "limits"}}
	for path, want := range map[string]bool{
		"providers[1].name": true, "providers[1]": true, "providers": true, "limits.max_body_bytes": true,
		"providers[1].names": false, "providers[11].name": false, "providers[0]": false, "limit": false, "routes": false,
	} {
		if got := f.related(path); got != want {
			t.Errorf("related(%q) = %t", path, got)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"providers", "models", "routes", "gpt-5-mini", "name"}
	for written, want := range map[string]string{
		"provider": "providers", "modles": "models", "Routes": "routes", "gpt-5-mni": "gpt-5-mini", "nmae": "name",
		"x": "", "cache": "", "": "", strings.Repeat("p", 1000): "",
	} {
		got := didYouMean(written, known)
		if want == "" && got != "" || want != "" && !strings.Contains(got, `"`+want+`"`) {
			t.Errorf("%q: got %q, want %q", written, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"a", "b", 1}} {
		if got := editDistance(c.a, c.b); got != c.want || editDistance(c.b, c.a) != got {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// The file given to Compile stays as it was: it may be compiled again, or shown.
func TestCompileLeavesTheFile(t *testing.T) {
	f, err := Parse("c.yaml", []byte(`providers: [{name: a, schema: openai, endpoint: "http://127.0.0.1:1"}]`))
	if err != nil {
		t.Fatal(err)
	}
	before := proto.CloneOf(f.Config)
	if _, err := Compile(f, Options{Env: noEnv}); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(before, f.Config) {
		t.Errorf("it became %v", f.Config)
	}
}

func TestProblemsAreAnError(t *testing.T) {
	_, err := Parse("c.yaml", []byte("nope: 1"))
	var problems *Problems
	if !errors.As(err, &problems) || len(problems.List) != 1 {
		t.Fatalf("got %T %v", err, err)
	}
	if want := (Problem{"c.yaml", 1, "nope", "unknown field"}); problems.List[0] != want {
		t.Errorf("got %+v", problems.List[0])
	}
	if err := (&Problems{}).err(); err != nil {
		t.Errorf("none became %v", err)
	}
}

// fuzzSeeds are the golden cases and what the parser has had trouble with.
func fuzzSeeds(f *testing.F) {
	paths, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range txtar.Parse(data).Files {
			if file.Name == "dragoman.yaml" {
				f.Add(file.Data)
			}
		}
	}
	f.Add([]byte("a: &a [*a]\n<<: *a\n? x\n: |\n  y\n"))
	f.Add([]byte("%YAML 1.2\n---\n!!map {a: !!str b}\n...\n"))
}

// FuzzCompile reads any bytes: no crash, no hang, problems bounded and in lines that exist; and what compiles, compiles twice
// to the same snapshot.
func FuzzCompile(f *testing.F) {
	fuzzSeeds(f)
	o := Options{Env: envOf("OPENAI_API_KEY=SECRET-a\nANTHROPIC_API_KEY=SECRET-b\nA_KEY=SECRET-c"), Demo: demoAt, Now: fixedNow}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, _ := Parse("c.yaml", data)
		s, err := Compile(file, o)
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		var problems *Problems
		if errors.As(err, &problems) {
			if s != nil || len(problems.List) == 0 || len(problems.List) > maxProblems {
				t.Fatalf("%d problems, snapshot %v", len(problems.List), s)
			}
			for _, p := range problems.List {
				if p.Message == "" || p.Line < 0 || p.Line > lines+1 {
					t.Fatalf("%+v of %d lines", p, lines)
				}
			}
			return
		}
		if err != nil || s.Route(Auto) == nil || len(s.Version) != 12 {
			t.Fatalf("%v, %+v", err, s)
		}
		again, _ := Parse("c.yaml", data)
		s2, err := Compile(again, o)
		if err != nil || describe(s) != describe(s2) || s.Version != s2.Version {
			t.Fatalf("another time it is another: %v", err)
		}
	})
}
