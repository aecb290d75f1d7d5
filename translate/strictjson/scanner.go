package strictjson

import (
	"strconv"
	"sync"
	"unsafe"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

// Scanner is a cursor in one body. It stands before a value, or behind the last one. It is not safe for concurrent use.
type Scanner struct {
	b       []byte
	i       int  // the cursor; white space has been skipped
	last    int  // behind the value read last
	pending bool // the cursor stands before a value that nobody has read yet
	lenient bool // repeated members and broken UTF-8 are let through
	depth   int
	fault   *fault.Fault
	fields  []chat.Field
	names   names
	frames  [MaxDepth]frame
}

// frame is one open array or object.
type frame struct {
	object   bool
	count    int32 // members or elements begun
	key      span  // of the member in progress
	names    int32 // where this object's names begin in names.list
	arena    int32
	table    int32 // this object's hash table, 0 when it has none
	keyStart int32 // of the member in progress: its opening quote
}

var pool = sync.Pool{New: func() any { return new(Scanner) }}

// New begins a strict scan of body. Release gives the Scanner back.
func New(body []byte) *Scanner {
	s := pool.Get().(*Scanner)
	s.Reset(body, false)
	return s
}

// NewLenient begins a scan that checks syntax and depth only: for bytes that a strict scan has accepted before, and for
// answers of a provider, which are paid for and not refused for a repeated member or half a rune.
func NewLenient(body []byte) *Scanner {
	s := pool.Get().(*Scanner)
	s.Reset(body, true)
	return s
}

// Reset begins anew with another body, for a Scanner that its owner keeps.
func (s *Scanner) Reset(body []byte, lenient bool) {
	s.b, s.i, s.last, s.depth, s.fault, s.fields = body, 0, 0, 0, nil, nil
	s.lenient, s.pending = lenient, true
	s.names.reset()
	if len(body) > maxBody {
		s.fault = fault.New(fault.TooLarge, "The request body is larger than 1 GiB.")
		return
	}
	s.space()
}

// maxBody keeps every offset within an int32.
const maxBody = 1 << 30

// Release gives the Scanner back for another body. Slices and strings that it returned stay valid; they are parts of the
// body.
func (s *Scanner) Release() {
	s.b, s.fields, s.fault = nil, nil, nil
	s.names.drop()
	pool.Put(s)
}

// Err is the first fault, nil while there is none.
func (s *Scanner) Err() *fault.Fault { return s.fault }

// Fail makes f the Scanner's fault unless it has one, so that a reader's own finding ends the scan.
func (s *Scanner) Fail(f *fault.Fault) {
	if s.fault == nil {
		s.fault = f
	}
}

// End finishes the scan: whatever is left unread must be valid, and nothing may follow the outermost value. The error is
// a *fault.Fault.
func (s *Scanner) End() error {
	for s.fault == nil && s.depth > 0 {
		s.Next()
	}
	s.Skip()
	if s.fault == nil && s.i < len(s.b) {
		s.syntax(s.i, "unexpected "+s.found(s.i)+" after the end of the document")
	}
	if s.fault != nil {
		return s.fault
	}
	return nil
}

// Fields are the members of the outermost object, complete after End. A strict scan collects them.
func (s *Scanner) Fields() []chat.Field { return s.fields }

// Kind is the kind of the value that the cursor stands before.
func (s *Scanner) Kind() Kind {
	if s.fault != nil || !s.pending || s.i >= len(s.b) {
		return None
	}
	return kindOf[s.b[s.i]]
}

// Enter goes into the object or array before the cursor; Next then goes to its first member. Anything else before the
// cursor is a fault: InvalidRequest, with the value's path as Param.
func (s *Scanner) Enter(want Kind) bool {
	if !s.Want(want) {
		return false
	}
	s.open(want == Object)
	return s.fault == nil
}

// Want faults unless the value before the cursor is of the kind.
func (s *Scanner) Want(want Kind) bool {
	if s.fault != nil {
		return false
	}
	got := s.Kind()
	if got == want {
		return true
	}
	if got == None {
		s.Skip() // says what is wrong with the syntax
		return false
	}
	if s.depth == 0 {
		s.fault = fault.New(fault.InvalidRequest, "The request body must be %s, not %s.", want, got)
		return false
	}
	path := s.Path()
	s.fault = fault.Invalid(path, "%s must be %s, not %s.", path, want, got)
	return false
}

// Next goes to the next member or element of the array or object entered last, skipping what was not read of the one
// before. It returns false, and leaves the container, at its end; and on a fault.
func (s *Scanner) Next() bool {
	if s.pending {
		s.Skip()
	}
	if s.fault != nil || s.depth == 0 {
		return false
	}
	return s.advance()
}

// Key is the name of the member before the cursor, unescaped. It is valid until the next call of Next.
func (s *Scanner) Key() []byte {
	if s.depth == 0 {
		return nil
	}
	return s.names.text(s.b, s.frames[s.depth-1].key)
}

// Index is the position of the member or element before the cursor in its container.
func (s *Scanner) Index() int {
	if s.depth == 0 {
		return 0
	}
	return int(s.frames[s.depth-1].count) - 1
}

// Offset is the cursor's position in the body.
func (s *Scanner) Offset() int { return s.i }

// Skip goes over the value before the cursor and returns its JSON text, nil on a fault.
func (s *Scanner) Skip() []byte {
	if s.fault != nil || !s.pending {
		return nil
	}
	start, base := s.i, s.depth
	for {
		s.value()
		for s.fault == nil && s.depth > base && !s.pending && !s.advance() {
		}
		if s.fault != nil {
			return nil
		}
		if s.depth == base && !s.pending {
			return s.b[start:s.last]
		}
	}
}

// RawString reads a string and returns its JSON text with the quotes, nil (and a fault) for another kind.
func (s *Scanner) RawString() []byte {
	if !s.Want(String) {
		return nil
	}
	return s.Skip()
}

// String reads a string. The result shares the body's memory unless the string has escapes.
func (s *Scanner) String() string { return Text(s.RawString()) }

// Bool reads true or false.
func (s *Scanner) Bool() bool {
	return s.Want(Bool) && len(s.Skip()) == len("true")
}

// Float reads a number.
func (s *Scanner) Float() float64 {
	if !s.Want(Number) {
		return 0
	}
	f, err := strconv.ParseFloat(view(s.Skip()), 64)
	if err != nil && s.fault == nil {
		path := s.Path()
		s.fault = fault.Invalid(path, "%s is too large a number.", path)
	}
	return f
}

// Int reads a whole number; 3.0 and 3e2 count as whole.
func (s *Scanner) Int() int64 {
	if !s.Want(Number) {
		return 0
	}
	raw := s.Skip()
	if s.fault != nil {
		return 0
	}
	if n, err := strconv.ParseInt(view(raw), 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(view(raw), 64)
	if err != nil || f > 1<<53 || f < -1<<53 || f != float64(int64(f)) {
		path := s.Path()
		s.fault = fault.Invalid(path, "%s must be a whole number of at most 64 bits.", path)
		return 0
	}
	return int64(f)
}

// Null reads a null and says whether there was one.
func (s *Scanner) Null() bool { return s.Kind() == Null && s.Skip() != nil }

// view is b as a string without a copy. Bodies are never written to (chat.Head.Body).
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
