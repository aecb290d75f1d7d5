package gemini

import (
	"encoding/json"

	"dragoman/translate"
)

// listed is one entry of Google's model list, as its SDKs read it.
type listed struct {
	Name             string   `json:"name"`
	DisplayName      string   `json:"displayName"`
	Description      string   `json:"description"`
	Version          string   `json:"version"`
	InputTokenLimit  int64    `json:"inputTokenLimit,omitempty"`
	OutputTokenLimit int64    `json:"outputTokenLimit,omitempty"`
	Methods          []string `json:"supportedGenerationMethods"`
}

func entry(m translate.ListedModel) listed {
	return listed{
		Name: modelsPrefix + m.Name, DisplayName: m.Name, Description: "Served by " + m.OwnedBy + ".", Version: "001",
		InputTokenLimit: m.Context, OutputTokenLimit: m.MaxOutput, Methods: []string{"generateContent", "countTokens"},
	}
}

// EncodeModels is the body of GET /v1beta/models: one page that holds everything.
func (Codec) EncodeModels(models []translate.ListedModel) []byte {
	list := make([]listed, 0, len(models))
	for _, m := range models {
		list = append(list, entry(m))
	}
	body, _ := json.Marshal(map[string]any{"models": list}) // plain strings and numbers cannot fail
	return body
}

// EncodeModel is the body of GET /v1beta/models/{id}.
func (Codec) EncodeModel(m translate.ListedModel) []byte {
	body, _ := json.Marshal(entry(m))
	return body
}
