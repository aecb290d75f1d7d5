package anthropic

import (
	"net/url"
	"slices"
	"strings"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Vertex is the Target.Dialect of Claude on Vertex AI. Its BasePath is /v1/projects/P/locations/L/publishers/anthropic; the
// model and whether to stream are in the path, and the API's version is a member of the body. Facts are of the vendor's Go
// and TypeScript SDKs for Vertex.
const Vertex = "vertex"

// VertexVersion is the value of anthropic_version there.
const VertexVersion = "vertex-2023-10-16"

const (
	betaHeader    = "anthropic-beta"
	versionMember = "anthropic_version"
	betaMember    = "anthropic_beta"
)

// vertexBetas are the beta features that Vertex takes, as other gateways have found out by its refusals ("Unexpected value(s)
// … for the `anthropic-beta` header"). A value of another name is the name of the same feature there (D132).
var vertexBetas = map[string]string{
	"advanced-tool-use-2025-11-20":         "tool-search-tool-2025-10-19",
	"compact-2026-01-12":                   "",
	"compact-2026-09-04":                   "",
	"computer-use-2025-01-24":              "",
	"computer-use-2025-11-24":              "",
	"context-1m-2025-08-07":                "",
	"interleaved-thinking-2025-05-14":      "",
	"thinking-binding-controls-2026-08-01": "",
	"thinking-display-updates-2026-08-18":  "",
	"tool-search-tool-2025-10-19":          "",
	"web-search-2025-03-05":                "",
}

// send is the request as the provider gets it. fields are what strictjson.Scan says of body, nil for it to be asked.
func send(t translate.Target, body []byte, fields []chat.Field, stream bool) (*translate.Upstream, error) {
	if t.Dialect != Vertex {
		return upstream(t, body), nil
	}
	if fields == nil {
		var err error
		if fields, err = strictjson.Scan(body); err != nil {
			return nil, err
		}
	}
	betas, dropped := passBetas(t)
	method := ":rawPredict"
	if stream {
		method = ":streamRawPredict"
	}
	return &translate.Upstream{
		Path:    t.BasePath + "/models/" + url.PathEscape(t.Model) + method,
		Headers: []translate.Header{{Name: betaHeader}, {Name: "anthropic-version"}},
		Body:    vertexBody(body, fields, betas),
		Dropped: dropped,
	}, nil
}

// vertexBody is body without its model, and with the members that are headers elsewhere, in one allocation.
func vertexBody(body []byte, fields []chat.Field, betas []string) []byte {
	out := make([]byte, 0, len(body)+96+48*len(betas))
	out = append(out, `{"`+versionMember+`":"`+VertexVersion+`"`...)
	sep := `,"` + betaMember + `":[`
	for _, b := range betas {
		out = strictjson.AppendString(append(out, sep...), b)
		sep = ","
	}
	if len(betas) > 0 {
		out = append(out, ']')
	}
	for i := range fields {
		switch f := &fields[i]; f.Name {
		case "model", versionMember, betaMember:
		default:
			out = append(append(out, ','), body[f.KeyStart:f.End]...)
		}
	}
	return append(out, '}')
}

// passBetas are the client's beta features that Vertex takes, and the names of those that it does not.
func passBetas(t translate.Target) (betas, dropped []string) {
	if t.Header == nil {
		return nil, nil
	}
	for name := range strings.SplitSeq(t.Header(betaHeader), ",") {
		name = strings.TrimSpace(name)
		as, taken := vertexBetas[name]
		switch {
		case name == "":
			continue
		case !taken:
			if at := betaHeader + "." + name; len(dropped) < maxDropped && plainName(strings.ReplaceAll(at, ".", "-")) {
				dropped = append(dropped, at)
			}
			continue
		case as == "":
			as = name
		}
		if !slices.Contains(betas, as) {
			betas = append(betas, as)
		}
	}
	return betas, dropped
}
