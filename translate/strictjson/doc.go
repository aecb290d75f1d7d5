// Package strictjson reads JSON that a stranger wrote, in one pass and without recursion.
//
// A gateway and a provider that read one body differently are a way around the gateway's policy: a repeated `model` of
// which one side takes the first and the other the last, a member name hidden in escapes, a broken UTF-8 sequence that
// one side drops. So a strict Scanner refuses everything on which parsers differ: what RFC 8259 does not allow, invalid
// UTF-8, members that repeat at any level (compared after unescaping), and nesting deeper than MaxDepth. Two things that
// RFC 8259 leaves open are allowed: numbers of any size, and lone surrogate escapes in strings (JavaScript writes them
// when a program cuts an emoji in half), which read as U+FFFD when a string has to be decoded.
//
// A Scanner is pulled by the code that knows the schema, so that types are checked in the same pass:
//
//	s := strictjson.New(body)
//	defer s.Release()
//	for s.Enter(strictjson.Object); s.Next(); {
//		switch string(s.Key()) {
//		case "model":
//			model = s.String()
//		}                              // a value that nobody read is skipped, and checked, by Next
//	}
//	if err := s.End(); err != nil { … }
//
// The first error sticks: Next then returns false and every reading method returns zero values.
package strictjson

// MaxDepth is how deep arrays and objects may nest. Real requests stay below 20; tool schemas are the deepest part.
const MaxDepth = 128

// MaxFields is how many members the outermost object may have: each costs memory for its Field. The vendors' largest
// request has about 40.
const MaxFields = 4096

// MaxMembers is how many members any other object may have: each costs memory while its object is open, because it may
// repeat. The longest real one is a logit_bias.
const MaxMembers = 65_536

// Kind is the type of a JSON value.
type Kind uint8

// The kinds. None is the end of the input or a byte that begins no value.
const (
	None Kind = iota
	Object
	Array
	String
	Number
	Bool
	Null
)

var kindNames = [...]string{"nothing", "an object", "an array", "a string", "a number", "a boolean", "null"}

// String is the kind with its article, as messages show it: "an object".
func (k Kind) String() string { return kindNames[k] }

// kindOf tells a value's kind from its first byte.
var kindOf = func() (t [256]Kind) {
	t['{'], t['['], t['"'], t['t'], t['f'], t['n'], t['-'] = Object, Array, String, Bool, Bool, Null, Number
	for c := '0'; c <= '9'; c++ {
		t[c] = Number
	}
	return t
}()
