package strictjson_test

import (
	"testing"

	"dragoman/translate/strictjson"
)

func TestSet(t *testing.T) {
	type m = strictjson.Member
	for _, c := range []struct {
		body string
		set  []m
		want string
	}{
		{`{"model":"a","x":1}`, []m{{"model", []byte(`"longer"`)}}, `{"model":"longer","x":1}`},
		{` { "x" : 1 , "model" : "a" } `, []m{{"model", []byte(`"b"`)}}, ` { "x" : 1 , "model" : "b" } `},
		{`{"x":1}`, []m{{"model", []byte(`"b"`)}}, `{"x":1,"model":"b"}`},
		{` {} `, []m{{"model", []byte(`"b"`)}, {"y", []byte(`2`)}}, ` {"model":"b","y":2} `},
		{"{\n  \"x\": 1\n}\n", []m{{"y", []byte(`{"z":true}`)}, {"x", []byte(`22`)}}, "{\n  \"x\": 22,\"y\":{\"z\":true}\n}\n"},
		{`{"a":1,"b":2,"c":3}`, []m{{"c", []byte(`30`)}, {"a", []byte(`10`)}}, `{"a":10,"b":2,"c":30}`},
		{`{"mod\u0065l":"a"}`, []m{{"model", []byte(`"b"`)}}, `{"mod\u0065l":"b"}`},
		{`{"a":1}`, nil, `{"a":1}`},
	} {
		fields, err := strictjson.Scan([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		before := c.body
		got := strictjson.Set([]byte(c.body), fields, c.set...)
		if string(got) != c.want || before != c.body {
			t.Errorf("%s: %s, want %s", c.body, got, c.want)
		}
		if _, err := strictjson.Scan(got); err != nil {
			t.Errorf("%s: the result is broken: %v", got, err)
		}
	}
}

func TestSet_allocates_once(t *testing.T) {
	body := []byte(`{"model":"a","messages":[{"role":"user","content":"hello"}]}`)
	fields, err := strictjson.Scan(body)
	if err != nil {
		t.Fatal(err)
	}
	value, added := []byte(`"a much longer model name"`), []byte(`{"include_usage":true}`)
	got := testing.AllocsPerRun(100, func() {
		strictjson.Set(body, fields, strictjson.Member{Name: "model", Value: value}, strictjson.Member{Name: "stream_options", Value: added})
	})
	if got > 1 {
		t.Errorf("%v allocations, want 1", got)
	}
}
