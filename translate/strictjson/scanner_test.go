package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
)

func asFault(t testing.TB, err error) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) {
		t.Fatalf("the error is %T (%v), want a *fault.Fault", err, err)
	}
	return f
}

func TestScan_accepts(t *testing.T) {
	for _, body := range []string{
		`{}`, " { } \n", `{"a":1}`, `{"a":[],"b":{},"c":[1,2,{"a":null}]}`,
		`{"n":[0,-0,1.5,-1e5,1E+30,0.0001e-7,123456789012345678901234567890]}`,
		`{"s":"plain","e":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}`,
		`{"lone":"\ud83d","back":"\ude00\ud83d"}`, `{"u":"é漢😀 and more text behind it"}`, `{"t":[true,false,null]}`,
		"{\"del\":\"\x7f\"}", `{"":0}`, `{"a":{"a":{"a":1}}}`,
		`{"nul":"\u0000"}`, `{"deep":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `}`,
	} {
		if _, err := strictjson.Scan([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if !json.Valid([]byte(body)) {
			t.Errorf("%s: the test's own input is not JSON", body)
		}
	}
}

func TestScan_refuses(t *testing.T) {
	cases := []struct{ body, param, message string }{
		{``, "", "is empty"},
		{" \n", "", "is empty"},
		{`[]`, "", "must be an object, not an array"},
		{`"x"`, "", "must be an object, not a string"},
		{`nul`, "", "must be an object, not null"},
		{`{`, "", "ends too early (line 1, column 2, byte 1)"},
		{`{"a"`, "a", "ends too early"},
		{`{"a":`, "a", "ends too early"},
		{`{"a":tr`, "a", "ends too early"},
		{`{"a":"x`, "a", "ends too early"},
		{`{"a":"x\`, "a", "ends too early"},
		{`{"a":"\u12`, "a", "ends too early"},
		{`{"a":-`, "a", "ends too early"},
		{`{"a":[1,`, "a[1]", "ends too early"},
		{"{\n \"a\": 1,\n \"b\": x\n}", "b", "expected a value, found 'x' (line 3, column 7, byte 17, in b)"},
		{`{"a":1,}`, "", "expected a member's name in double quotes, found '}'"},
		{`{a:1}`, "", "expected a member's name"},
		{`{'a':1}`, "", "expected a member's name"},
		{`{"a" 1}`, "a", "expected a colon, found '1'"},
		{`{"a":1 "b":2}`, "a", "expected a comma or the end of an object"},
		{`{"a":[1 2]}`, "a[0]", "expected a comma or the end of an array"},
		{`{"a":[1,]}`, "a[1]", "expected a value, found ']'"},
		{`{"a":[,1]}`, "a[0]", "expected a value, found ','"},
		{`{"a":1]`, "a", "expected a comma or the end of an object"},
		{`{"a":01}`, "a", "expected a comma"},
		{`{"a":+1}`, "a", "expected a value, found '+'"},
		{`{"a":.5}`, "a", "expected a value"},
		{`{"a":1.}`, "a", "expected a digit, found '}'"},
		{`{"a":1e}`, "a", "expected a digit"},
		{`{"a":--1}`, "a", "expected a digit, found '-'"},
		{`{"a":NaN}`, "a", "expected a value, found 'N'"},
		{`{"a":nulL}`, "a", "expected null, found 'L'"},
		{`{"a":truE}`, "a", "expected true"},
		{`{"a":"\x"}`, "a", "no escape sequence begins with a backslash and 'x'"},
		{`{"a":"\u12g4"}`, "a", "expected four hexadecimal digits after \\u, found 'g'"},
		{"{\"a\":\"x\ny\"}", "a", "the control character 0x0a in a string must be escaped"},
		{"{\"a\":\"long enough for a word\x00y\"}", "a", "control character 0x00"},
		{"{\"a\":\"\xff\"}", "a", "is not valid UTF-8"},
		{"{\"a\":\"\xed\xa0\x80\"}", "a", "is not valid UTF-8"},
		{"{\"a\":\"\xc0\xaf and a tail that is long\"}", "a", "is not valid UTF-8"},
		{"{\"k\xff\":1}", "", "is not valid UTF-8"},
		{"\ufeff{}", "", "expected a value, found"},
		{`{} x`, "", "after the end of the document"},
		{`{}{}`, "", "after the end of the document"},
		{`{"a":1,"a":2}`, "", `has the member "a" twice`},
		{`{"a":1,"\u0061":2}`, "", `has the member "a" twice`},
		{`{"\u0061":1,"a":2}`, "", `has the member "a" twice`},
		{`{"x":[{"a":{"b":1,"c":2,"b":3}}]}`, "x[0].a", `has the member "b" twice`},
		{`{"":1,"":2}`, "", `has the member "" twice`},
		{`{"/* no */":1,/* x */"b":2}`, "", "expected a member's name"},
		{`{"deep":` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + `}`, "*", "nested deeper than 128 levels"},
	}
	for _, c := range cases {
		_, err := strictjson.Scan([]byte(c.body))
		if err == nil {
			t.Errorf("%q: accepted", c.body)
			continue
		}
		f := asFault(t, err)
		if f.Kind != fault.InvalidRequest || !strings.Contains(f.Message, c.message) {
			t.Errorf("%q: %v, want %q in it", c.body, f, c.message)
		}
		if c.param != "*" && f.Param != c.param {
			t.Errorf("%q: param %q, want %q", c.body, f.Param, c.param)
		}
	}
}

func TestScan_fields(t *testing.T) {
	body := " {\"model\" : \"m\" ,\n\"k\\u0065y\":[1, 2] , \"o\":{\"a\":1}\n} "
	fields, err := strictjson.Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range fields {
		got = append(got, fmt.Sprintf("%s|%s|%s", f.Name, body[f.KeyStart:f.Start], body[f.Start:f.End]))
	}
	want := []string{`model|"model" : |"m"`, `key|"k\u0065y":|[1, 2]`, `o|"o":|{"a":1}`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A repeated name must be found wherever the hash table begins, grows, and has names of inner objects above it.
func TestScan_duplicates_in_objects_of_every_size(t *testing.T) {
	for _, n := range []int{1, 2, 15, 16, 17, 18, 31, 33, 64, 100, 1000} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"key-%d":{"key-%d":[{"x":1,"y":2}]},`, i, i)
		}
		members := b.String()
		if _, err := strictjson.Scan([]byte(`{"o":{` + strings.TrimSuffix(members, ",") + `}}`)); err != nil {
			t.Fatalf("%d different members: %v", n, err)
		}
		for _, twice := range []int{0, n / 2, n - 1} {
			_, err := strictjson.Scan(fmt.Appendf(nil, `{"o":{%s"key-\u003%d%s":0}}`, members, twice%10, fmt.Sprint(twice)[1:]))
			if twice >= 10 {
				_, err = strictjson.Scan(fmt.Appendf(nil, `{"o":{%s"key-%d":0}}`, members, twice))
			}
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(`"key-%d" twice`, twice)) {
				t.Errorf("%d members, number %d twice: %v", n, twice, err)
			}
		}
	}
}

func TestScan_hostile_sizes(t *testing.T) {
	for name, body := range map[string][]byte{
		"10,000 nested arrays":  []byte(`{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`),
		"10,000 nested objects": []byte(strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat("}", 10_000)),
	} {
		_, err := strictjson.Scan(body)
		if err == nil || !strings.Contains(err.Error(), "nested deeper than 128 levels") {
			t.Errorf("%s: %v", name, err)
		}
		if f := asFault(t, err); len(f.Message) > 600 || len(f.Param) > 300 {
			t.Errorf("%s: the message grows with the input: %d bytes", name, len(f.Message))
		}
	}
	if _, err := strictjson.Scan(manyKeys(1_000_000, 0)); err == nil || !strings.Contains(err.Error(), "more than 4096 members") {
		t.Errorf("a million members of the body: %v", err)
	}
	inner := append(append([]byte(`{"x":`), manyKeys(1_000_000, 0)...), '}')
	if _, err := strictjson.Scan(inner); err == nil || !strings.Contains(err.Error(), "an object of more than 65536 members") {
		t.Errorf("a million members of an inner object: %v", err)
	}
	inner = append(append([]byte(`{"x":`), manyKeys(strictjson.MaxMembers-1, 1)...), '}')
	if _, err := strictjson.Scan(inner); err == nil || !strings.Contains(err.Error(), `"k65534" twice`) {
		t.Errorf("as many members as may be and one twice: %v", err)
	}
	big := make([]byte, 0, 100<<20)
	big = append(append(append(big, `{"a":"`...), make([]byte, 100<<20-8)...), `"}`...)
	for i := range big[6 : len(big)-2] {
		big[6+i] = 'x'
	}
	if _, err := strictjson.Scan(big); err != nil {
		t.Errorf("100 MB of text: %v", err)
	}
	if _, err := strictjson.Scan(big[:len(big)-2]); err == nil || !strings.Contains(err.Error(), "ends too early") {
		t.Errorf("100 MB of text, cut: %v", err)
	}
}

// manyKeys is an object of n members k0…, the last one repeated `again` times.
func manyKeys(n, again int) []byte {
	b := []byte{'{'}
	for i := range n {
		b = fmt.Appendf(b, `"k%d":0,`, i)
	}
	for range again {
		b = fmt.Appendf(b, `"k%d":0,`, n-1)
	}
	b[len(b)-1] = '}'
	return b
}

func TestScanner_reads(t *testing.T) {
	body := `{"s":"a\nb","i":7,"w":3.0,"f":0.5,"t":true,"no":false,"z":null,"skip":[{"a":"]"}],"list":["x","y"],"o":{"p":1}}`
	s := strictjson.New([]byte(body))
	defer s.Release()
	got := map[string]any{}
	for s.Enter(strictjson.Object); s.Next(); {
		switch key := string(s.Key()); key {
		case "s":
			got[key] = s.String()
		case "i", "w":
			got[key] = s.Int()
		case "f":
			got[key] = s.Float()
		case "t", "no":
			got[key] = s.Bool()
		case "z":
			got[key] = s.Null()
		case "list":
			for s.Enter(strictjson.Array); s.Next(); {
				got[s.Path()] = fmt.Sprintf("%d %s %s", s.Index(), s.Kind(), s.String())
			}
		case "o":
			for s.Enter(strictjson.Object); s.Next(); {
				got[s.Path()] = string(s.Skip())
			}
		}
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	want := "map[f:0.5 i:7 list[0]:0 a string x list[1]:1 a string y no:false o.p:1 s:a\nb t:true w:3 z:true]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

func TestScanner_wrong_types(t *testing.T) {
	for _, c := range []struct {
		body string
		read func(*strictjson.Scanner)
		want string
	}{
		{`{"a":[{"b":7}]}`, func(s *strictjson.Scanner) { _ = s.String() }, "a[0].b must be a string, not a number."},
		{`{"a":[{"b":"7"}]}`, func(s *strictjson.Scanner) { s.Int() }, "a[0].b must be a number, not a string."},
		{`{"a":[{"b":7.5}]}`, func(s *strictjson.Scanner) { s.Int() }, "a[0].b must be a whole number"},
		{`{"a":[{"b":1e300}]}`, func(s *strictjson.Scanner) { s.Int() }, "a[0].b must be a whole number"},
		{`{"a":[{"b":1e999}]}`, func(s *strictjson.Scanner) { s.Float() }, "a[0].b is too large a number."},
		{`{"a":[{"b":{}}]}`, func(s *strictjson.Scanner) { s.Bool() }, "a[0].b must be a boolean, not an object."},
		{`{"a":[{"b":null}]}`, func(s *strictjson.Scanner) { s.Enter(strictjson.Array) }, "a[0].b must be an array, not null."},
		{`{"a":[{"b":?}]}`, func(s *strictjson.Scanner) { s.Bool() }, "expected a value, found '?'"},
	} {
		s := strictjson.New([]byte(c.body))
		s.Enter(strictjson.Object)
		s.Next()
		s.Enter(strictjson.Array)
		s.Next()
		s.Enter(strictjson.Object)
		s.Next()
		c.read(s)
		err := s.End()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.body, err, c.want)
		} else if f := asFault(t, err); f.Param != "a[0].b" {
			t.Errorf("%s: param %q", c.body, f.Param)
		}
		if s.Next() || s.Skip() != nil || s.Kind() != strictjson.None || s.String() != "" {
			t.Errorf("%s: the scanner reads on after its fault", c.body)
		}
		s.Release()
	}
}

func TestScanner_first_fault_sticks(t *testing.T) {
	s := strictjson.New([]byte(`{"a":1,"b":?}`))
	defer s.Release()
	s.Enter(strictjson.Object)
	s.Next()
	s.Fail(fault.Invalid("a", "mine"))
	s.Fail(fault.Invalid("b", "another"))
	if f := asFault(t, s.End()); f.Message != "mine" || s.Err() != f {
		t.Errorf("got %v", f)
	}
}

func TestNewLenient_lets_a_providers_slips_pass(t *testing.T) {
	for body, ok := range map[string]bool{
		`{"a":1,"a":2}`:    true,
		"{\"a\":\"\xff\"}": true,
		`{"a":1,`:          false,
		"{\"a\":\"\n\"}":   false,
		`[1]`:              true,
	} {
		if kind, err := strictjson.CheckLenient([]byte(body)); (err == nil) != ok {
			t.Errorf("%q: %v, %v", body, kind, err)
		}
	}
	if _, err := strictjson.Check([]byte(`[{"a":1,"a":2}]`)); err == nil {
		t.Error("Check let a repeated member pass")
	}
}

// A body must leave nothing behind in the pooled Scanner that the next one could see.
func TestRelease_forgets(t *testing.T) {
	for range 3 {
		if _, err := strictjson.Scan(manyKeys(4000, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := strictjson.Scan([]byte(`{"a":[[[{"k1":`)); err == nil {
			t.Fatal("accepted a cut body")
		}
	}
}
