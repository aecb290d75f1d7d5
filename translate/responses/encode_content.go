package responses

import (
	"encoding/base64"
	"strings"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// content writes a string for a single text, and parts else: block boundaries are kept (D4). A list of items knows parts
// only.
func (e *encoder) content(parts []chat.Part) {
	switch {
	case e.listed != nil && len(parts) == 0:
		e.b = append(e.b, '[', ']')
		return
	case e.listed != nil:
	case len(parts) == 0:
		e.b = append(e.b, '"', '"')
		return
	case len(parts) == 1 && parts[0].Kind == chat.Text:
		e.b = strictjson.AppendString(e.b, parts[0].Text)
		return
	}
	e.b = append(e.b, '[')
	from := len(e.b)
	for i := range parts {
		before := len(e.b)
		if before > from {
			e.b = append(e.b, ',')
		}
		if !e.part(&parts[i]) {
			e.b = e.b[:before]
		}
	}
	if len(e.b) == from && e.listed == nil {
		e.b = append(e.b[:from-1], '"', '"')
		return
	}
	e.b = append(e.b, ']')
}

// part writes one content part; false when it was left out.
func (e *encoder) part(p *chat.Part) bool {
	switch p.Kind {
	case chat.Text, chat.Refusal: // a refusal outside an assistant's turn is a text (D135)
		e.plain(p.Text)
		return true
	case chat.Image:
		return e.image(p.Media)
	case chat.Document:
		return e.document(p.Media)
	case chat.Audio:
		return e.audio(p.Media)
	default:
		e.dropThinking()
		return false
	}
}

func (e *encoder) plain(text string) {
	e.b = strictjson.AppendString(append(e.b, `{"type":"input_text","text":`...), text)
	e.b = append(e.b, '}')
}

// image: the schema wants its detail always.
func (e *encoder) image(m *chat.Media) bool {
	if m.FileID != "" && !e.own {
		e.refuse("messages[].content[].source.file_id", "An image is given by the id of a file, which exists only at the provider that stores it. Send the image itself or its URL.")
		return false
	}
	e.b = append(e.b, `{"type":"input_image"`...)
	if m.FileID != "" {
		e.text("file_id", m.FileID)
	} else {
		e.key("image_url")
		e.uri(m)
	}
	switch m.Detail {
	case "low", "high", "auto", "original":
		e.text("detail", m.Detail)
	default:
		e.text("detail", "auto")
	}
	e.b = append(e.b, '}')
	return true
}

// uri writes the media's URL, or its data as one. Base64 and MIME types need no escaping, but a stranger wrote them.
func (e *encoder) uri(m *chat.Media) {
	if m.URL != "" {
		e.b = strictjson.AppendString(e.b, m.URL)
		return
	}
	e.b = strictjson.AppendDataURI(e.b, m.Type, m.Data)
}

// document writes a file; a plain text goes as text, which every model reads.
func (e *encoder) document(m *chat.Media) bool {
	switch {
	case m.FileID != "" && !e.own:
		e.refuse("messages[].content[].source.file_id", "A document is given by the id of a file, which exists only at the provider that stores it. Send the document itself.")
		return false
	case m.Data != "" && strings.HasPrefix(m.Type, "text/"):
		return e.textDocument(m)
	}
	e.b = append(e.b, `{"type":"input_file"`...)
	switch {
	case m.FileID != "":
		e.text("file_id", m.FileID)
	case m.URL != "":
		e.text("file_url", m.URL)
	default:
		name := m.Name
		if name == "" {
			name = "document.pdf" // required beside file_data
		}
		e.text("filename", name)
		e.key("file_data")
		e.uri(m)
	}
	e.b = append(e.b, '}')
	return true
}

func (e *encoder) textDocument(m *chat.Media) bool {
	text, err := base64.StdEncoding.DecodeString(m.Data)
	if err != nil {
		e.refuse("messages[].content[].source.data", "A document's data is not base64.")
		return false
	}
	if m.Name != "" {
		text = append([]byte(m.Name+"\n\n"), text...)
	}
	e.plain(string(text))
	return true
}

// audio: the description of the schema knows no sound; what a client of this schema sent all the same is passed on (D72).
func (e *encoder) audio(m *chat.Media) bool {
	if !e.own || m.Data == "" {
		e.refuse("messages[].content[]", "A provider that this request would go to takes no sound (OpenAI Responses).")
		return false
	}
	e.b = strictjson.AppendString(append(e.b, `{"type":"input_audio","input_audio":{"data":`...), m.Data)
	e.text("format", audioFormat(m.Type))
	e.b = append(e.b, '}', '}')
	return true
}
