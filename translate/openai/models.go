package openai

import (
	"encoding/json"

	"dragoman/translate"
)

// listed is one entry of OpenAI's model list. The schema demands id, object, created and owned_by; what follows is what a
// caller needs to choose, and SDKs ignore it.
type listed struct {
	ID           string   `json:"id"`
	Object       string   `json:"object"`
	Created      int64    `json:"created"`
	OwnedBy      string   `json:"owned_by"`
	Context      int64    `json:"context_window,omitempty"`
	MaxOutput    int64    `json:"max_output_tokens,omitempty"`
	Price        *price   `json:"price_usd_per_million_tokens,omitempty"`
	Capabilities []string `json:"capabilities,omitempty"`
	Deprecated   bool     `json:"deprecated,omitempty"`
}

type price struct {
	Input  *float64 `json:"input"`
	Output *float64 `json:"output"`
}

func entry(m translate.ListedModel) listed {
	l := listed{
		ID: m.Name, Object: "model", OwnedBy: m.OwnedBy, Context: m.Context, MaxOutput: m.MaxOutput,
		Capabilities: m.Capabilities, Deprecated: m.Deprecated,
	}
	if m.InputPrice != nil || m.OutputPrice != nil {
		l.Price = &price{m.InputPrice, m.OutputPrice}
	}
	return l
}

// EncodeModels is the body of GET /v1/models.
func (Codec) EncodeModels(models []translate.ListedModel) []byte {
	data := make([]listed, 0, len(models))
	for _, m := range models {
		data = append(data, entry(m))
	}
	body, _ := json.Marshal(map[string]any{"object": "list", "data": data}) // plain strings and numbers cannot fail
	return body
}

// EncodeModel is the body of GET /v1/models/{id}.
func (Codec) EncodeModel(m translate.ListedModel) []byte {
	body, _ := json.Marshal(entry(m))
	return body
}
