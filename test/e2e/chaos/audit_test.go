package chaos

import (
	"strings"
	"testing"

	"dragoman/internal/ledger"
	"dragoman/test/fakeprovider"
)

// TestTheAuditSeesWhatIsWrong: the comparison of the chaos test finds each way in which a ledger can be wrong.
func TestTheAuditSeesWhatIsWrong(t *testing.T) {
	whole := served{fake: "a1", status: 200, whole: true, input: 7, output: 5, delivered: 5}
	cut := served{fake: "b2", status: 200, delivered: 3}
	failed := served{fake: "a2", status: 503}
	ok := ledger.Charge{Attempt: 1, Final: true, Provider: "a", Cluster: "a/one/1", Outcome: "ok", Input: 7, Output: 5}
	broken := ledger.Charge{Attempt: 1, Final: true, Stream: true, Provider: "b", Cluster: "b/two/1", Outcome: "interrupted", Input: 7, Output: 4, Estimated: true}
	with := func(c ledger.Charge, change func(*ledger.Charge)) *ledger.Charge { change(&c); return &c }
	before := with(ok, func(c *ledger.Charge) {
		c.Final, c.Cluster, c.Outcome, c.Input, c.Output = false, "a/two/1", "failed", 0, 0
	})
	second := with(ok, func(c *ledger.Charge) { c.Attempt = 2 })
	for name, c := range map[string]struct {
		rows []*ledger.Charge
		by   []served
		want string // "" for nothing
	}{
		"right":             {[]*ledger.Charge{&ok}, []served{whole}, ""},
		"failed over":       {[]*ledger.Charge{before, second}, []served{failed, whole}, ""},
		"broken":            {[]*ledger.Charge{&broken}, []served{cut}, ""},
		"other output":      {[]*ledger.Charge{with(ok, func(c *ledger.Charge) { c.Output = 6 })}, []served{whole}, "of the whole answer"},
		"other input":       {[]*ledger.Charge{with(ok, func(c *ledger.Charge) { c.Input = 6 })}, []served{whole}, "of the whole answer"},
		"estimated":         {[]*ledger.Charge{with(ok, func(c *ledger.Charge) { c.Estimated = true })}, []served{whole}, "of the whole answer"},
		"booked as failed":  {[]*ledger.Charge{with(ok, func(c *ledger.Charge) { c.Outcome = "failed" })}, []served{whole}, "is booked as"},
		"not estimated":     {[]*ledger.Charge{with(broken, func(c *ledger.Charge) { c.Estimated = false })}, []served{cut}, "of the broken stream"},
		"nothing for it":    {[]*ledger.Charge{with(broken, func(c *ledger.Charge) { c.Output = 0 })}, []served{cut}, "of the broken stream"},
		"charged a failure": {[]*ledger.Charge{with(*before, func(c *ledger.Charge) { c.Output = 9 }), second}, []served{failed, whole}, "of a failed attempt"},
		"without a row":     {[]*ledger.Charge{&ok}, []served{failed, whole}, "in no row"},
		"twice":             {[]*ledger.Charge{&ok, &ok}, []served{whole}, "two rows"},
		"no end":            {[]*ledger.Charge{before}, []served{failed}, "0 final rows"},
	} {
		t.Run(name, func(t *testing.T) {
			var by []*served
			for i := range c.by {
				by = append(by, &c.by[i])
			}
			a := &audit{}
			a.question("q", "id", c.rows, by)
			all := strings.Join(a.wrong, "\n")
			if c.want == "" && all != "" || !strings.Contains(all, c.want) {
				t.Errorf("found %q, want %q", all, c.want)
			}
		})
	}
}

// TestAnswersAreJudged: what a provider has sent says whether it was complete.
func TestAnswersAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		response string
		whole    bool
		in, out  int64
	}{
		"openai":           {`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}`, true, 3, 2},
		"anthropic":        {`{"content":[],"usage":{"input_tokens":3,"output_tokens":2}}`, true, 3, 2},
		"openai stream":    {"data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n", true, 3, 2},
		"anthropic stream": {"event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\ndata: {\"usage\":{\"output_tokens\":2}}\n\ndata: {\"type\":\"message_stop\"}\n\n", true, 3, 2},
		"cut":              {"data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n", false, 3, 2},
		"garbage":          {`{"choices":`, false, 0, 0},
		"nothing":          {``, false, 0, 0},
	} {
		s := judged("a1", &fakeprovider.Request{Status: 200, Response: []byte(c.response)})
		if s.whole != c.whole || s.input != c.in || s.output != c.out {
			t.Errorf("%s: %v", name, s)
		}
	}
}
