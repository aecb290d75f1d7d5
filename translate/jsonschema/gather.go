package jsonschema

import (
	"strings"

	"github.com/tidwall/gjson"
)

// kinds is a set of JSON types.
type kinds uint8

const (
	object kinds = 1 << iota
	array
	text
	number
	integer
	boolean
	null
)

var kindNames = [...]struct {
	kind         kinds
	lower, upper string
}{
	{object, "object", "OBJECT"}, {array, "array", "ARRAY"}, {text, "string", "STRING"}, {number, "number", "NUMBER"},
	{integer, "integer", "INTEGER"}, {boolean, "boolean", "BOOLEAN"}, {null, "null", "NULL"},
}

func kindOf(name string) kinds {
	for _, k := range kindNames {
		if strings.EqualFold(name, k.lower) {
			return k.kind
		}
	}
	return 0
}

func (k kinds) count() (n int) {
	for ; k != 0; k &= k - 1 {
		n++
	}
	return n
}

// node is one schema, its layers merged.
type node struct {
	kinds    kinds // 0: the schema does not say
	nullable bool
	enum     []gjson.Result
	hasEnum  bool
	konst    gjson.Result
	describe string
	title    string
	format   string
	props    []property
	propAt   index
	items    []layer
	prefix   []layer
	needs    index   // required
	anyOf    []layer // branches
	anyKey   string
	extra    gjson.Result // additionalProperties
	extraVia *chain
	others   []keyword
	otherAt  index
	layers   []layer // what it was gathered from
	ref      string  // a reference that the dialect keeps
	refVia   *chain
	root     bool // the outermost schema, which must show its type
	cut      bool // a reference could not be followed
}

type property struct {
	name   string
	layers []layer
}

// index finds names that come again. Objects of a hostile schema are large: it is a map once there are some.
type index struct {
	list []string
	at   map[string]int
}

// add is the position of name, and whether it is new.
func (x *index) add(name string) (at int, fresh bool) {
	if x.at == nil {
		for i := range x.list {
			if x.list[i] == name {
				return i, false
			}
		}
		if len(x.list) == 16 {
			x.at = make(map[string]int, 64)
			for i, s := range x.list {
				x.at[s] = i
			}
		}
	}
	if x.at != nil {
		if i, known := x.at[name]; known {
			return i, false
		}
		x.at[name] = len(x.list)
	}
	x.list = append(x.list, name)
	return len(x.list) - 1, true
}

// keyword is one without a rule of its own.
type keyword struct {
	name  string
	value gjson.Result
}

// gather merges layers into a node.
func (w *writer) gather(layers []layer, depth int) *node {
	n := &node{layers: layers, root: depth == 0}
	for _, l := range layers {
		w.merge(n, l, depth)
	}
	if n.ref != "" && !w.rules.consts && n.constrains() { // the newer Gemini models take nothing beside a reference
		ref := n.ref
		n.ref = ""
		w.follow(n, layer{via: n.refVia}, ref, depth)
	}
	w.liftNull(n, depth)
	return n
}

// merge adds one layer. Of two layers that say different things the first is kept; both were to hold, which only a
// reader of full JSON Schema can check.
func (w *writer) merge(n *node, l layer, depth int) {
	if depth > maxDepth {
		w.fail("The schema is nested too deep.")
	}
	if !l.v.IsObject() || !w.spend(len(l.v.Raw)+16) {
		return
	}
	said := kinds(0)
	var ref, all gjson.Result
	l.v.ForEach(func(key, m gjson.Result) bool {
		switch name := canonical(key.String()); name {
		case "$ref":
			ref = m
		case "allOf":
			all = m
		default:
			n.keyword(l, name, m, &said)
		}
		return w.err == nil
	})
	n.restrict(said)
	if ref.Type == gjson.String { // behind the rest: a description beside it is the better one
		w.refer(n, l, ref.String(), depth)
	}
	all.ForEach(func(_, s gjson.Result) bool {
		w.merge(n, layer{s, l.via, l.noAny}, depth+1)
		return w.err == nil
	})
}

// restrict leaves the types that both say. An integer is a number; where nothing is left, the first holds.
func (n *node) restrict(said kinds) {
	if said == 0 {
		return
	}
	if n.kinds == 0 {
		n.kinds = said
		return
	}
	both := n.kinds & said
	if (n.kinds|said)&number != 0 {
		both |= (n.kinds | said) & integer
	}
	if both != 0 {
		n.kinds = both
	}
}

// canonical is the JSON name of a keyword that Google's parser also takes in its proto spelling: any_of.
func canonical(name string) string {
	switch name {
	case "any_of":
		return "anyOf"
	case "min_items":
		return "minItems"
	case "max_items":
		return "maxItems"
	case "min_length":
		return "minLength"
	case "max_length":
		return "maxLength"
	case "min_properties":
		return "minProperties"
	case "max_properties":
		return "maxProperties"
	case "property_ordering":
		return "propertyOrdering"
	case "additional_properties":
		return "additionalProperties"
	default:
		return name
	}
}

