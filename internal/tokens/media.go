package tokens

import (
	"strings"

	"dragoman/translate/chat"
)

// What a file takes depends on pages, pixels and seconds, which only its decoder knows. These are rules of thumb over its
// size, with margins to match.
const (
	documentBytes  = 25      // a token, of a PDF: about 50 KB and 2,000 tokens a page (Anthropic: 1,500 to 3,000)
	documentLeast  = 1500    // one page
	documentMost   = 500_000 // some 250 pages; Anthropic takes 100 of 32 MB
	documentUnseen = 5000    // behind a URL or an id
	documentMargin = 75      // percent
	plainBytes     = 4       // a token, of a text file
	plainMargin    = 25      // percent
	audioBytes     = 500     // a token: 32 tokens a second (Gemini) of 16 KB
	audioLeast     = 50
	audioUnseen    = 2000
	audioMargin    = 75 // percent
)

// media estimates an image, a document or a sound.
func media(p *chat.Part) Amount {
	if p.Kind == chat.Image {
		return Amount{imageTokens, imageMargin}
	}
	if p.Media == nil {
		return Amount{}
	}
	size := int64(len(p.Media.Data)) * 3 / 4
	switch {
	case p.Kind == chat.Audio && size == 0:
		return around(audioUnseen, audioMargin)
	case p.Kind == chat.Audio:
		return around(max(size/audioBytes, audioLeast), audioMargin)
	case size == 0:
		return around(documentUnseen, documentMargin)
	case strings.HasPrefix(p.Media.Type, "text/"):
		return around(size/plainBytes, plainMargin)
	default:
		return around(min(max(size/documentBytes, documentLeast), documentMost), documentMargin)
	}
}

func around(n, percent int64) Amount { return Amount{n, n * percent / 100} }
