package anthropic

import (
	"encoding/json"

	"dragoman/translate"
)

// listed is one entry of Anthropic's model list, as its SDK reads it.
type listed struct {
	Type           string   `json:"type"`
	ID             string   `json:"id"`
	DisplayName    string   `json:"display_name"`
	CreatedAt      string   `json:"created_at"`
	MaxInputTokens int64    `json:"max_input_tokens,omitempty"`
	MaxTokens      int64    `json:"max_tokens,omitempty"`
	Abilities      []string `json:"dragoman_capabilities,omitempty"` // the schema's own member capabilities is an object of its own
	Deprecated     bool     `json:"deprecated,omitempty"`
}

func entry(m translate.ListedModel) listed {
	return listed{
		Type: "model", ID: m.Name, DisplayName: m.Name + " (" + m.OwnedBy + ")", CreatedAt: "1970-01-01T00:00:00Z",
		MaxInputTokens: m.Context, MaxTokens: m.MaxOutput, Abilities: m.Capabilities, Deprecated: m.Deprecated,
	}
}

// EncodeModels is the body of GET /v1/models: one page that holds everything.
func (Codec) EncodeModels(models []translate.ListedModel) []byte {
	data := make([]listed, 0, len(models))
	for _, m := range models {
		data = append(data, entry(m))
	}
	page := map[string]any{"data": data, "has_more": false, "first_id": nil, "last_id": nil}
	if n := len(data); n > 0 {
		page["first_id"], page["last_id"] = data[0].ID, data[n-1].ID
	}
	body, _ := json.Marshal(page) // plain strings and numbers cannot fail
	return body
}

// EncodeModel is the body of GET /v1/models/{id}.
func (Codec) EncodeModel(m translate.ListedModel) []byte {
	body, _ := json.Marshal(entry(m))
	return body
}
