package config

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

const literalSecret = "a secret's value must not stand in the configuration: write {env: NAME} for an environment " +
	"variable, {file: PATH} for a file or {vault: {path: PATH}} for a secret of Vault that holds it (and replace a key that was saved here)"

const missingSecret = "is missing: write {env: NAME}, {file: PATH} or {vault: {path: PATH}}"

// wantMessage says what was expected in place of n, without showing n.
func wantMessage(md protoreflect.MessageDescriptor, n ast.Node) string {
	switch {
	case n.Type() == ast.NullType && md.FullName() == secretMessage:
		return missingSecret
	case n.Type() == ast.NullType:
		return "has no value"
	case md.FullName() == secretMessage:
		return literalSecret
	default:
		return fmt.Sprintf("must be a mapping with %s, not %s", oneOf(fieldNames(md)), kindOf(n))
	}
}

// kindOf names what was written, never its value: it may be a secret in the wrong place.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode:
		return "a number"
	case *ast.FloatNode:
		return "a fraction"
	case *ast.InfinityNode, *ast.NanNode:
		return "an infinite number or none"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	default:
		return "this"
	}
}

// scalar reads a value of fd's type; false after a fault, which it has noted.
func (d *decoder) scalar(fd protoreflect.FieldDescriptor, n ast.Node, path string) (protoreflect.Value, bool) {
	var value protoreflect.Value
	var fault string
	switch fd.Kind() {
	case protoreflect.StringKind:
		value, fault = text(n)
	case protoreflect.BoolKind:
		value, fault = boolean(n)
	case protoreflect.Uint32Kind:
		value, fault = unsigned(n, math.MaxUint32)
	case protoreflect.Uint64Kind:
		value, fault = unsigned(n, math.MaxInt64) // what an int64 holds: every count ends in one
	case protoreflect.DoubleKind:
		value, fault = number(n)
	case protoreflect.MessageKind:
		value, fault = duration(n)
	default:
		fault = "has a type that cannot be configured"
	}
	if fault != "" {
		if n.Type() == ast.NullType {
			fault = "has no value: take the line out, or give it one"
		}
		d.file.fail(path, lineOf(n), "%s", fault)
		return value, false
	}
	return value, true
}

func text(n ast.Node) (protoreflect.Value, string) {
	switch n := n.(type) {
	case *ast.StringNode:
		return protoreflect.ValueOfString(n.Value), ""
	case *ast.LiteralNode:
		return protoreflect.ValueOfString(n.Value.Value), ""
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return protoreflect.Value{}, "must be text: put it in quotes"
	default:
		return protoreflect.Value{}, "must be text, not " + kindOf(n)
	}
}

func boolean(n ast.Node) (protoreflect.Value, string) {
	if b, ok := n.(*ast.BoolNode); ok {
		return protoreflect.ValueOfBool(b.Value), ""
	}
	return protoreflect.Value{}, "must be true or false (in YAML 1.2 yes, no, on and off are text)"
}

func unsigned(n ast.Node, limit uint64) (protoreflect.Value, string) {
	i, ok := n.(*ast.IntegerNode)
	if s, digits := n.(*ast.StringNode); digits && s.Token.Type == token.StringType && strings.Trim(s.Value, "0123456789") == "" && s.Value != "" {
		return protoreflect.Value{}, fmt.Sprintf("is out of range: at most %d", limit) // too long for the parser's integers
	}
	if !ok {
		return protoreflect.Value{}, "must be a whole number, not " + kindOf(n)
	}
	var v uint64
	switch value := i.Value.(type) {
	case int64:
		if value < 0 {
			return protoreflect.Value{}, "must not be negative"
		}
		v = uint64(value)
	case uint64:
		v = value
	default:
		return protoreflect.Value{}, "is out of range"
	}
	if v > limit {
		return protoreflect.Value{}, fmt.Sprintf("is out of range: at most %d", limit)
	}
	if limit == math.MaxUint32 {
		return protoreflect.ValueOfUint32(uint32(v)), ""
	}
	return protoreflect.ValueOfUint64(v), ""
}

func number(n ast.Node) (protoreflect.Value, string) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		switch v := n.Value.(type) {
		case int64:
			return protoreflect.ValueOfFloat64(float64(v)), ""
		case uint64:
			return protoreflect.ValueOfFloat64(float64(v)), ""
		}
	case *ast.FloatNode:
		if !math.IsNaN(n.Value) && !math.IsInf(n.Value, 0) {
			return protoreflect.ValueOfFloat64(n.Value), ""
		}
	}
	return protoreflect.Value{}, "must be a finite number, not " + kindOf(n)
}

const wantDuration = `must be a duration with a unit, such as "30s", "1m30s" or "250ms"`

func duration(n ast.Node) (protoreflect.Value, string) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return protoreflect.Value{}, wantDuration
	}
	v, err := time.ParseDuration(s.Value)
	switch {
	case err != nil:
		return protoreflect.Value{}, wantDuration
	case v < 0 || strings.HasPrefix(s.Value, "-"):
		return protoreflect.Value{}, "must not be negative"
	}
	return protoreflect.ValueOfMessage(durationpb.New(v).ProtoReflect()), ""
}
