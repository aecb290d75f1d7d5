// Package window judges whether a request fits a model's context window before it is sent, and makes it fit where the
// route says so. Nearly every request is judged by its size in bytes alone; only what comes near a window is decoded and
// counted, once for each kind of tokenizer.
package window

import (
	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/tokens"
	"dragoman/translate/chat"
)

// Gauge measures one request against windows. It belongs to one request and is not safe for concurrent use.
type Gauge struct {
	head   *chat.Head
	decode func() (*chat.Request, error)
	sizes  []measured
}

type measured struct {
	kind tokens.Kind
	size tokens.Size
}

// NewGauge makes a Gauge for a request. decode gives the whole request and is called only near a window; it should
// remember what it decoded.
func NewGauge(h *chat.Head, decode func() (*chat.Request, error)) Gauge {
	return Gauge{head: h, decode: decode}
}

// Fit is how a request stands to one model's window. All but Counted are in tokens.
type Fit struct {
	Tokens  int64 // the prompt
	Margin  int64 // by how much Tokens may be off either way
	Output  int64 // asked for at most: it has to fit too. 0 where the client set no cap
	Window  int64 // 0: unknown, everything fits
	Counted bool  // by a tokenizer; else Tokens is a guess by size, and the request is far from the window
}

// Fits says that the request fits as far as can be told.
func (f Fit) Fits() bool { return f.Window == 0 || f.Tokens+f.Output <= f.Window }

// Surely says that it fits even at the upper end of the margin.
func (f Fit) Surely() bool { return f.Window == 0 || f.Tokens+f.Margin+f.Output <= f.Window }

// Never says that it does not fit even at the lower end of the margin.
func (f Fit) Never() bool { return f.Window != 0 && max(f.Tokens-f.Margin, 0)+f.Output > f.Window }

// The cheap bound: what a request has at most, unless its text is denser than any language or code. Per token of OpenAI's
// o200k, English has 4.2 bytes, program code and JSON 3.3 to 4.6, Chinese and Japanese 3.7 to 3.9; only base64 and hex
// inside of text (1.5 to 1.8) are denser than this allows, and of those a provider's own check is the last word.
const (
	denseBytesx2 = 5    // half bytes of text a token
	messageBound = 8    // tokens
	toolBound    = 16   // tokens
	imageBound   = 5000 // tokens, of an image or a short document
	mediaBytes   = 16   // a token, of everything in the body that is not text
)

// bound is what the request has at most for any tokenizer.
func bound(h *chat.Head) int64 {
	text := int64(h.TextBytes)
	return text*2*tokens.MaxPercent/(denseBytesx2*100) + messageBound*int64(h.Messages) + toolBound*int64(h.Tools) +
		imageBound*int64(h.Images) + max(int64(len(h.Body))-text, 0)/mediaBytes
}

// Most is what the request has at most for any tokenizer, in tokens; 0 for the zero Gauge.
func (g *Gauge) Most() int64 {
	if g.head == nil {
		return 0
	}
	return bound(g.head)
}

// Check measures the request against m's window. The error is decode's.
func (g *Gauge) Check(m *config.Model) (Fit, error) {
	fit := Fit{Tokens: g.head.InputTokens(), Output: output(g.head, m), Window: m.Context}
	most := bound(g.head)
	fit.Margin = max(most-fit.Tokens, 0)
	if fit.Window == 0 || most+fit.Output <= fit.Window {
		return fit, nil
	}
	size, err := g.size(m)
	if err != nil {
		return fit, err
	}
	total := size.Total()
	fit.Tokens, fit.Margin, fit.Counted = total.Tokens, total.Margin, true
	return fit, nil
}

// output is the part of the window that the answer may take. Gemini's windows are for the input alone.
func output(h *chat.Head, m *config.Model) int64 {
	if m.Provider != nil && m.Provider.Schema == chat.Gemini {
		return 0
	}
	if m.MaxOutput > 0 {
		return min(h.MaxTokens, m.MaxOutput)
	}
	return h.MaxTokens
}

// size counts the request with m's tokenizer, once for each kind.
func (g *Gauge) size(m *config.Model) (*tokens.Size, error) {
	kind := tokens.KindOf(m.ID)
	if kind == tokens.Unknown {
		kind = tokens.KindOf(m.Name) // the id may be the name of a deployment
	}
	for i := range g.sizes {
		if g.sizes[i].kind == kind {
			return &g.sizes[i].size, nil
		}
	}
	r, err := g.decode()
	if err != nil {
		return nil, err
	}
	g.sizes = append(g.sizes, measured{kind, kind.Measure(r)})
	return &g.sizes[len(g.sizes)-1].size, nil
}

// Require refuses a request that cannot fit m's window (policy reject). What lies within the margin is let through: the
// provider knows better.
func (g *Gauge) Require(m *config.Model) error {
	fit, err := g.Check(m)
	if err != nil || !fit.Never() {
		return err
	}
	return tooLong(fit, m)
}

// Select leaves out the candidates whose windows the request does not fit (policy next). One that it fits by the lower
// end of the margin only stays where no better one is left. Where nothing is left out, the slice is cs itself, and
// nothing is allocated. It is fault.ContextLength, for the largest window, when none is left.
func (g *Gauge) Select(cs []config.Candidate) ([]config.Candidate, error) {
	fits, doubtful := 0, 0
	var largest Fit
	var model *config.Model
	for i := range cs {
		fit, err := g.Check(cs[i].Model)
		switch {
		case err != nil:
			return nil, err
		case fit.Fits():
			fits++
		case !fit.Never():
			doubtful++
		case model == nil || fit.Window > largest.Window:
			largest, model = fit, cs[i].Model
		}
	}
	switch {
	case fits == len(cs), fits == 0 && doubtful == len(cs):
		return cs, nil
	case fits == 0 && doubtful == 0:
		return nil, tooLong(largest, model)
	}
	kept := make([]config.Candidate, 0, fits+doubtful)
	for i := range cs {
		fit, err := g.Check(cs[i].Model)
		if err == nil && (fit.Fits() || fits == 0 && !fit.Never()) {
			kept = append(kept, cs[i])
		}
	}
	return kept, nil
}

// tooLong says what does not fit where.
func tooLong(f Fit, m *config.Model) *fault.Fault {
	about := ""
	if f.Margin > 0 {
		about = "about "
	}
	var err *fault.Fault
	if f.Output > 0 {
		err = fault.New(fault.ContextLength, "The prompt has %s%d tokens and the answer may have %d; the context window of %s has %d. Shorten the conversation, or ask for a shorter answer.",
			about, f.Tokens, f.Output, clip(m.Name), f.Window)
	} else {
		err = fault.New(fault.ContextLength, "The prompt has %s%d tokens; the context window of %s has %d. Shorten the conversation.",
			about, f.Tokens, clip(m.Name), f.Window)
	}
	err.Param, err.Code = "messages", "context_length_exceeded"
	return err
}

// clip shortens a name that a client may have sent before it is shown back.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
