package dialogue

import (
	"fmt"
	"strings"
	"testing"

	"dragoman/translate/chat"
)

var pairs = Pairs{WireID: func(id string) string { return "w" + id }, Content: func(p *chat.Part, _ *Block) Block { return Block{Kind: p.Kind, Text: p.Text, Part: p} }}

// written is a conversation as one line: u(text) a(call:id) …
func written(turns Turns) string {
	var out []string
	for _, t := range turns {
		var blocks []string
		for _, b := range t.Blocks {
			switch b.Kind {
			case chat.ToolCall:
				blocks = append(blocks, "call:"+b.ID)
			case chat.ToolResult:
				text := b.Part.Result.Parts[0].Text
				if b.Part.Result.IsError != nil {
					text = "error"
				}
				blocks = append(blocks, fmt.Sprintf("result:%s=%s", b.ID, text))
			default:
				blocks = append(blocks, b.Text)
			}
		}
		out = append(out, t.Role[:1]+"("+strings.Join(blocks, " ")+")")
	}
	return strings.Join(out, " ")
}

func call(id string) Block {
	return Block{Kind: chat.ToolCall, Part: &chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: id}}}
}

func result(id, text string) Block {
	return Block{Kind: chat.ToolResult, Part: &chat.Part{Kind: chat.ToolResult, Result: &chat.Result{CallID: id, Parts: []chat.Part{{Kind: chat.Text, Text: text}, {Kind: chat.Text, Text: " "}}}}}
}

func say(text string) Block { return Block{Kind: chat.Text, Text: text} }

func TestPair(t *testing.T) {
	for name, c := range map[string]struct {
		said []Block // calls are the assistant's
		want string
	}{
		"no tools":                      {[]Block{say("hi")}, "u(hi)"},
		"call and result":               {[]Block{say("hi"), call("1"), result("1", "r")}, "u(hi) a(call:w1) u(result:w1=r)"},
		"results go first":              {[]Block{say("hi"), call("1"), say("and"), result("1", "r")}, "u(hi) a(call:w1) u(result:w1=r and)"},
		"no result":                     {[]Block{say("hi"), call("1"), call("2"), result("2", "r")}, "u(hi) a(call:w1 call:w2) u(result:w2=r result:w1=error)"},
		"nothing behind the call":       {[]Block{say("hi"), call("1")}, "u(hi) a(call:w1) u(result:w1=error)"},
		"result of nothing":             {[]Block{say("hi"), result("9", "r")}, "u(hi Result of the earlier tool call 9: r)"},
		"answered twice":                {[]Block{call("1"), result("1", "a"), result("1", "b")}, "a(call:w1) u(result:w1=a Result of the earlier tool call 1: b)"},
		"one id in two turns":           {[]Block{call("1"), result("1", "a"), call("1"), result("1", "b")}, "a(call:w1) u(result:w1=a) a(call:w1_2) u(result:w1_2=b)"},
		"one id twice in a turn":        {[]Block{call("1"), call("1"), result("1", "a"), result("1", "b")}, "a(call:w1 call:w1_2) u(result:w1=a result:w1_2=b)"},
		"an id that is made is taken":   {[]Block{call("1"), call("1_2"), call("1"), result("1", "a")}, "a(call:w1 call:w1_2 call:w1_3) u(result:w1=a result:w1_2=error result:w1_3=error)"},
		"a result of two turns earlier": {[]Block{call("1"), say("x"), call("2"), result("1", "a"), result("2", "b")}, "a(call:w1) u(result:w1=error x) a(call:w2) u(result:w2=b Result of the earlier tool call 1: a)"},
	} {
		var turns Turns
		for _, b := range c.said {
			role := User
			if b.Kind == chat.ToolCall {
				role = Assistant
			}
			turns.Push(role, b)
		}
		turns.Pair(pairs)
		if got := written(turns); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A client that gives all calls one id must not cost more than its calls.
func TestPairManyOfOneID(t *testing.T) {
	var turns Turns
	for range 20_000 {
		turns.Push(Assistant, call("1"))
	}
	turns.Pair(pairs)
	if n := len(turns[1].Blocks); n != 20_000 || turns[1].Blocks[n-1].ID != "w1_20000" {
		t.Errorf("%d results, the last %q", n, turns[1].Blocks[n-1].ID)
	}
}

func TestShape(t *testing.T) {
	turns := Turns{}
	turns.BeginWithUser()
	turns.TrimPrefill()
	if got := written(turns); got != "u(.)" {
		t.Errorf("empty: %s", got)
	}
	turns = nil
	turns.Push(Assistant, say("Once \u00a0\n"))
	turns.BeginWithUser()
	turns.TrimPrefill()
	if got := written(turns); got != "u(.) a(Once)" {
		t.Errorf("prefill: %q", got)
	}
	turns.Push(User, result("1", "r"))
	if !turns.ThoughtlessCalls() || !turns.HasTools() {
		t.Error("a result behind turns without thinking is not seen")
	}
	turns[1].Blocks = append(turns[1].Blocks, Block{Kind: chat.Thinking})
	if turns.ThoughtlessCalls() {
		t.Error("thinking is not seen")
	}
}
