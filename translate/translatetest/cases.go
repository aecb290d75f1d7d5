// Package translatetest is the suite that every codec passes, and the golden cases of all pairs of schemas. A codec's own
// tests call Run; the pairs test of this package translates each case for each pair of a client's and a provider's schema
// and compares with testdata/pairs.
package translatetest

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"dragoman/translate/chat"
	"dragoman/translate/eventstream"
)

//go:embed testdata/cases/*.txtar
var files embed.FS

// Case is one conversation's turn in one schema: what a client asks and what a provider answers, whole and as a stream.
type Case struct {
	Name    string
	About   string
	Request []byte
	Answer  []byte
	Status  int    // of Answer; 200 unless the case is about an error
	Stream  []byte // of a 200
	Shown   []byte // Stream as a golden file shows it: itself, or the text that a binary one is made from
}

// upstreamOnly are the schemas that no client of the gateway speaks: their cases have no request.
var upstreamOnly = map[chat.Schema]bool{chat.Bedrock: true}

// Cases are all cases in one schema, by name. A schema joins by adding its files to each of testdata/cases.
func Cases(schema chat.Schema) ([]Case, error) {
	names, err := fs.Glob(files, "testdata/cases/*.txtar")
	if err != nil {
		return nil, err
	}
	cases := make([]Case, 0, len(names))
	for _, name := range names {
		raw, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		c, err := parseCase(txtar.Parse(raw), schema)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		c.Name = strings.TrimSuffix(path.Base(name), ".txtar")
		cases = append(cases, c)
	}
	return cases, nil
}

func parseCase(a *txtar.Archive, schema chat.Schema) (Case, error) {
	c := Case{About: string(a.Comment), Status: 200}
	for _, f := range a.Files {
		dir, file := path.Split(f.Name)
		if dir != string(schema)+"/" {
			continue
		}
		switch file {
		case "request.json":
			c.Request = f.Data
		case "answer.json":
			c.Answer = f.Data
		case "answer.sse":
			c.Stream, c.Shown = f.Data, f.Data
		case "answer.events":
			c.Stream, c.Shown = binaryStream(f.Data), f.Data
		case "status":
			n, err := strconv.Atoi(strings.TrimSpace(string(f.Data)))
			if err != nil {
				return c, err
			}
			c.Status = n
		default:
			return c, fmt.Errorf("unknown file %s", f.Name)
		}
	}
	if c.Request == nil && !upstreamOnly[schema] || c.Answer == nil || c.Stream == nil {
		return c, fmt.Errorf("has no request, answer or stream of %s", schema)
	}
	return c, nil
}

// binaryStream makes an AWS event stream of lines, each an event's type and its payload. A ! before the type makes it an
// exception.
func binaryStream(lines []byte) (stream []byte) {
	for line := range strings.Lines(string(lines)) {
		kind, payload, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind == "" {
			continue
		}
		what := "event"
		if name, ok := strings.CutPrefix(kind, "!"); ok {
			what, kind = "exception", name
		}
		stream = eventstream.Append(stream, []eventstream.Header{
			eventstream.StringHeader(":"+what+"-type", kind),
			eventstream.StringHeader(":content-type", "application/json"),
			eventstream.StringHeader(":message-type", what),
		}, []byte(payload))
	}
	return stream
}
