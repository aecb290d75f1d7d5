package xds

import (
	"regexp"
	"slices"
	"testing"

	"dragoman/internal/wiring"
)

// matcher compiles as Envoy does: RE2, over the whole name.
func matcher(t testing.TB, names []string) *regexp.Regexp {
	re, err := regexp.Compile(`^(?:` + complement(names) + `)$`)
	if err != nil {
		t.Fatalf("complement(%q): %v", names, err)
	}
	return re
}

func TestComplement_keeps_the_named_and_drops_all_others(t *testing.T) {
	for _, names := range [][]string{
		wiring.ClientHeaders,
		slices.Concat(plainHeaders, schemaHeaders["anthropic"], []string{"x-api-key"}),
		{"te"},
		{"te", "tea", "t", "trailer"}, // one name begins another
		{"a-b", "a-c", "a^b", "a]b"},  // letters that a character class reads
	} {
		re := matcher(t, names)
		for _, n := range names {
			if re.MatchString(n) {
				t.Errorf("%q is named and would be dropped", n)
			}
			for _, other := range mutations(n) {
				if want := !slices.Contains(names, other); re.MatchString(other) != want {
					t.Errorf("names %q: %q: dropped = %v, want %v", names, other, !want, want)
				}
			}
		}
		for _, pseudo := range []string{":path", ":method", ":authority", ":scheme", ":"} {
			if re.MatchString(pseudo) {
				t.Errorf("%q would be dropped", pseudo)
			}
		}
	}
}

// mutations are names that differ from one by little: cut, longer, or with one letter changed.
func mutations(n string) []string {
	all := []string{n + "x", "x" + n, n + "-", n + n, "-" + n}
	for i := range n {
		if i > 0 {
			all = append(all, n[:i], n[i:])
		}
		all = append(all, n[:i]+"z"+n[i+1:], n[:i]+"_"+n[i+1:], n[:i]+n[i+1:])
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" || s[0] == ':' })
}

func FuzzComplement(f *testing.F) {
	f.Add("x-dragoman-ordered")
	f.Add("authorization")
	f.Add("x-dragoman-debug")
	re := matcher(f, wiring.ClientHeaders)
	f.Fuzz(func(t *testing.T, name string) {
		for _, c := range []byte(name) {
			if c <= ' ' || c > '~' {
				return // no header name: Envoy's codecs refuse it
			}
		}
		if name == "" || name[0] == ':' {
			return
		}
		if got, want := re.MatchString(name), !slices.Contains(wiring.ClientHeaders, name); got != want {
			t.Fatalf("%q: dropped = %v, want %v", name, got, want)
		}
	})
}

// What only Envoy and the processor may say to each other must never pass the listener.
func TestClientHeaders_hold_nothing_internal(t *testing.T) {
	re := matcher(t, wiring.ClientHeaders)
	for _, name := range []string{
		wiring.HeaderOrdered, wiring.HeaderProbe, wiring.HeaderLength, wiring.HeaderMaxRetries, wiring.HeaderAttemptCount,
		wiring.HeaderLocalReply, wiring.MetaFilter, wiring.MetaCluster, "x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms",
		"x-envoy-original-path", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "cookie", "proxy-authorization",
	} {
		if !re.MatchString(name) {
			t.Errorf("a client's %s would pass", name)
		}
	}
}

func TestSchemaHeaders_are_no_credentials(t *testing.T) {
	for schema, names := range schemaHeaders {
		for _, n := range names {
			if slices.Contains(credentialHeaders, n) || slices.Contains(plainHeaders, n) {
				t.Errorf("%s of %s stands in two lists", n, schema)
			}
		}
	}
}
