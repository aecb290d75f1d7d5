package config

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// decoder walks a YAML tree by the descriptor of dragomanv1.Config. It goes on after a fault, so that all are reported
// together.
type decoder struct {
	file    *File
	anchors map[string]ast.Node
	values  int // how many more may be read: the bound on alias expansion
	spent   bool
}

const (
	secretMessage    = "dragoman.v1.Secret"
	candidateMessage = "dragoman.v1.Candidate"
	durationMessage  = "google.protobuf.Duration"
)

func (d *decoder) document(root ast.Node) {
	d.collectAnchors(root, 0)
	d.message(d.file.Config.ProtoReflect(), root, "", 0)
}

// collectAnchors finds every &name, in the order of the text. Expansion, not collection, is what can explode.
func (d *decoder) collectAnchors(n ast.Node, depth int) {
	if depth > 4*maxNesting {
		return
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		name := n.Name.String()
		if _, twice := d.anchors[name]; twice {
			d.file.fail("", lineOf(n), "anchor &%s is defined twice", clip(name))
		}
		d.anchors[name] = n.Value
		d.collectAnchors(n.Value, depth+1)
	case *ast.MappingNode:
		for _, v := range n.Values {
			d.collectAnchors(v, depth+1)
		}
	case *ast.MappingValueNode:
		d.collectAnchors(n.Value, depth+1)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			d.collectAnchors(v, depth+1)
		}
	}
}

// resolve follows anchors and aliases to a plain node; nil after a fault, which it has noted.
func (d *decoder) resolve(n ast.Node, path string, depth int) ast.Node {
	for hops := 0; ; hops++ {
		if d.values--; d.values < 0 || depth > maxNesting || hops > maxNesting {
			if !d.spent {
				d.spent = true
				d.file.fail("", lineOf(n), "too much or too deep once its aliases are expanded")
			}
			return nil
		}
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.AliasNode:
			target, ok := d.anchors[v.Value.String()]
			if !ok {
				d.file.fail(path, lineOf(v), "no anchor &%s", clip(v.Value.String()))
				return nil
			}
			n = target
		case *ast.TagNode:
			d.file.fail(path, lineOf(v), "tags (!…) have no meaning here")
			return nil
		default:
			return n
		}
	}
}

// entry is one key of a mapping.
type entry struct {
	key   string
	line  int
	value ast.Node
}

// entries lists a mapping's keys, those of merged mappings (<<) behind and below its own. ok is false when n is none.
func (d *decoder) entries(n ast.Node, path string, depth int) (list []entry, ok bool) {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return nil, false
	}
	seen, merged := map[string]int{}, []ast.Node(nil)
	for _, p := range pairs {
		if p.Key.IsMergeKey() {
			merged = append(merged, p.Value)
			continue
		}
		key, line, ok := d.key(p.Key, path)
		if !ok {
			continue
		}
		if first, twice := seen[key]; twice {
			d.file.fail(join(path, key), line, "stands here twice, first in line %d", first)
			continue
		}
		seen[key] = line
		list = append(list, entry{key, line, p.Value})
	}
	for _, m := range merged {
		for _, e := range d.merged(m, path, depth+1) {
			if _, own := seen[e.key]; !own {
				seen[e.key] = e.line
				list = append(list, e)
			}
		}
	}
	return list, true
}

// key reads a mapping's key, which must be a plain word.
func (d *decoder) key(n ast.MapKeyNode, path string) (string, int, bool) {
	if s, ok := n.(ast.ScalarNode); ok {
		if text, ok := s.GetValue().(string); ok {
			return text, lineOf(n), true
		}
		return fmt.Sprint(s.GetValue()), lineOf(n), true
	}
	d.file.fail(path, lineOf(n), "a key must be a plain word")
	return "", 0, false
}

// merged reads the value of <<: a mapping, or a list of them of which the first wins.
func (d *decoder) merged(n ast.Node, path string, depth int) []entry {
	n = d.resolve(n, path, depth)
	if n == nil {
		return nil
	}
	if seq, ok := n.(*ast.SequenceNode); ok {
		var list []entry
		for _, v := range seq.Values {
			list = append(list, d.merged(v, path, depth+1)...)
		}
		return list
	}
	list, ok := d.entries(n, path, depth)
	if !ok {
		d.file.fail(path, lineOf(n), "<< takes a mapping or a list of mappings")
	}
	return list
}

