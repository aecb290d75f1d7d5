package vault

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzEntry: whatever a server answers, a value comes only of a string that stands in data.data, and no error shows one.
func FuzzEntry(f *testing.F) {
	for _, seed := range []string{readOK("SECRET"), `{"data":{"data":null,"metadata":{"version":2,"deletion_time":"x","destroyed":false}}}`,
		`{"data":{"data":{"value":{"a":1}},"metadata":{"version":1}}}`, `{"errors":[]}`, `{"data":{"value":"SECRET"}}`, `[]`, `{"data":{"data":{"value":null},"metadata":{"version":1}}}`,
		`{"data":{"data":{"VALUE":"x","value":"` + strings.Repeat("y", 100) + `"},"metadata":{"version":9223372036854775807,"destroyed":true}}}`, strings.Repeat(`{"data":`, 200), "\xff\xfe"} {
		f.Add([]byte(seed), "value")
	}
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		e, ok := decodeEntry(body)
		if !ok {
			if e.fields != nil || e.gone != "" {
				t.Error("a half of an entry")
			}
			return
		}
		if e.version < 1 || e.gone != "" && e.fields != nil {
			t.Errorf("version %d, gone %q with %d fields", e.version, e.gone, len(e.fields))
		}
		value, bad := e.field(name)
		if bad == nil {
			var want string
			if json.Unmarshal(e.fields[name], &want) != nil || want != value {
				t.Errorf("got %q of %s", value, e.fields[name])
			}
			return
		}
		if value != "" || len(bad.Text) > 600 || !utf8.ValidString(bad.Text) || strings.ContainsAny(bad.Text, "\n\r\x00") {
			t.Errorf("error %q", bad.Text)
		}
	})
}

// FuzzAuth: a token that could break out of its header is none, and no life of one overflows.
func FuzzAuth(f *testing.F) {
	for _, seed := range []string{lookupOK, `{"auth":{"client_token":"s.x","lease_duration":3600,"renewable":true}}`, `{"auth":{"client_token":"a\r\nb","lease_duration":-1}}`,
		`{"auth":{"client_token":"a","lease_duration":9223372036854775807}}`, `{"data":{"ttl":9223372036854775807,"expire_time":null}}`, `{"auth":null,"data":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if g, bad := decodeAuth(body); bad == nil && (!isToken(g.token) || g.ttl < 0 || g.ttl > maxTTL) {
			t.Errorf("%q for %s", g.token, g.ttl)
		}
		if g, bad := decodeLookup(body); bad == nil && (g.ttl < 0 || g.ttl > maxTTL || g.endless && g.ttl > 0) {
			t.Errorf("%+v", g)
		}
		for _, text := range decodeErrors(body) {
			if c := clip(text); len(c) > 310 || !utf8.ValidString(c) || strings.ContainsAny(c, "\n\r\x00\x7f") {
				t.Errorf("%q", c)
			}
		}
	})
}

func TestDecodeLookup(t *testing.T) {
	for text, want := range map[string]grant{
		`{"data":{"ttl":60,"renewable":true,"expire_time":"2030-01-01T00:00:00Z"}}`: {ttl: time.Minute, renewable: true},
		`{"data":{"ttl":0,"renewable":false,"expire_time":null}}`:                   {endless: true},
		`{"data":{"ttl":0,"renewable":true,"expire_time":"2020-01-01T00:00:00Z"}}`:  {renewable: true},
		`{"data":{"ttl":-5,"expire_time":"2020-01-01T00:00:00Z"}}`:                  {},
	} {
		if got, bad := decodeLookup([]byte(text)); bad != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, bad)
		}
	}
	for _, text := range []string{`{}`, `{"data":{}}`, `{"data":{"ttl":"60"}}`, `x`} {
		if _, bad := decodeLookup([]byte(text)); bad == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func TestNamesOfManyFields(t *testing.T) {
	e := entry{fields: map[string]json.RawMessage{}, version: 1}
	for _, c := range "abcdefghijkl" {
		e.fields[strings.Repeat(string(c), 100)] = nil
	}
	_, bad := e.field("x")
	if want := strings.Repeat("a", 40) + ", " + strings.Repeat("b", 40); !strings.Contains(bad.Text, want) || !strings.HasSuffix(bad.Text, "…)") || len(bad.Text) > 400 {
		t.Errorf("got %s", bad.Text)
	}
}
