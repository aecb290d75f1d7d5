package fakeprovider

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// vendor is what differs between the two APIs.
type vendor interface {
	headers(h http.Header) []string                             // request headers of its own that may stand in h, in lower case
	path() string                                               // of the answering endpoint
	authorize(h http.Header) *apiError                          // credential and version headers
	check(h http.Header, body map[string]any) (*ask, *apiError) // everything it would refuse
	standard(n int, now int64) map[string]string                // response headers that it always sends
	whole(r *Reply, a *ask, id answerID) []byte                 // body of a whole answer
	events(r *Reply, a *ask, id answerID) []frame               // SSE events of a streamed one
	model(name string) any                                      // element of GET /v1/models
	models(items []any) any                                     // GET /v1/models
	fault(f *Fault, model string) *apiError                     // a scripted error
	errorBody(e *apiError, id answerID) []byte                  // body of an error answer
	errorEvent(e *apiError, id answerID) frame                  // the same inside a stream
	notJSON(detail string) *apiError                            // a body that cannot be parsed
	notFound(method, path string, known bool) *apiError         // no such URL, or no such method there
	modelNotFound(name string) *apiError                        //
	refuse(status int, kind, message string) *apiError          // any other refusal
}

// routed is a vendor whose URLs say the model, and whether to stream.
type routed interface {
	serves(hr *http.Request) bool
	checkAt(hr *http.Request, body map[string]any) (*ask, *apiError) // instead of check
}

// lists is a vendor whose list of models has paths of its own.
type lists interface{ listPaths() []string }

// listed says whether a path is that of the list of models, or of one model, which it names.
func listed(v vendor, path string) (name string, ok bool) {
	paths := []string{modelsPath}
	if l, own := v.(lists); own {
		paths = l.listPaths()
	}
	for _, p := range paths {
		if path == p {
			return "", true
		}
		if name, one := strings.CutPrefix(path, p+"/"); one {
			return name, true
		}
	}
	return "", false
}

// operates is a vendor with operations beside chat. operation is the check of the one at a path, nil when there is none.
type operates interface {
	operation(path string) func(body map[string]any) (*ask, *apiError)
}

func operationAt(v vendor, path string) func(map[string]any) (*ask, *apiError) {
	if o, ok := v.(operates); ok {
		return o.operation(path)
	}
	return nil
}

// queried is a vendor that wants a query string of its own, or none.
type queried interface {
	query(raw string) bool
}

// signed is a vendor whose credential covers the body.
type signed interface {
	verify(hr *http.Request, body []byte) *apiError
}

// framed is a vendor whose streams are no server-sent events.
type framed interface {
	media() string
	endless(size int) []byte // begins an event that promises size bytes
}

// headed is a vendor that names an error in a header.
type headed interface {
	errorHeader(e *apiError) (name, value string)
}

// apiError is an error in a vendor's terms.
type apiError struct {
	status      int
	kind        string // error.type
	message     string
	param, code string // OpenAI; "" is null
}

// answerID makes the ids of one answer.
type answerID struct {
	name    string
	serial  int
	created int64 // Unix seconds
}

func (a answerID) make(prefix string) string {
	return fmt.Sprintf("%s%s%08d", prefix, alnum(a.name), a.serial)
}

func (a answerID) part(prefix string, n int) string {
	return fmt.Sprintf("%s%s%08d%02d", prefix, alnum(a.name), a.serial, n)
}

func alnum(s string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') {
			return r
		}
		return -1
	}, s)
}

// frame is one SSE event and what it delivers.
type frame struct {
	data   []byte
	tokens int64
}

// ServeHTTP answers one request. It is exported for http.Server alone.
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	r := s.begin(hr)
	a := &answer{server: s, w: w, hr: hr, r: r, id: answerID{s.opts.Name, r.Serial, r.At.Unix()}}
	defer func() { s.end(r, &a.outcome) }()

	body, err := readBody(hr, s.opts.MaxBody)
	s.setBody(r, body)
	if err != nil && !errors.Is(err, errTooLarge) {
		a.aborted = true
		return
	}
	a.rule = s.pick(r)
	if s.pass(a, body, err) {
		return
	}
	ask, refusal := s.examine(r, hr, body, err)
	if refusal != nil {
		a.rejected = refusal.message
	}
	switch {
	case a.rule.Fault != nil && a.fail(ask):
	case refusal != nil:
		a.refuse(refusal)
	case hr.Method == http.MethodGet:
		a.whole(http.StatusOK, "application/json", s.listing(hr.URL.Path))
	default:
		a.reply(ask, nil)
	}
}

