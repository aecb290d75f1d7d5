// Package rules compiles and evaluates the conditions of `rules`: CEL expressions over what is known of a request before a model is
// chosen. They are checked when the configuration is read, cost nothing where there are none, and can neither loop nor call out.
package rules

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"
)

const (
	// maxSource bounds an expression in bytes.
	maxSource = 4000
	// maxCost bounds one evaluation, in CEL's own units of about an operation or ten bytes of text each.
	maxCost = 10_000
)

// Input is what a condition can ask about. Maps and lists are only read.
type Input struct {
	Tenant, Team, Key string
	Tags              map[string]string // of the key and what stands above it
	Model             string            // as the client said it
	User              string            // the end user's id, as the client gave it
	Schema, Path      string            // of the client's request
	Tokens, MaxTokens int64             // estimated input; the output cap, 0 when there is none
	Stream            bool              //
	Tools, Images     int64             // how many
	Time              time.Time         //
	Headers           map[string]string // by lower-case name
	Metadata          func() map[string]string
	Classify          func() (task string, difficulty float64)
}

// UsualHeaders are the headers that come in without being configured and that a condition may read; those that carry credentials
// are none of them.
var UsualHeaders = []string{
	"accept", "anthropic-beta", "anthropic-version", "content-type", "origin", "user-agent", "x-client-request-id", "x-session-id",
	"x-forwarded-for", "x-request-id",
}

// Wants says what a condition looks at that costs something to find out, or that not every request has: Body is anything that stands in a
// body alone, Model the model.
type Wants struct{ Metadata, Class, Headers, Body, Model bool }

// variables are the names that a condition knows, and their types.
var variables = []struct {
	name string
	kind *cel.Type
	get  func(*activation) any
}{
	{"tenant", cel.StringType, func(a *activation) any { return types.String(a.in.Tenant) }},
	{"team", cel.StringType, func(a *activation) any { return types.String(a.in.Team) }},
	{"key", cel.StringType, func(a *activation) any { return types.String(a.in.Key) }},
	{"tags", cel.MapType(cel.StringType, cel.StringType), func(a *activation) any { return stringMap(a.in.Tags) }},
	{"model", cel.StringType, func(a *activation) any { return types.String(a.in.Model) }},
	{"user", cel.StringType, func(a *activation) any { return types.String(a.in.User) }},
	{"schema", cel.StringType, func(a *activation) any { return types.String(a.in.Schema) }},
	{"path", cel.StringType, func(a *activation) any { return types.String(a.in.Path) }},
	{"tokens", cel.IntType, func(a *activation) any { return types.Int(a.in.Tokens) }},
	{"max_tokens", cel.IntType, func(a *activation) any { return types.Int(a.in.MaxTokens) }},
	{"stream", cel.BoolType, func(a *activation) any { return types.Bool(a.in.Stream) }},
	{"tools", cel.IntType, func(a *activation) any { return types.Int(a.in.Tools) }},
	{"images", cel.IntType, func(a *activation) any { return types.Int(a.in.Images) }},
	{"time", cel.TimestampType, func(a *activation) any { return types.Timestamp{Time: a.in.Time} }},
	{"headers", cel.MapType(cel.StringType, cel.StringType), func(a *activation) any { return stringMap(a.in.Headers) }},
	{"metadata", cel.MapType(cel.StringType, cel.StringType), func(a *activation) any { return stringMap(a.metadata()) }},
	{"task", cel.StringType, func(a *activation) any { a.classify(); return types.String(a.task) }},
	{"difficulty", cel.DoubleType, func(a *activation) any { a.classify(); return types.Double(a.difficulty) }},
}

func stringMap(m map[string]string) ref.Val {
	return types.NewStringStringMap(types.DefaultTypeAdapter, m)
}

// Names lists the variables in their order.
func Names() []string {
	names := make([]string, len(variables))
	for i := range variables {
		names[i] = variables[i].name
	}
	return names
}

var byName = func() map[string]func(*activation) any {
	m := make(map[string]func(*activation) any, len(variables))
	for i := range variables {
		m[variables[i].name] = variables[i].get
	}
	return m
}()

