package openai_test

import (
	"encoding/json"
	"strings"
	"testing"

	"dragoman/translate"
	"dragoman/translate/chat"
)

// What Decode reads, or why Parse or Decode refuses.
func TestDecode(t *testing.T) {
	golden(t, "decode", func(_ *testing.T, _ string, in []byte) map[string]string {
		h, err := codec.Parse(in)
		if err != nil {
			return faultText(err)
		}
		r, err := codec.Decode(h)
		if err != nil {
			return faultText(err)
		}
		return map[string]string{"neutral": dump(r)}
	})
}

// What a request becomes on its way through the neutral form. A case whose name ends in _lossy goes to a lossy target.
func TestEncode(t *testing.T) {
	golden(t, "encode", func(t *testing.T, name string, in []byte) map[string]string {
		h, err := codec.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		r, err := codec.Decode(h)
		if err != nil {
			t.Fatal(err)
		}
		to := target
		to.Lossy = strings.HasSuffix(name, "_lossy")
		return encoded(t, r, to)
	})
}

func encoded(t *testing.T, r *chat.Request, to translate.Target) map[string]string {
	t.Helper()
	up, err := codec.Encode(r, to)
	if err != nil {
		return faultText(err)
	}
	again, err := codec.Encode(r, to)
	if err != nil || string(again.Body) != string(up.Body) {
		t.Errorf("the bytes are not stable (D83): %v\n%s\n%s", err, up.Body, again.Body)
	}
	if _, err := codec.Parse(up.Body); err != nil {
		t.Errorf("the encoded request is refused: %v\n%s", err, up.Body)
	}
	if up.Path != "/v1/chat/completions" {
		t.Errorf("path %q", up.Path)
	}
	out := map[string]string{"upstream.json": pretty(t, up.Body)}
	if len(up.Dropped) > 0 {
		out["dropped"] = strings.Join(up.Dropped, "\n") + "\n"
	}
	return out
}

func pretty(t *testing.T, body []byte) string {
	t.Helper()
	var b strings.Builder
	if !json.Valid(body) {
		t.Fatalf("not JSON: %s", body)
	}
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(json.RawMessage(body)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
