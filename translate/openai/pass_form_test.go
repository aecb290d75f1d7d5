package openai

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"strings"
	"testing"

	"dragoman/internal/fault"
)

const formType = "multipart/form-data; boundary=abc"

// part is a part of a body with the boundary abc.
func part(header, content string) string { return "--abc\r\n" + header + "\r\n\r\n" + content + "\r\n" }

func field(name, value string) string {
	return part(`Content-Disposition: form-data; name="`+name+`"`, value)
}

func file(name, content string) string {
	return part(`Content-Disposition: form-data; name="file"; filename="`+name+"\"\r\nContent-Type: audio/mpeg", content)
}

const lastBoundary = "--abc--\r\n"

// rewrite passes body in pieces of n bytes; the first head bytes may be changed.
func rewrite(body string, n, head int, edit FormEdit) (out, model string, err error) {
	f, err := NewForm(formType, edit)
	if err != nil {
		return "", "", err
	}
	var b []byte
	for at := 0; at < len(body) && err == nil; at += n {
		if at >= head {
			f.Commit()
		}
		b, err = f.Write(b, []byte(body[at:min(at+n, len(body))]))
	}
	if err == nil {
		err = f.Close()
	}
	model, _ = f.Model()
	return string(b), model, err
}

func TestFormEveryByteSplit(t *testing.T) {
	content := strings.Repeat("sound\r\n--ab\r\n-", 20) + "\r\n--ab"
	for name, c := range map[string]struct {
		body, want, model string
		edit              FormEdit
	}{
		"as it is":      {field("model", "m") + file("a.mp3", content) + lastBoundary, field("model", "m") + file("a.mp3", content) + lastBoundary, "m", FormEdit{}},
		"model":         {field("model", "m") + file("a.mp3", content) + lastBoundary, field("model", "longer-name") + file("a.mp3", content) + lastBoundary, "m", FormEdit{Model: "longer-name"}},
		"shorter model": {file("a.mp3", content) + field("model", "a-long-name") + lastBoundary, file("a.mp3", content) + field("model", "m") + lastBoundary, "a-long-name", FormEdit{Model: "m"}},
		"mark":          {file("a.mp3", content) + field("purpose", "batch") + lastBoundary, file("dgm-x-a.mp3", content) + field("purpose", "batch") + lastBoundary, "", FormEdit{Mark: "dgm-x-"}},
		"no content":    {file("a.mp3", "") + field("purpose", "") + "--abc--", file("a.mp3", "") + field("purpose", "") + "--abc--", "", FormEdit{}},
		"only the end":  {lastBoundary, lastBoundary, "", FormEdit{}},
	} {
		for n := 1; n <= len(c.body); n++ {
			out, model, err := rewrite(c.body, n, len(c.body), c.edit)
			if err != nil || out != c.want || model != c.model {
				t.Fatalf("%s, pieces of %d: model %q, error %v\n%q\nwant\n%q", name, n, model, err, out, c.want)
			}
		}
	}
}

func TestFormMarksEveryFormOfAName(t *testing.T) {
	for in, want := range map[string]string{
		`form-data; name="file"; filename="a.txt"`:                              `form-data; name="file"; filename="M-a.txt"`,
		`form-data; name="file"; filename=a.txt`:                                `form-data; name="file"; filename=M-a.txt`,
		`form-data; name="file"; FileName="a.txt"`:                              `form-data; name="file"; FileName="M-a.txt"`,
		`form-data; filename="a.txt"; name="file"`:                              `form-data; filename="M-a.txt"; name="file"`,
		`form-data; name="file"; filename="a.txt"; filename*=UTF-8''%c3%a4.txt`: `form-data; name="file"; filename="M-a.txt"; filename*=UTF-8''M-%c3%a4.txt`,
		"form-data; name=\"file\"; filename=\"\u00e4\xff.txt\"":                 "form-data; name=\"file\"; filename=\"M-\u00e4\xff.txt\"",
	} {
		out, _, err := rewrite(part("Content-Disposition: "+in, "x")+lastBoundary, 7, 1<<20, FormEdit{Mark: "M-"})
		if want = part("Content-Disposition: "+want, "x") + lastBoundary; err != nil || out != want {
			t.Errorf("%s: %v\n%q, want\n%q", in, err, out, want)
		}
	}
}

