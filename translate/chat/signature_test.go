package chat

import "testing"

var schemas = []Schema{OpenAI, Responses, Anthropic, Gemini, Bedrock, Cohere}

func TestD78_signatures_come_back_to_their_maker_only(t *testing.T) {
	for _, signature := range []string{"EuYBCkQYAiJA+/=", "a", "with:colon", ":", "gAAAAABo"} {
		for _, maker := range schemas {
			if maker == Anthropic && signature != "EuYBCkQYAiJA+/=" && signature != "a" && signature != "gAAAAABo" {
				continue // Anthropic's are base64
			}
			signed := Sign(maker, signature)
			for _, asked := range schemas {
				own, ok := SignedBy(asked, signed)
				if ok != (asked == maker) {
					t.Errorf("%s's %q is taken for one of %s: %v", maker, signature, asked, ok)
				}
				if ok && own != signature {
					t.Errorf("%s's %q comes back as %q", maker, signature, own)
				}
			}
		}
	}
}

// Anthropic's clients check nothing, but send back what they were given: it must be what Anthropic sent.
func TestD78_anthropic_signatures_are_unmarked(t *testing.T) {
	if got := Sign(Anthropic, "sig=="); got != "sig==" {
		t.Errorf("got %q", got)
	}
}

func TestNoSignature(t *testing.T) {
	for _, s := range schemas {
		if got := Sign(s, ""); got != "" {
			t.Errorf("%s signs nothing as %q", s, got)
		}
		if own, ok := SignedBy(s, ""); ok || own != "" {
			t.Errorf("%s: %q, %v", s, own, ok)
		}
		if _, ok := SignedBy(s, "nobody:sig"); ok {
			t.Errorf("%s takes nobody's signature", s)
		}
	}
}

func FuzzSign(f *testing.F) {
	f.Add("a:b:c", 3)
	f.Fuzz(func(t *testing.T, signature string, n int) {
		maker := schemas[max(n%len(schemas), 0)]
		if signature == "" || maker == Anthropic {
			return
		}
		if own, ok := SignedBy(maker, Sign(maker, signature)); !ok || own != signature {
			t.Errorf("%s: %q comes back as %q, %v", maker, signature, own, ok)
		}
	})
}
