package fakeprovider

import (
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// schemaError says in OpenAI's words what a validator found. Of several faults the first by path is reported, as the
// vendor reports one.
func schemaError(err error) *apiError {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return invalid("", "invalid_value", "%s", err.Error())
	}
	var found []*jsonschema.ValidationError
	collect(v, &found)
	sort.SliceStable(found, func(i, j int) bool {
		a, b := strings.Join(found[i].InstanceLocation, "\x00"), strings.Join(found[j].InstanceLocation, "\x00")
		if a != b {
			return a < b
		}
		return rank(found[i]) < rank(found[j])
	})
	return explain(found[0])
}

func collect(v *jsonschema.ValidationError, out *[]*jsonschema.ValidationError) {
	if len(v.Causes) == 0 {
		*out = append(*out, v)
		return
	}
	for _, c := range v.Causes {
		collect(c, out)
	}
}

// rank puts the more telling of two faults in one place first.
func rank(v *jsonschema.ValidationError) int {
	switch v.ErrorKind.(type) {
	case *kind.Type:
		return 0
	case *kind.Required:
		return 1
	case *kind.Enum:
		return 2
	}
	return 3
}

func explain(v *jsonschema.ValidationError) *apiError {
	path := dotted(v.InstanceLocation)
	switch k := v.ErrorKind.(type) {
	case *kind.Required:
		p := join(path, k.Missing[0])
		return invalid(p, "missing_required_parameter", "Missing required parameter: '%s'.", p)
	case *kind.AdditionalProperties:
		sort.Strings(k.Properties)
		p := join(path, k.Properties[0])
		return invalid(p, "unknown_parameter", "Unknown parameter: '%s'.", p)
	case *kind.Type:
		return invalid(path, "invalid_type", "Invalid type for '%s': expected %s, but got %s instead.", path, oneOf(k.Want), article(k.Got))
	case *kind.Enum:
		return invalid(path, "invalid_value", "Invalid value: '%v'. Supported values are: %s.", k.Got, quoted(k.Want))
	case *kind.Minimum:
		return invalid(path, "decimal_below_min_value",
			"Invalid '%s': decimal below minimum value. Expected a value >= %s, but got %s instead.", path, k.Want.RatString(), k.Got.FloatString(3))
	case *kind.Maximum:
		return invalid(path, "decimal_above_max_value",
			"Invalid '%s': decimal above maximum value. Expected a value <= %s, but got %s instead.", path, k.Want.RatString(), k.Got.FloatString(3))
	case *kind.MinItems:
		return invalid(path, "empty_array",
			"Invalid '%s': empty array. Expected an array with minimum length %d, but got an empty array instead.", path, k.Want)
	case *kind.MaxItems:
		return invalid(path, "array_above_max_length",
			"Invalid '%s': array too long. Expected an array with maximum length %d, but got an array with length %d instead.", path, k.Want, k.Got)
	case *kind.MaxLength:
		return invalid(path, "string_above_max_length",
			"Invalid '%s': string too long. Expected a string with maximum length %d, but got a string with length %d instead.", path, k.Want, k.Got)
	}
	return invalid(path, "invalid_value", "Invalid value for '%s'.", path)
}

// invalid is OpenAI's 400.
func invalid(param, code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "invalid_request_error", fmt.Sprintf(format, args...), param, code}
}

// dotted writes a location as OpenAI does: messages[0].content.
func dotted(location []string) string {
	var b strings.Builder
	for _, p := range location {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			b.WriteString("[" + p + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(p)
	}
	return b.String()
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func article(kind string) string {
	switch kind {
	case "null":
		return "null"
	case "object", "array", "integer":
		return "an " + kind
	}
	return "a " + kind
}

func oneOf(kinds []string) string {
	if len(kinds) == 1 {
		return article(kinds[0])
	}
	return "one of " + article(kinds[0]) + " or " + strings.Join(kinds[1:], " or ")
}

func quoted(values []any) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprintf("'%v'", v)
	}
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + ", and " + words[len(words)-1]
}
