package fakeprovider

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// PassModels are the models of the vendor's operations that a gateway passes on as they are, which every OpenAI fake has beside
// Options.Models.
var PassModels = map[string][]string{
	"/v1/completions":          {"gpt-3.5-turbo-instruct"},
	"/v1/moderations":          {"omni-moderation-latest"},
	"/v1/images/generations":   {"gpt-image-1", "dall-e-3"},
	"/v1/images/edits":         {"gpt-image-1", "dall-e-2"},
	"/v1/images/variations":    {"dall-e-2"},
	"/v1/audio/speech":         {"tts-1", "gpt-4o-mini-tts"},
	"/v1/audio/transcriptions": {"whisper-1", "gpt-4o-transcribe"},
	"/v1/audio/translations":   {"whisper-1"},
}

// passAnswer is one whole answer of any media type, or a stream.
type passAnswer struct {
	media  string
	body   []byte
	frames []frame
	usage  int64
}

// passRequest is one request of such an operation.
type passRequest struct {
	*openai
	id     string // that its path names
	query  map[string][]string
	model  string
	object map[string]any // a JSON body
	form   map[string][]string
	files  map[string]*formFile
	answer answerID
}

type formFile struct {
	name, media string
	content     []byte
}

type passOperation struct {
	method, path string // {id} stands for an object
	media        string // of the request's body, "" for none
	run          func(*passRequest) (*passAnswer, *apiError)
}

var passOperations = []passOperation{
	{"POST", "/v1/completions", "application/json", (*passRequest).completion},
	{"POST", "/v1/moderations", "application/json", (*passRequest).moderation},
	{"POST", "/v1/images/generations", "application/json", (*passRequest).image},
	{"POST", "/v1/images/edits", "multipart/form-data", (*passRequest).imageEdit},
	{"POST", "/v1/images/variations", "multipart/form-data", (*passRequest).imageEdit},
	{"POST", "/v1/audio/speech", "application/json", (*passRequest).speech},
	{"POST", "/v1/audio/transcriptions", "multipart/form-data", (*passRequest).transcription},
	{"POST", "/v1/audio/translations", "multipart/form-data", (*passRequest).transcription},
	{"POST", "/v1/files", "multipart/form-data", (*passRequest).newFile},
	{"GET", "/v1/files", "", (*passRequest).listFiles},
	{"GET", "/v1/files/{id}", "", (*passRequest).file},
	{"DELETE", "/v1/files/{id}", "", (*passRequest).deleteFile},
	{"GET", "/v1/files/{id}/content", "", (*passRequest).fileContent},
	{"POST", "/v1/batches", "application/json", (*passRequest).newBatch},
	{"GET", "/v1/batches", "", (*passRequest).listBatches},
	{"GET", "/v1/batches/{id}", "", (*passRequest).batch},
	{"POST", "/v1/batches/{id}/cancel", "", (*passRequest).cancelBatch},
}

func passAt(method, path string) (*passOperation, string) {
	for i := range passOperations {
		o := &passOperations[i]
		before, after, named := strings.Cut(o.path, "{id}")
		switch {
		case o.method != method:
		case !named && o.path == path:
			return o, ""
		case named && len(path) > len(before)+len(after) && strings.HasPrefix(path, before) && strings.HasSuffix(path, after):
			if id := path[len(before) : len(path)-len(after)]; !strings.Contains(id, "/") {
				return o, id
			}
		}
	}
	return nil, ""
}

