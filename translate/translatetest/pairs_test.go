package translatetest_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/bedrock"
	"dragoman/translate/chat"
	"dragoman/translate/cohere"
	"dragoman/translate/gemini"
	"dragoman/translate/openai"
	"dragoman/translate/responses"
	"dragoman/translate/strictjson"
	"dragoman/translate/translatetest"
)

var update = flag.Bool("update", false, "rewrite testdata/pairs and delete what no case makes")

var codecs = []translatetest.Codec{openai.Codec{}, anthropic.Codec{}, cohere.Codec{}, responses.Codec{}, gemini.Codec{}}

// upstreamOnly are schemas that no client speaks.
var upstreamOnly = []translate.Provider{bedrock.Codec{}}

func providers() (list []translate.Provider) {
	for _, c := range codecs {
		list = append(list, c)
	}
	return append(list, upstreamOnly...)
}

func TestSuite(t *testing.T) {
	for _, c := range codecs {
		t.Run(string(c.Schema()), func(t *testing.T) { translatetest.Run(t, c) })
	}
	for _, p := range upstreamOnly {
		t.Run(string(p.Schema()), func(t *testing.T) { translatetest.RunProvider(t, p) })
	}
}

// TestPairs translates every case for every pair, whole and streamed. Each golden file holds what came in beside what
// went out, so that a difference shows cause and effect.
func TestPairs(t *testing.T) {
	made := map[string]bool{}
	for _, client := range codecs {
		for _, provider := range providers() {
			asked, answered := cases(t, client.Schema()), cases(t, provider.Schema())
			for i := range asked {
				for _, streamed := range []bool{false, true} {
					p := pair{t: t, client: client, provider: provider, asked: &asked[i], answered: &answered[i], streamed: streamed}
					file := p.file()
					made[file] = true
					t.Run(strings.TrimSuffix(filepath.ToSlash(file), ".txtar"), func(t *testing.T) {
						p.t = t
						golden(t, file, p.run())
					})
				}
			}
		}
	}
	orphans(t, made)
}

func cases(t *testing.T, s chat.Schema) []translatetest.Case {
	t.Helper()
	all, err := translatetest.Cases(s)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// pair is one case between two schemas.
type pair struct {
	t               *testing.T
	client          translate.Client
	provider        translate.Provider
	asked, answered *translatetest.Case
	streamed        bool
	out             txtar.Archive
}

func (p *pair) file() string {
	name := p.asked.Name
	if p.streamed {
		name += ".stream"
	}
	return filepath.Join(fmt.Sprintf("%s-%s", p.client.Schema(), p.provider.Schema()), name+".txtar")
}

func (p *pair) add(name string, data []byte) {
	if n := len(data); n > 0 && data[n-1] != '\n' {
		data = append(data[:n:n], '\n')
	}
	p.out.Files = append(p.out.Files, txtar.File{Name: name, Data: data})
}

func (p *pair) run() *txtar.Archive {
	p.out.Comment = []byte(p.asked.About)
	request := p.request()
	p.add("1 client asks", request)
	h, err := p.client.Parse(request)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.client.Schema() == chat.Gemini { // in the path
		h.Model, h.Stream = "auto", p.streamed
	}
	up, err := p.upstream(h)
	if err != nil {
		p.refusal(err)
		return &p.out
	}
	p.add("2 provider is asked "+up.Path, up.Body)
	if len(up.Dropped) > 0 {
		p.add("2 dropped", []byte(strings.Join(up.Dropped, "\n")))
	}
	switch {
	case p.streamed:
		p.stream(h)
	case p.answered.Status != 200:
		p.add(fmt.Sprintf("3 provider answers %d", p.answered.Status), p.answered.Answer)
		p.refusal(p.provider.DecodeFault(p.answered.Status, func(string) string { return "" }, p.answered.Answer))
	default:
		p.whole(h)
	}
	return &p.out
}

func (p *pair) request() []byte {
	if !p.streamed || p.client.Schema() == chat.Gemini {
		return p.asked.Request
	}
	fields, err := strictjson.Scan(p.asked.Request)
	if err != nil {
		p.t.Fatal(err)
	}
	return strictjson.Set(p.asked.Request, fields, strictjson.Member{Name: "stream", Value: []byte("true")})
}

func (p *pair) upstream(h *chat.Head) (*translate.Upstream, error) {
	to := translate.Target{BasePath: "/v1", Model: "gpt-5-mini", MaxOutput: 16_384}
	switch p.provider.Schema() {
	case chat.Anthropic:
		to.Model = "claude-haiku-4-5"
	case chat.Gemini:
		to.BasePath, to.Model = "/v1beta", "gemini-2.5-flash"
	case chat.Cohere:
		to.BasePath, to.Model = "/v2", "command-a-03-2025"
	case chat.Bedrock:
		to.BasePath, to.Model = "", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
	}
	if p.client.Schema() == p.provider.Schema() {
		return p.provider.Rewrite(h, to)
	}
	r, err := p.client.Decode(h)
	if err != nil {
		return nil, err
	}
	return p.provider.Encode(r, to)
}

func (p *pair) refusal(err error) {
	var f *fault.Fault
	if !errors.As(err, &f) {
		p.t.Fatal(err)
	}
	status, body := p.client.EncodeFault(f, "req-1")
	p.add(fmt.Sprintf("4 client gets %d", status), body)
}

func (p *pair) whole(h *chat.Head) {
	p.add("3 provider answers 200", p.answered.Answer)
	o := translatetest.Answer
	o.Head = h
	body, seen, err := translate.Whole(p.client, p.provider, p.answered.Answer, o)
	if err != nil {
		p.refusal(err)
		return
	}
	p.add("4 client gets 200", body)
	p.seen(&seen)
}

func (p *pair) stream(h *chat.Head) {
	p.add("3 provider streams", p.answered.Shown)
	o := translatetest.Answer
	o.IncludeUsage, o.Head = h.IncludeUsage, h
	s := translate.NewStream(p.client, p.provider, 1<<20, o)
	out, err := s.Write(nil, p.answered.Stream)
	if err == nil {
		out, err = s.Close(out)
	}
	if err != nil {
		var f *fault.Fault
		if !errors.As(err, &f) {
			p.t.Fatal(err)
		}
		out = s.Fault(out, f)
	}
	p.add("4 client gets", out)
	p.seen(s.Seen())
}

// seen is what settlement will go by.
func (p *pair) seen(s *translate.Seen) {
	text := fmt.Sprintf("usage %+v\nfinish %s\nend %v\noutput bytes %d\n", s.Usage, s.Finish, s.End, s.OutputBytes)
	if s.Fault != nil {
		text += "fault " + s.Fault.Error() + "\n"
	}
	p.add("5 seen", []byte(text))
}

func golden(t *testing.T, file string, a *txtar.Archive) {
	t.Helper()
	path := filepath.Join("testdata", "pairs", file)
	got := txtar.Format(a)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (-update writes it)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s (-update rewrites it):\n%s", path, got)
	}
}

// orphans are golden files that no case makes any more.
func orphans(t *testing.T, made map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "pairs", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, err := filepath.Rel(filepath.Join("testdata", "pairs"), f)
		if err != nil || made[name] {
			continue
		}
		if !*update {
			t.Errorf("%s belongs to no case (-update deletes it)", f)
		} else if err := os.Remove(f); err != nil {
			t.Error(err)
		}
	}
}
