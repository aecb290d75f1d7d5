// Package arch holds the tests that police the repository: who may import whom, what every package and file owes its
// reader, and what must never be committed. Each failure says why the rule exists.
package arch

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rule says what the packages below a folder may import of this module.
type rule struct {
	folder string
	may    []string // prefixes, relative to the module
	why    string
}

var rules = []rule{
	{"cmd/", []string{"internal/app"},
		"the command line is a shell: a test must be able to start the whole program without it"},
	{"cmd/dragoman-embedder", []string{"internal/embed/onnx", "internal/embed/frame"},
		"the helper is all that loads native code, and that is all it does"},
	{"internal/embed", []string{"internal/embed/wordpiece", "internal/embed/frame"},
		"an embedder makes vectors of texts for whoever asks, and native code (internal/embed/onnx) runs in the helper only"},
	{"internal/embed/onnx", nil, "the helper's only concern is the model"},
	{"internal/embed/frame", nil, "both sides of the pipe know it"},
	{"internal/embed/wordpiece", nil, "a tokenizer knows its vocabulary"},
	{"internal/fault", nil, "the error kinds are known by everybody, so they may know nobody"},
	{"internal/wiring", nil, "the names that Envoy's config and the processor share know nobody"},
	{"translate/chat", []string{"internal/fault"}, "the neutral types know no schema"},
	{"translate/wire", []string{"translate/chat", "internal/fault"}, "what all codecs share knows no codec"},
	{"translate/sse", []string{"translate/chat", "internal/fault"}, "framing knows no schema"},
	{"translate/eventstream", []string{"internal/fault"}, "framing knows no schema"},
	{"translate/dialogue", []string{"translate/chat"}, "turns and pairs know no schema"},
	{"translate/strictjson", []string{"translate/chat", "internal/fault"}, "JSON knows no schema"},
	{"translate/openai", []string{"translate", "translate/chat", "translate/sse", "translate/strictjson", "translate/wire", "internal/fault"},
		"a codec never knows its siblings: pairs are made of neutral types"},
	{"translate/responses", []string{"translate", "translate/chat", "translate/openai", "translate/sse", "translate/strictjson", "translate/wire", "internal/fault"},
		"a codec never knows its siblings, but the errors of OpenAI's APIs are one table"},
	{"translate/anthropic", []string{"translate", "translate/chat", "translate/dialogue", "translate/sse", "translate/strictjson", "translate/wire", "internal/fault"},
		"a codec never knows its siblings: pairs are made of neutral types"},
	{"translate/cohere", []string{"translate", "translate/chat", "translate/sse", "translate/strictjson", "translate/wire", "internal/fault"},
		"a codec never knows its siblings: pairs are made of neutral types"},
	{"translate/jsonschema", []string{"translate/strictjson", "internal/fault"}, "rewriting a schema knows no request and no codec"},
	{"translate/gemini", []string{"translate", "translate/chat", "translate/jsonschema", "translate/sse", "translate/strictjson", "translate/wire", "internal/fault"},
		"a codec never knows its siblings: pairs are made of neutral types"},
	{"translate/bedrock", []string{"translate", "translate/chat", "translate/dialogue", "translate/eventstream", "translate/strictjson", "translate/wire", "internal/fault"},
		"a codec never knows its siblings: pairs are made of neutral types"},
	{"processor/auth", step(), stepWhy},
	{"processor/limit", step(), stepWhy},
	{"processor/cache", step(), stepWhy},
	{"processor/cache/semantic", append(step(), "processor/cache"), "the second tier serves answers of the first"},
	{"processor/turns", step(), stepWhy},
	{"processor/objects", step(), stepWhy},
	{"processor/account", step(), stepWhy},
	{"processor/route", append(step(), "internal/health"), stepWhy},
	{"processor/queue", nil, "a line knows nothing of what waits in it"},
	{"internal/rules", nil, "a condition knows what it is told of a request"},
	{"internal/classify", []string{"translate/chat"}, "a classifier reads a prompt and nothing else"},
	{"internal/train", []string{"internal/train", "internal/classify"}, "weights are fitted for the classifier, beside all requests"},
	{"internal/benchmodels", nil, "models are measured from outside, as a client of the gateway"},
	{"processor/window", []string{"translate/chat", "internal/fault", "internal/config", "internal/tokens"}, stepWhy},
	{"internal/tokens", []string{"translate/chat"}, "counting tokens knows no schema and no policy"},
	{"processor", []string{"processor/", "translate", "proto/", "internal/config", "internal/fault", "internal/fetch", "internal/observe", "internal/health", "internal/wiring", "internal/rules", "internal/classify"},
		"the processor calls its steps; it knows no store and no control plane"},
	{"xds", []string{"xds", "proto/", "internal/config", "internal/health", "internal/wiring", "translate/chat"},
		"Envoy's configuration is a function of config and health: it must not know the processor"},
	{"envoy/", []string{"envoy/", "proto/", "internal/config", "internal/wiring"},
		"starting Envoy must not depend on what Envoy is used for"},
	{"internal/config", []string{"proto/", "internal/fault", "translate/chat", "internal/rules", "internal/classify"}, "the configuration is read before anything else runs"},
	{"internal/credential", []string{"internal/config"}, "tokens are got beside the requests: who uses them is not its business"},
	{"internal/vault", []string{"internal/config"}, "secrets are read for the configuration: who uses them is not its business"},
	{"internal/health", []string{"internal/config", "translate/chat"}, "health is told what happened; it asks nobody"},
	{"internal/observe", []string{"internal/config", "proto/"}, "metrics take plain values"},
	{"internal/fetch", []string{"internal/fault"}, "what a URL holds is fetched for whoever asks; it knows no request"},
	{"internal/webhook", []string{"internal/config"}, "events are told to whoever asked for them; what they are about is not its business"},
	{"internal/admin", []string{"internal/admin/", "internal/config", "proto/"}, "the admin port puts its parts together; what a method does is the API's business"},
	{"internal/admin/access", []string{"internal/config", "proto/dragoman/admin/v1"}, "who may do what is decided without knowing how it is done, and where tokens are kept"},
	{"internal/admin/api", []string{"internal/admin/access", "internal/config", "internal/fault", "internal/keystore", "internal/ledger", "processor/cache", "processor/limit", "proto/"},
		"a method calls what keeps keys, counts and entries; it knows no database and no HTTP"},
	{"internal/admin/login", []string{"internal/admin/access", "internal/config"}, "a login ends in a session and knows nothing of what that is good for"},
	{"internal/admin/page", []string{"internal/admin/access", "internal/admin/login", "internal/config", "proto/"}, "the page does what the API lets it, and nothing by itself"},
	{"internal/store/redis", []string{"internal/config", "internal/health", "processor/limit", "processor/cache", "processor/cache/semantic", "processor/turns"},
		"a store implements what a step asks for, and knows no other step"},
	{"internal/ledger/wal", nil, "a log on disk knows no record"},
	{"internal/ledger", []string{"internal/ledger/wal", "internal/config", "internal/fault", "processor/account", "translate/chat"},
		"the ledger takes what the account step gives, and knows no database"},
	{"internal/keystore", []string{"internal/config", "internal/fault", "proto/"}, "keys are looked up for whoever asks; which database has them is not its business"},
	{"internal/store/sqldb", []string{"internal/admin/access", "internal/ledger", "internal/keystore", "internal/config", "processor/account", "translate/chat"},
		"a database keeps what the ledger gives it, and knows nothing of requests"},
	{"internal/store/storetest", []string{"internal/admin/access", "internal/ledger", "internal/keystore", "processor/account", "internal/config", "processor/limit", "processor/cache", "processor/cache/semantic", "translate/chat", "processor/turns"}, "a suite knows the interface that it tests"},
}

