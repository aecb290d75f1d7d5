package openai

import (
	"strings"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// content reads a string, or parts.
func (d *decoder) content() []chat.Part {
	if d.Kind() == strictjson.String {
		return []chat.Part{{Kind: chat.Text, Text: d.String()}}
	}
	var parts []chat.Part
	for d.Enter(strictjson.Array); d.Next(); {
		parts = d.part(parts)
	}
	return parts
}

// part appends what one content part holds; a part of an unknown type goes to Extra.
func (d *decoder) part(parts []chat.Part) []chat.Part {
	path := d.Path()
	raw := d.Skip()
	s := strictjson.NewLenient(raw)
	defer s.Release()
	var p chat.Part
	kind := ""
	for s.Enter(strictjson.Object); s.Next(); {
		if s.Kind() == strictjson.Null {
			continue
		}
		switch string(s.Key()) {
		case "type":
			kind = s.String()
		case "text", "refusal":
			if s.Kind() == strictjson.String {
				p.Text = s.String()
			}
		case "image_url", "input_audio", "file":
			p.Media = readMedia(s)
		case "cache_control":
			p.Cache = cacheMark(s)
		case "prompt_cache_breakpoint":
			p.Cache = &chat.CacheMark{}
		default:
			p.Extra = append(p.Extra, chat.Extra{Name: path + "." + string(s.Key()), JSON: s.Skip()})
		}
	}
	return d.typed(parts, p, kind, path, raw)
}

// typed completes p by its type.
func (d *decoder) typed(parts []chat.Part, p chat.Part, kind, path string, raw []byte) []chat.Part {
	if kind == "text" || kind == "refusal" {
		p.Media = nil
	} else {
		p.Text = ""
	}
	switch kind {
	case "text":
		p.Kind = chat.Text
	case "refusal":
		p.Kind = chat.Refusal
	case "image_url":
		p.Kind = d.image(p.Media, path+".image_url.url")
	case "input_audio":
		p.Kind = chat.Audio
		p.Media.Type = audioType(p.Media.Type)
	case "file":
		p.Kind = d.file(p.Media, path+".file")
	default:
		d.extra(path, raw, true)
		return parts
	}
	return append(parts, p)
}

// readMedia reads the members that image_url, input_audio and file have between them; which is which is told by their
// type later on.
func readMedia(s *strictjson.Scanner) *chat.Media {
	m := &chat.Media{}
	if s.Kind() != strictjson.Object {
		return m
	}
	for s.Enter(strictjson.Object); s.Next(); {
		if s.Kind() != strictjson.String {
			continue
		}
		switch string(s.Key()) {
		case "url":
			m.URL = s.String()
		case "detail":
			m.Detail = s.String()
		case "data", "file_data":
			m.Data = s.String()
		case "format":
			m.Type = s.String()
		case "file_id":
			m.FileID = s.String()
		case "filename":
			m.Name = s.String()
		}
	}
	return m
}

// image sorts out a URL: data within it, or a web address. A PDF is a document wherever it stands (D70).
func (d *decoder) image(m *chat.Media, path string) chat.PartKind {
	if wire.IsDataURI(m.URL) {
		mediaType, data, ok := wire.SplitDataURI(m.URL)
		if !ok {
			d.invalid(path, "must be of the form data:image/png;base64,… when it is a data URI.")
			return chat.Image
		}
		m.URL, m.Type, m.Data = "", mediaType, data
	} else if !wire.IsWebURL(m.URL) {
		d.invalid(path, "must be an http or https URL, or a data URI with the image in base64.")
	}
	if m.Type == wire.PDF || m.URL != "" && strings.HasSuffix(strings.ToLower(wire.URLPath(m.URL)), ".pdf") {
		m.Type = wire.PDF
		return chat.Document
	}
	return chat.Image
}

// file sorts out a file part: an id, or data, which the vendor wants as a data URI and many clients send as plain base64.
func (d *decoder) file(m *chat.Media, path string) chat.PartKind {
	if wire.IsDataURI(m.Data) {
		mediaType, data, ok := wire.SplitDataURI(m.Data)
		if !ok {
			d.invalid(path+".file_data", "must be of the form data:application/pdf;base64,… when it is a data URI.")
			return chat.Document
		}
		m.Type, m.Data = mediaType, data
	} else if m.Data != "" {
		m.Type = wire.PDF
	}
	if (m.Data == "") == (m.FileID == "") {
		d.invalid(path, "must have either file_data or file_id.")
	}
	if wire.IsImage(m.Type) {
		return chat.Image
	}
	return chat.Document
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