func TestFormRefuses(t *testing.T) {
	model := field("model", "m")
	for name, c := range map[string]struct {
		body string
		edit FormEdit
	}{
		"nothing":                     {"", FormEdit{}},
		"no end":                      {model, FormEdit{}},
		"cut in the end":              {model + "--abc-", FormEdit{}},
		"preamble":                    {"hello\r\n" + model + lastBoundary, FormEdit{}},
		"line before":                 {"\r\n" + model + lastBoundary, FormEdit{}},
		"epilogue":                    {model + lastBoundary + "hello", FormEdit{}},
		"other boundary":              {"--abd\r\n" + model + lastBoundary, FormEdit{}},
		"longer boundary":             {model + "--abcd\r\n" + lastBoundary, FormEdit{}},
		"bare line feed":              {file("a", "x\n--abc\nmore") + lastBoundary, FormEdit{}},
		"boundary at once":            {"--abc\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n--abc--\r\n", FormEdit{}},
		"model twice":                 {model + model + lastBoundary, FormEdit{}},
		"model in other letters":      {model + field("Model", "m") + lastBoundary, FormEdit{}},
		"model is a file":             {part(`Content-Disposition: form-data; name="model"; filename="x"`, "m") + lastBoundary, FormEdit{}},
		"empty model":                 {field("model", "") + lastBoundary, FormEdit{}},
		"long model":                  {field("model", strings.Repeat("m", 300)) + lastBoundary, FormEdit{}},
		"endless model":               {field("model", strings.Repeat("m", 30000)), FormEdit{}},
		"model is no UTF-8":           {field("model", "m\xff") + lastBoundary, FormEdit{}},
		"no name":                     {part("Content-Disposition: form-data", "x") + lastBoundary, FormEdit{}},
		"no disposition":              {part("Content-Type: text/plain", "x") + lastBoundary, FormEdit{}},
		"two dispositions":            {part("Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"", "x") + lastBoundary, FormEdit{}},
		"two names":                   {part(`Content-Disposition: form-data; name="a"; name="b"`, "x") + lastBoundary, FormEdit{}},
		"name escaped":                {part(`Content-Disposition: form-data; name="mod\el"`, "x") + lastBoundary, FormEdit{}},
		"name with a charset":         {part(`Content-Disposition: form-data; name*=utf-8''mod%65l`, "x") + lastBoundary, FormEdit{}},
		"name in pieces":              {part(`Content-Disposition: form-data; name*0="mo"; name*1="del"`, "x") + lastBoundary, FormEdit{}},
		"folded header":               {part("Content-Disposition: form-data;\r\n name=\"model\"", "x") + lastBoundary, FormEdit{}},
		"line feed in a header":       {part("X-A: b\nContent-Disposition: form-data; name=\"model\"", "x") + lastBoundary, FormEdit{}},
		"no header":                   {"--abc\r\n\r\nx\r\n" + lastBoundary, FormEdit{}},
		"encoded":                     {part("Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64", "bQ==") + lastBoundary, FormEdit{}},
		"endless header":              {"--abc\r\nContent-Disposition: " + strings.Repeat("x", 20000), FormEdit{}},
		"file without a name, marked": {field("file", "x") + lastBoundary, FormEdit{Mark: "M-"}},
		"file name in odd form":       {part(`Content-Disposition: form-data; name="file"; filename = "x"`, "x") + lastBoundary, FormEdit{Mark: "M-"}},
	} {
		for _, n := range []int{1, 3, 1 << 20} {
			_, _, err := rewrite(c.body, n, 1<<20, c.edit)
			var f *fault.Fault
			if !errors.As(err, &f) || f.Kind != fault.InvalidRequest {
				t.Errorf("%s, pieces of %d: %v", name, n, err)
			}
		}
	}
	for _, bad := range []string{"", "application/json", "multipart/form-data", "multipart/mixed; boundary=a", "multipart/form-data; boundary=" + strings.Repeat("b", 71)} {
		if _, err := NewForm(bad, FormEdit{}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// What comes behind the head can be refused but not changed: the body's length is settled.
func TestFormLateParts(t *testing.T) {
	body := file("a.mp3", strings.Repeat("x", 1000)) + field("model", "m") + lastBoundary
	for edit, ok := range map[FormEdit]bool{{}: true, {Model: "m"}: true, {Model: "other"}: false} {
		out, _, err := rewrite(body, 100, 300, edit)
		if (err == nil) != ok || ok && out != body {
			t.Errorf("%+v: %v", edit, err)
		}
	}
	late := field("purpose", strings.Repeat("x", 1000)) + file("a.mp3", "x") + lastBoundary
	if _, _, err := rewrite(late, 100, 300, FormEdit{Mark: "M-"}); err == nil {
		t.Error("a file that cannot be marked any more passes")
	}
}

// TestFormHoldsLittle: however long a part is, only its end is held.
func TestFormHoldsLittle(t *testing.T) {
	f, _ := NewForm(formType, FormEdit{})
	piece := bytes.Repeat([]byte("\r\n--ab"), 10_000)
	if _, err := f.Write(nil, []byte("--abc\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := f.Write(nil, piece); err != nil || f.Held() > 10 {
			t.Fatalf("%d bytes are held, %v", f.Held(), err)
		}
	}
}

// FuzzForm: what passes reads the same before and after, for another parser too, and any split gives the same.
func FuzzForm(f *testing.F) {
	f.Add(field("model", "m")+file("a.mp3", "sound")+lastBoundary, 3, "other", "M-")
	f.Add(file("a\"b", "\r\n--ab\r\n")+field("model", "x")+"--abc--", 1, "", "")
	f.Fuzz(func(t *testing.T, body string, n int, model, mark string) {
		if len(body) > 4096 || strings.ContainsAny(mark, "\"\r\n;\\'") || strings.ContainsAny(model, "\r\n") || len(model) > 100 {
			return
		}
		edit := FormEdit{Model: model, Mark: mark}
		out, found, err := rewrite(body, max(1, n&63), 1<<20, edit)
		whole, _, err2 := rewrite(body, len(body)+1, 1<<20, edit)
		if (err == nil) != (err2 == nil) || err == nil && out != whole {
			t.Fatalf("in pieces %v, whole %v", err, err2)
		}
		if err != nil {
			return
		}
		if edit == (FormEdit{}) && out != body {
			t.Errorf("%q became %q", body, out)
		}
		wanted := found
		if found != "" && model != "" {
			wanted = model
		}
		r := multipart.NewReader(strings.NewReader(out), "abc")
		for {
			p, err := r.NextRawPart()
			if err != nil {
				break // that parser refuses more
			}
			if p.FormName() == "model" {
				if got, err := io.ReadAll(p); err == nil && string(got) != wanted {
					t.Errorf("another parser reads the model %q, not %q, in %q", got, wanted, out)
				}
			}
		}
	})
}

func BenchmarkForm(b *testing.B) {
	body := []byte(field("model", "m") + file("a.mp3", strings.Repeat("0123456789abcdef", 1<<16)) + lastBoundary)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	dst := make([]byte, 0, len(body)+100)
	for b.Loop() {
		f, _ := NewForm(formType, FormEdit{Model: "other"})
		for at := 0; at < len(body); at += 64 << 10 {
			var err error
			if dst, err = f.Write(dst[:0], body[at:min(at+64<<10, len(body))]); err != nil {
				b.Fatal(err)
			}
		}
	}
}