// pass answers an operation of openai_pass*.go; false when the request is for none.
func (s *Server) pass(a *answer, body []byte, readErr error) bool {
	v, ok := s.vendor.(*openai)
	if !ok {
		return false
	}
	o, id := passAt(a.hr.Method, a.r.Path)
	if o == nil {
		return false
	}
	got, refusal := s.passed(a, v, o, id, body, readErr)
	if refusal != nil {
		a.rejected = refusal.message
	}
	switch f := a.rule.Fault; {
	case f != nil && got != nil && (f.Kind == Stall || f.Kind == Cut):
		a.fault = true
		a.halfOf(got, f)
	case f != nil && a.fail(nil):
	case refusal != nil:
		a.refuse(refusal)
	case got.frames != nil:
		a.usage = got.usage
		a.stream(&Reply{}, &limits{frames: got.frames, after: -1})
	default:
		a.usage, a.delivered = got.usage, got.usage
		a.complete = a.whole(http.StatusOK, got.media, got.body)
	}
	return true
}

func (a *answer) halfOf(got *passAnswer, f *Fault) {
	a.head(http.StatusOK, got.media, len(got.body))
	if !a.write(got.body[:len(got.body)/2]) {
		return
	}
	a.flush()
	if f.Kind == Stall {
		a.hold(a.server.opts.MaxHold)
	}
	a.reset()
}

func (s *Server) passed(a *answer, v *openai, o *passOperation, id string, body []byte, readErr error) (*passAnswer, *apiError) {
	for _, name := range strayHeaders(a.hr.Header, sharedHeaders, v.headers(a.hr.Header), s.opts.AllowHeaders) {
		s.unexpected(a.r, "header %s", name)
		return nil, v.refuse(http.StatusBadRequest, "", "Header not on the allow-list: "+name)
	}
	if e := v.authorize(a.hr.Header); e != nil {
		return nil, e
	}
	if readErr != nil {
		return nil, v.refuse(http.StatusRequestEntityTooLarge, "", "The request body is too large.")
	}
	q := &passRequest{openai: v, id: id, query: a.hr.URL.Query(), answer: a.id}
	if len(q.query) > 0 && (o.method != http.MethodGet || id != "") {
		s.unexpected(a.r, "query string")
		return nil, v.refuse(http.StatusBadRequest, "", "Unexpected query string")
	}
	if e := q.read(s, a, o, body); e != nil {
		return nil, e
	}
	if models := PassModels[o.path]; models != nil && q.model != "" && !slices.Contains(models, q.model) && !slices.Contains(s.opts.Models, "*") {
		return nil, v.modelNotFound(q.model)
	}
	return o.run(q)
}

func (q *passRequest) read(s *Server, a *answer, o *passOperation, body []byte) *apiError {
	media, params, _ := mime.ParseMediaType(a.hr.Header.Get("Content-Type"))
	switch {
	case o.media == "":
		if len(body) > 0 {
			s.unexpected(a.r, "a body")
		}
		return nil
	case media != o.media:
		return q.refuse(http.StatusBadRequest, "", "Unsupported content type. Expected "+o.media+".")
	case media == "multipart/form-data":
		return q.readForm(body, params["boundary"])
	}
	value, err := parseJSON(body)
	if errors.Is(err, errDuplicate) {
		s.unexpected(a.r, "%v", err)
	}
	if q.object = obj(value); err != nil || q.object == nil {
		return q.notJSON("")
	}
	q.model = str(q.object["model"])
	return nil
}

func (q *passRequest) readForm(body []byte, boundary string) *apiError {
	q.form, q.files = map[string][]string{}, map[string]*formFile{}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			if models := q.form["model"]; len(models) == 1 {
				q.model = models[0]
			} else if len(models) > 1 {
				return invalid("model", "", "Duplicate field: model")
			}
			return nil
		}
		if err != nil {
			return q.refuse(http.StatusBadRequest, "", "Could not parse multipart form")
		}
		content, err := io.ReadAll(p)
		if err != nil {
			return q.refuse(http.StatusBadRequest, "", "Could not parse multipart form")
		}
		name := strings.TrimSuffix(p.FormName(), "[]")
		if p.FileName() != "" {
			q.files[name] = &formFile{p.FileName(), p.Header.Get("Content-Type"), content}
			continue
		}
		q.form[name] = append(q.form[name], string(content))
	}
}

