package fakeprovider

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"sort"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed testdata/openai.chat.json
var openaiDescription []byte

// openaiSchemas are the compiled schemas of the description. They are compiled once for all fakes.
var openaiSchemas = sync.OnceValues(func() (*openaiSpec, error) { return compileOpenAI(openaiDescription) })

type openaiSpec struct {
	request, response, chunk, list, fault *jsonschema.Schema
	fields                                map[string]bool // top-level members of a request
}

const schemaRoot = "#/components/schemas/"

// compileOpenAI turns an OpenAPI description into JSON Schema. Three things differ from what stands there: `nullable` and
// discriminators are OpenAPI's own and become JSON Schema; unions become if/then by type or by the member that tells their
// branches apart, so that the error of the branch that was meant is reported, as the vendor does; and objects with
// declared members are closed, because the vendor refuses unknown parameters although the description does not say so.
func compileOpenAI(description []byte) (*openaiSpec, error) {
	spec := &openaiSpec{}
	return spec, spec.compile(description, "CreateChatCompletionRequest", map[string]**jsonschema.Schema{
		"CreateChatCompletionRequest": &spec.request, "CreateChatCompletionResponse": &spec.response,
		"CreateChatCompletionStreamResponse": &spec.chunk, "ListModelsResponse": &spec.list, "ErrorResponse": &spec.fault,
	})
}

// compile compiles the named schemas of a description; request is the one whose members are the known fields.
func (spec *openaiSpec) compile(description []byte, request string, named map[string]**jsonschema.Schema) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(description))
	if err != nil {
		return err
	}
	p := &specPreparer{schemas: obj(obj(obj(doc)["components"])["schemas"])}
	prepared := map[string]any{}
	for name, s := range p.schemas {
		prepared[name] = p.prepare(obj(s))
	}
	c := jsonschema.NewCompiler()
	const url = "https://fakeprovider.invalid/openai.json"
	if err := c.AddResource(url, map[string]any{"components": map[string]any{"schemas": prepared}}); err != nil {
		return err
	}
	for name, dst := range named {
		if *dst, err = c.Compile(url + schemaRoot + name); err != nil {
			return fmt.Errorf("fakeprovider: %s: %w", name, err)
		}
	}
	spec.fields = map[string]bool{}
	for name := range obj(obj(prepared[request])["properties"]) {
		spec.fields[name] = true
	}
	return nil
}

type specPreparer struct{ schemas map[string]any }

// resolve follows references.
func (p *specPreparer) resolve(s map[string]any) map[string]any {
	for {
		ref := str(s["$ref"])
		if ref == "" {
			return s
		}
		s = obj(p.schemas[ref[len(schemaRoot):]])
	}
}

func (p *specPreparer) prepare(s map[string]any) map[string]any {
	if s["allOf"] != nil {
		s = p.merge(s)
	}
	if leaves := p.leaves(s, true); len(leaves) != 1 || isUnion(s) {
		return p.union(leaves)
	}
	out := map[string]any{}
	for k, v := range s {
		switch k {
		case "properties":
			props := map[string]any{}
			for name, sub := range obj(v) {
				props[name] = p.prepare(obj(sub))
			}
			out[k] = props
			if s["additionalProperties"] == nil {
				out["additionalProperties"] = false
			}
		case "items", "additionalProperties":
			out[k] = v
			if sub := obj(v); sub != nil {
				out[k] = p.prepare(sub)
			}
		case "nullable", "discriminator", "deprecated", "format", "x-oaiExpandable":
		default:
			out[k] = v
		}
	}
	return out
}

// merge folds an allOf of objects into one object.
func (p *specPreparer) merge(s map[string]any) map[string]any {
	properties := map[string]any{}
	var required []any
	for _, part := range list(s["allOf"]) {
		sub := p.resolve(obj(part))
		if sub["allOf"] != nil {
			sub = p.merge(sub)
		}
		maps.Copy(properties, obj(sub["properties"]))
		required = append(required, list(sub["required"])...)
	}
	return map[string]any{"type": "object", "properties": properties, "required": required}
}

func isUnion(s map[string]any) bool { return s["anyOf"] != nil || s["oneOf"] != nil }

// leaf is one branch of a union.
type leaf struct {
	schema map[string]any // as it stands, a reference perhaps
	kind   string         // JSON type, "" for any
	tag    string         // value of the member that names the branch
	by     string         // that member: type or role
}

// leaves flattens nested unions and nullability. inPlace: s itself is being prepared, so a plain s is its own leaf.
func (p *specPreparer) leaves(s map[string]any, inPlace bool) []leaf {
	var out []leaf
	target := p.resolve(s)
	switch {
	case isUnion(target):
		for _, k := range []string{"anyOf", "oneOf"} {
			for _, b := range list(target[k]) {
				out = append(out, p.leaves(obj(b), false)...)
			}
		}
	default:
		l := leaf{schema: without(s, "nullable"), kind: str(target["type"])}
		if l.kind == "object" || target["properties"] != nil {
			l.kind = "object"
			l.by, l.tag = tagOf(target)
		}
		out = append(out, l)
	}
	if boolean(s["nullable"]) || boolean(target["nullable"]) {
		out = append(out, leaf{schema: map[string]any{"type": "null"}, kind: "null"})
	}
	return out
}

func tagOf(s map[string]any) (by, tag string) {
	for _, by := range []string{"type", "role"} {
		if e := list(obj(obj(s["properties"])[by])["enum"]); len(e) == 1 {
			return by, str(e[0])
		}
	}
	return "", ""
}

func without(s map[string]any, key string) map[string]any {
	c := maps.Clone(s)
	delete(c, key)
	return c
}

// union asks first for the right JSON type, then, by if/then, for what that type's branches want.
func (p *specPreparer) union(leaves []leaf) map[string]any {
	byKind := map[string][]leaf{}
	var kinds []any
	for _, l := range leaves {
		if l.kind == "" {
			return map[string]any{}
		}
		if byKind[l.kind] == nil {
			kinds = append(kinds, l.kind)
		}
		byKind[l.kind] = append(byKind[l.kind], l)
	}
	sort.Slice(kinds, func(i, j int) bool { return kinds[i].(string) < kinds[j].(string) })
	all := make([]any, 0, len(kinds))
	for _, k := range kinds {
		all = append(all, map[string]any{"if": map[string]any{"type": k}, "then": p.branches(byKind[k.(string)])})
	}
	return map[string]any{"type": kinds, "allOf": all}
}

// branches are alternatives of one JSON type.
func (p *specPreparer) branches(leaves []leaf) map[string]any {
	if len(leaves) == 1 {
		return p.branch(leaves[0])
	}
	by := leaves[0].by
	var tags, all, plain []any
	for _, l := range leaves {
		plain = append(plain, p.branch(l))
		if l.by != by {
			by = ""
		}
		tags = append(tags, l.tag)
		all = append(all, map[string]any{
			"if":   map[string]any{"properties": map[string]any{l.by: map[string]any{"const": l.tag}}, "required": []any{l.by}},
			"then": p.branch(l),
		})
	}
	if by == "" {
		return map[string]any{"anyOf": plain}
	}
	return map[string]any{"required": []any{by}, "properties": map[string]any{by: map[string]any{"enum": tags}}, "allOf": all}
}

func (p *specPreparer) branch(l leaf) map[string]any {
	if l.schema["$ref"] != nil {
		return map[string]any{"$ref": l.schema["$ref"]}
	}
	return p.prepare(l.schema)
}
