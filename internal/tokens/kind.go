package tokens

import "strings"

// Kind is the tokenizer of a model.
type Kind uint8

// The kinds. OpenAI's two are exact; of the others the count of o200k is scaled.
const (
	Unknown Kind = iota
	O200k
	Cl100k
	Llama3
	Llama4
	Qwen
	Tekken // Mistral since Nemo
	Mistral
	DeepSeek
	Claude    // up to Opus 4.6
	ClaudeNew // Opus 4.7 and what came after it
	Gemini
	kinds
)

// spec is what is known of a kind: how many tokens it has for 100 of the base encoding, and by how many percent of the
// result that may be off either way for ordinary text.
//
// Measured against the public tokenizers over 0.4 MB each of English documentation, Go, Python, JavaScript, JSON, Chinese
// and Japanese, per token of o200k (Latin text and code; Chinese and Japanese):
//
//	Llama 3   (llama-models 0.3.0)      1.00–1.02; 0.84–1.02     Tekken     (mistral-common 1.13.1)  1.03–1.09; 0.86–1.22
//	Llama 4   (llama-models 0.3.0)      0.98–1.01; 0.79–0.87     Mistral v7 (mistral-common 1.13.1)  1.14–1.32; 1.36–1.43
//	Qwen      (dashscope 2.0.2)         1.00–1.12; 0.83–0.97
//
// No tokenizer is public for Claude and Gemini, and DeepSeek's was not measured. Their figures are deliberately wide:
// Anthropic says that the tokenizer of Opus 4.7 takes up to 1.35 times the tokens of the one before; Google says that a
// token is about four characters.
type spec struct {
	name            string
	base            func() *encoding
	percent, margin int64
}

var specs = [kinds]spec{
	Unknown:   {"unknown", o200k, 115, 25},
	O200k:     {"o200k", o200k, 100, 0},
	Cl100k:    {"cl100k", cl100k, 100, 0},
	Llama3:    {"llama3", o200k, 100, 5},
	Llama4:    {"llama4", o200k, 97, 8},
	Qwen:      {"qwen", o200k, 104, 12},
	Tekken:    {"tekken", o200k, 109, 12},
	Mistral:   {"mistral", o200k, 130, 15},
	DeepSeek:  {"deepseek", o200k, 105, 15},
	Claude:    {"claude", o200k, 120, 20},
	ClaudeNew: {"claude-new", o200k, 145, 25},
	Gemini:    {"gemini", o200k, 105, 15},
}

// String is the kind's name.
func (k Kind) String() string { return k.spec().name }

// Exact says that a text's count has no margin.
func (k Kind) Exact() bool { return k.spec().margin == 0 }

// Percent is how many tokens the kind takes for 100 of o200k's, margin included: at most MaxPercent.
func (k Kind) Percent() int64 { s := k.spec(); return s.percent + (s.percent*s.margin+99)/100 }

// MaxPercent is the largest Percent of all kinds.
const MaxPercent = 182

func (k Kind) spec() *spec {
	if k >= kinds {
		k = Unknown
	}
	return &specs[k]
}

// names says which kind a model's name tells; the first that it holds counts. A pattern with ^ must begin what
// follows the name's last slash.
var names = []struct {
	pattern string
	kind    Kind
}{
	{"claude-opus-4-7", ClaudeNew}, {"claude-opus-4.7", ClaudeNew}, {"claude-opus-4-8", ClaudeNew}, {"claude-opus-4.8", ClaudeNew},
	{"claude-2", Claude}, {"claude-3", Claude}, {"claude-instant", Claude}, {"claude-v2", Claude}, {"claude-opus-4", Claude}, {"claude-sonnet-4", Claude},
	{"claude-haiku-4", Claude}, {"claude", ClaudeNew},
	{"gemini", Gemini}, {"gemma", Gemini},
	{"gpt-4o", O200k}, {"gpt-4.1", O200k}, {"gpt-4.5", O200k}, {"gpt-4", Cl100k}, {"gpt-35", Cl100k}, {"gpt-3.5", Cl100k}, {"text-embedding-", Cl100k}, {"gpt-", O200k},
	{"deepseek", DeepSeek}, // before the models that it was distilled into
	{"llama-4", Llama4}, {"llama4", Llama4}, {"llama-3", Llama3}, {"llama3", Llama3},
	{"qwen", Qwen}, {"qwq", Qwen}, {"qvq", Qwen},
	{"mixtral", Mistral}, {"mistral-7b", Mistral}, {"codestral", Mistral},
	{"mistral", Tekken}, {"ministral", Tekken}, {"magistral", Tekken}, {"devstral", Tekken}, {"pixtral", Tekken}, {"voxtral", Tekken},
	{"^o1", O200k}, {"^o3", O200k}, {"^o4", O200k}, {"^codex", O200k}, {"^computer-use", O200k},
}

// KindOf tells the kind by a model's name or its provider's id for it; Unknown when they say nothing.
func KindOf(model string) Kind {
	model = strings.ToLower(model)
	last := model[strings.LastIndexByte(model, '/')+1:]
	for i := range names {
		if prefix, anchored := strings.CutPrefix(names[i].pattern, "^"); anchored {
			if strings.HasPrefix(last, prefix) {
				return names[i].kind
			}
		} else if strings.Contains(model, names[i].pattern) {
			return names[i].kind
		}
	}
	return Unknown
}
