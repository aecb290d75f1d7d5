package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"dragoman/translate/strictjson"
)

func TestText(t *testing.T) {
	for raw, want := range map[string]string{
		`""`:                        "",
		`"plain"`:                   "plain",
		`"\"\\\/\b\f\n\r\t"`:        "\"\\/\b\f\n\r\t",
		`"\u0041\u00e9\u6f22"`:      "Aé漢",
		`"x\ud83d\ude00y"`:          "x😀y",
		`"\uD83D\uDE00"`:            "😀",
		`"\ud83d"`:                  "\uFFFD",
		`"\ud83dx"`:                 "\uFFFDx",
		`"\ud83d\n"`:                "\uFFFD\n",
		`"\ud83d\ud83d\ude00"`:      "\uFFFD😀",
		`"\ude00"`:                  "\uFFFD",
		`"\u0000"`:                  "\x00",
		`"é and \u00e9, literally"`: "é and é, literally",
	} {
		if got := strictjson.Text([]byte(raw)); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
	if strictjson.Text(nil) != "" || strictjson.AppendText(nil, nil) != nil {
		t.Error("no string must read as no text")
	}
}

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   `""`,
		"plain text, eight bytes and more":   `"plain text, eight bytes and more"`,
		"a\"b\\c/d":                          `"a\"b\\c/d"`,
		"\n\r\t\b\f\x00\x1f\x7f":             `"\n\r\t\b\f\u0000\u001f` + "\x7f\"",
		"<b>&amp;</b>":                       `"<b>&amp;</b>"`,
		"é漢😀 \u2028":                         "\"é漢😀 \u2028\"",
		"bad \xff tail":                      "\"bad \uFFFD tail\"",
		"cut \xe6\xbc":                       "\"cut \uFFFD\uFFFD\"",
		"12345678\n12345678\"":               `"12345678\n12345678\""`,
		strings.Repeat("x", 17) + "\x01\x02": `"` + strings.Repeat("x", 17) + `\u0001\u0002"`,
	} {
		if got := string(strictjson.AppendString(nil, in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"b\\\n", "é漢😀", "\xff\xed\xa0\x80", "\x00\x1f<>&\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw := strictjson.AppendString([]byte("x"), s)[1:]
		var std string
		if err := json.Unmarshal(raw, &std); err != nil {
			t.Fatalf("%q: %s is not JSON: %v", s, raw, err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); utf8.ValidString(s) && std != want {
			t.Fatalf("%q reads back as %q", s, std)
		}
		if own := strictjson.Text(raw); own != std {
			t.Fatalf("%s: Text gives %q, encoding/json %q", raw, own, std)
		}
		if _, err := strictjson.Check(raw); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	})
}

func TestAppendDataURI(t *testing.T) {
	for _, c := range []struct{ kind, data, want string }{
		{"image/png", "AAAA+/==", `"data:image/png;base64,AAAA+/=="`},
		{`a"b`, "x\ny", `"data:a\"b;base64,x\ny"`},
		{"", "", `"data:;base64,"`},
	} {
		if got := string(strictjson.AppendDataURI([]byte("["), c.kind, c.data)); got != "["+c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
