package bedrock

import "strings"

// traits are what a request has to know of a model. Converse gives all models one form, and refuses what a model lacks.
type traits struct {
	tools    bool   // takes toolConfig at all
	anyTool  bool   // toolChoice.any (D28)
	oneTool  bool   // toolChoice.tool
	single   bool   // one call at a time can be asked for, in Anthropic's own terms (D29)
	status   bool   // toolResult.status (D43)
	strict   bool   // outputConfig.textFormat and toolSpec.strict (D62)
	system   bool   // takes a system prompt
	media    bool   // takes images
	cache    bool   // cachePoint in system and messages (D23)
	cacheTop bool   // cachePoint among the tools
	cache1h  bool   // cachePoint.ttl
	signs    bool   // signs its reasoning, and wants it back in later turns (D75)
	think    think  // how thinking is asked for (D60)
	adaptive bool   // Claude: thinks as much as it finds right, steered by effort
	xhigh    bool   // knows the effort xhigh
	sampling bool   // takes temperature, topP and topK
	exactly1 bool   // takes temperature or topP, not both
	stopped  bool   // tells which stop sequence matched, where it is asked to (D54)
	topK     string // in additionalModelRequestFields: a member, or object.member; "" for none (D51)
}

// think is a way to ask for thinking.
type think uint8

const (
	noThinking  think = iota
	claudeThink       // additionalModelRequestFields.thinking, outputConfig.effort
	novaThink         // additionalModelRequestFields.reasoningConfig
	effortThink       // additionalModelRequestFields.reasoning_effort
)

// unknown are the traits of a model whose id says nothing (a provisioned or imported model, an application's inference
// profile): whatever every schema can say is sent, whatever belongs to one vendor is not.
var unknown = traits{tools: true, anyTool: true, oneTool: true, status: true, system: true, media: true, sampling: true, signs: true}

// families are matched by the beginning of a model's id without region and ARN; the longest one wins. Sources: the user
// guide's pages "Supported models and model features", "Prompt caching", "Structured outputs", and the documentation of
// ToolChoice and ToolResultBlock.
var families = []struct {
	name string
	traits
}{
	{"ai21.", traits{tools: true, system: true, sampling: true}},
	{"amazon.nova", traits{tools: true, anyTool: true, oneTool: true, status: true, system: true, media: true, cache: true, sampling: true, topK: "inferenceConfig.topK"}},
	{"amazon.nova-2", traits{tools: true, anyTool: true, oneTool: true, status: true, system: true, media: true, cache: true, sampling: true, think: novaThink, topK: "inferenceConfig.topK"}},
	{"amazon.titan", traits{sampling: true}},
	{"anthropic.claude", traits{tools: true, anyTool: true, oneTool: true, status: true, system: true, media: true, signs: true, sampling: true, stopped: true, topK: "top_k"}},
	{"cohere.command", traits{tools: true, system: true, sampling: true, topK: "k"}},
	{"deepseek.", traits{tools: true, system: true, sampling: true}},
	{"deepseek.r1", traits{system: true, sampling: true}},
	{"deepseek.v3", traits{tools: true, system: true, sampling: true, strict: true}},
	{"google.gemma", traits{tools: true, system: true, media: true, sampling: true, strict: true}},
	{"meta.llama", traits{tools: true, system: true, media: true, sampling: true}},
	{"minimax.", traits{tools: true, system: true, sampling: true, strict: true}},
	{"mistral.", traits{tools: true, anyTool: true, system: true, media: true, sampling: true, topK: "top_k"}},
	{"mistral.mistral-7b", traits{sampling: true, topK: "top_k"}},
	{"mistral.mixtral", traits{sampling: true, topK: "top_k"}},
	{"mistral.magistral", traits{tools: true, anyTool: true, system: true, media: true, sampling: true, strict: true, topK: "top_k"}},
	{"mistral.ministral", traits{tools: true, anyTool: true, system: true, media: true, sampling: true, strict: true, topK: "top_k"}},
	{"mistral.mistral-large-3", traits{tools: true, anyTool: true, system: true, media: true, sampling: true, strict: true, topK: "top_k"}},
	{"mistral.voxtral", traits{tools: true, anyTool: true, system: true, sampling: true, strict: true, topK: "top_k"}},
	{"moonshot", traits{tools: true, system: true, sampling: true, strict: true}},
	{"nvidia.", traits{tools: true, system: true, media: true, sampling: true, strict: true}},
	{"openai.gpt-oss", traits{tools: true, system: true, sampling: true, strict: true, think: effortThink}},
	{"qwen.", traits{tools: true, system: true, media: true, sampling: true, strict: true}},
	{"writer.", traits{tools: true, system: true, sampling: true}},
	{"zai.", traits{tools: true, system: true, sampling: true}},
}

// traitsOf finds a model's traits.
func traitsOf(model string) traits {
	id := baseModel(model)
	best, length := unknown, 0
	for i := range families {
		if f := &families[i]; len(f.name) > length && strings.HasPrefix(id, f.name) {
			best, length = f.traits, len(f.name)
		}
	}
	if best.stopped {
		best.claude(id)
	}
	return best
}

// claude adds what follows from a Claude model's generation.
func (t *traits) claude(id string) {
	g := generation(id)
	t.single = g >= 405
	t.strict, t.cache1h = g >= 405, g >= 405
	t.cache = g >= 400 || strings.Contains(id, "claude-3-7") || strings.Contains(id, "claude-3-5-haiku") || strings.Contains(id, "claude-3-5-sonnet-20241022")
	t.cacheTop = t.cache
	if g >= 400 || strings.Contains(id, "claude-3-7") {
		t.think = claudeThink
	}
	t.adaptive, t.xhigh = g >= 406, g >= 407
	t.sampling, t.exactly1 = g <= 406, g >= 400
}

// baseModel is an id without ARN and region: anthropic.claude-haiku-4-5-20251001-v1:0 of
// arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0.
func baseModel(model string) string {
	if strings.HasPrefix(model, "arn:") {
		model = model[strings.LastIndexByte(model, '/')+1:]
	}
	for _, region := range [...]string{"us.", "eu.", "apac.", "ap.", "jp.", "au.", "ca.", "sa.", "me.", "af.", "global.", "us-gov."} {
		if rest, ok := strings.CutPrefix(model, region); ok {
			return rest
		}
	}
	return model
}

// generation is 100 × major + minor of a Claude model: 405 of anthropic.claude-haiku-4-5-20251001-v1:0, 500 of
// anthropic.claude-sonnet-5-v1; 0 when the name does not say. In claude-3-7-sonnet the number stands before the family:
// those are older than every generation asked for here.
func generation(model string) int {
	_, name, ok := strings.Cut(model, "claude-")
	if !ok {
		return 0
	}
	family, rest, ok := strings.Cut(name, "-")
	if !ok || family == "" || digit(family[0]) {
		return 0
	}
	major, rest := number(rest)
	minor, _ := number(strings.TrimPrefix(rest, "-"))
	if major < 0 {
		return 0
	}
	return 100*major + max(minor, 0)
}

// number reads a number of one or two digits at the start of s, -1 when there is none: eight digits are a date.
func number(s string) (n int, rest string) {
	i := 0
	for i < len(s) && digit(s[i]) {
		n = n*10 + int(s[i]-'0')
		if i++; i > 2 {
			return -1, s
		}
	}
	if i == 0 {
		return -1, s
	}
	return n, s[i:]
}
