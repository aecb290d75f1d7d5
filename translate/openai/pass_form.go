package openai

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"

	"dragoman/internal/fault"
)

// Bounds of a multipart body's parts.
const (
	maxPartHeader = 8 << 10
	maxFormModel  = 256
)

// FormEdit says what is changed in a multipart body that passes.
type FormEdit struct {
	Model string // what the field `model` becomes; "": it stays
	Mark  string // put before the name of every file; "": names stay
}

// Form passes a multipart/form-data body (RFC 7578) on, piece by piece, and reads and changes what the gateway must. It is as strict
// as strictjson is with JSON: what two parsers could read in two ways is refused, because the gateway's policy depends on it.
// It holds at most a part's header or one short field. A Form belongs to one body.
type Form struct {
	edit   FormEdit
	needle []byte // \n--boundary: what ends a part, a carriage return before it
	state  formState
	held   []byte // what cannot be passed on yet
	begin  bool   // of a part's content nothing has passed
	late   bool   // Commit was called
	named  bool   // the field model has come
	model  string
}

type formState uint8

const (
	formStart  formState = iota // before the first boundary
	formDelim                   // behind a boundary
	formHeader                  // in a part's header
	formModel                   // in the field model
	formData                    // in any other part
	formEnd                     // behind the last boundary
)

// NewForm reads the boundary of a content type.
func NewForm(contentType string, edit FormEdit) (*Form, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "multipart/form-data" {
		return nil, fault.New(fault.InvalidRequest, "The body must be multipart/form-data.")
	}
	b := params["boundary"]
	if b == "" || len(b) > 70 || strings.ContainsAny(b, "\r\n") {
		return nil, fault.New(fault.InvalidRequest, "The content type names no boundary of 1 to 70 characters.")
	}
	return &Form{edit: edit, needle: []byte("\n--" + b), held: make([]byte, 0, 4096)}, nil
}

// Model is the value of the field model, as far as the body has come.
func (f *Form) Model() (name string, found bool) { return f.model, f.named }

// Held is how many bytes of what was written have not been passed on yet.
func (f *Form) Held() int { return len(f.held) }

// Commit says that the length of the body is settled: nothing after this changes.
func (f *Form) Commit() { f.late = true }

// Write appends to dst what the provider gets for the next piece. The error is a *fault.Fault, after which nothing may follow.
func (f *Form) Write(dst, p []byte) ([]byte, error) {
	f.held = append(f.held, p...)
	for {
		next, n, bad := f.step(dst)
		dst = next
		if bad != nil {
			return dst, bad
		}
		if n < 0 {
			return dst, nil
		}
		f.held = f.held[:copy(f.held, f.held[n:])]
	}
}

// Close is called at the body's end.
func (f *Form) Close() error {
	if f.state != formEnd || len(bytes.TrimSpace(f.held)) > 0 {
		return malformed("it ends before its last boundary")
	}
	return nil
}

func malformed(what string) *fault.Fault {
	return fault.New(fault.InvalidRequest, "The multipart body is malformed: %s.", what)
}

// step takes what it can off held: n bytes, or -1 when more must come first.
func (f *Form) step(dst []byte) (out []byte, n int, bad error) {
	switch f.state {
	case formStart:
		return f.start(dst)
	case formDelim:
		return f.delimiter(dst)
	case formHeader:
		return f.header(dst)
	case formModel:
		return f.modelField(dst)
	case formData:
		return f.data(dst)
	default:
		if len(bytes.TrimSpace(f.held)) > 0 {
			return dst, 0, malformed("something follows its last boundary")
		}
		if len(f.held) == 0 {
			return dst, -1, nil
		}
		return append(dst, f.held...), len(f.held), nil
	}
}

// start wants the boundary at once: a preamble is what one parser skips and another reads.
func (f *Form) start(dst []byte) ([]byte, int, error) {
	first := f.needle[1:]
	if len(f.held) < len(first) {
		if !bytes.HasPrefix(first, f.held) {
			return dst, 0, malformed("it does not begin with its boundary")
		}
		return dst, -1, nil
	}
	if !bytes.HasPrefix(f.held, first) {
		return dst, 0, malformed("it does not begin with its boundary")
	}
	f.state = formDelim
	return append(dst, first...), len(first), nil
}

func (f *Form) delimiter(dst []byte) ([]byte, int, error) {
	if len(f.held) < 2 {
		return dst, -1, nil
	}
	switch string(f.held[:2]) {
	case "--":
		f.state = formEnd
	case "\r\n":
		f.state = formHeader
	default:
		return dst, 0, malformed("a boundary is followed by something else than a line's end")
	}
	return append(dst, f.held[:2]...), 2, nil
}

func (f *Form) header(dst []byte) ([]byte, int, error) {
	end := bytes.Index(f.held, []byte("\r\n\r\n"))
	if end < 0 && len(f.held) <= maxPartHeader {
		return dst, -1, nil
	}
	if end < 0 || end > maxPartHeader {
		return dst, 0, malformed("a part's header is too long")
	}
	p, bad := readPart(string(f.held[:end]))
	if bad != nil {
		return dst, 0, bad
	}
	dst, bad = f.appendHeader(dst, p)
	if bad != nil {
		return dst, 0, bad
	}
	f.begin, f.state = true, formData
	if p.field == "model" {
		if f.named {
			return dst, 0, fault.Invalid("model", "The field model stands twice in the body.")
		}
		f.named, f.state = true, formModel
	}
	return append(dst, "\r\n\r\n"...), end + 4, nil
}