// environment is made once: it takes milliseconds, and most configurations have no rule.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{
		ext.Strings(ext.StringsVersion(2)), cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxSource),
	}
	for i := range variables {
		options = append(options, cel.Variable(variables[i].name, variables[i].kind))
	}
	return cel.NewEnv(options...)
})

// Condition is a compiled expression. It is safe for concurrent use.
type Condition struct {
	source  string
	program cel.Program
	wants   Wants
	reads   []string // the headers that it names
}

// Compile checks an expression. The error says what is wrong and where in the expression: "2:14: undeclared reference to 'foo'".
func Compile(source string) (*Condition, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("is longer than %d bytes", maxSource)
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(source)
	if err := issues.Err(); err != nil {
		return nil, errors.New(position(issues))
	}
	if checked.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("1:1: is of type %s; a condition must be true or false", checked.OutputType())
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
	}
	c := &Condition{source: source, program: program}
	c.look(checked.NativeRep())
	return c, nil
}

// position is the first issue, as line:column and what is wrong.
func position(issues *cel.Issues) string {
	first := issues.Errors()[0]
	text := fmt.Sprintf("%d:%d: %s", max(first.Location.Line(), 1), max(first.Location.Column()+1, 1), strings.Split(first.Message, "\n")[0])
	text = strings.ReplaceAll(text, " (in container '')", "")
	if strings.Contains(text, "undeclared reference") {
		text += "; there are " + strings.Join(Names(), ", ")
	}
	return text
}

// look finds out what the expression reads.
func (c *Condition) look(a *ast.AST) {
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			switch e.AsIdent() {
			case "metadata":
				c.wants.Metadata, c.wants.Body = true, true
			case "task", "difficulty":
				c.wants.Class, c.wants.Body = true, true
			case "tokens", "max_tokens", "stream", "tools", "images", "user":
				c.wants.Body = true
			case "model":
				c.wants.Model = true
			case "headers":
				c.wants.Headers = true
			}
		case ast.SelectKind:
			if s := e.AsSelect(); s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "headers" {
				c.reads = append(c.reads, s.FieldName())
			}
		case ast.CallKind:
			c.lookCall(e.AsCall())
		}
	}))
}

// lookCall finds headers["x-team"] and "x-team" in headers.
func (c *Condition) lookCall(call ast.CallExpr) {
	if len(call.Args()) != 2 {
		return
	}
	of, name := call.Args()[0], call.Args()[1]
	if call.FunctionName() == "@in" {
		of, name = name, of
	} else if call.FunctionName() != "_[_]" {
		return
	}
	if of.Kind() == ast.IdentKind && of.AsIdent() == "headers" && name.Kind() == ast.LiteralKind {
		if text, ok := name.AsLiteral().(types.String); ok {
			c.reads = append(c.reads, string(text))
		}
	}
}

// Source is the expression as it was written.
func (c *Condition) Source() string { return c.source }

// Wants says what it looks at.
func (c *Condition) Wants() Wants { return c.wants }

// Headers are the names that it reads as constants.
func (c *Condition) Headers() []string { return c.reads }

// Holds evaluates the condition. An error (a key that is not in a map, an evaluation that costs too much) is for the log: the
// condition did not hold.
func (c *Condition) Holds(in *Input) (bool, error) {
	out, _, err := c.program.Eval(&activation{in: in})
	if err != nil {
		return false, err
	}
	yes, ok := out.(types.Bool)
	return ok && bool(yes), nil
}

// activation gives a condition its variables, and finds out what costs something only when it is asked for.
type activation struct {
	in         *Input
	meta       map[string]string
	metaRead   bool
	task       string
	difficulty float64
	classified bool
}

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	get, ok := byName[name]
	if !ok {
		return nil, false
	}
	return get(a), true
}

// Parent implements cel.Activation.
func (a *activation) Parent() cel.Activation { return nil }

func (a *activation) metadata() map[string]string {
	if !a.metaRead && a.in.Metadata != nil {
		a.meta = a.in.Metadata()
	}
	a.metaRead = true
	return a.meta
}

func (a *activation) classify() {
	if !a.classified && a.in.Classify != nil {
		a.task, a.difficulty = a.in.Classify()
	}
	a.classified = true
}
