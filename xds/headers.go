package xds

import (
	"regexp"
	"sort"
	"strings"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"dragoman/translate/chat"
)

// credentialHeaders carry a key in some schema. Every cluster removes them first: an upstream filter's changes to headers persist into the
// next attempt, so without this the attempt filter, and a cluster that adds none, would get the first provider's key. The x-amz ones are
// what a signature consists of beside authorization: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
var credentialHeaders = []string{
	"authorization", "api-key", "x-api-key", "x-goog-api-key",
	"x-amz-content-sha256", "x-amz-date", "x-amz-security-token",
}

// plainHeaders reach a provider of any schema.
var plainHeaders = []string{
	"accept", "content-length", "content-type", "host", "te", "trailer", "transfer-encoding", "user-agent",
}

// schemaHeaders are what requests of a schema may carry beyond plainHeaders and the credential:
// https://docs.anthropic.com/en/api/versioning, https://docs.anthropic.com/en/api/beta-headers.
var schemaHeaders = map[chat.Schema][]string{
	chat.OpenAI:    {"openai-beta"},
	chat.Anthropic: {"anthropic-beta", "anthropic-version"},
	chat.Gemini:    {}, // all is in the body and the path, as in the next two
	chat.Bedrock:   {},
	chat.Cohere:    {},
}

// everySchemaHeader lists the own headers of all schemas. They are dropped before a later attempt, whose filter sets those of
// its own schema anew.
func everySchemaHeader() []string {
	var all []string
	for _, names := range schemaHeaders {
		all = append(all, names...)
	}
	sort.Strings(all)
	return all
}

func removeAll(names []string) []*mutationv3.HeaderMutation {
	var m []*mutationv3.HeaderMutation
	for _, n := range names {
		m = append(m, &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Remove{Remove: n}})
	}
	return m
}

// keepOnly removes every header but the named ones and HTTP/2's pseudo headers.
func keepOnly(names []string) *mutationv3.HeaderMutation {
	return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_RemoveOnMatch_{
		RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex(complement(names))},
		}},
	}}
}

func overwrite(name, value string) *mutationv3.HeaderMutation {
	return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Append{Append: setHeader(name, value)}}
}

func setHeader(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// complement is a regular expression that matches, as a whole, every name that is not among the given ones and does not begin with
// a colon. RE2 has no negative look-ahead, so the names' trie is written out with a way to leave it at each letter.
func complement(names []string) string {
	root := &letters{next: map[byte]*letters{}}
	for _, n := range names {
		root.add(n)
	}
	// A colon leads to a word of its own that goes on for ever: nothing after it is matched.
	return root.others(":")
}

type letters struct {
	word bool
	next map[byte]*letters
}

func (l *letters) add(name string) {
	for i := 0; i < len(name); i++ {
		n := l.next[name[i]]
		if n == nil {
			n = &letters{next: map[byte]*letters{}}
			l.next[name[i]] = n
		}
		l = n
	}
	l.word = true
}

// others matches every rest of a name that does not lead to a word from here; kept are further letters that no rest may begin with.
func (l *letters) others(kept string) string {
	if len(l.next) == 0 && kept == "" {
		return ".+" // the end of a word: only what goes on is another name
	}
	var first []string
	for c := range l.next {
		first = append(first, string(c))
	}
	sort.Strings(first)
	ways := []string{"[^" + classQuote(strings.Join(first, "")+kept) + "].*"}
	for _, c := range first {
		ways = append(ways, regexp.QuoteMeta(c)+l.next[c[0]].others(""))
	}
	if l.word || kept != "" {
		return "(?:" + strings.Join(ways, "|") + ")"
	}
	return "(?:" + strings.Join(ways, "|") + ")?" // the name may also end here, half way to a word
}

// classQuote escapes letters for a character class.
var classQuote = strings.NewReplacer(`\`, `\\`, `]`, `\]`, `^`, `\^`, `-`, `\-`).Replace