// known refuses what the vendor does not know, and wants what it requires.
func known[T any](got map[string]T, required, optional string) *apiError {
	for name := range got {
		if !slices.Contains(strings.Fields(required), name) && !slices.Contains(strings.Fields(optional), name) {
			return invalid(name, "unknown_parameter", "Unknown parameter: '%s'.", name)
		}
	}
	for name := range strings.FieldsSeq(required) {
		if _, ok := got[name]; !ok {
			return invalid(name, "missing_required_parameter", "Missing required parameter: '%s'.", name)
		}
	}
	return nil
}

//go:embed testdata/openai.pass.json
var openaiPassDescription []byte

type openaiPassSpec struct{ completion, moderation openaiSpec }

var openaiPassSchemas = sync.OnceValues(func() (*openaiPassSpec, error) {
	s := &openaiPassSpec{}
	return s, errors.Join(
		s.completion.compile(openaiPassDescription, "CreateCompletionRequest", map[string]**jsonschema.Schema{"CreateCompletionRequest": &s.completion.request}),
		s.moderation.compile(openaiPassDescription, "CreateModerationRequest", map[string]**jsonschema.Schema{"CreateModerationRequest": &s.moderation.request}))
})

// described checks a body against the vendor's description.
func (q *passRequest) described(of func(*openaiPassSpec) *openaiSpec) *apiError {
	all, err := openaiPassSchemas()
	if err != nil {
		return q.refuse(http.StatusInternalServerError, "", err.Error())
	}
	spec := of(all)
	for name := range q.object {
		if !spec.fields[name] {
			return invalid("", "", "Unrecognized request argument supplied: %s", name)
		}
	}
	if err := spec.request.Validate(any(q.object)); err != nil {
		return schemaError(err)
	}
	return nil
}

// completion echoes the prompt in four pieces.
func (q *passRequest) completion() (*passAnswer, *apiError) {
	if e := q.described(func(s *openaiPassSpec) *openaiSpec { return &s.completion }); e != nil {
		return nil, e
	}
	if q.object["stream_options"] != nil && !boolean(q.object["stream"]) {
		return nil, invalid("stream_options", "", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	}
	text := "echo: " + str(q.object["prompt"])
	used := max(countWords(text), 1)
	usage := map[string]any{"prompt_tokens": used, "completion_tokens": used, "total_tokens": 2 * used}
	object := func(choices []any, usage any) map[string]any {
		return map[string]any{"id": q.answer.make("cmpl-"), "object": "text_completion", "created": q.answer.created, "model": q.model, "choices": choices, "usage": usage}
	}
	choice := func(text string, finish any) []any {
		return []any{map[string]any{"text": text, "index": 0, "logprobs": nil, "finish_reason": finish}}
	}
	if !boolean(q.object["stream"]) {
		return &passAnswer{media: "application/json", body: mustJSON(object(choice(text, "stop"), usage)), usage: used}, nil
	}
	var frames []frame
	for _, word := range strings.SplitAfter(text, " ") {
		frames = append(frames, frame{data: sse("", mustJSON(object(choice(word, nil), nil))), tokens: 1})
	}
	frames = append(frames, frame{data: sse("", mustJSON(object(choice("", "stop"), nil)))})
	if boolean(obj(q.object["stream_options"])["include_usage"]) {
		frames = append(frames, frame{data: sse("", mustJSON(object([]any{}, usage)))})
	}
	return &passAnswer{frames: append(frames, frame{data: sse("", []byte("[DONE]"))}), usage: used}, nil
}

func (q *passRequest) moderation() (*passAnswer, *apiError) {
	if e := q.described(func(s *openaiPassSpec) *openaiSpec { return &s.moderation }); e != nil {
		return nil, e
	}
	if q.model == "" {
		q.model = "omni-moderation-latest"
	}
	flagged := strings.Contains(str(q.object["input"]), "violence")
	return &passAnswer{media: "application/json", body: mustJSON(map[string]any{"id": q.answer.make("modr-"), "model": q.model,
		"results": []any{map[string]any{"flagged": flagged, "categories": map[string]any{"violence": flagged},
			"category_scores": map[string]any{"violence": 0.5}, "category_applied_input_types": map[string]any{"violence": []any{"text"}}}}})}, nil
}

var pixel = base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\nfake"))

func (q *passRequest) images(text string) *passAnswer {
	used := max(countWords(text), 1)
	return &passAnswer{media: "application/json", usage: 50, body: mustJSON(map[string]any{
		"created": q.answer.created, "data": []any{map[string]any{"b64_json": pixel}},
		"usage": map[string]any{"input_tokens": used, "output_tokens": 50, "total_tokens": used + 50,
			"input_tokens_details": map[string]any{"text_tokens": used, "image_tokens": 0}},
	})}
}

func (q *passRequest) image() (*passAnswer, *apiError) {
	if e := known(q.object, "prompt", "model n size quality response_format background moderation output_compression output_format partial_images stream style user"); e != nil {
		return nil, e
	}
	return q.images(str(q.object["prompt"])), nil
}

func (q *passRequest) imageEdit() (*passAnswer, *apiError) {
	if q.files["image"] == nil {
		return nil, invalid("image", "missing_required_parameter", "Missing required parameter: 'image'.")
	}
	if e := known(q.form, "", "prompt model n size quality response_format background input_fidelity output_compression output_format partial_images stream user"); e != nil {
		return nil, e
	}
	return q.images(strings.Join(q.form["prompt"], " ") + " " + strconv.Itoa(len(q.files["image"].content))), nil
}

// Sound is what a fake says for a text: bytes that no text is.
func Sound(text string) []byte {
	var out []byte
	for i := 0; len(out) < 300<<10; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", i, text))
		out = append(out, sum[:]...)
	}
	return out
}

