package fakeprovider

import (
	"testing"

	"github.com/tidwall/gjson"
)

var weather = askTool{"get_weather", obj(map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}})}

func TestDefaultReply(t *testing.T) {
	now := askTool{"now", nil}
	for _, c := range []struct {
		name string
		ask  ask
		want []Block
	}{
		{"echo", ask{text: "hi"}, []Block{{Kind: TextBlock, Text: "echo: hi"}}},
		{"results", ask{results: []askResult{{"a", "1", false}, {"b", "2", true}}, tools: []askTool{weather}, choice: "auto", text: "get_weather"},
			[]Block{{Kind: TextBlock, Text: "results: a=1; b=2 (error)"}}},
		{"tool by name", ask{text: "please get_weather", tools: []askTool{weather}, choice: "auto", parallel: true}, []Block{Call("get_weather", `{"city":"value"}`)}},
		{"tool with arguments", ask{text: `get_weather({"city":"Rome (Italy)"}) now`, tools: []askTool{now, weather}, choice: "auto", parallel: true},
			[]Block{Call("get_weather", `{"city":"Rome (Italy)"}`), Call("now", "{}")}},
		{"not parallel", ask{text: "now get_weather", tools: []askTool{weather, now}, choice: "auto"}, []Block{Call("now", "{}")}},
		{"a part of a word", ask{text: "nowhere", tools: []askTool{now}, choice: "auto"}, []Block{{Kind: TextBlock, Text: "echo: nowhere"}}},
		{"none", ask{text: "now", tools: []askTool{now}, choice: "none"}, []Block{{Kind: TextBlock, Text: "echo: now"}}},
		{"required", ask{text: "hi", tools: []askTool{weather, now}, choice: "required"}, []Block{Call("get_weather", `{"city":"value"}`)}},
		{"named", ask{text: "get_weather", tools: []askTool{weather, now}, choice: "named", named: "now"}, []Block{Call("now", "{}")}},
		{"format", ask{text: "hi", format: weather.schema}, []Block{{Kind: TextBlock, Text: `{"city":"value"}`}}},
		{"json object", ask{text: "hi", jsonObject: true}, []Block{{Kind: TextBlock, Text: `{"echo":"hi"}`}}},
		{"stop", ask{text: "one two three", stops: []string{"three", " two"}}, []Block{{Kind: TextBlock, Text: "echo: one"}}},
		{"max tokens", ask{text: "one two three", maxTokens: 2}, []Block{{Kind: TextBlock, Text: "echo: one"}}},
		{"thinking", ask{text: "hi", thinking: true}, []Block{{Kind: ThinkingBlock, Text: "The user says: hi"}, {Kind: TextBlock, Text: "echo: hi"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.ask.defaultReply()
			if len(got.Blocks) != len(c.want) {
				t.Fatalf("%+v, want %+v", got.Blocks, c.want)
			}
			for i := range c.want {
				if got.Blocks[i] != c.want[i] {
					t.Errorf("block %d: %+v, want %+v", i, got.Blocks[i], c.want[i])
				}
			}
		})
	}
}

func TestFinishReasons(t *testing.T) {
	openaiServer, anthropicServer := Start(t, Options{Schema: OpenAI}), Start(t, Options{Schema: Anthropic})
	for _, c := range []struct {
		name              string
		reply             *Reply
		edit              map[string]any // for OpenAI
		editA             map[string]any // for Anthropic
		openai, anthropic string
	}{
		{"stop", nil, nil, nil, "stop", "end_turn"},
		{"length", nil, map[string]any{"max_tokens": 1}, map[string]any{"max_tokens": 1}, "length", "max_tokens"},
		{"stop sequence", nil, map[string]any{"stop": "there"}, map[string]any{"stop_sequences": []string{"there"}}, "stop", "stop_sequence"},
		{"tool", Calls(Call("a", "{}")), nil, nil, "tool_calls", "tool_use"},
		{"refusal", Refusal("no"), nil, nil, "stop", "refusal"},
		{"scripted", &Reply{Blocks: Text("x").Blocks, Finish: "pause_turn"}, nil, nil, "pause_turn", "pause_turn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for s, want := range map[*Server]string{openaiServer: c.openai, anthropicServer: c.anthropic} {
				changes, path := c.edit, "choices.0.finish_reason"
				if s == anthropicServer {
					changes, path = c.editA, "stop_reason"
				}
				if c.reply != nil {
					s.Next(c.reply)
				}
				_, body := post(t, s, edit(t, plain(s.Schema(), false), changes, nil))
				if got := gjson.GetBytes(body, path).String(); got != want {
					t.Errorf("%s: %q, want %q in %s", s.Name(), got, want, body)
				}
			}
		})
	}
}

func TestSampleFitsTheSchema(t *testing.T) {
	schema, err := parseJSON([]byte(`{"type":"object","properties":{
		"s":{"type":"string"},"e":{"enum":["x","y"]},"i":{"type":"integer"},"n":{"type":["number","null"]},"b":{"type":"boolean"},
		"l":{"type":"array","items":{"anyOf":[{"type":"integer"},{"type":"string"}]}},"c":{"const":7},"free":{"type":"array"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := string(mustJSON(sample(obj(schema), 0)))
	if want := `{"b":true,"c":7,"e":"x","free":[],"i":1,"l":[1],"n":1.5,"s":"value"}`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	loop := map[string]any{"type": "array"}
	loop["items"] = loop
	if v := sample(loop, 0); v == nil {
		t.Error("nothing for a schema without an end")
	}
}
