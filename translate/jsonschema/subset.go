package jsonschema

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// subset writes a node in Google's dialect.
func (w *writer) subset(n *node, at *place, depth int) {
	if n.cut {
		w.drop(at, "$ref")
	}
	if len(n.anyOf) > 0 {
		w.branches(n, at, depth)
		return
	}
	w.constToEnum(n)
	if n.kinds == 0 {
		n.kinds = n.infer()
	}
	switch {
	case n.kinds == 0:
		w.anything(n, at)
	case n.kinds.count() == 1:
		w.one(n, n.kinds, at, depth)
	default:
		w.variants(n, n.kinds, at, depth)
	}
}

// branches writes anyOf. The service takes nothing beside it, so that whatever else the schema says is said in each
// branch; the branch's own words come first.
func (w *writer) branches(n *node, at *place, depth int) {
	rest := make([]layer, 0, len(n.layers)+2)
	for _, l := range n.layers {
		l.noAny = true
		rest = append(rest, l)
	}
	if n.nullable {
		rest = append(rest, layer{v: gjson.Parse(`{"nullable":true}`)})
	}
	w.b = append(w.b, `{"anyOf":[`...)
	for i := range n.anyOf {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		layers := append([]layer{n.anyOf[i]}, rest...)
		w.schema(layers, at.at("anyOf["+strconv.Itoa(i)+"]"), depth+1)
	}
	w.b = append(w.b, `]}`...)
}

// variants writes a schema of several types as anyOf of one schema each.
func (w *writer) variants(n *node, all kinds, at *place, depth int) {
	w.b = append(w.b, `{"anyOf":[`...)
	for _, name := range kindNames {
		if all&name.kind == 0 {
			continue
		}
		if w.b[len(w.b)-1] != '[' {
			w.b = append(w.b, ',')
		}
		w.one(n, name.kind, at, depth)
	}
	w.b = append(w.b, `]}`...)
}

// anything writes a schema that says nothing of its type, which the dialect demands: each type that needs no more words.
func (w *writer) anything(n *node, at *place) {
	w.variants(n, text|number|boolean|object, at, maxDepth)
}

// infer is the type that the other keywords are about, 0 when they are about none.
func (n *node) infer() kinds {
	switch {
	case len(n.props) > 0 || n.extra.IsObject():
		return object
	case len(n.items) > 0 || len(n.prefix) > 0:
		return array
	case n.hasEnum:
		k := kinds(0)
		for _, v := range n.enum {
			k |= kindOfValue(v)
		}
		if k&null != 0 {
			n.nullable = true
		}
		return k &^ null
	}
	k := kinds(0)
	for _, o := range n.others {
		k |= about[o.name]
	}
	if k == number|integer {
		return number
	}
	if k.count() == 1 {
		return k
	}
	return 0
}

func kindOfValue(v gjson.Result) kinds {
	switch v.Type {
	case gjson.String:
		return text
	case gjson.Number:
		if strings.ContainsAny(v.Raw, ".eE") {
			return number
		}
		return integer
	case gjson.True, gjson.False:
		return boolean
	case gjson.Null:
		return null
	}
	if v.IsArray() {
		return array
	}
	return object
}

// about says which type a keyword constrains. Only these keywords are in the dialect.
var about = map[string]kinds{
	"minLength": text, "maxLength": text, "pattern": text, "minimum": number | integer, "maximum": number | integer,
	"minItems": array, "maxItems": array, "minProperties": object, "maxProperties": object,
	"exclusiveMinimum": number | integer, "exclusiveMaximum": number | integer,
}

// formats are those that the service takes; others it refuses.
var formats = map[string]kinds{
	"date-time": text, "enum": text, "float": number, "double": number, "int32": integer, "int64": integer,
}

func (w *writer) constToEnum(n *node) {
	if !n.konst.Exists() || n.hasEnum {
		return
	}
	if n.konst.Type == gjson.Null {
		n.kinds = null
		return
	}
	n.hasEnum, n.enum = true, []gjson.Result{n.konst}
}

