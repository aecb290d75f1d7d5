package fakeprovider

import "time"

// Rule says what to do with the requests it matches. Rules are tried in the order they were added; the first that
// matches and is not used up decides. A request that no rule matches gets the default answer (see echo.go).
type Rule struct {
	Match func(*Request) bool // nil: every request for an answer (not GET /v1/models)
	Times int                 // how often it applies, 0: until Reset
	Reply *Reply              // nil: the default answer
	Fault *Fault              // nil: none
}

type activeRule struct {
	Rule
	left int // when Times > 0
}

// Reply is an answer, in no vendor's terms. Zero fields are filled in.
type Reply struct {
	Blocks       []Block
	Finish       string // the vendor's own word; "" follows from the blocks
	StopSequence string // Anthropic's stop_sequence
	Usage        *Usage // nil: counted in words
	Model        string // the model that the answer names, "" the one asked for

	// How a stream is written.
	Chunks     int           // pieces of each text, thinking or arguments; default 4
	Interleave bool          // OpenAI: the arguments of parallel calls in turns (D109)
	Pace       time.Duration // before each event after the first
	SplitBytes int           // write in pieces of so many bytes, each flushed, whatever event they cut
	CRLF       bool          // lines end in \r\n
	Comments   bool          // a comment line (": keep-alive") before each event
	Unpinged   bool          // Anthropic: no ping event
	NoUsage    bool          // the answer reports no usage at all

	Header map[string]string // added to the response
}

// BlockKind says what a Block is.
type BlockKind uint8

// The kinds of blocks.
const (
	TextBlock     BlockKind = iota + 1
	ThinkingBlock           // Anthropic signs it; OpenAI counts it, or shows it under Options.ReasoningContent
	RedactedBlock           // Anthropic only
	ToolBlock
	RefusalBlock // OpenAI message.refusal; Anthropic stop_reason refusal
)

// Block is one piece of an answer.
type Block struct {
	Kind BlockKind
	Text string // of text, thinking, refusal
	ID   string // of a tool call; "" makes one in the vendor's form
	Name string // of a tool call
	Args string // of a tool call, JSON; "" streams no arguments at all (D33)
}

// Text is an answer of plain text.
func Text(s string) *Reply { return &Reply{Blocks: []Block{{Kind: TextBlock, Text: s}}} }

// Thinking is an answer with a thinking block before its text.
func Thinking(thought, text string) *Reply {
	return &Reply{Blocks: []Block{{Kind: ThinkingBlock, Text: thought}, {Kind: TextBlock, Text: text}}}
}

// Call is a tool call block.
func Call(name, args string) Block { return Block{Kind: ToolBlock, Name: name, Args: args} }

// Calls is an answer of tool calls alone; more than one are parallel.
func Calls(calls ...Block) *Reply { return &Reply{Blocks: calls} }

// Refusal is an answer that declines.
func Refusal(s string) *Reply { return &Reply{Blocks: []Block{{Kind: RefusalBlock, Text: s}}} }

// Usage counts tokens in disjoint classes: Input excludes what was read from or written to a prompt cache; Output
// includes Reasoning. Each vendor reports them in its own sums.
type Usage struct {
	Input, CacheRead, CacheWrite, CacheWrite1h int64
	Output, Reasoning                          int64
}

// Failure names a way to fail.
type Failure uint8

// The failures. Those that say `after Fault.After events` count every SSE event, the first (a role chunk, a
// message_start) included, and make sense for streamed answers; a whole answer is cut half way.
const (
	Delay       Failure = iota + 1 // wait Fault.Delay, then answer well
	Hang                           // send nothing until the client goes away, Fault.Delay or Options.MaxHold
	Reset                          // reset the connection before any byte of an answer
	Status                         // the vendor's error of Fault.Status
	HTML200                        // a 200 with an HTML page
	HTML502                        // a 502 with an HTML page
	BadJSON                        // a 200 whose body is cut JSON, with a right Content-Length
	EmptyBody                      // a 200 without a body
	Gzip                           // the right answer, gzip-encoded though nobody asked
	Brotli                         // the same, encoded as br
	ErrorEvent                     // 200, then the vendor's error event (of Fault.Status) after Fault.After events
	BadChecksum                    // 200, then after Fault.After events a message whose checksum is wrong (Bedrock)
	Cut                            // connection reset after Fault.After events
	EndEarly                       // clean end without the terminal event after Fault.After events
	Stall                          // silence after Fault.After events until the client goes away or Options.MaxHold
	EndlessLine                    // 200, then one line of Fault.Bytes bytes without an end
	HugeBody                       // a well-formed whole answer, or one event, of Fault.Bytes bytes
)

// Fault is a failure with its measures. Delay precedes any of them.
type Fault struct {
	Kind         Failure
	Delay        time.Duration
	Status       int    // of Status and ErrorEvent; default 500 and 529
	Message      string // instead of the vendor's own
	Type         string // instead of the vendor's error type
	Code         string // instead of OpenAI's error code
	RetryAfter   string // header retry-after
	RetryAfterMS string // header retry-after-ms
	After        int    // events
	Bytes        int    // default 8 MiB
}

// Script adds rules.
func (s *Server) Script(rules ...Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rules {
		s.rules = append(s.rules, &activeRule{Rule: r, left: r.Times})
	}
}

// Next scripts the answers to the next requests, one each.
func (s *Server) Next(replies ...*Reply) {
	for _, r := range replies {
		s.Script(Rule{Times: 1, Reply: r})
	}
}

// Fail makes the next n requests fail, all of them until Reset when n is 0.
func (s *Server) Fail(n int, f Fault) { s.Script(Rule{Times: n, Fault: &f}) }

// Reset forgets rules, requests, counters and Unexpected, and accepts connections again.
func (s *Server) Reset() error {
	s.mu.Lock()
	s.rules, s.requests, s.problems = nil, nil, nil
	s.epoch++
	inFlight := s.counts.InFlight
	s.counts = Counters{InFlight: inFlight, MaxInFlight: inFlight}
	s.mu.Unlock()
	return s.Accept()
}

// pick finds the rule for r and counts its use.
func (s *Server) pick(r *Request) Rule {
	s.mu.Lock()
	rules := append([]*activeRule(nil), s.rules...)
	s.mu.Unlock()
	for _, a := range rules {
		if !a.matches(r) { // outside the lock: Match may ask the server
			continue
		}
		s.mu.Lock()
		ok := a.Times == 0 || a.left > 0
		if ok && a.Times > 0 {
			a.left--
		}
		s.mu.Unlock()
		if ok {
			return a.Rule
		}
	}
	return Rule{}
}

func (a *activeRule) matches(r *Request) bool {
	if a.Match == nil {
		return r.Method == "POST"
	}
	return a.Match(r)
}
