package chat

// efforts are what an effort is worth in tokens, for models that take only a budget. The figures are the ones other gateways have settled
// on; no vendor has published its own (D58).
var efforts = map[string]int64{
	"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384,
}

// Tokens is the budget, or what the effort is worth; 0 when neither says.
func (r *Reasoning) Tokens() int64 {
	if r.Budget > 0 {
		return r.Budget
	}
	return efforts[r.Effort]
}

// MediumTokens is Tokens, or the worth of a medium effort where nothing is said.
func (r *Reasoning) MediumTokens() int64 {
	if n := r.Tokens(); n > 0 {
		return n
	}
	return efforts["medium"]
}

// Level is the effort, or what the budget comes to, for models that take only low, medium or high; "" when neither says.
func (r *Reasoning) Level() string {
	switch {
	case r.Effort != "":
		return r.Effort
	case r.Budget <= 0:
		return ""
	case r.Budget <= 1024:
		return "low"
	case r.Budget <= 8192:
		return "medium"
	default:
		return "high"
	}
}

// ClaudeEffort is what a Claude that chooses its own budget is told, wherever it runs; "" leaves it the model's default. xhigh says that the
// model knows that word.
func (r *Reasoning) ClaudeEffort(xhigh bool) string {
	switch level := r.Level(); level {
	case "minimal":
		return "low"
	case "xhigh":
		if !xhigh {
			return "high"
		}
		return level
	case "low", "medium", "high", "max":
		return level
	default:
		return "" // a word that nobody knows yet
	}
}
