package benchmodels

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Check is one rule for an answer. Exactly one of its members is set, Required apart.
type Check struct {
	Exact    []string  `json:"exact,omitempty"`     // the answer is one of these, but for case, punctuation at its ends and Markdown
	Numeric  *Numeric  `json:"numeric,omitempty"`   // the last number in it
	Regex    string    `json:"regex,omitempty"`     // RE2, matches somewhere
	Contains []string  `json:"contains,omitempty"`  // holds all of these, whatever their case; a|b is one or the other
	Lacks    []string  `json:"lacks,omitempty"`     // holds none of these
	Words    *Range    `json:"words,omitempty"`     // how many
	Lines    *Range    `json:"lines,omitempty"`     // how many that are not empty
	EachLine string    `json:"each_line,omitempty"` // RE2 that each line that is not empty matches
	Schema   *Schema   `json:"schema,omitempty"`    // is JSON, alone or fenced, that fits
	Pattern  *Examples `json:"pattern,omitempty"`   // is itself a regular expression (RE2), which is tried on examples

	// Required checks come first: an answer that breaks one scores 0, whatever else it holds. So nobody earns points by repeating the prompt.
	Required bool `json:"required,omitempty"`

	regex *regexp.Regexp
}

// Numeric is a number, and how far from it is still right.
type Numeric struct {
	Value     float64 `json:"value"`
	Tolerance float64 `json:"tolerance,omitempty"`
}

// Range bounds a count, both ends included; 0 as Max is no bound.
type Range struct {
	Min int `json:"min,omitempty"`
	Max int `json:"max,omitempty"`
}

// Examples are texts that a regular expression has to match as a whole, and texts that it must not.
type Examples struct {
	Match   []string `json:"match"`
	Differs []string `json:"differs"`
}

// compile checks the check. Its errors begin with the member's path.
func (c *Check) compile() (err error) {
	set := 0
	for _, there := range []bool{c.Exact != nil, c.Numeric != nil, c.Regex != "", c.Contains != nil, c.Lacks != nil, c.Words != nil, c.Lines != nil,
		c.EachLine != "", c.Schema != nil, c.Pattern != nil} {
		if there {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf(": wants exactly one of exact, numeric, regex, contains, lacks, words, lines, each_line, schema and pattern; it has %d", set)
	}
	if text := c.Regex + c.EachLine; text != "" {
		if c.regex, err = regexp.Compile(text); err != nil {
			return fmt.Errorf(": %w", err)
		}
	}
	if c.Pattern != nil && len(c.Pattern.Match) == 0 {
		return fmt.Errorf(".pattern.match: is empty")
	}
	if c.Schema != nil {
		return c.Schema.compile(".schema")
	}
	return nil
}

// maxAnswer bounds what of an answer is graded, in bytes.
const maxAnswer = 256 << 10

// passes says whether an answer keeps the rule.
func (c *Check) passes(answer string) bool {
	if len(answer) > maxAnswer {
		answer = answer[:maxAnswer]
	}
	switch {
	case c.Exact != nil:
		return c.exact(answer)
	case c.Numeric != nil:
		v, ok := lastNumber(answer)
		return ok && math.Abs(v-c.Numeric.Value) <= c.Numeric.Tolerance+1e-9
	case c.Regex != "":
		return c.regex.MatchString(answer)
	case c.Contains != nil:
		return containsAll(answer, c.Contains)
	case c.Lacks != nil:
		for _, word := range c.Lacks {
			if containsAll(answer, []string{word}) {
				return false
			}
		}
		return strings.TrimSpace(answer) != ""
	case c.Words != nil:
		return c.Words.holds(len(strings.Fields(answer)))
	case c.Lines != nil:
		return c.Lines.holds(len(lines(answer)))
	case c.EachLine != "":
		return c.eachLine(answer)
	case c.Schema != nil:
		var v any
		return json.Unmarshal([]byte(unfence(answer)), &v) == nil && c.Schema.fits(v)
	case c.Pattern != nil:
		return c.Pattern.hold(answer)
	}
	return false
}

func (c *Check) exact(answer string) bool {
	for _, want := range c.Exact {
		if plain(answer) == plain(want) {
			return true
		}
	}
	return false
}

// plain is a text without case, Markdown and what stands around its words.
func plain(s string) string {
	s = strings.ToLower(strings.NewReplacer("**", "", "`", "", "\u00a0", " ").Replace(s))
	s = strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsPunct(r) && r != '-' && r != '(' && r != ')' })
	return strings.Join(strings.Fields(s), " ")
}

var number = regexp.MustCompile(`-?\d[\d,]*(?:\.\d+)?`)

// lastNumber reads 1,234.5 and −7: answers end in their result.
func lastNumber(s string) (float64, bool) {
	all := number.FindAllString(strings.ReplaceAll(s, "−", "-"), -1)
	if len(all) == 0 {
		return 0, false
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(all[len(all)-1], ",", ""), 64)
	return v, err == nil
}

func containsAll(answer string, words []string) bool {
	answer = strings.ToLower(answer)
	for _, word := range words {
		found := false
		for _, either := range strings.Split(word, "|") {
			found = found || strings.Contains(answer, strings.ToLower(either))
		}
		if !found {
			return false
		}
	}
	return true
}

func (r *Range) holds(n int) bool { return n >= r.Min && (r.Max == 0 || n <= r.Max) }

func lines(s string) (out []string) {
	for _, line := range strings.Split(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

func (c *Check) eachLine(answer string) bool {
	all := lines(answer)
	for _, line := range all {
		if !c.regex.MatchString(line) {
			return false
		}
	}
	return len(all) > 0
}

// unfence is what stands in the answer's first fenced block, or all of it.
func unfence(s string) string {
	_, rest, ok := strings.Cut(s, "```")
	if !ok {
		return strings.TrimSpace(s)
	}
	if first, after, ok := strings.Cut(rest, "\n"); ok && !strings.ContainsAny(strings.TrimSpace(first), " {}[]") {
		rest = after // the name of a language
	}
	inside, _, _ := strings.Cut(rest, "```")
	return strings.TrimSpace(inside)
}

// maxPattern bounds a model's regular expression in bytes; RE2 takes linear time whatever it says.
const maxPattern = 1000

func (e *Examples) hold(answer string) bool {
	text := strings.Trim(unfence(answer), "`/ \n")
	if text == "" || len(text) > maxPattern {
		return false
	}
	re, err := regexp.Compile(`^(?:` + strings.TrimSuffix(strings.TrimPrefix(text, "^"), "$") + `)$`)
	if err != nil {
		return false
	}
	for _, s := range e.Match {
		if !re.MatchString(s) {
			return false
		}
	}
	for _, s := range e.Differs {
		if re.MatchString(s) {
			return false
		}
	}
	return true
}

// Grade is the share of a task's checks that an answer passes, 0..1.
func (t *Task) Grade(answer string) float64 {
	passed := 0
	for i := range t.Checks {
		if t.Checks[i].passes(answer) {
			passed++
		} else if t.Checks[i].Required {
			return 0
		}
	}
	return float64(passed) / float64(len(t.Checks))
}