const stepWhy = "a step knows no other step and no Envoy type, so that each can be read and tested alone"

func step() []string {
	return []string{"translate/chat", "proto/", "internal/fault", "internal/config"}
}

const module = "dragoman/"

func TestImports(t *testing.T) {
	eachGoFile(t, func(path string, f *ast.File) {
		if strings.HasSuffix(path, "_test.go") || generated(path) {
			return
		}
		r := ruleFor(path)
		for _, spec := range f.Imports {
			name := strings.Trim(spec.Path.Value, `"`)
			if r != nil && strings.HasPrefix(name, module) && !allowed(r.may, strings.TrimPrefix(name, module)) {
				t.Errorf("%s imports %s, which %s must not: %s", path, name, r.folder, r.why)
			}
			if strings.HasPrefix(path, "processor/") && strings.Count(path, "/") > 1 && strings.Contains(name, "go-control-plane") {
				t.Errorf("%s imports %s: %s", path, name, stepWhy)
			}
			if strings.HasPrefix(name, module+"test/") && !strings.HasPrefix(path, "test/") {
				t.Errorf("%s imports %s: what ships must not hold test code", path, name)
			}
		}
	})
}

// generated says that a file is protoc's, or of a plugin of it.
func generated(path string) bool {
	return strings.HasSuffix(path, ".pb.go") || strings.HasSuffix(path, ".pb.gw.go")
}

