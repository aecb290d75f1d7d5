package fakeprovider

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const azureDialect = "azure"

// azureDeployment reads the deployment from a path of the classic API.
func azureDeployment(path string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/openai/deployments/")
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(rest, "/chat/completions")
	return name, ok && name != "" && !strings.Contains(name, "/")
}

// headers and authorize: a key is in a header of its own.
func (v *dialectFake) headers(h http.Header) []string {
	if v.opts.Dialect == azureDialect {
		return []string{"api-key"}
	}
	return v.openai.headers(h)
}

func (v *dialectFake) authorize(h http.Header) *apiError {
	if v.opts.Dialect != azureDialect {
		return v.openai.authorize(h)
	}
	if slices.Contains(v.opts.Keys, h.Get("Api-Key")) {
		return nil
	}
	return &apiError{status: http.StatusUnauthorized, code: "401",
		message: "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."}
}

// query says whether a query string is what the vendor wants.
func (v *dialectFake) query(raw string) bool {
	if v.opts.Dialect != azureDialect || v.opts.APIVersion == "" {
		return raw == ""
	}
	values, err := url.ParseQuery(raw)
	return err == nil && len(values) == 1 && values.Get("api-version") == v.opts.APIVersion
}

// checkAzure: the classic API reads the deployment from the path and overlooks the body's model; the v1 API is OpenAI's.
func (v *dialectFake) checkAzure(hr *http.Request, body map[string]any) (*ask, *apiError) {
	if v.opts.APIVersion != "" {
		name, _ := azureDeployment(hr.URL.Path)
		if !v.opts.knows(name) {
			return nil, &apiError{status: http.StatusNotFound, code: "DeploymentNotFound",
				message: "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}
		}
		body["model"] = name
	}
	q, e := v.openai.check(hr.Header, body)
	if e == nil && strings.Contains(q.text, AzureFiltered) {
		return nil, &apiError{status: http.StatusBadRequest, code: "content_filter", param: "prompt",
			message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry."}
	}
	return q, e
}

// AzureFiltered in the last user text of a request makes an Azure fake's filter refuse it.
const AzureFiltered = "filter-this-prompt"

// filterResults is what Azure found in a prompt or a text.
func filterResults() map[string]any {
	fine := map[string]any{"filtered": false, "severity": "safe"}
	return map[string]any{"hate": fine, "self_harm": fine, "sexual": fine, "violence": fine}
}

// annotate adds what Azure's filter found to a whole answer.
func (v *dialectFake) annotate(answer map[string]any) {
	if v.opts.Dialect != azureDialect {
		return
	}
	answer["prompt_filter_results"] = []any{map[string]any{"prompt_index": json.Number("0"), "content_filter_results": filterResults()}}
	for _, c := range list(answer["choices"]) {
		obj(c)["content_filter_results"] = filterResults()
	}
}

// azureFrames puts Azure's chunks around those of an answer: the prompt's results first, in a chunk without choices, id and
// model (D117), and behind the text the results of the asynchronous filter, in a chunk with a choice but no delta.
func azureFrames(frames []frame, r *Reply, id answerID) []frame {
	first := map[string]any{
		"id": "", "object": "", "created": 0, "model": "", "choices": []any{},
		"prompt_filter_results": []any{map[string]any{"prompt_index": 0, "content_filter_results": filterResults()}},
	}
	late := map[string]any{
		"id": id.make("chatcmpl-"), "object": "chat.completion.chunk", "created": id.created, "model": r.Model,
		"choices": []any{map[string]any{"index": 0, "finish_reason": nil, "content_filter_results": filterResults(),
			"content_filter_offsets": map[string]any{"check_offset": 44, "start_offset": 44, "end_offset": 198}}},
	}
	out := []frame{{data: sse("", mustJSON(first))}}
	out = append(out, frames[:1]...)
	out = append(out, frame{data: sse("", mustJSON(late))})
	return append(out, frames[1:]...)
}
