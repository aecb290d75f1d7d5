package openai

import "dragoman/translate/strictjson"

// splices are changes to one body, in ascending order and apart from each other. Between them every byte stays.
type splices struct {
	body []byte
	list []splice
	grow int // bytes that the result is longer
}

// splice puts text in the place of body[from:to].
type splice struct {
	from, to int
	text     []byte
}

func (s *splices) put(from, to int, text []byte) {
	s.list = append(s.list, splice{from, to, text})
	s.grow += len(text) - (to - from)
}

// apply is the changed body, in one allocation; the body itself when nothing changes.
func (s *splices) apply() []byte {
	if len(s.list) == 0 {
		return s.body
	}
	out := make([]byte, 0, len(s.body)+s.grow)
	from := 0
	for i := range s.list {
		out = append(append(out, s.body[from:s.list[i].from]...), s.list[i].text...)
		from = s.list[i].to
	}
	return append(out, s.body[from:]...)
}

// objectEdit changes the members of one object of the body, which must be told of in their order.
type objectEdit struct {
	*splices
	key  int // where the name of the next member begins
	last int // behind the last member that stays, 0 while there is none
}

// editObject is for the object that begins at open.
func (s *splices) editObject(open int) objectEdit {
	return objectEdit{splices: s, key: s.space(open + 1)}
}

func (s *splices) space(i int) int {
	for i < len(s.body) && (s.body[i] == ' ' || s.body[i] == '\n' || s.body[i] == '\t' || s.body[i] == '\r') {
		i++
	}
	return i
}

// keep goes past a member that ends at end.
func (o *objectEdit) keep(end int) {
	o.last = end
	o.next(end)
}

// remove takes the member out that ends at end, with the comma behind it, or the one before it where others stay.
func (o *objectEdit) remove(end int) {
	from := o.last
	if o.last == 0 {
		from = o.key
	}
	o.next(end)
	to := end
	if o.last == 0 && o.key > end {
		to = o.key
	}
	o.put(from, to, nil)
	if o.last != 0 {
		o.last = end
	}
}

// next finds the name of the member behind the one that ends at end.
func (o *objectEdit) next(end int) {
	o.key = end
	if i := o.space(end); i < len(o.body) && o.body[i] == ',' {
		o.key = o.space(i + 1)
	}
}

// rename gives a member whose value begins at start another name.
func (o *objectEdit) rename(start int, name string) {
	o.put(o.key, start, append(strictjson.AppendString(make([]byte, 0, len(name)+3), name), ':'))
}

// add puts a member at the end of the object, which ends (its brace included) at end.
func (o *objectEdit) add(end int, member string) {
	if o.last != 0 {
		member = "," + member
	}
	o.put(end-1, end-1, []byte(member))
}