func (q *passRequest) speech() (*passAnswer, *apiError) {
	if e := known(q.object, "model input voice", "instructions response_format speed stream_format"); e != nil {
		return nil, e
	}
	text := str(q.object["input"])
	if str(q.object["stream_format"]) == "sse" {
		delta := sse("", mustJSON(map[string]any{"type": "speech.audio.delta", "audio": pixel}))
		done := sse("", mustJSON(map[string]any{"type": "speech.audio.done", "usage": map[string]any{"input_tokens": 3, "output_tokens": 9, "total_tokens": 12}}))
		return &passAnswer{frames: []frame{{data: delta, tokens: 9}, {data: done}}, usage: 9}, nil
	}
	return &passAnswer{media: "audio/mpeg", body: Sound(text)}, nil
}

// transcription tells what it was sent: its size and hash.
func (q *passRequest) transcription() (*passAnswer, *apiError) {
	f := q.files["file"]
	if f == nil {
		return nil, invalid("file", "missing_required_parameter", "Missing required parameter: 'file'.")
	}
	if e := known(q.form, "model", "language prompt response_format temperature timestamp_granularities chunking_strategy include stream known_speaker_names known_speaker_references"); e != nil {
		return nil, e
	}
	text := Transcript(f.content)
	if slices.Contains(q.form["response_format"], "text") {
		return &passAnswer{media: "text/plain; charset=utf-8", body: []byte(text + "\n")}, nil
	}
	answer := map[string]any{"text": text, "usage": map[string]any{"type": "duration", "seconds": 3}}
	if q.model != "whisper-1" {
		answer["usage"] = map[string]any{"type": "tokens", "input_tokens": 14, "output_tokens": 5, "total_tokens": 19,
			"input_token_details": map[string]any{"text_tokens": 0, "audio_tokens": 14}}
	}
	return &passAnswer{media: "application/json", body: mustJSON(answer), usage: 5}, nil
}

// Transcript is what a fake hears in a sound.
func Transcript(sound []byte) string {
	return fmt.Sprintf("%d bytes %x", len(sound), sha256.Sum256(sound))
}
