package bedrock_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"dragoman/internal/fault"
	"dragoman/test/fakeprovider"
	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/bedrock"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
	"dragoman/translate/translatetest"
)

var update = flag.Bool("update", false, "rewrite what is wanted in testdata/encode")

var codec = bedrock.New()

const (
	haiku    = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
	maxEvent = 1 << 20
)

func TestSuite(t *testing.T) { translatetest.RunProvider(t, codec) }

// decode reads a request of an OpenAI or an Anthropic client.
func decode(t testing.TB, schema string, body []byte) *chat.Request {
	t.Helper()
	var c translate.Client = openai.Codec{}
	if schema == "anthropic" {
		c = anthropic.Codec{}
	}
	h, err := c.Parse(body)
	if err != nil {
		t.Fatalf("%v:\n%s", err, body)
	}
	r, err := c.Decode(h)
	if err != nil {
		t.Fatalf("%v:\n%s", err, body)
	}
	return r
}

func asFault(t testing.TB, err error) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) {
		t.Fatalf("not a fault: %v", err)
	}
	return f
}

// TestEncode: each file of testdata/encode holds a client's request, what it is encoded for, and what comes of it. Whatever
// is sent, the strict fake accepts.
func TestEncode(t *testing.T) {
	files, err := filepath.Glob("testdata/encode/*.txtar")
	if err != nil || len(files) < 30 {
		t.Fatal(len(files), err)
	}
	fake := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Bedrock, Models: []string{"*"}})
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { encodeCase(t, file, fake) })
	}
}

func encodeCase(t *testing.T, file string, fake *fakeprovider.Server) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	to := translate.Target{Model: haiku}
	var r *chat.Request
	var kept []txtar.File
	for _, f := range a.Files {
		text := strings.TrimSpace(string(f.Data))
		switch f.Name {
		case "openai", "anthropic":
			r = decode(t, f.Name, f.Data)
		case "model":
			to.Model = text
		case "lossy":
			to.Lossy = true
		case "max":
			if _, err := fmt.Sscan(text, &to.MaxOutput); err != nil {
				t.Fatal(err)
			}
		case "body", "fault", "dropped":
			continue
		default:
			t.Fatalf("unknown section %s", f.Name)
		}
		kept = append(kept, f)
	}
	got := txtar.Archive{Comment: a.Comment, Files: kept}
	up, err := codec.Encode(r, to)
	if err != nil {
		f := asFault(t, err)
		got.Files = append(got.Files, txtar.File{Name: "fault", Data: []byte(strings.TrimSpace(fmt.Sprintf("%s %s %s: %s", f.Kind, f.Code, f.Param, f.Message)) + "\n")})
	} else {
		got.Files = append(got.Files, txtar.File{Name: "body", Data: append(up.Body, '\n')})
		if len(up.Dropped) > 0 {
			got.Files = append(got.Files, txtar.File{Name: "dropped", Data: []byte(strings.Join(up.Dropped, "\n") + "\n")})
		}
		again, _ := codec.Encode(r, to)
		if again == nil || string(again.Body) != string(up.Body) {
			t.Error("D83: encoded a second time, the bytes differ")
		}
		accepted(t, fake, up)
	}
	want, _ := os.ReadFile(file)
	if out := txtar.Format(&got); *update {
		if err := os.WriteFile(file, out, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(out) != string(want) {
		t.Errorf("differs (-update rewrites it):\n%s", out)
	}
}

// accepted sends a request to the fake, with an API key.
func accepted(t testing.TB, fake *fakeprovider.Server, up *translate.Upstream) []byte {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, fake.URL()+up.Path, strings.NewReader(string(up.Body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+fake.Key())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %d: %s\n%s", err, resp.StatusCode, body, up.Body)
	}
	return body
}