// one writes a schema of one type.
func (w *writer) one(n *node, k kinds, at *place, depth int) {
	w.b = append(w.b, '{')
	for _, name := range kindNames {
		if name.kind == k {
			w.text("type", name.upper)
		}
	}
	choices := w.enum(n, k)
	switch {
	case choices == nil && formats[n.format]&k != 0 && n.format != "enum":
		w.text("format", n.format)
	case n.format != "" && n.format != "enum" && k&(text|number|integer) != 0:
		w.drop(at, "format")
	}
	if d := n.description(k); d != "" {
		w.text("description", d)
	}
	if n.nullable || hasNull(n.enum) {
		w.member("nullable")
		w.b = append(w.b, "true"...)
	}
	if choices != nil {
		w.text("format", "enum")
		w.strings("enum", choices)
	}
	switch k {
	case object:
		w.object(n, at, depth)
	case array:
		w.array(n, at, depth)
	}
	w.limits(n, k, at)
	w.b = append(w.b, '}')
}

// enum is the choices of a string, nil when there are none: the dialect has no others, and no empty one.
func (w *writer) enum(n *node, k kinds) (choices []string) {
	if k != text {
		return nil
	}
	for _, v := range n.enum {
		if v.Type == gjson.String && v.Str != "" {
			choices = append(choices, v.String())
		}
	}
	return choices
}

// description tells the model in words which values a number or a boolean may have, where the schema cannot (an enum of
// another type than string).
func (n *node) description(k kinds) string {
	d := n.describe
	if d == "" {
		d = n.title
	}
	if !n.hasEnum || k == text {
		return d
	}
	var values []string
	for _, v := range n.enum {
		if kindOfValue(v)&k != 0 || k == number && kindOfValue(v) == integer {
			values = append(values, v.Raw)
		}
	}
	if len(values) == 0 {
		return d
	}
	if d != "" {
		d += " "
	}
	return d + "(one of: " + strings.Join(values, ", ") + ")"
}

func (w *writer) object(n *node, at *place, depth int) {
	if n.extra.IsObject() || n.extra.Type == gjson.True && len(n.props) > 0 { // false is what the dialect means anyway
		w.drop(at, "additionalProperties")
	}
	if len(n.props) == 0 || depth >= maxDepth {
		return
	}
	w.properties(n, at, depth)
	var required []string
	for _, name := range n.needs.list { // one that is not among the properties is refused
		if _, stray := n.propAt.add(name); !stray {
			required = append(required, name)
		}
	}
	if len(required) > 0 {
		w.strings("required", required)
	}
}

// array writes items, which the dialect demands. The places of a tuple become one choice.
func (w *writer) array(n *node, at *place, depth int) {
	w.member("items")
	switch {
	case len(n.prefix) > 0:
		w.drop(at, "prefixItems")
		if len(n.prefix) == 1 {
			w.schema(n.prefix, at.at("prefixItems[0]"), depth+1)
			return
		}
		w.b = append(w.b, '{')
		w.list("anyOf", n.prefix, at, depth)
		w.b = append(w.b, '}')
	case len(n.items) > 0:
		w.schema(n.items, at.at("items"), depth+1)
	default:
		w.anything(&node{}, at)
	}
}

// limits writes the keywords that the dialect has and names the others.
func (w *writer) limits(n *node, k kinds, at *place) {
	for _, o := range n.others {
		switch mask := about[o.name]; {
		case annotations[o.name]:
		case mask == 0:
			w.drop(at, o.name)
		case mask&k != 0:
			w.limit(n, o, k, at)
		}
	}
}

// annotations constrain nothing. The dialect has some of them; which, differs between Google's services.
var annotations = map[string]bool{
	"default": true, "example": true, "examples": true, "deprecated": true, "readOnly": true, "writeOnly": true,
	"$dynamicAnchor": true, "$vocabulary": true, "contentMediaType": true, "contentEncoding": true,
}

// inclusive are the limits that stand for an exclusive one of a whole number, and how far off they are.
var inclusive = map[string]struct {
	name string
	step int64
}{"exclusiveMinimum": {"minimum", 1}, "exclusiveMaximum": {"maximum", -1}}

func (w *writer) limit(n *node, o keyword, k kinds, at *place) {
	name, value := o.name, o.value.Raw
	if in, exclusive := inclusive[name]; exclusive {
		limit, err := strconv.ParseInt(value, 10, 64)
		_, alone := n.otherAt.add(in.name)
		if k != integer || err != nil || limit > 1<<53 || limit < -1<<53 || !alone {
			w.drop(at, name)
			return
		}
		name, value = in.name, strconv.FormatInt(limit+in.step, 10)
	}
	if name == "pattern" && o.value.Type != gjson.String || name != "pattern" && o.value.Type != gjson.Number && o.value.Type != gjson.String {
		w.drop(at, o.name)
		return
	}
	w.member(name)
	w.b = appendNumber(w.b, keyword{name, gjson.Parse(value)})
}
