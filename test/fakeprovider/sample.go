package fakeprovider

import (
	"encoding/json"
	"sort"
)

// sample makes a value that fits a JSON Schema: the first enum value, every property, one element. References and
// schemas nested deeper than 8 become null.
func sample(schema map[string]any, depth int) any {
	if depth > 8 {
		return nil
	}
	if v, ok := schema["const"]; ok {
		return v
	}
	if e := list(schema["enum"]); len(e) > 0 {
		return e[0]
	}
	for _, k := range []string{"anyOf", "oneOf", "allOf"} {
		if branches := list(schema[k]); len(branches) > 0 {
			return sample(obj(branches[0]), depth+1)
		}
	}
	switch typeOf(schema) {
	case "object":
		return sampleObject(schema, depth)
	case "array":
		if items := obj(schema["items"]); items != nil {
			return []any{sample(items, depth+1)}
		}
		return []any{}
	case "string":
		return "value"
	case "integer":
		return json.Number("1")
	case "number":
		return json.Number("1.5")
	case "boolean":
		return true
	}
	return nil
}

func typeOf(schema map[string]any) string {
	switch t := schema["type"].(type) {
	case string:
		return t
	case []any:
		if len(t) > 0 {
			return str(t[0])
		}
	}
	if schema["properties"] != nil {
		return "object"
	}
	return ""
}

func sampleObject(schema map[string]any, depth int) map[string]any {
	properties := obj(schema["properties"])
	names := make([]string, 0, len(properties))
	for name := range properties {
		names = append(names, name)
	}
	sort.Strings(names)
	out := map[string]any{}
	for _, name := range names {
		out[name] = sample(obj(properties[name]), depth+1)
	}
	return out
}
