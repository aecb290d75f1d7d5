package bedrock

import (
	"encoding/base64"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
	"dragoman/translate/wire"
)

// NeedsBytes is the Code of the fault for an image or document that is given as a URL: Bedrock takes only bytes, so that
// the request may be tried again with them (D65).
const NeedsBytes = "needs_bytes"

// formats are Converse's words (ImageFormat, DocumentFormat) for MIME types.
var formats = map[string]string{
	"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp",
	wire.PDF: "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
	"application/msword": "doc", "application/vnd.ms-excel": "xls",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":       "xlsx",
}

// source is an image's or a document's bytes, as they will be sent.
type source struct {
	mediaType, data, url string
	document             bool
}

// mediaOf reads where a part's bytes are. A PDF is a document whatever part it came in (D70), and an image in a document's
// part an image.
func mediaOf(p *chat.Part) source {
	s := source{mediaType: wire.MediaType(p.Media.Type), data: p.Media.Data, url: p.Media.URL}
	if mediaType, data, ok := wire.SplitDataURI(s.url); ok {
		s.mediaType, s.data, s.url = mediaType, data, ""
	}
	s.document = !wire.IsImage(s.mediaType) && (p.Kind == chat.Document || formats[s.mediaType] != "")
	return s
}

func (s *source) format() string { return formats[s.mediaType] }

func (s source) kind() chat.PartKind {
	if s.document {
		return chat.Document
	}
	return chat.Image
}

// checkMedia refuses what the API cannot take, before anything is written, and says what the part will be.
func (e *encoder) checkMedia(x *dialogue.Block) chat.PartKind {
	m := x.Part.Media
	if m == nil {
		e.fail(fault.InvalidRequest, x.Path(), "The image or document is empty.")
		return x.Kind
	}
	if m.Detail != "" && m.Detail != "auto" { // D67
		e.drop(x.Path() + ".image_url.detail")
	}
	if m.FileID != "" {
		e.unsupported(x.Path(), "A file id is known only to the provider that made it: send the file itself.") // D71
		return x.Kind
	}
	s := mediaOf(x.Part)
	switch {
	case s.url != "" && wire.IsWebURL(s.url):
		e.needsBytes(x.Path())
	case s.url != "":
		e.fail(fault.InvalidRequest, x.Path(), "The URL of an image or document must be http, https or a base64 data URI.")
	case s.document && s.format() == "":
		e.unsupported(x.Path(), "Bedrock takes documents as PDF, CSV, Word, Excel, HTML, Markdown or plain text, not %q.", wire.ClipText(s.mediaType))
	case !s.document && s.format() == "":
		e.unsupported(x.Path(), "Bedrock takes images as PNG, JPEG, GIF or WebP, not %q.", wire.ClipText(s.mediaType))
	case !e.model.media:
		e.unsupported(x.Path(), "This model of Bedrock takes no images and no documents.")
	default:
		e.checkData(x, s)
	}
	return s.kind()
}

func (e *encoder) needsBytes(path string) {
	if e.err == nil {
		e.unsupported(path, "Bedrock takes images and documents as bytes only: send the file itself instead of its URL.")
		e.err.Code = NeedsBytes
	}
}

func (e *encoder) checkData(x *dialogue.Block, s source) {
	size, ok := decodedSize(s.data)
	switch {
	case !ok:
		e.fail(fault.InvalidRequest, x.Path(), "The data of the image or document is not base64.")
	case size == 0:
		e.fail(fault.InvalidRequest, x.Path(), "The image or document is empty.")
	case s.document && size > maxDocumentBytes:
		e.tooLarge(x.Path(), "documents", maxDocumentBytes)
	case !s.document && size > maxImageBytes:
		e.tooLarge(x.Path(), "images", maxImageBytes)
	}
}

// decodedSize is how many bytes base64 stands for; ok is false where the vendor could not read it.
func decodedSize(data string) (n int, ok bool) {
	text := strings.TrimRight(data, "=")
	if len(data)%4 != 0 || len(data)-len(text) > 2 {
		return 0, false
	}
	bad := byte(0)
	for i := range len(text) { // no branch: a picture has millions
		bad |= notBase64[text[i]]
	}
	return base64.RawStdEncoding.DecodedLen(len(text)), bad == 0
}

var notBase64 = func() (t [256]byte) {
	for i := range t {
		t[i] = 1
	}
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = 0
	}
	return t
}()

// checkResult refuses what a tool's result cannot hold, and takes a cache mark of its last part for its own.
func (e *encoder) checkResult(x *dialogue.Block) {
	for i := range x.Part.Result.Parts {
		p := &x.Part.Result.Parts[i]
		e.extras(p.Extra)
		switch p.Kind {
		case chat.Text:
		case chat.Image, chat.Document:
			e.checkMedia(&dialogue.Block{Part: p, Kind: p.Kind, Message: x.Message, Index: x.Index})
		default:
			e.unsupported(x.Path(), "The result of a tool can hold text, images and documents only.")
		}
		if x.Cache == nil {
			x.Cache = p.Cache
		}
	}
	if yes := x.Part.Result.IsError; yes != nil && *yes && !e.model.status {
		e.drop(x.Path() + ".is_error")
	}
}
