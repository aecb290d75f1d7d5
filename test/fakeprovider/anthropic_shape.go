package fakeprovider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// shape checks the type and members of one value, in the words of the validator that the vendor uses (pydantic's).
type shape func(path string, v any) *apiError

// member is one field of an object.
type member struct {
	name     string
	required bool
	shape    shape
}

func need(name string, s shape) member { return member{name, true, s} }

func may(name string, s shape) member { return member{name, false, s} }

// refuseAt is Anthropic's 400; its messages begin with the place of the fault.
func refuseAt(path, format string, args ...any) *apiError {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	return &apiError{status: http.StatusBadRequest, kind: "invalid_request_error", message: text}
}

// object wants these members and no others.
func object(members ...member) shape {
	return func(path string, v any) *apiError {
		o, ok := v.(map[string]any)
		if !ok {
			return refuseAt(path, "Input should be a valid dictionary")
		}
		known := map[string]bool{}
		for _, m := range members {
			known[m.name] = true
			value, given := o[m.name]
			at := under(path, m.name)
			switch {
			case !given && m.required:
				return refuseAt(at, "Field required")
			case given:
				if e := m.shape(at, value); e != nil {
					return e
				}
			}
		}
		return strayMember(path, o, known)
	}
}

func strayMember(path string, o map[string]any, known map[string]bool) *apiError {
	var stray []string
	for name := range o {
		if !known[name] {
			stray = append(stray, name)
		}
	}
	if len(stray) == 0 {
		return nil
	}
	sort.Strings(stray)
	return refuseAt(under(path, stray[0]), "Extra inputs are not permitted")
}

func under(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// tagged is a union whose branch the member `type` names. The branch's name becomes part of the path, as the vendor's
// messages have it: messages.0.content.1.image.source.base64.data.
func tagged(branches map[string]shape) shape {
	names := make([]string, 0, len(branches))
	for n := range branches {
		names = append(names, n)
	}
	sort.Strings(names)
	return func(path string, v any) *apiError {
		o, ok := v.(map[string]any)
		if !ok {
			return refuseAt(path, "Input should be an object")
		}
		tag, given := o["type"]
		if !given {
			return refuseAt(path+".type", "Field required")
		}
		branch := branches[str(tag)]
		if branch == nil {
			return refuseAt(path, "Input tag '%v' found using 'type' does not match any of the expected tags: %s", tag, quotedList(names))
		}
		return branch(path+"."+str(tag), v)
	}
}

func quotedList(names []string) string { return "'" + strings.Join(names, "', '") + "'" }

// array wants a list of s.
func array(s shape) shape {
	return func(path string, v any) *apiError {
		l, ok := v.([]any)
		if !ok {
			return refuseAt(path, "Input should be a valid list")
		}
		for i, e := range l {
			if err := s(path+"."+strconv.Itoa(i), e); err != nil {
				return err
			}
		}
		return nil
	}
}

// textOr takes a string, or what s takes.
func textOr(s shape) shape {
	return func(path string, v any) *apiError {
		if _, ok := v.(string); ok {
			return nil
		}
		if _, ok := v.([]any); !ok {
			return refuseAt(path, "Input should be a valid string or a list of content blocks")
		}
		return s(path, v)
	}
}

// null also takes null.
func null(s shape) shape {
	return func(path string, v any) *apiError {
		if v == nil {
			return nil
		}
		return s(path, v)
	}
}

func anyText(path string, v any) *apiError {
	if _, ok := v.(string); !ok {
		return refuseAt(path, "Input should be a valid string")
	}
	return nil
}

func someText(path string, v any) *apiError {
	if e := anyText(path, v); e != nil {
		return e
	}
	if v == "" {
		return refuseAt(path, "String should have at least 1 character")
	}
	return nil
}

// textUpTo wants 1 to n characters.
func textUpTo(n int) shape {
	return func(path string, v any) *apiError {
		if e := someText(path, v); e != nil {
			return e
		}
		if len([]rune(v.(string))) > n {
			return refuseAt(path, "String should have at most %d characters", n)
		}
		return nil
	}
}

func named(limit int, pattern string) shape {
	return func(path string, v any) *apiError {
		if e := anyText(path, v); e != nil {
			return e
		}
		if s := v.(string); !plainName(s) || limit > 0 && len(s) > limit {
			return refuseAt(path, "String should match pattern '%s'", pattern)
		}
		return nil
	}
}

// literal wants one of these strings.
func literal(values ...string) shape {
	return func(path string, v any) *apiError {
		if s, ok := v.(string); ok && slices.Contains(values, s) {
			return nil
		}
		head, last := values[:len(values)-1], values[len(values)-1]
		if len(head) == 0 {
			return refuseAt(path, "Input should be '%s'", last)
		}
		return refuseAt(path, "Input should be %s or '%s'", quotedList(head), last)
	}
}

func flag(path string, v any) *apiError {
	if _, ok := v.(bool); !ok {
		return refuseAt(path, "Input should be a valid boolean")
	}
	return nil
}

// whole wants an integer of at least low.
func whole(low int64) shape {
	return func(path string, v any) *apiError {
		n, ok := v.(json.Number)
		if !ok {
			return refuseAt(path, "Input should be a valid integer")
		}
		i, err := n.Int64()
		if err != nil {
			return refuseAt(path, "Input should be a valid integer")
		}
		if i < low {
			return refuseAt(path, "Input should be greater than or equal to %d", low)
		}
		return nil
	}
}

// between wants a number from low to high.
func between(low, high float64) shape {
	return func(path string, v any) *apiError {
		f, ok := number(v)
		switch {
		case !ok:
			return refuseAt(path, "Input should be a valid number")
		case f < low:
			return refuseAt(path, "Input should be greater than or equal to %g", low)
		case f > high:
			return refuseAt(path, "range: %g..%g", low, high)
		}
		return nil
	}
}

func dictionary(path string, v any) *apiError {
	if _, ok := v.(map[string]any); !ok {
		return refuseAt(path, "Input should be a valid dictionary")
	}
	return nil
}

func anything(string, any) *apiError { return nil }
