package fakeprovider

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

func base64Data(path string, v any) *apiError {
	if e := someText(path, v); e != nil {
		return e
	}
	if _, err := base64.StdEncoding.DecodeString(v.(string)); err != nil {
		return refuseAt(strings.TrimSuffix(path, ".data"), "invalid base64 data")
	}
	return nil
}

func httpsURL(path string, v any) *apiError {
	if e := someText(path, v); e != nil {
		return e
	}
	if u, err := url.Parse(v.(string)); err != nil || u.Scheme != "https" || u.Host == "" {
		return refuseAt(path, "Only HTTPS URLs are supported.")
	}
	return nil
}

// mediaMismatch says that an image's bytes are of another known format than its media type claims.
func mediaMismatch(path string, source map[string]any) *apiError {
	raw, err := base64.StdEncoding.DecodeString(str(source["data"]))
	if err != nil || str(source["type"]) != "base64" {
		return nil
	}
	claimed := str(source["media_type"])
	switch sniffed := http.DetectContentType(raw); sniffed {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		if sniffed != claimed {
			return refuseAt(path, "Image does not match the provided media type %s", claimed)
		}
	}
	return nil
}
