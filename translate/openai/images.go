package openai

import (
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// Images that a model made. OpenAI's own chat models make none, so the schema has no member for them; OpenRouter's `images`, beside
// the content of a message or a delta, is what clients of this schema know.

const imagesMember = "images"

// made says whether a part is an image with its bytes, or its URL.
func made(p *chat.Part) bool {
	return p.Kind == chat.Image && p.Media != nil && (p.Media.Data != "" || p.Media.URL != "")
}

// appendImages appends the images of an answer.
func appendImages(b []byte, parts []chat.Part) []byte {
	sep := `,"` + imagesMember + `":[`
	for i := range parts {
		if made(&parts[i]) {
			b = appendImage(append(b, sep...), parts[i].Media)
			sep = ","
		}
	}
	if sep == "," {
		b = append(b, ']')
	}
	return b
}

// appendImage appends an image as a content part.
func appendImage(b []byte, m *chat.Media) []byte {
	b = append(b, `{"type":"image_url","image_url":{"url":`...)
	if m.Data != "" {
		b = strictjson.AppendDataURI(b, m.Type, m.Data)
	} else {
		b = strictjson.AppendString(b, m.URL)
	}
	return append(b, `}}`...)
}

// images reads those of an earlier answer, which the model may be shown again.
func (d *decoder) images() (parts []chat.Part) {
	if d.Kind() != strictjson.Array {
		d.extraHere(false)
		return nil
	}
	for d.Enter(strictjson.Array); d.Next(); {
		parts = d.part(parts)
	}
	for i := range parts {
		if parts[i].Kind != chat.Image {
			d.invalid(d.Path()+"."+imagesMember, "must hold parts of the type image_url.")
			return nil
		}
	}
	return parts
}

// readImages reads the images of a provider's answer. What is no data URI of base64 or a web address is left out: nobody could show it.
func readImages(raw []byte) (parts []chat.Part) {
	if raw == nil {
		return nil
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object {
			s.Skip()
			continue
		}
		var m *chat.Media
		for s.Enter(strictjson.Object); s.Next(); {
			if string(s.Key()) == "image_url" {
				m = readMedia(s)
			}
		}
		if m = shownImage(m); m != nil {
			parts = append(parts, chat.Part{Kind: chat.Image, Media: m})
		}
	}
	return parts
}

// image emits an image, which comes whole.
func (d *streamDecoder) image(c *streamChoice, p chat.Part) {
	d.stopText(c)
	d.stopCalls(c, false)
	d.send(chat.Event{Kind: chat.EventBlockStart, Choice: c.index, Index: c.blocks, Block: p})
	d.send(chat.Event{Kind: chat.EventBlockStop, Choice: c.index, Index: c.blocks})
	c.blocks++
}

func shownImage(m *chat.Media) *chat.Media {
	switch {
	case m == nil:
	case wire.IsDataURI(m.URL):
		if kind, data, ok := wire.SplitDataURI(m.URL); ok {
			return &chat.Media{Type: kind, Data: data}
		}
	case wire.IsWebURL(m.URL):
		return &chat.Media{URL: m.URL}
	}
	return nil
}
