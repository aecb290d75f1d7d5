package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// What one file may take. The YAML parser is quadratic in nesting and in the keys of one mapping, so both are bounded
// before it runs.
const (
	maxFileBytes = 1 << 20
	maxTokens    = 100_000
	maxNesting   = 64
	maxValues    = 100_000 // after aliases are expanded
)

// File is one configuration as it was written: nothing is filled in and names are not yet resolved.
type File struct {
	Name   string // as shown in problems
	Dir    string // that relative paths in it are relative to, "" for the working directory
	Config *dragomanv1.Config
	Empty  bool // it says nothing at all

	lines    map[string]int // by path
	problems *Problems      // faults of form; a value at fault is left unset
	broken   []string       // their paths
}

// Parse reads strict YAML (and so JSON). The File is never nil; the error is a *Problems with every fault of form. A File with
// faults may still be given to Compile, which adds what it finds and fails.
func Parse(name string, data []byte) (*File, error) {
	f := &File{Name: name, Config: &dragomanv1.Config{}, lines: map[string]int{}, problems: &Problems{}}
	root, err := parseYAML(data)
	if err != nil {
		f.problems.add(Problem{Source: name, Line: err.line, Message: err.message})
		f.broken = append(f.broken, "")
		return f, f.problems
	}
	f.Empty = root == nil
	if root != nil {
		d := &decoder{file: f, anchors: map[string]ast.Node{}, values: maxValues}
		d.document(root)
	}
	return f, f.problems.err()
}

// fail notes a fault of form.
func (f *File) fail(path string, line int, format string, args ...any) {
	f.broken = append(f.broken, path)
	f.problems.add(Problem{Source: f.Name, Line: line, Path: path, Message: fmt.Sprintf(format, args...)})
}

// line finds the line of path, or of the nearest enclosing thing that was written.
func (f *File) line(path string) int {
	for path != "" {
		if line, ok := f.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// related says whether path holds, or lies in, something that has a fault of form: what else is wrong there would be a
// consequence of it.
func (f *File) related(path string) bool {
	for _, b := range f.broken {
		if within(path, b) || within(b, path) {
			return true
		}
	}
	return false
}

// within says whether path is outer or a part of it.
func within(path, outer string) bool {
	if outer == "" || path == outer {
		return true
	}
	return strings.HasPrefix(path, outer) && (path[len(outer)] == '.' || path[len(outer)] == '[')
}

type syntaxError struct {
	line    int
	message string
}

// parseYAML makes the syntax tree of one document, nil when it is empty.
func parseYAML(data []byte) (ast.Node, *syntaxError) {
	if len(data) > maxFileBytes {
		return nil, &syntaxError{message: fmt.Sprintf("the file is larger than %d bytes", maxFileBytes)}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if line := badText(data); line > 0 {
		return nil, &syntaxError{line, "not UTF-8 text"}
	}
	tokens := lexer.Tokenize(string(data))
	if err := bounded(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, fromParser(err)
	}
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentGroupType {
			continue
		}
		if root != nil {
			return nil, &syntaxError{lineOf(doc.Body), "a second document: one file holds one configuration"}
		}
		root = doc.Body
	}
	return root, nil
}

// badText is the line of the first byte that is no text, 0 when all is well.
func badText(data []byte) int {
	for line := 1; len(data) > 0; line++ {
		text, rest, _ := bytes.Cut(data, []byte("\n"))
		if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
			return line
		}
		data = rest
	}
	return 0
}

// bounded refuses what the parser would take too long for.
func bounded(tokens token.Tokens) *syntaxError {
	if len(tokens) > maxTokens {
		return &syntaxError{message: fmt.Sprintf("more than %d words and signs", maxTokens)}
	}
	flow, line, entries := 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType:
			if t.Position.Line != line {
				line, entries = t.Position.Line, 0
			}
			entries++
		}
		if flow > maxNesting || entries > maxNesting {
			return &syntaxError{t.Position.Line, fmt.Sprintf("nested deeper than %d levels", maxNesting)}
		}
	}
	return nil
}

// fromParser keeps the parser's message and line and drops the excerpt it prints, which may show a secret that was
// written where it does not belong. A few messages quote the text; what they quote is dropped too.
func fromParser(err error) *syntaxError {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil || e.GetToken().Position == nil {
		return &syntaxError{message: "not YAML"}
	}
	message, _, _ := strings.Cut(e.GetMessage(), ": \"")
	return &syntaxError{e.GetToken().Position.Line, "not YAML: " + message}
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}
