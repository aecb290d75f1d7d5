package wire

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestD128_retry_hints(t *testing.T) {
	for _, c := range []struct {
		name   string
		header map[string]string
		want   time.Duration
	}{
		{"absent", nil, 0},
		{"seconds", map[string]string{"retry-after": "7"}, 7 * time.Second},
		{"fraction", map[string]string{"retry-after": " 0.5 "}, 500 * time.Millisecond},
		{"milliseconds win", map[string]string{"retry-after-ms": "1500", "retry-after": "9"}, 1500 * time.Millisecond},
		{"azure", map[string]string{"x-ms-retry-after-ms": "250"}, 250 * time.Millisecond},
		{"date", map[string]string{"retry-after": "Fri, 02 Jan 2026 03:04:35 GMT"}, 30 * time.Second},
		{"old date form", map[string]string{"retry-after": "Friday, 02-Jan-26 03:05:05 GMT"}, time.Minute},
		{"date of another clock", map[string]string{"retry-after": "Fri, 02 Jan 2037 03:04:35 GMT", "date": "Fri, 02 Jan 2037 03:04:31 GMT"}, 4 * time.Second},
		{"past date", map[string]string{"retry-after": "Fri, 02 Jan 2026 03:04:00 GMT"}, 0},
		{"negative", map[string]string{"retry-after": "-3"}, 0},
		{"capped", map[string]string{"retry-after": "1e300"}, MaxRetryAfter},
		{"capped date", map[string]string{"retry-after": "Fri, 02 Jan 2099 03:04:35 GMT"}, MaxRetryAfter},
		{"infinite", map[string]string{"retry-after": "Inf"}, MaxRetryAfter},
		{"not a number", map[string]string{"retry-after": "NaN"}, 0},
		{"nonsense", map[string]string{"retry-after": "soon"}, 0},
		{"nonsense then good", map[string]string{"retry-after-ms": "soon", "retry-after": "2"}, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := RetryAfter(func(n string) string { return c.header[n] }, now)
			if got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if RetryAfter(nil, now) != 0 {
		t.Error("no headers at all must mean no hint")
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "upstream connect error", "upstream connect error"},
		{"lines and controls", "a\r\n\t b\x00\x1b[31mc\xff", "a b[31mc"},
		{"page", "<!DOCTYPE html><html><head><style>b{c:d}</style><script>alert(1)</script></head><body><h1>502 Bad Gateway</h1><!-- x --><p>nginx</p></body></html>", "502 Bad Gateway nginx"},
		{"unclosed tag", "<html><body>Busy<div", "Busy"},
		{"unclosed script", "<html>Busy<script>alert(1)", "Busy"},
		{"key", "key sk-ant-api03-abcdefghijklmnop refused", "key [redacted] refused"},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Clip([]byte(c.in)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestClip_is_short_whatever_comes(t *testing.T) {
	for _, in := range []string{strings.Repeat("x", 1<<20), strings.Repeat("é", 5000), strings.Repeat("<", 1<<16), strings.Repeat("<script>İ", 4000), strings.Repeat("\xff", 9999)} {
		got := Clip([]byte(in))
		if n := utf8.RuneCountInString(got); n > clipRunes+1 || !utf8.ValidString(got) {
			t.Errorf("%.10q: %d runes", in, n)
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"":                                               "",
		"no secret here, task-force-list":                "no secret here, task-force-list",
		"invalid x-api-key":                              "invalid x-api-key",
		"Incorrect API key: sk-proj-ab***yzqr.":          "Incorrect API key: [redacted].",
		"(sk-ant-api03-AbC_def-123456)":                  "([redacted])",
		"Authorization: Bearer abcdef123456==":           "Authorization: Bearer [redacted]",
		"https://h/p?key=AIzaSyA1234567890abcdefg&x=1":   "https://h/p?key=[redacted]&x=1",
		"two: gsk_abcdefgh1 and xai-abcdefgh2":           "two: [redacted] and [redacted]",
		"token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig": "token [redacted]",
		"sk-short": "sk-short",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestD65_data_uris(t *testing.T) {
	for _, c := range []struct {
		in, mediaType, data string
		ok                  bool
	}{
		{"data:image/png;base64,AAAA", "image/png", "AAAA", true},
		{"DATA:image/JPG;charset=x;Base64,AA==", "image/jpeg", "AA==", true},
		{"data:image/svg+xml,%3Csvg", "", "", false},
		{"data:image/png;base64,", "", "", false},
		{"data:;base64", "", "", false},
		{"https://example.com/a.png", "", "", false},
		{"", "", "", false},
	} {
		mediaType, data, ok := SplitDataURI(c.in)
		if mediaType != c.mediaType || data != c.data || ok != c.ok {
			t.Errorf("%q: got %q %q %v", c.in, mediaType, data, ok)
		}
		if c.ok {
			again, d2, ok2 := SplitDataURI(string(AppendDataURI(nil, mediaType, data)))
			if again != mediaType || d2 != data || !ok2 {
				t.Errorf("%q does not survive a round trip", c.in)
			}
		}
		if IsDataURI(c.in) != strings.HasPrefix(strings.ToLower(c.in), "data:") {
			t.Errorf("IsDataURI(%q)", c.in)
		}
	}
}

func TestMediaTypes(t *testing.T) {
	if MediaType(" Image/JPG; q=1") != "image/jpeg" || MediaType("image/png") != "image/png" {
		t.Error("MediaType must give the registered spelling")
	}
	for mediaType, want := range map[string]bool{"image/png": true, "image/webp": true, "image/svg+xml": false, PDF: false, "": false} {
		if IsImage(mediaType) != want {
			t.Errorf("IsImage(%q)", mediaType)
		}
	}
	if URLPath("https://h/a.pdf?sig=b#c") != "https://h/a.pdf" {
		t.Error("URLPath must end before the query")
	}
	for url, want := range map[string]bool{"https://h/x": true, "HTTP://h": true, "file:///etc/passwd": false, "https:///x": false, "gs://b/o": false, "h/x": false} {
		if IsWebURL(url) != want {
			t.Errorf("IsWebURL(%q)", url)
		}
	}
}
