package benchmodels

import (
	"fmt"
	"reflect"
	"regexp"
	"unicode/utf8"
)

// Schema is the part of JSON Schema that tasks need. A keyword beyond it is an error when the tasks are read: it is never passed over.
type Schema struct {
	Type       string             `json:"type,omitempty"`
	Properties map[string]*Schema `json:"properties,omitempty"`
	Required   []string           `json:"required,omitempty"`
	Additional *bool              `json:"additionalProperties,omitempty"`
	Items      *Schema            `json:"items,omitempty"`
	MinItems   int                `json:"minItems,omitempty"`
	MaxItems   *int               `json:"maxItems,omitempty"`
	Enum       []any              `json:"enum,omitempty"`
	Const      any                `json:"const,omitempty"`
	Pattern    string             `json:"pattern,omitempty"`
	MinLength  int                `json:"minLength,omitempty"`
	MaxLength  *int               `json:"maxLength,omitempty"`
	Minimum    *float64           `json:"minimum,omitempty"`
	Maximum    *float64           `json:"maximum,omitempty"`

	pattern *regexp.Regexp
}

func (s *Schema) compile(path string) (err error) {
	switch s.Type {
	case "", "object", "array", "string", "number", "integer", "boolean", "null":
	default:
		return fmt.Errorf("%s.type: there is no type %.20q", path, s.Type)
	}
	if s.Pattern != "" {
		if s.pattern, err = regexp.Compile(s.Pattern); err != nil {
			return fmt.Errorf("%s.pattern: %w", path, err)
		}
	}
	for name, p := range s.Properties {
		if p == nil {
			return fmt.Errorf("%s.properties.%s: is null", path, name)
		}
		if err := p.compile(path + ".properties." + name); err != nil {
			return err
		}
	}
	if s.Items != nil {
		return s.Items.compile(path + ".items")
	}
	return nil
}

// fits validates a decoded value.
func (s *Schema) fits(v any) bool {
	if s.Type != "" && !s.typed(v) || s.Const != nil && !reflect.DeepEqual(s.Const, v) {
		return false
	}
	if s.Enum != nil {
		found := false
		for _, e := range s.Enum {
			found = found || reflect.DeepEqual(e, v)
		}
		if !found {
			return false
		}
	}
	switch v := v.(type) {
	case map[string]any:
		return s.object(v)
	case []any:
		return s.array(v)
	case string:
		n := utf8.RuneCountInString(v)
		return n >= s.MinLength && (s.MaxLength == nil || n <= *s.MaxLength) && (s.pattern == nil || s.pattern.MatchString(v))
	case float64:
		return (s.Minimum == nil || v >= *s.Minimum) && (s.Maximum == nil || v <= *s.Maximum)
	}
	return true
}

func (s *Schema) typed(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return s.Type == "object"
	case []any:
		return s.Type == "array"
	case string:
		return s.Type == "string"
	case float64:
		return s.Type == "number" || s.Type == "integer" && v == float64(int64(v))
	case bool:
		return s.Type == "boolean"
	}
	return s.Type == "null"
}

func (s *Schema) object(v map[string]any) bool {
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			return false
		}
	}
	for name, value := range v {
		p := s.Properties[name]
		if p == nil && s.Additional != nil && !*s.Additional || p != nil && !p.fits(value) {
			return false
		}
	}
	return true
}

func (s *Schema) array(v []any) bool {
	if len(v) < s.MinItems || s.MaxItems != nil && len(v) > *s.MaxItems {
		return false
	}
	for _, item := range v {
		if s.Items != nil && !s.Items.fits(item) {
			return false
		}
	}
	return true
}
