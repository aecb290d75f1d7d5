package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxEcho bounds the part of the user's text that is repeated, in characters.
const maxEcho = 300

// request is what the demo reads of a request; both schemas agree on these members.
type request struct {
	Model               string            `json:"model"`
	Messages            []message         `json:"messages"`
	System              json.RawMessage   `json:"system"`
	Tools               []json.RawMessage `json:"tools"`
	Stream              bool              `json:"stream"`
	MaxTokens           *int64            `json:"max_tokens"`
	MaxCompletionTokens *int64            `json:"max_completion_tokens"`
	N                   *int64            `json:"n"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// badRequest is a fault of the client's; param is the field, "" for the whole body.
type badRequest struct {
	status  int
	param   string
	message string
}

// readRequest reads and checks a body.
func readRequest(w http.ResponseWriter, r *http.Request) (*request, *badRequest) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &badRequest{http.StatusRequestEntityTooLarge, "", fmt.Sprintf("The body is larger than %d bytes.", maxBody)}
	case err != nil:
		return nil, &badRequest{http.StatusBadRequest, "", "The body could not be read."}
	}
	req := &request{}
	var wrongType *json.UnmarshalTypeError
	err = json.Unmarshal(body, req)
	switch {
	case errors.As(err, &wrongType):
		return nil, &badRequest{http.StatusBadRequest, wrongType.Field, fmt.Sprintf("%q has the wrong type: it must not be a JSON %s.", wrongType.Field, wrongType.Value)}
	case err != nil:
		return nil, &badRequest{http.StatusBadRequest, "", "The body is not valid JSON."}
	case req.Model == "":
		return nil, &badRequest{http.StatusBadRequest, "model", `"model" is required.`}
	case len(req.Messages) == 0:
		return nil, &badRequest{http.StatusBadRequest, "messages", `"messages" must hold at least one message.`}
	}
	for param, limit := range map[string]*int64{"max_tokens": req.MaxTokens, "max_completion_tokens": req.MaxCompletionTokens} {
		if limit != nil && *limit < 1 {
			return nil, &badRequest{http.StatusBadRequest, param, fmt.Sprintf("%q must be at least 1.", param)}
		}
	}
	for i, m := range req.Messages {
		if m.Role == "" {
			return nil, &badRequest{http.StatusBadRequest, fmt.Sprintf("messages[%d].role", i), `Each message needs a "role".`}
		}
	}
	return req, nil
}

// lastUserText is what the user said last: the text of the last user message, parts joined.
func (r *request) lastUserText() string {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].Role == "user" {
			return textOf(r.Messages[i].Content)
		}
	}
	return ""
}

// textOf reads content in both its forms: a string, or a list of parts of which some are text.
func textOf(content json.RawMessage) string {
	content = bytes.TrimSpace(content)
	if len(content) > 0 && content[0] == '"' {
		var s string
		_ = json.Unmarshal(content, &s) // part of a body that is valid JSON
		return s
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(content, &parts) != nil {
		return ""
	}
	var texts []string
	for _, p := range parts {
		if p.Type == "text" {
			texts = append(texts, p.Text)
		}
	}
	return strings.Join(texts, " ")
}

// asksToFail says whether the user wants to see a failure: of the first provider, or of both.
func (r *request) asksToFail() (first, both bool) {
	text := strings.ToLower(r.lastUserText())
	both = strings.Contains(text, "fail everywhere please")
	return both || strings.Contains(text, "fail please"), both
}

// answer is what a demo provider says.
type answer struct {
	words     []string // each with its space before it: they make the text when joined
	cut       bool     // at the client's max tokens
	promptN   int64    // tokens
	completeN int64    // tokens
}

func (a *answer) text() string { return strings.Join(a.words, "") }

// answerTo writes the answer of the provider called name, whose real counterpart takes its key from variable.
func answerTo(r *request, name, variable string) *answer {
	var b strings.Builder
	fmt.Fprintf(&b, "This is %s, a demo provider built into Dragoman: no model was asked.", name)
	if said := echo(r.lastUserText()); said != "" {
		fmt.Fprintf(&b, " You said: %q.", said)
	}
	if n := len(r.Tools); n > 0 {
		fmt.Fprintf(&b, " Demo providers call no tools, so the %d you offered went unused.", n)
	}
	fmt.Fprintf(&b, " For real answers set %s and start Dragoman again.", variable)

	a := &answer{words: splitWords(b.String()), promptN: tokens(r.promptBytes())}
	limit := r.MaxTokens
	if r.MaxCompletionTokens != nil {
		limit = r.MaxCompletionTokens
	}
	for i := range a.words {
		n := tokens(len(a.words[i]))
		if limit != nil && a.completeN+n > *limit {
			a.words, a.cut = a.words[:i], true
			break
		}
		a.completeN += n
	}
	return a
}

// promptBytes counts what a model would read.
func (r *request) promptBytes() int {
	n := len(r.System)
	for _, m := range r.Messages {
		n += len(m.Content) + 12 // a message costs a few tokens by itself
	}
	for _, t := range r.Tools {
		n += len(t)
	}
	return n
}

// tokens estimates: about four bytes make a token.
func tokens(bytes int) int64 { return int64(bytes+3) / 4 }

// echo makes text fit one quoted line.
func echo(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }), " ")
	if utf8.RuneCountInString(text) > maxEcho {
		text = string([]rune(text)[:maxEcho]) + "…"
	}
	return text
}

// splitWords cuts before each space.
func splitWords(text string) []string {
	var words []string
	for text != "" {
		end := strings.IndexByte(text[1:], ' ')
		if end < 0 {
			return append(words, text)
		}
		words, text = append(words, text[:end+1]), text[end+1:]
	}
	return words
}
