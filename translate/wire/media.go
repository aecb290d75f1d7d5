package wire

import "strings"

// SplitDataURI takes data:<type>;base64,<data> apart (RFC 2397). Parameters beside base64 are left out of mediaType,
// which is in lower case. ok is false for any other URI and for data that is not base64.
func SplitDataURI(uri string) (mediaType, data string, ok bool) {
	if len(uri) < 5 || !strings.EqualFold(uri[:5], "data:") {
		return "", "", false
	}
	head, data, found := strings.Cut(uri[5:], ",")
	if !found || data == "" {
		return "", "", false
	}
	mediaType, params, _ := strings.Cut(head, ";")
	for param := range strings.SplitSeq(params, ";") {
		if strings.EqualFold(strings.TrimSpace(param), "base64") {
			return MediaType(mediaType), data, true
		}
	}
	return "", "", false
}

// IsDataURI says whether uri carries its data in itself.
func IsDataURI(uri string) bool { return len(uri) >= 5 && strings.EqualFold(uri[:5], "data:") }

// AppendDataURI appends data:<type>;base64,<data>.
func AppendDataURI(dst []byte, mediaType, data string) []byte {
	dst = append(dst, "data:"...)
	dst = append(dst, mediaType...)
	dst = append(dst, ";base64,"...)
	return append(dst, data...)
}

// MediaType is a MIME type in its registered spelling: lower case, no parameters, image/jpg as image/jpeg.
func MediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	s = strings.ToLower(strings.TrimSpace(s))
	if s == "image/jpg" || s == "image/pjpeg" {
		return "image/jpeg"
	}
	return s
}

// IsImage says whether every schema takes mediaType as an image (D65).
func IsImage(mediaType string) bool {
	switch mediaType {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		return true
	default:
		return false
	}
}

// PDF is the one document type that every schema with documents takes.
const PDF = "application/pdf"

// URLPath is a URL's path without query and fragment, for a look at its extension: x.pdf?sig=… names a PDF (D70).
func URLPath(url string) string {
	if i := strings.IndexAny(url, "?#"); i >= 0 {
		url = url[:i]
	}
	return url
}

// IsWebURL says whether a provider could fetch the URL: http or https with a host.
func IsWebURL(url string) bool {
	scheme, rest, ok := strings.Cut(url, "://")
	return ok && (strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http")) && rest != "" && rest[0] != '/'
}
