package gemini

import (
	"github.com/tidwall/gjson"

	"dragoman/translate/strictjson"
)

// logProbs turns a LogprobsResult into OpenAI's logprobs object, the neutral form (D57); nil when there is none.
func logProbs(raw []byte) []byte {
	if raw == nil {
		return nil
	}
	v := gjson.ParseBytes(raw)
	chosen := v.Get("chosenCandidates").Array()
	if len(chosen) == 0 {
		return nil
	}
	top := v.Get("topCandidates").Array()
	b := append(make([]byte, 0, 2*len(raw)), `{"content":[`...)
	for i, c := range chosen {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendToken(append(b, '{'), c, "logProbability", "logprob"), `,"top_logprobs":[`...)
		if i < len(top) {
			for k, alternative := range top[i].Get("candidates").Array() {
				if k > 0 {
					b = append(b, ',')
				}
				b = append(appendToken(append(b, '{'), alternative, "logProbability", "logprob"), '}')
			}
		}
		b = append(b, `]}`...)
	}
	return append(b, `],"refusal":null}`...)
}

func appendToken(b []byte, v gjson.Result, from, to string) []byte {
	b = strictjson.AppendString(append(b, `"token":`...), v.Get("token").String())
	b = append(append(append(b, ',', '"'), to...), `":`...)
	if p := v.Get(from); p.Type == gjson.Number {
		b = append(b, p.Raw...) // as it came: a float64 does not hold every number of JSON
	} else {
		b = append(b, '0')
	}
	if to == "logprob" {
		b = append(b, `,"bytes":null`...)
	}
	return b
}

// appendLogProbs writes the neutral form as logprobsResult.
func appendLogProbs(b, probs []byte) []byte {
	tokens := gjson.GetBytes(probs, "content").Array()
	if len(tokens) == 0 {
		return b
	}
	b = append(b, `,"logprobsResult":{"chosenCandidates":[`...)
	for i, t := range tokens {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendToken(append(b, '{'), t, "logprob", "logProbability"), '}')
	}
	b = append(b, `],"topCandidates":[`...)
	for i, t := range tokens {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"candidates":[`...)
		for k, alternative := range t.Get("top_logprobs").Array() {
			if k > 0 {
				b = append(b, ',')
			}
			b = append(appendToken(append(b, '{'), alternative, "logprob", "logProbability"), '}')
		}
		b = append(b, `]}`...)
	}
	return append(b, `]}`...)
}
