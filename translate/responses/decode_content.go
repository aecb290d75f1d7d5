package responses

import (
	"strings"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// content reads a string, or parts. path is where it stands in the client's body.
func (d *decoder) content(path string) []chat.Part {
	switch d.Kind() {
	case strictjson.String:
		return []chat.Part{{Kind: chat.Text, Text: d.String()}}
	case strictjson.Array:
	default:
		d.Skip() // of an item that only one vendor knows
		return nil
	}
	var parts []chat.Part
	for d.Enter(strictjson.Array); d.Next(); {
		if d.Kind() != strictjson.Object {
			d.Skip()
			continue
		}
		parts = d.part(parts, path)
	}
	return parts
}

// rawPart is a content part before its type says what its members mean.
type rawPart struct {
	kind, text, refusal string
	media               chat.Media
	url                 string // image_url or file_url
	citations           []byte
	cache               *chat.CacheMark
}

// part appends what one content part holds; a part of an unknown type goes to Extra.
func (d *decoder) part(parts []chat.Part, path string) []chat.Part {
	path += index(d.Index())
	raw := d.Skip()
	s := strictjson.NewLenient(raw)
	defer s.Release()
	var p rawPart
	for s.Enter(strictjson.Object); s.Next(); {
		p.member(s)
	}
	switch p.kind {
	case inputText, outputText, textType, summaryText, reasoningText:
		return append(parts, chat.Part{Kind: chat.Text, Text: p.text, Citations: citations(p.citations, p.text), Cache: p.cache})
	case refusalPart:
		return append(parts, chat.Part{Kind: chat.Refusal, Text: p.refusal})
	case inputImage:
		return append(parts, d.image(&p, path))
	case inputFile:
		return append(parts, d.file(&p, path))
	case inputAudio:
		p.media.Type = audioType(p.media.Type)
		return append(parts, chat.Part{Kind: chat.Audio, Media: &p.media})
	}
	d.extra(path, raw, true)
	return parts
}

func (p *rawPart) member(s *strictjson.Scanner) {
	switch key := string(s.Key()); key {
	case "input_audio":
		if s.Kind() == strictjson.Object {
			for s.Enter(strictjson.Object); s.Next(); {
				p.audioMember(s)
			}
		}
		return
	case "annotations":
		if s.Kind() == strictjson.Array {
			p.citations = s.Skip()
		}
		return
	case "prompt_cache_breakpoint":
		p.cache = &chat.CacheMark{}
		return
	}
	if s.Kind() != strictjson.String {
		return
	}
	switch string(s.Key()) {
	case "type":
		p.kind = s.String()
	case "text":
		p.text = s.String()
	case "refusal":
		p.refusal = s.String()
	case "image_url", "file_url":
		p.url = s.String()
	case "detail":
		p.media.Detail = s.String()
	case "file_id":
		p.media.FileID = s.String()
	case "file_data":
		p.media.Data = s.String()
	case "filename":
		p.media.Name = s.String()
	}
}

func (p *rawPart) audioMember(s *strictjson.Scanner) {
	if s.Kind() != strictjson.String {
		return
	}
	switch string(s.Key()) {
	case "data":
		p.media.Data = s.String()
	case "format":
		p.media.Type = s.String()
	}
}

// image sorts out an image: data within its URL, a web address, or a file's id. A PDF is a document wherever it stands
// (D70).
func (d *decoder) image(p *rawPart, path string) chat.Part {
	m := &p.media
	m.Data = ""
	if m.FileID != "" && p.url == "" {
		return chat.Part{Kind: chat.Image, Media: m, Cache: p.cache}
	}
	m.FileID = ""
	path += ".image_url"
	switch {
	case wire.IsDataURI(p.url):
		var ok bool
		if m.Type, m.Data, ok = wire.SplitDataURI(p.url); !ok {
			d.invalid(path, "must be of the form data:image/png;base64,… when it is a data URI.")
		}
	case wire.IsWebURL(p.url):
		m.URL = p.url
	default:
		d.invalid(path, "must be an http or https URL, or a data URI with the image in base64.")
	}
	if m.Type == wire.PDF || m.URL != "" && isPDF(m.URL) {
		m.Type = wire.PDF
		return chat.Part{Kind: chat.Document, Media: m, Cache: p.cache}
	}
	return chat.Part{Kind: chat.Image, Media: m, Cache: p.cache}
}

func isPDF(url string) bool { return strings.HasSuffix(strings.ToLower(wire.URLPath(url)), ".pdf") }

// file sorts out a file: an id, a web address, or data, which the vendor wants as a data URI and many clients send as plain
// base64.
func (d *decoder) file(p *rawPart, path string) chat.Part {
	m := &p.media
	switch {
	case m.FileID != "":
		m.Data = ""
	case m.Data == "":
		if m.URL = p.url; !wire.IsWebURL(p.url) {
			d.invalid(path+".file_url", "must be an http or https URL.")
		} else if isPDF(m.URL) {
			m.Type = wire.PDF
		}
	case wire.IsDataURI(m.Data):
		mediaType, data, ok := wire.SplitDataURI(m.Data)
		if !ok {
			d.invalid(path+".file_data", "must be of the form data:application/pdf;base64,… when it is a data URI.")
		}
		m.Type, m.Data = mediaType, data
	default:
		m.Type = wire.PDF
	}
	m.Detail = ""
	if wire.IsImage(m.Type) {
		return chat.Part{Kind: chat.Image, Media: m, Cache: p.cache}
	}
	return chat.Part{Kind: chat.Document, Media: m, Cache: p.cache}
}

// audioType is the MIME type of an input_audio format, audioFormat the way back.
func audioType(format string) string {
	if format == "mp3" {
		return "audio/mpeg"
	}
	return "audio/" + strings.ToLower(format)
}

func audioFormat(mediaType string) string {
	if mediaType == "audio/mpeg" || mediaType == "audio/mp3" {
		return "mp3"
	}
	return strings.TrimPrefix(strings.TrimPrefix(mediaType, "audio/"), "x-")
}
