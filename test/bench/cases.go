package main

import (
	"fmt"
	"strings"
)

// kase is one thing that is measured, for every target that can do it.
type kase struct {
	name string
	what string // for the legend
	// translated: the client speaks OpenAI and the provider Anthropic. Direct and plain Envoy carry the Anthropic request
	// that a translating gateway would send.
	translated bool
	stream     bool
	paced      bool
	cached     bool // Dragoman answers from its cache; the others ask the provider each time
	semantic   bool // and finds the answer to the same question in other words
	alone      bool // one connection: what an answer takes when nobody else asks
	failover   bool // the first provider answers 503
	brief      bool // without a body, so that its connection can be used again
	caller     callers
}

// callers says what Dragoman knows and counts of who calls. Only Dragoman is measured with any: they are compared with each other.
type callers string

const (
	callersKeyed     callers = "-keyed"          // by a key, without limits; no ledger is kept
	callersGoverned  callers = "-governed"       // the limits and budgets that people set, a ledger on SQLite
	callersRedis     callers = "-governed-redis" // the same, counted in Redis
	callersDeep      callers = "-deep"           // every kind of limit and a budget at every level, a ledger on SQLite
	callersDeepRedis callers = "-deep-redis"     // the same, counted in Redis
)

// governed says that limits are counted and a ledger is kept.
func (c callers) governed() bool { return c != "" && c != callersKeyed }

// inRedis says that limits are counted there.
func (c callers) inRedis() bool { return c == callersRedis || c == callersDeepRedis }

var cases = []kase{
	{name: "plain", what: "OpenAI client, OpenAI provider, 2 KB request, 1 KB answer"},
	{name: "translated", what: "OpenAI client, Anthropic provider", translated: true},
	{name: "stream", what: "20 chunks as fast as they go", stream: true},
	{name: "stream-paced", what: "20 chunks, a pause before each", stream: true, paced: true},
	{name: "stream-translated", what: "20 chunks, OpenAI client, Anthropic provider", stream: true, translated: true},
	{name: "cache-hit", what: "answered from Dragoman's exact cache; plain Envoy asks the provider", cached: true},
	{name: "cache-alone", what: "the same over one connection: the latency of an exact hit", cached: true, alone: true},
	{name: "semantic-hit", what: "one connection, the question in other words, vectors by the local embedder", cached: true, semantic: true, alone: true},
	{name: "failover", what: "the first provider answers 503, the second answers; over HTTP/1.1 each failure costs Envoy a connection", failover: true},
	{name: "failover-kept", what: "the same with a failure that keeps its connection", failover: true, brief: true},
	{name: caseKeyed, what: "plain, the caller known by a key; no limits, no ledger", caller: callersKeyed},
	{name: caseGoverned, what: "the same with requests and tokens a minute of tenant and key, budgets of tenant and organisation, and the ledger on SQLite", caller: callersGoverned},
	{name: caseGovernedRedis, what: "the same, counted in Redis", caller: callersRedis},
	{name: caseDeep, what: "keyed with three kinds of limit and a budget at each of six levels, 24 counters, and the ledger on SQLite", caller: callersDeep},
	{name: caseDeepRedis, what: "the same, counted in Redis", caller: callersDeepRedis},
}

// Names of the cases that show what governing a request adds.
const (
	caseKeyed         = "keyed"
	caseGoverned      = "governed"
	caseGovernedRedis = "governed-redis"
	caseDeep          = "governed-deep"
	caseDeepRedis     = "governed-deep-redis"
)

// Models, as Dragoman's configuration names them. Others are told by flags.
const (
	modelPlain      = "bench"
	modelTranslated = "bench-translated"
	modelFailover   = "bench-failover"
)

// setup names the configuration that a gateway needs for the case.
func (k *kase) setup() string {
	switch {
	case k.caller != "":
		return string(k.caller)
	case k.semantic:
		return "-semantic"
	case k.cached:
		return "-cache"
	default:
		return ""
	}
}

func (k *kase) model() string {
	switch {
	case k.translated:
		return modelTranslated
	case k.failover:
		return modelFailover
	default:
		return modelPlain
	}
}

// provider is the call that reaches the fake provider as it is, directly or through a proxy at address.
func (k *kase) provider(address string) *call {
	c := &call{address: address, want: k.want(k.translated)}
	headers := []string{"authorization: Bearer " + benchKey}
	path, body := "/v1/chat/completions", k.openAIBody("bench")
	if k.translated {
		headers = []string{"x-api-key: " + benchKey, "anthropic-version: 2023-06-01"}
		path, body = "/v1/messages", k.anthropicBody("bench")
	}
	if k.failover {
		headers = append(headers, failoverHeader+": 1")
	}
	c.request = post(address, path, headers, body)
	return c
}

// gateway is the call to a gateway that is asked in OpenAI's schema, whatever its provider speaks.
func (k *kase) gateway(address, path, model string, headers ...string) *call {
	w := k.want(false)
	w.mark = k.mark()
	if k.caller != "" {
		headers = append(headers, "authorization: Bearer "+callerKey)
	}
	return &call{address: address, want: w, request: post(address, path, headers, k.openAIBody(model))}
}

func (k *kase) mark() string {
	switch {
	case k.stream:
		return markWord
	case k.translated:
		return markAnthropic
	default:
		return markOpenAI
	}
}

// want is what is true of a right answer in the schema that the client gets.
func (k *kase) want(anthropic bool) want {
	w := want{mark: k.mark()}
	if k.stream {
		w.words, w.terminal = streamChunks, "data: [DONE]"
		if anthropic {
			w.terminal = `data: {"type":"message_stop"}`
		}
	}
	return w
}

func post(host, path string, headers []string, body string) []byte {
	all := append([]string{
		"POST " + path + " HTTP/1.1", "host: " + host, "content-type: application/json", "accept: application/json",
		"user-agent: dragoman-bench", fmt.Sprintf("content-length: %d", len(body)),
	}, headers...)
	return []byte(strings.Join(all, "\r\n") + "\r\n\r\n" + body)
}

func (k *kase) prompt() string {
	switch {
	case k.paced:
		return text(900) + pacedPrompt
	case k.brief:
		return text(900) + briefPrompt
	}
	return text(900)
}

// flag is written as SDKs write it: only when it is set.
func (k *kase) flag() string {
	if k.stream {
		return `,"stream":true`
	}
	return ""
}

// Two ways to ask the same.
const storedQuestion, askedQuestion = "How can I reset the password of account %d?", "How do I reset the password of account %d?"

// questionBody is a single question, which the semantic tier looks at.
func questionBody(model, question string, n int) string {
	return fmt.Sprintf(`{"model":"%s","messages":[{"role":"system","content":"%s"},{"role":"user","content":"%s"}],"temperature":0,"max_tokens":256}`,
		model, text(500), fmt.Sprintf(question, n))
}

func (k *kase) openAIBody(model string) string {
	if k.semantic {
		return questionBody(model, askedQuestion, 0)
	}
	return fmt.Sprintf(`{"model":"%s","messages":[{"role":"system","content":"%s"},{"role":"user","content":"%s"},{"role":"assistant","content":"%s"},{"role":"user","content":"%s"}],"temperature":0,"max_tokens":256%s}`,
		model, text(500), text(200), text(200), k.prompt(), k.flag())
}

func (k *kase) anthropicBody(model string) string {
	return fmt.Sprintf(`{"model":"%s","system":"%s","messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"%s"},{"role":"user","content":"%s"}],"temperature":0,"max_tokens":256%s}`,
		model, text(500), text(200), text(200), k.prompt(), k.flag())
}