// appendHeader writes a part's header, with the mark in its file's name.
func (f *Form) appendHeader(dst []byte, p formPart) ([]byte, error) {
	switch {
	case f.edit.Mark == "" || !p.file && p.field != "file":
		return append(dst, p.text...), nil
	case !p.file:
		return dst, fault.Invalid("file", "The part file must have a file name.")
	case f.late:
		return dst, fault.Invalid("file", "The file must begin within the first 64 KiB of the body.")
	}
	text, places := p.text, markPlaces(p.text)
	if len(places) == 0 {
		return dst, malformed("a file's name is written in an unusual form")
	}
	for _, at := range places {
		text = text[:at] + f.edit.Mark + text[at:]
	}
	return append(dst, text...), nil
}

// modelField holds the value until it is whole.
func (f *Form) modelField(dst []byte) ([]byte, int, error) {
	at, bad := f.boundary()
	if bad != nil {
		return dst, 0, bad
	}
	if at < 0 {
		if len(f.held) > maxFormModel+len(f.needle)+1 {
			return dst, 0, fault.Invalid("model", "must have at most %d bytes.", maxFormModel)
		}
		return dst, -1, nil
	}
	f.model = string(f.held[:at])
	value := f.model
	switch {
	case f.model == "" || len(f.model) > maxFormModel || !utf8.ValidString(f.model):
		return dst, 0, fault.Invalid("model", "must name a model.")
	case f.edit.Model == "" || f.edit.Model == f.model:
	case f.late:
		return dst, 0, fault.Invalid("model", "The field model stands too late in the body to be read: send it before the file.")
	default:
		value = f.edit.Model
	}
	return f.endPart(append(dst, value...), at)
}

// data passes content on, but for what may be the beginning of a boundary.
func (f *Form) data(dst []byte) ([]byte, int, error) {
	at, bad := f.boundary()
	if bad != nil {
		return dst, 0, bad
	}
	if at >= 0 {
		return f.endPart(append(dst, f.held[:at]...), at)
	}
	keep := min(len(f.held), len(f.needle)+1)
	if n := len(f.held) - keep; n > 0 {
		f.begin = false
		return append(dst, f.held[:n]...), n, nil
	}
	return dst, -1, nil
}

// endPart passes the boundary on: at is its carriage return's place.
func (f *Form) endPart(dst []byte, at int) ([]byte, int, error) {
	f.state = formDelim
	end := at + 1 + len(f.needle)
	return append(dst, f.held[at:end]...), end, nil
}

// boundary finds the carriage return that begins the next boundary, -1 when it has not come. One without it, or in place of a part's
// content, is what some parsers take for a boundary and others for content.
func (f *Form) boundary() (int, error) {
	if f.begin && bytes.HasPrefix(f.held, f.needle[1:]) {
		return 0, malformed("a part has no line's end before its boundary")
	}
	at := bytes.Index(f.held, f.needle)
	switch {
	case at < 0:
		return -1, nil
	case at == 0 || f.held[at-1] != '\r':
		return 0, malformed("a boundary stands behind a bare line feed")
	}
	return at - 1, nil
}

// formPart is what a part's header says.
type formPart struct {
	text  string // as it came
	field string
	file  bool // it has a file name
}

func readPart(text string) (p formPart, bad error) {
	p.text = text
	for line := range strings.SplitSeq(text, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t\n\r") || strings.ContainsAny(value, "\r\n\x00") {
			return p, malformed("a line of a part's header is no header")
		}
		switch strings.ToLower(name) {
		case "content-disposition":
			if p.field != "" {
				return p, malformed("a part has two content-dispositions")
			}
			if bad := p.disposition(value); bad != nil {
				return p, bad
			}
		case "content-transfer-encoding":
			switch strings.ToLower(strings.TrimSpace(value)) {
			case "binary", "8bit", "7bit":
			default:
				return p, malformed("a part is encoded, which RFC 7578 does not allow")
			}
		}
	}
	if p.field == "" {
		return p, malformed("a part has no name")
	}
	return p, nil
}

func (p *formPart) disposition(value string) error {
	kind, params, err := mime.ParseMediaType(value)
	if err != nil || kind != "form-data" || !fieldName(params["name"]) {
		return malformed("a part's content-disposition names no field")
	}
	lower := strings.ToLower(value)
	if strings.Contains(strings.ReplaceAll(lower, "filename*=", ""), "name*") {
		return malformed("a part's name is written in pieces or with a charset")
	}
	p.field = params["name"]
	if strings.EqualFold(p.field, "model") {
		p.field = "model"
	}
	_, p.file = params["filename"]
	if p.file && p.field == "model" {
		return malformed("the field model is a file")
	}
	return nil
}

// fieldName says that a field's name reads the same with and without unescaping.
func fieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '_' && c != '-' && c != '.' && c != '[' && c != ']' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// markPlaces are where file names begin in a part's header, the last first: filename="…", filename=… and filename*=charset'lang'….
func markPlaces(text string) (places []int) {
	lower := asciiLower(text)
	for from := 0; ; {
		at := strings.Index(lower[from:], "filename")
		if at < 0 {
			return places
		}
		at += from + len("filename")
		from = at
		rest := text[at:]
		switch {
		case strings.HasPrefix(rest, `="`):
			at += 2
		case strings.HasPrefix(rest, "="):
			at++
		case strings.HasPrefix(rest, "*="):
			parts := strings.SplitN(rest, "'", 3)
			if len(parts) < 3 {
				continue
			}
			at += len(parts[0]) + len(parts[1]) + 2
		default:
			continue
		}
		places = append([]int{at}, places...)
		from = at + strings.IndexAny(text[at:]+"\"", "\"\r;") // the name itself may hold the word
	}
}

// asciiLower keeps every byte's place.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