// ruleFor is the rule with the longest folder that holds the file.
func ruleFor(path string) *rule {
	var best *rule
	for i := range rules {
		folder := strings.TrimSuffix(rules[i].folder, "/") + "/"
		if strings.HasPrefix(path, folder) && (best == nil || len(rules[i].folder) > len(best.folder)) {
			best = &rules[i]
		}
	}
	return best
}

func allowed(may []string, name string) bool {
	for _, m := range may {
		if name == strings.TrimSuffix(m, "/") || strings.HasPrefix(name, strings.TrimSuffix(m, "/")+"/") && (strings.HasSuffix(m, "/") || m == "translate" || m == "xds") {
			return true
		}
	}
	return false
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	eachGoFile(t, func(path string, f *ast.File) {
		dir := filepath.Dir(path)
		documented[dir] = documented[dir] || f.Doc != nil || generated(path)
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package in %s has no package comment: the folder list is how a newcomer reads the architecture", dir)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	exported, bare := 0, 0
	eachGoFile(t, func(path string, f *ast.File) {
		if strings.HasSuffix(path, "_test.go") || generated(path) {
			return
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() || receiverHidden(fn) {
				continue
			}
			if exported++; fn.Doc == nil {
				bare++
				t.Logf("%s: %s has no doc comment", path, fn.Name.Name)
			}
		}
	})
	if bare*50 > exported {
		t.Errorf("%d of %d exported functions have no doc comment; at most 2 %% may", bare, exported)
	}
}

func receiverHidden(fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return false
	}
	typ := fn.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && !id.IsExported()
}

func TestFilesAndFunctionsStayShort(t *testing.T) {
	fset := token.NewFileSet()
	for _, path := range goFiles(t) {
		if generated(path) || strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join("../..", path), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if n := fset.Position(f.End()).Line; n > 700 {
			t.Errorf("%s has %d lines; 700 is the most that one file may ask of a reader", path, n)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncDecl); ok {
				if lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line; lines > 120 {
					t.Errorf("%s: %s has %d lines; 120 is the most", path, fn.Name.Name, lines)
				}
			}
			return true
		})
	}
}

var forbidden = []struct {
	re  *regexp.Regexp
	why string
}{
	{regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`), "unfinished work belongs into the issue tracker"},
	{regexp.MustCompile(`\bt\.Skip(Now|f)?\(`), "a test that should run and does not is a defect"},
	{regexp.MustCompile(`sk-(proj|ant)-[A-Za-z0-9]{24,}`), "that looks like a real key"},
}

func TestNothingForbiddenIsCommitted(t *testing.T) {
	for _, path := range goFiles(t) {
		if strings.HasPrefix(path, "test/arch/") {
			continue
		}
		file, err := os.Open(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		scanner := bufio.NewScanner(file)
		scanner.Buffer(nil, 1<<20)
		for n := 1; scanner.Scan(); n++ {
			for _, f := range forbidden {
				if f.re.MatchString(scanner.Text()) {
					t.Errorf("%s:%d: %s: %s", path, n, f.re, f.why)
				}
			}
		}
		file.Close()
	}
}

// TestTopLevel keeps the folder list, which shows the architecture, as it is.
func TestTopLevel(t *testing.T) {
	want := map[string]bool{}
	for _, name := range strings.Fields("cmd processor xds translate envoy deploy proto test internal go.mod go.sum Makefile README.md RATIONALE.md CHANGELOG.md CONTRIBUTING.md LICENSE NOTICE") {
		want[name] = true
	}
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" && !want[e.Name()] {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
		delete(want, e.Name())
	}
	for name := range want {
		t.Errorf("%s is missing at the top level", name)
	}
}

func eachGoFile(t *testing.T, visit func(path string, f *ast.File)) {
	t.Helper()
	fset := token.NewFileSet()
	for _, path := range goFiles(t) {
		f, err := parser.ParseFile(fset, filepath.Join("../..", path), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		visit(path, f)
	}
}

// goFiles lists the repository's Go files, relative to its root.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel("../..", path)
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && rel != "." || rel == "bin") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			files = append(files, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d Go files found: the walk is broken", len(files))
	}
	return files
}

// TestNoticeNamesEveryModule: what is shipped is credited.
func TestNoticeNamesEveryModule(t *testing.T) {
	notice, err := os.ReadFile("../../NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/dragoman")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(out))
	if len(modules) < 20 {
		t.Fatalf("only %d packages of modules are listed", len(modules))
	}
	for _, m := range modules {
		if m != strings.TrimSuffix(module, "/") && !strings.Contains(string(notice), m+" ") {
			t.Errorf("NOTICE does not name %s, which the program is built from", m)
		}
	}
}
