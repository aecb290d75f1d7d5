package bedrock

import (
	"slices"
	"strings"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

const (
	betaHeader = "anthropic-beta"
	betaMember = "anthropic_beta"
)

// claudeBetas are the beta features of Claude that Bedrock knows and that change how a request is read, not what it may hold: what
// Converse has no member for could not be sent all the same. Source: the user guide, "Anthropic Claude Messages API", anthropic_beta.
// It refuses any other value: "invalid beta flag" (D132).
var claudeBetas = set("context-1m-2025-08-07", "dev-full-thinking-2025-05-14", "interleaved-thinking-2025-05-14", "output-128k-2025-02-19",
	"token-efficient-tools-2025-02-19")

// settleBetas takes the features that a client of Anthropic's schema names in its header, for a model that is a Claude.
func (e *encoder) settleBetas() {
	if e.r.Schema != chat.Anthropic || !e.model.stopped || e.t.Header == nil {
		return
	}
	for name := range strings.SplitSeq(e.t.Header(betaHeader), ",") {
		switch name = strings.TrimSpace(name); {
		case name == "" || slices.Contains(e.plan.betas, name):
		case claudeBetas[strings.ToLower(name)]:
			e.plan.betas = append(e.plan.betas, name)
		case plainBeta(name):
			e.drop(betaHeader + "." + name)
		}
	}
}

// plainBeta says whether a name can be shown in a header.
func plainBeta(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(name) <= 64
}

func (e *encoder) betaFields(m *members) {
	if len(e.plan.betas) == 0 {
		return
	}
	m.key(betaMember)
	sep := byte('[')
	for _, name := range e.plan.betas {
		m.b = strictjson.AppendString(append(m.b, sep), name)
		sep = ','
	}
	m.b = append(m.b, ']')
}
