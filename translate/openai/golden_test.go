package openai_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
)

var update = flag.Bool("update", false, "rewrite the expected files of testdata")

var (
	codec  = openai.New()
	target = translate.Target{BasePath: "/v1", Model: "provider-model", MaxOutput: 16384}
	reply  = translate.Answer{RequestID: "req-1", Model: "asked-model", IncludeUsage: true, Now: time.Unix(1_700_000_000, 0)}
)

// golden runs every case of a folder of testdata. A case is a txtar file: the first file is the input, the others are what
// produce makes of it, by name.
func golden(t *testing.T, folder string, produce func(t *testing.T, name string, in []byte) map[string]string) {
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata/%s: %v", folder, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil || len(a.Files) == 0 {
				t.Fatalf("%s: %v", file, err)
			}
			got := produce(t, name, a.Files[0].Data)
			if *update {
				rewrite(t, file, a, got)
				return
			}
			want := map[string]string{}
			for _, f := range a.Files[1:] {
				want[f.Name] = string(f.Data)
			}
			for name := range want {
				if _, ok := got[name]; !ok {
					t.Errorf("nothing made %s", name)
				}
			}
			for name, text := range got {
				if w, ok := want[name]; !ok || w != text {
					t.Errorf("%s is\n%swant\n%s", name, text, w)
				}
			}
		})
	}
}

func rewrite(t *testing.T, file string, a *txtar.Archive, got map[string]string) {
	a.Files = a.Files[:1]
	for _, name := range []string{"fault", "neutral", "upstream.json", "dropped", "events", "answer.json", "answer.sse", "passed.sse", "seen"} {
		if text, ok := got[name]; ok {
			a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
		}
	}
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

// dump writes a value's fields that are not zero, one a line.
func dump(v any) string {
	var b strings.Builder
	write(&b, "", "", reflect.ValueOf(v))
	return b.String()
}

func write(b *strings.Builder, indent, name string, v reflect.Value) {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	line := func(s string) { fmt.Fprintf(b, "%s%s%s\n", indent, name, s) }
	switch {
	case v.Type() == reflect.TypeFor[[]byte]():
		line(fmt.Sprintf(": %s", v.Bytes()))
	case v.Type() == reflect.TypeFor[chat.PartKind]():
		line(": " + kinds[chat.PartKind(v.Uint())])
	case v.Kind() == reflect.Struct:
		if name != "" {
			line("")
			indent += "  "
		}
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				write(b, indent, v.Type().Field(i).Name, v.Field(i))
			}
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			write(b, indent, fmt.Sprintf("%s[%d]", name, i), v.Index(i))
		}
	case v.Kind() == reflect.String:
		line(fmt.Sprintf(": %q", v.String()))
	default:
		line(fmt.Sprintf(": %v", v.Interface()))
	}
}

var kinds = map[chat.PartKind]string{
	chat.Text: "text", chat.Image: "image", chat.Document: "document", chat.Audio: "audio", chat.ToolCall: "tool call",
	chat.ToolResult: "tool result", chat.Thinking: "thinking", chat.RedactedThinking: "redacted thinking", chat.Refusal: "refusal",
}

var events = map[chat.EventKind]string{
	chat.EventStart: "start", chat.EventBlockStart: "block start", chat.EventDelta: "delta", chat.EventSignature: "signature",
	chat.EventBlockStop: "block stop", chat.EventFinish: "finish", chat.EventUsage: "usage", chat.EventEnd: "end",
	chat.EventError: "error", chat.EventPing: "ping",
}

// show is one event on a line.
func show(ev *chat.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", events[ev.Kind])
	if ev.Kind == chat.EventBlockStart || ev.Kind == chat.EventDelta || ev.Kind == chat.EventSignature || ev.Kind == chat.EventBlockStop {
		fmt.Fprintf(&b, " %d.%d", ev.Choice, ev.Index)
	} else if ev.Kind == chat.EventFinish {
		fmt.Fprintf(&b, " %d", ev.Choice)
	}
	fields := *ev
	fields.Kind, fields.Choice, fields.Index = 0, 0, 0
	for _, line := range strings.Split(strings.TrimSpace(dump(fields)), "\n") {
		b.WriteString(" " + strings.TrimSpace(line))
	}
	return strings.TrimSpace(b.String()) + "\n"
}

func faultText(err error) map[string]string { return map[string]string{"fault": dump(err)} }

type (
	event    = chat.Event
	emitFunc = func(*chat.Event)
)
