package openai_test

import (
	"encoding/json"
	"testing"

	sdk "github.com/openai/openai-go/v3"

	"dragoman/translate"
)

// The vendor's SDK reads the list; what an entry adds for people is there, and absent where it is not known.
func TestEncodeModels(t *testing.T) {
	in, out := 0.25, 2.0
	models := []translate.ListedModel{
		{Name: "auto", OwnedBy: "dragoman"},
		{Name: "gpt-5-mini", OwnedBy: "openai", Context: 400_000, MaxOutput: 128_000, InputPrice: &in, OutputPrice: &out,
			Capabilities: []string{"tools", "streaming"}, Deprecated: true},
	}
	var page struct {
		Object string
		Data   []sdk.Model
	}
	if err := json.Unmarshal(codec.EncodeModels(models), &page); err != nil {
		t.Fatal(err)
	}
	if page.Object != "list" || len(page.Data) != 2 || page.Data[0].ID != "auto" || page.Data[1].OwnedBy != "openai" || page.Data[0].Object != "model" {
		t.Errorf("got %+v", page)
	}
	want := `{"id":"gpt-5-mini","object":"model","created":0,"owned_by":"openai","context_window":400000,"max_output_tokens":128000,"price_usd_per_million_tokens":{"input":0.25,"output":2},"capabilities":["tools","streaming"],"deprecated":true}`
	if got := string(codec.EncodeModel(models[1])); got != want {
		t.Errorf("got %s", got)
	}
	if got := string(codec.EncodeModel(models[0])); got != `{"id":"auto","object":"model","created":0,"owned_by":"dragoman"}` {
		t.Errorf("got %s", got)
	}
	if got := string(codec.EncodeModels(nil)); got != `{"data":[],"object":"list"}` {
		t.Errorf("got %s", got)
	}
}
