package processor

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/wire"
)

// maxFetched bounds the files that one request may have fetched: what the strictest provider takes in a request (D68).
const maxFetched = 20

// encodeForeign writes the request in another schema than the client's, or a shortened one (nil: the client's own). Where the
// provider takes only bytes and the client gave a URL, the file is fetched first, when the configuration and the tenant allow it.
func (ex *Exchange) encodeForeign(codec translate.Provider, t translate.Target, request *chat.Request, fetch bool) (*translate.Upstream, error) {
	if request == nil {
		var err error
		if request, err = ex.decoded(); err != nil {
			return nil, err
		}
	}
	up, err := codec.Encode(request, t)
	if err == nil && fetch && t.Lossy && len(up.Dropped) > 0 && ex.mayFetch() {
		strict := t
		strict.Lossy = false
		if _, lost := codec.Encode(request, strict); ex.needsFetch(lost) {
			err = lost // a file is worth more than a policy that lets it go
		}
	}
	if !fetch || !ex.needsFetch(err) {
		return up, err
	}
	whole, err := ex.fetchMedia(request)
	if err != nil {
		return nil, err
	}
	return codec.Encode(whole, t)
}

// needsFetch says that a request could not be written for want of bytes which may be fetched.
func (ex *Exchange) needsFetch(err error) bool {
	return err != nil && asFault(err).Code == translate.NeedsBytes && ex.mayFetch()
}

// mayFetch: an untrusted tenant must not make the gateway send requests for it.
func (ex *Exchange) mayFetch() bool {
	return ex.snap.Media.Fetch && ex.principal.Trusted && ex.s != nil && ex.s.Fetch() != nil
}

// fetchMedia is a copy of the request with the bytes in place of every URL. All files are fetched at once.
func (ex *Exchange) fetchMedia(r *chat.Request) (*chat.Request, error) {
	out := *r
	out.Messages = slices.Clone(r.Messages)
	var wanted []wantedMedia
	for i := range out.Messages {
		out.Messages[i].Parts = wantMedia(out.Messages[i].Parts, fmt.Sprintf("messages[%d].content", i), &wanted)
	}
	if len(wanted) > maxFetched {
		return nil, fault.Invalid(wanted[maxFetched].param, "The request names %d files by URL; this gateway fetches at most %d for a provider that takes only bytes.", len(wanted), maxFetched)
	}
	var all sync.WaitGroup
	errs := make([]error, len(wanted))
	for i, w := range wanted {
		all.Go(func() { errs[i] = ex.fetchOne(w) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return &out, nil
}

func (ex *Exchange) fetchOne(w wantedMedia) error {
	file, err := ex.s.Fetch().Get(ex.stream.Context(), w.param, w.part.Media.URL)
	if err != nil {
		return err
	}
	media := *w.part.Media
	media.URL, media.Type, media.Data = "", file.Type, file.Data
	w.part.Media = &media
	switch {
	case file.Type == wire.PDF:
		w.part.Kind = chat.Document // a PDF under an image's name is common (D70)
	case wire.IsImage(file.Type):
		w.part.Kind = chat.Image
	case strings.HasPrefix(file.Type, "audio/"):
		w.part.Kind = chat.Audio
	}
	return nil
}

// wantedMedia is a part, in the copy of a request, whose file has to be fetched.
type wantedMedia struct {
	part  *chat.Part
	param string
}

// wantMedia copies the parts as far as they hold URLs to fetch.
func wantMedia(parts []chat.Part, path string, wanted *[]wantedMedia) []chat.Part {
	if !slices.ContainsFunc(parts, func(p chat.Part) bool { return p.Result != nil || p.Media != nil }) {
		return parts
	}
	parts = slices.Clone(parts)
	for i := range parts {
		p, param := &parts[i], fmt.Sprintf("%s[%d]", path, i)
		switch {
		case p.Result != nil:
			result := *p.Result
			result.Parts = wantMedia(result.Parts, param+".content", wanted)
			p.Result = &result
		case p.Media != nil && p.Media.URL != "" && !wire.IsDataURI(p.Media.URL):
			*wanted = append(*wanted, wantedMedia{p, param})
		}
	}
	return parts
}
