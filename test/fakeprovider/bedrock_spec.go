package fakeprovider

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"
)

// bedrockDescription is the vendor's description of the service as its SDK for Python carries it.
//
//go:embed testdata/bedrock.converse.json
var bedrockDescription []byte

var bedrockShapes = sync.OnceValues(func() (map[string]*bedrockShape, error) {
	var doc struct {
		Shapes map[string]*bedrockShape `json:"shapes"`
	}
	if err := json.Unmarshal(bedrockDescription, &doc); err != nil {
		return nil, err
	}
	for name, s := range doc.Shapes {
		if s.Pattern == "" {
			continue
		}
		re, err := regexp.Compile(`^(?:` + s.Pattern + `)$`)
		if err != nil {
			return nil, fmt.Errorf("fakeprovider: pattern of %s: %w", name, err)
		}
		s.pattern = re
	}
	return doc.Shapes, nil
})

// bedrockShape is one type of the description.
type bedrockShape struct {
	Type     string                `json:"type"`
	Required []string              `json:"required"`
	Enum     []string              `json:"enum"`
	Min, Max *float64              // of a number, or of a length
	Pattern  string                `json:"pattern"`
	Union    bool                  `json:"union"`
	Document bool                  `json:"document"`
	Members  map[string]bedrockRef `json:"members"`
	Member   bedrockRef            `json:"member"`
	Value    bedrockRef            `json:"value"`
	pattern  *regexp.Regexp
}

type bedrockRef struct {
	Shape    string `json:"shape"`
	Location string `json:"location"`
}

// bedrockChecker holds a value against a shape; the first thing that is wrong ends it.
type bedrockChecker struct {
	shapes map[string]*bedrockShape
	err    *apiError
}

func (c *bedrockChecker) refuse(path, format string, args ...any) {
	if c.err == nil {
		c.err = invalidAt("1 validation error detected: Value at '%s' failed to satisfy constraint: %s", path, fmt.Sprintf(format, args...))
	}
}

func (c *bedrockChecker) check(path, shape string, v any) {
	s := c.shapes[shape]
	if c.err != nil {
		return
	}
	switch {
	case s.Document:
	case s.Type == "structure":
		c.structure(path, s, v)
	case s.Type == "list":
		l, ok := v.([]any)
		if !ok {
			c.refuse(path, "Member must be a list")
			return
		}
		c.length(path, s, len(l))
		for i, e := range l {
			c.check(fmt.Sprintf("%s.%d.member", path, i+1), s.Member.Shape, e)
		}
	case s.Type == "map":
		m, ok := v.(map[string]any)
		if !ok {
			c.refuse(path, "Member must be a map")
			return
		}
		for k, e := range m {
			c.check(path+"."+k, s.Value.Shape, e)
		}
	default:
		c.scalar(path, s, v)
	}
}

func (c *bedrockChecker) structure(path string, s *bedrockShape, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		c.refuse(path, "Member must be an object")
		return
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		ref, known := s.Members[name]
		if !known || ref.Location != "" {
			c.refuse(path, "extraneous key [%s] is not permitted", name)
			return
		}
		c.check(strings.TrimPrefix(path+"."+name, "."), ref.Shape, m[name])
	}
	for _, name := range s.Required {
		if s.Members[name].Location == "" && m[name] == nil {
			c.refuse(strings.TrimPrefix(path+"."+name, "."), "Member must not be null")
		}
	}
	if s.Union && len(m) != 1 {
		c.refuse(path, "Member must have exactly one member set")
	}
}

func (c *bedrockChecker) scalar(path string, s *bedrockShape, v any) {
	switch s.Type {
	case "string":
		text, ok := v.(string)
		switch {
		case !ok:
			c.refuse(path, "Member must be a string")
		case len(s.Enum) > 0 && !slices.Contains(s.Enum, text):
			c.refuse(path, "Member must satisfy enum value set: [%s]", strings.Join(s.Enum, ", "))
		case s.pattern != nil && !s.pattern.MatchString(text):
			c.refuse(path, "Member must satisfy regular expression pattern: %s", s.Pattern)
		default:
			c.length(path, s, utf8.RuneCountInString(text))
		}
	case "blob":
		data, err := base64.StdEncoding.DecodeString(str(v))
		if _, ok := v.(string); !ok || err != nil {
			c.refuse(path, "Member must be base64")
			return
		}
		c.length(path, s, len(data))
	case "boolean":
		if _, ok := v.(bool); !ok {
			c.refuse(path, "Member must be a boolean")
		}
	default:
		n, ok := number(v)
		switch whole := s.Type != "float" && s.Type != "double"; {
		case !ok || whole && n != math.Trunc(n):
			c.refuse(path, "Member must be a number of type %s", s.Type)
		case s.Min != nil && n < *s.Min:
			c.refuse(path, "Member must be greater than or equal to %v", *s.Min)
		case s.Max != nil && n > *s.Max:
			c.refuse(path, "Member must be less than or equal to %v", *s.Max)
		}
	}
}

func (c *bedrockChecker) length(path string, s *bedrockShape, n int) {
	if s.Min != nil && float64(n) < *s.Min {
		c.refuse(path, "Member must have length greater than or equal to %v", *s.Min)
	}
	if s.Max != nil && float64(n) > *s.Max {
		c.refuse(path, "Member must have length less than or equal to %v", *s.Max)
	}
}