var errTooLarge = errors.New("body too large")

func readBody(hr *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(hr.Body, limit+1))
	if err != nil {
		return body, err
	}
	if int64(len(body)) > limit {
		return body[:limit], errTooLarge
	}
	return body, nil
}

// examine finds what a correct client of the vendor would not have sent. ask is nil when the request could not be
// understood.
func (s *Server) examine(r *Request, hr *http.Request, body []byte, readErr error) (*ask, *apiError) {
	v := s.vendor
	for _, name := range strayHeaders(hr.Header, sharedHeaders, v.headers(hr.Header), s.opts.AllowHeaders) {
		s.unexpected(r, "header %s", name)
		return nil, v.refuse(http.StatusBadRequest, "", "Header not on the allow-list: "+name)
	}
	answers := r.Path == v.path() || operationAt(v, r.Path) != nil
	_, list := listed(v, r.Path)
	known := answers || list
	if routes, ok := v.(routed); ok {
		answers = routes.serves(hr)
		_, has := v.(lists)
		known = answers || list && has
	}
	isList := known && !answers
	if !known || (hr.Method == http.MethodGet) != isList || !isList && hr.Method != http.MethodPost {
		s.unexpected(r, "no such URL and method")
		return nil, v.notFound(hr.Method, r.Path, known)
	}
	if q, ok := v.(queried); ok && !q.query(r.Query) || !ok && r.Query != "" && !slices.Contains(knownQueries[s.opts.Schema], r.Query) {
		s.unexpected(r, "query string")
		return nil, v.refuse(http.StatusBadRequest, "", "Unexpected query string")
	}
	if e := v.authorize(hr.Header); e != nil {
		return nil, e
	}
	if isList {
		return nil, s.checkListing(r.Path)
	}
	if readErr != nil {
		return nil, v.refuse(http.StatusRequestEntityTooLarge, "request_too_large", "Request exceeds the maximum size")
	}
	if signs, ok := v.(signed); ok {
		if e := signs.verify(hr, body); e != nil {
			return nil, e
		}
	}
	return s.examineBody(r, hr, body)
}

func (s *Server) examineBody(r *Request, hr *http.Request, body []byte) (*ask, *apiError) {
	v := s.vendor
	media, _, err := mime.ParseMediaType(hr.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return nil, v.refuse(http.StatusBadRequest, "", "Unsupported content type. Expected application/json.")
	}
	value, err := parseJSON(body)
	if errors.Is(err, errDuplicate) {
		s.unexpected(r, "%v", err)
	}
	if err != nil {
		return nil, v.notJSON(err.Error())
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, v.notJSON("not an object")
	}
	if routes, ok := v.(routed); ok {
		return routes.checkAt(hr, object)
	}
	if check := operationAt(v, hr.URL.Path); check != nil {
		return check(object)
	}
	return v.check(hr.Header, object)
}

const modelsPath = "/v1/models"

// knownQueries: the Anthropic SDKs' beta client says ?beta=true; Google's SDKs ask for events, and for pages of a list.
var knownQueries = map[Schema][]string{Anthropic: {"beta=true"}, Gemini: geminiQueries}

func (s *Server) checkListing(path string) *apiError {
	if name, _ := listed(s.vendor, path); name != "" && !s.opts.knows(name) {
		return s.vendor.modelNotFound(name)
	}
	return nil
}

func (s *Server) listing(path string) []byte {
	if name, _ := listed(s.vendor, path); name != "" {
		return mustJSON(s.vendor.model(name))
	}
	items := make([]any, 0, len(s.opts.Models))
	for _, m := range s.opts.Models {
		items = append(items, s.vendor.model(m))
	}
	return mustJSON(s.vendor.models(items))
}
