package jsonschema

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"dragoman/translate/strictjson"
)

// schema writes the schema that layers make up.
func (w *writer) schema(layers []layer, at *place, depth int) {
	if depth > maxDepth {
		w.fail("The schema is nested too deep.")
	}
	if w.err != nil {
		w.b = append(w.b, "{}"...)
		return
	}
	n := w.gather(layers, depth)
	if w.rules.subset {
		w.subset(n, at, depth)
		return
	}
	w.full(n, at, depth)
}

// list writes schemas in an array.
func (w *writer) list(name string, each []layer, at *place, depth int) {
	w.member(name)
	w.b = append(w.b, '[')
	for i := range each {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.schema(each[i:i+1:i+1], at.at(name+"["+strconv.Itoa(i)+"]"), depth+1)
	}
	w.b = append(w.b, ']')
}

// properties writes the properties in the order in which they were given, which is the order in which a model writes them.
func (w *writer) properties(n *node, at *place, depth int) {
	w.member("properties")
	w.b = append(w.b, '{')
	for i := range n.props {
		w.member(n.props[i].name)
		w.schema(n.props[i].layers, at.at("properties").at(n.props[i].name), depth+1)
	}
	w.b = append(w.b, '}')
}

func (w *writer) strings(name string, list []string) {
	w.member(name)
	w.b = append(w.b, '[')
	for i, s := range list {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = strictjson.AppendString(w.b, s)
	}
	w.b = append(w.b, ']')
}

// full writes a node in a dialect of JSON Schema.
func (w *writer) full(n *node, at *place, depth int) {
	w.b = append(w.b, '{')
	if n.ref != "" {
		w.text("$ref", n.ref)
		if !w.rules.consts { // nothing else may stand here
			w.b = append(w.b, '}')
			return
		}
	}
	if n.cut {
		w.drop(at, "$ref")
	}
	w.types(n)
	if n.title != "" {
		w.text("title", n.title)
	}
	if n.describe != "" {
		w.text("description", n.describe)
	}
	w.values(n)
	if n.format != "" && n.format != "enum" { // Google's word for a string with an enum
		w.text("format", n.format)
	}
	w.parts(n, at, depth)
	for _, o := range n.others {
		w.member(o.name)
		w.b = appendNumber(w.b, o)
	}
	if depth == 0 {
		w.definitions(at)
	}
	w.b = append(w.b, '}')
}

// types writes the type, several of them as a list. nullable of Google's dialect is one more; where the schema is made of
// branches, parts adds a branch for it.
func (w *writer) types(n *node) {
	k := n.kinds
	if n.nullable && k != 0 {
		k |= null
	}
	if k == 0 {
		return
	}
	w.member("type")
	several := k.count() > 1
	if several {
		w.b = append(w.b, '[')
	}
	first := true
	for _, name := range kindNames {
		if k&name.kind == 0 {
			continue
		}
		if !first {
			w.b = append(w.b, ',')
		}
		first = false
		w.b = strictjson.AppendString(w.b, name.lower)
	}
	if several {
		w.b = append(w.b, ']')
	}
}

// values writes enum and const. Where const is unknown, an enum of one value says the same.
func (w *writer) values(n *node) {
	if n.hasEnum {
		w.member("enum")
		w.b = append(w.b, '[')
		for i, v := range n.enum {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			w.b = append(w.b, v.Raw...)
		}
		if n.nullable && !hasNull(n.enum) {
			if len(n.enum) > 0 {
				w.b = append(w.b, ',')
			}
			w.b = append(w.b, "null"...)
		}
		w.b = append(w.b, ']')
		return
	}
	switch {
	case !n.konst.Exists():
	case w.rules.consts:
		w.member("const")
		w.b = append(w.b, n.konst.Raw...)
	default:
		w.member("enum")
		w.b = append(append(append(w.b, '['), n.konst.Raw...), ']')
	}
}

func hasNull(list []gjson.Result) bool {
	for _, v := range list {
		if v.Type == gjson.Null {
			return true
		}
	}
	return false
}

// parts writes the schemas within a schema.
func (w *writer) parts(n *node, at *place, depth int) {
	if len(n.props) > 0 || n.root && n.kinds&object != 0 {
		w.properties(n, at, depth)
	}
	if len(n.needs.list) > 0 {
		w.strings("required", n.needs.list)
	}
	if n.extra.Exists() {
		w.member("additionalProperties")
		if n.extra.IsObject() {
			w.schema([]layer{{v: n.extra, via: n.extraVia}}, at.at("additionalProperties"), depth+1)
		} else {
			w.b = append(w.b, n.extra.Raw...)
		}
	}
	if len(n.prefix) > 0 {
		w.list("prefixItems", n.prefix, at, depth)
	}
	if len(n.items) == 1 && n.items[0].v.IsBool() {
		w.member("items")
		w.b = append(w.b, n.items[0].v.Raw...)
	} else if len(n.items) > 0 {
		w.member("items")
		w.schema(n.items, at.at("items"), depth+1)
	}
	if len(n.anyOf) > 0 {
		branches := n.anyOf
		if n.nullable && n.kinds == 0 {
			branches = append(branches[:len(branches):len(branches)], layer{v: gjson.Parse(`{"type":"null"}`)})
		}
		w.list(n.anyKey, branches, at, depth)
	}
}

// appendNumber writes a keyword's value. Google writes its 64-bit numbers as strings (proto3 JSON).
func appendNumber(b []byte, o keyword) []byte {
	if integers[o.name] && o.value.Type == gjson.String {
		if n, err := strconv.ParseInt(o.value.String(), 10, 64); err == nil {
			return strconv.AppendInt(b, n, 10)
		}
	}
	return append(b, o.value.Raw...)
}

var integers = map[string]bool{
	"minItems": true, "maxItems": true, "minLength": true, "maxLength": true, "minProperties": true, "maxProperties": true,
}

// definitions writes what the references that were kept point to.
func (w *writer) definitions(at *place) {
	for _, name := range [...]string{"$defs", "definitions"} {
		defs := child(w.root, name)
		if !defs.IsObject() || !bytes.Contains(w.b, []byte(`"#/`+name+`/`)) && !nested(defs, name) {
			continue
		}
		w.member(name)
		w.b = append(w.b, '{')
		defs.ForEach(func(key, s gjson.Result) bool {
			w.member(key.String())
			w.schema([]layer{{v: s}}, at.at(name).at(key.String()), 1)
			return w.err == nil
		})
		w.b = append(w.b, '}')
	}
}

// nested says whether definitions refer to others of another name.
func nested(defs gjson.Result, name string) bool { return strings.Contains(defs.Raw, `"#/`+name+`/`) }
