package responses

import (
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// echoed are the members of a request that its answer repeats, with what stands for those that the client did not send.
var echoed = [...]struct{ name, absent string }{
	{instructionsMember, "null"},
	{maxOutputTokens, "null"},
	{"max_tool_calls", "null"},
	{"parallel_tool_calls", "true"},
	{previousMember, "null"},
	{"prompt_cache_key", "null"},
	{"reasoning", `{"effort":null,"summary":null}`},
	{"safety_identifier", "null"},
	{"store", "true"},
	{"temperature", "1"},
	{"text", `{"format":{"type":"text"}}`},
	{"tool_choice", `"auto"`},
	{"top_logprobs", "0"},
	{"top_p", "1"},
	{"truncation", `"disabled"`},
	{"metadata", "{}"},
}

// appendSettings appends what an answer repeats of its request, each member with a comma before it. h may be nil.
func appendSettings(dst []byte, h *chat.Head) []byte {
	dst = append(dst, `,"background":false`...)
	for i := range echoed {
		dst = append(append(append(dst, ',', '"'), echoed[i].name...), '"', ':')
		if value := field(h, echoed[i].name); value != nil {
			dst = append(dst, value...)
		} else {
			dst = append(dst, echoed[i].absent...)
		}
	}
	dst = appendTools(append(dst, `,"tools":`...), field(h, "tools"))
	if user := field(h, "user"); user != nil {
		dst = append(append(dst, `,"user":`...), user...)
	}
	return dst
}

// field is a member of the request, nil when it is absent or null.
func field(h *chat.Head, name string) []byte {
	if h == nil {
		return nil
	}
	if value := h.Field(name); len(value) > 0 && value[0] != 'n' {
		return value
	}
	return nil
}

// appendTools appends the request's tools. The answer's description wants members of a function that a request may leave out.
func appendTools(dst, raw []byte) []byte {
	if raw == nil {
		return append(dst, '[', ']')
	}
	dst = append(dst, '[')
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Index() > 0 {
			dst = append(dst, ',')
		}
		tool := s.Skip()
		missing := missingOf(tool)
		if missing == "" {
			dst = append(dst, tool...)
			continue
		}
		dst = append(dst, tool[:len(tool)-1]...)
		dst = append(append(dst, missing...), '}')
	}
	return append(dst, ']')
}

// missingOf is what a function's definition lacks.
func missingOf(tool []byte) (missing string) {
	s := strictjson.NewLenient(tool)
	defer s.Release()
	function, parameters, strict := false, false, false
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			function = strictjson.Text(stringOf(s)) == functionType
		case "parameters":
			parameters = true
		case "strict":
			strict = true
		}
	}
	if !function {
		return ""
	}
	if !parameters {
		missing += `,"parameters":null`
	}
	if !strict {
		missing += `,"strict":null`
	}
	return missing
}