// message fills m from a mapping, or from a message's shorthand.
func (d *decoder) message(m protoreflect.Message, n ast.Node, path string, depth int) {
	n = d.resolve(n, path, depth)
	if n == nil {
		return
	}
	md := m.Descriptor()
	if _, scalar := n.(ast.ScalarNode); scalar && md.FullName() == candidateMessage {
		d.field(m, md.Fields().ByName("model"), n, path, depth)
		return
	}
	list, ok := d.entries(n, path, depth)
	if !ok {
		d.file.fail(path, lineOf(n), "%s", wantMessage(md, n))
		return
	}
	for _, e := range list {
		d.member(m, e, path, depth)
	}
	if md.FullName() == secretMessage && len(list) > 1 {
		d.file.fail(path, list[1].line, "is one of {env: NAME}, {file: PATH} and {vault: {path: PATH}}: keep one")
	}
}

// member reads one key of a message's mapping.
func (d *decoder) member(m protoreflect.Message, e entry, path string, depth int) {
	md := m.Descriptor()
	at := join(path, e.key)
	fd := md.Fields().ByName(protoreflect.Name(e.key))
	if fd == nil {
		switch {
		case path == "" && strings.HasPrefix(e.key, "x-"): // a place for anchors
		case md.FullName() == secretMessage: // the key itself may be the secret
			d.file.fail(path, e.line, literalSecret)
		default:
			d.file.fail(at, e.line, "unknown field%s", didYouMean(e.key, fieldNames(md)))
		}
		return
	}
	d.file.lines[at] = e.line
	switch {
	case fd.IsMap():
		d.mapping(m, fd, e.value, at, depth+1)
	case fd.IsList():
		d.list(m, fd, e.value, at, depth+1)
	default:
		d.field(m, fd, e.value, at, depth+1)
	}
}

func (d *decoder) mapping(m protoreflect.Message, fd protoreflect.FieldDescriptor, n ast.Node, path string, depth int) {
	n = d.resolve(n, path, depth)
	if n == nil || n.Type() == ast.NullType {
		return
	}
	list, ok := d.entries(n, path, depth)
	if !ok {
		d.file.fail(path, lineOf(n), "must be a mapping (name: value), not %s", kindOf(n))
		return
	}
	values := m.Mutable(fd).Map()
	for _, e := range list {
		at := join(path, e.key)
		d.file.lines[at] = e.line
		if v := d.resolve(e.value, at, depth+1); v != nil {
			if value, ok := d.scalar(fd.MapValue(), v, at); ok {
				values.Set(protoreflect.ValueOfString(e.key).MapKey(), value)
			}
		}
	}
}

// list reads a sequence. Nothing behind the key (all entries commented out) is an empty list.
func (d *decoder) list(m protoreflect.Message, fd protoreflect.FieldDescriptor, n ast.Node, path string, depth int) {
	n = d.resolve(n, path, depth)
	if n == nil || n.Type() == ast.NullType {
		return
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.file.fail(path, lineOf(n), "must be a list, not %s", kindOf(n))
		return
	}
	values := m.Mutable(fd).List()
	for i, v := range seq.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.file.lines[at] = lineOf(v)
		if fd.Kind() == protoreflect.MessageKind {
			d.message(values.AppendMutable().Message(), v, at, depth+1)
			continue
		}
		if v = d.resolve(v, at, depth+1); v != nil {
			if value, ok := d.scalar(fd, v, at); ok {
				values.Append(value)
			}
		}
	}
}

// field reads a single value.
func (d *decoder) field(m protoreflect.Message, fd protoreflect.FieldDescriptor, n ast.Node, path string, depth int) {
	n = d.resolve(n, path, depth)
	if n == nil {
		return
	}
	if fd.Kind() == protoreflect.MessageKind && fd.Message().FullName() != durationMessage {
		if n.Type() == ast.NullType && fd.Message().FullName() != secretMessage {
			d.file.fail(path, lineOf(n), "has no value: take the line out, or write {} for the defaults")
			return
		}
		d.message(m.Mutable(fd).Message(), n, path, depth)
		return
	}
	if value, ok := d.scalar(fd, n, path); ok {
		m.Set(fd, value)
	}
}

func fieldNames(md protoreflect.MessageDescriptor) []string {
	fields := md.Fields()
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = string(fields.Get(i).Name())
	}
	return names
}

func join(path, key string) string {
	if len(key) > 64 {
		key = key[:64] + "…"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