func (n *node) keyword(l layer, name string, m gjson.Result, said *kinds) {
	switch name {
	case "type":
		if m.IsArray() {
			m.ForEach(func(_, t gjson.Result) bool {
				*said |= kindOf(t.String())
				return true
			})
		} else if m.Type == gjson.String {
			*said |= kindOf(m.String())
		}
	case "nullable":
		n.nullable = n.nullable || m.Type == gjson.True
	case "enum":
		if m.IsArray() && !n.hasEnum {
			n.hasEnum, n.enum = true, m.Array()
		}
	case "const":
		if !n.konst.Exists() {
			n.konst = m
		}
	case "description", "title", "format":
		n.words(name, m)
	case "properties":
		n.properties(m, l.via)
	case "required":
		m.ForEach(func(_, r gjson.Result) bool {
			n.needs.add(r.String())
			return true
		})
	case "items":
		if m.IsArray() { // the tuples of old drafts
			n.tuple(m, l.via)
		} else {
			n.items = append(n.items, layer{v: m, via: l.via})
		}
	case "prefixItems":
		n.tuple(m, l.via)
	case "anyOf", "oneOf":
		if n.anyKey == "" && m.IsArray() && !l.noAny {
			n.anyKey = name
			m.ForEach(func(_, s gjson.Result) bool {
				n.anyOf = append(n.anyOf, layer{v: s, via: l.via})
				return true
			})
		} else if !l.noAny {
			n.other(name, m)
		}
	case "additionalProperties":
		if !n.extra.Exists() {
			n.extra, n.extraVia = m, l.via
		}
	case "$defs", "definitions", "$schema", "$id", "$comment", "$anchor", "propertyOrdering":
	default:
		n.other(name, m)
	}
}

func (n *node) words(name string, m gjson.Result) {
	if m.Type != gjson.String {
		return
	}
	to := &n.describe
	switch name {
	case "title":
		to = &n.title
	case "format":
		to = &n.format
	}
	if *to == "" {
		*to = m.String()
	}
}

func (n *node) properties(m gjson.Result, via *chain) {
	m.ForEach(func(key, s gjson.Result) bool {
		at, fresh := n.propAt.add(key.String())
		if fresh {
			n.props = append(n.props, property{name: key.String()})
		}
		n.props[at].layers = append(n.props[at].layers, layer{v: s, via: via})
		return true
	})
}

// other keeps a keyword without a rule of its own; of two, the first.
func (n *node) other(name string, m gjson.Result) {
	if _, fresh := n.otherAt.add(name); fresh {
		n.others = append(n.others, keyword{name, m})
	}
}

func (n *node) tuple(m gjson.Result, via *chain) {
	m.ForEach(func(_, s gjson.Result) bool {
		n.prefix = append(n.prefix, layer{v: s, via: via})
		return true
	})
}

// refer keeps a reference where the dialect has them, and follows it elsewhere.
func (w *writer) refer(n *node, l layer, ref string, depth int) {
	if w.rules.refs && n.ref == "" && !n.root {
		if _, ok := w.target(ref); ok || w.rules.consts {
			n.ref, n.refVia = ref, l.via
			return
		}
	}
	w.follow(n, l, ref, depth)
}

// follow merges what a reference points to. One that leads back to where it stands (D18) is cut: only the type of its
// target is kept.
func (w *writer) follow(n *node, l layer, ref string, depth int) {
	target, ok := w.target(ref)
	if !ok {
		n.cut = true
		return
	}
	if l.via.has(ref) || ref == "#" {
		n.cut = true
		n.restrict(kindOf(target.Get("type").String()))
		return
	}
	w.merge(n, layer{target, &chain{ref, l.via}, l.noAny}, depth+1)
}

// constrains says whether anything but annotations and a reference was said.
func (n *node) constrains() bool {
	return n.kinds != 0 || n.hasEnum || n.konst.Exists() || len(n.props) > 0 || len(n.items) > 0 || len(n.prefix) > 0 ||
		len(n.needs.list) > 0 || len(n.anyOf) > 0 || n.extra.Exists()
}

// liftNull makes a branch null of anyOf, and a type null beside others, the node's own property; a single branch that is
// left becomes part of the node.
func (w *writer) liftNull(n *node, depth int) {
	if !w.rules.subset {
		return
	}
	left := n.anyOf[:0:0]
	for _, b := range n.anyOf {
		if onlyNull(b.v) {
			n.nullable = true
		} else {
			left = append(left, b)
		}
	}
	n.anyOf = left
	if len(left) == 1 {
		n.anyOf = nil
		w.merge(n, left[0], depth+1)
	}
	if n.kinds&null != 0 && n.kinds != null {
		n.nullable, n.kinds = true, n.kinds&^null
	}
	if n.kinds&integer != 0 && n.kinds&number != 0 {
		n.kinds &^= integer
	}
}

func onlyNull(v gjson.Result) bool {
	t := v.Get("type")
	if t.IsArray() {
		return len(t.Array()) == 1 && kindOf(t.Get("0").String()) == null
	}
	c := v.Get("const")
	return kindOf(t.String()) == null || c.Exists() && c.Type == gjson.Null
}
