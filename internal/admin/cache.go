package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"dragoman/internal/admin/api"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// maxFeedback bounds the body of a feedback in bytes.
const maxFeedback = 4 << 10

// cacheEndpoints adds what changes the cache's entries, as it was before there was an API.
func cacheEndpoints(mux *http.ServeMux, s *api.Server, identified func(http.Handler) http.Handler) {
	client := s.Client()
	mux.Handle("DELETE /cache", identified(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := purgeOf(r.URL.RawQuery)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		done, err := client.PurgeCache(r.Context(), request)
		if err != nil {
			tierError(w, err)
			return
		}
		answer(w, map[string]any{"removed": done.Removed})
	})))
	mux.Handle("POST /cache/feedback", identified(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := feedbackOf(http.MaxBytesReader(w, r.Body, maxFeedback))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if _, err := client.CacheFeedback(r.Context(), request); err != nil {
			tierError(w, err)
			return
		}
		answer(w, map[string]any{"found": true})
	})))
}

// tierError tells a store that is away from a gateway that is.
func tierError(w http.ResponseWriter, err error) {
	if status.Code(err) == codes.Unavailable {
		http.Error(w, status.Convert(err).Message(), http.StatusBadGateway)
		return
	}
	Fail(w, err)
}

// purgeOf reads a purge's query: tenant, model, older_than, key; all=true for every entry.
func purgeOf(raw string) (*adminv1.PurgeCacheRequest, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("the query cannot be read")
	}
	out := &adminv1.PurgeCacheRequest{}
	for name, values := range query {
		value := values[len(values)-1]
		switch name {
		case "tenant":
			out.Tenant = value
		case "model":
			out.Model = value
		case "key":
			out.Key = value
		case "older_than":
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return nil, errors.New(`older_than must be a duration with a unit, such as "30m"`)
			}
			out.OlderThan = durationpb.New(d)
		case "all":
			out.All = value == "true"
		default:
			return nil, errors.New("a purge knows tenant, model, older_than, key and all, nothing else")
		}
		if name != "all" && value == "" {
			return nil, errors.New(name + " is empty")
		}
	}
	return out, nil
}

// feedbackOf reads {"key": "…", "wrong": true}: what x-dragoman-cache-entry, or x-dragoman-cache, named was a wrong answer.
func feedbackOf(body io.Reader) (*adminv1.CacheFeedbackRequest, error) {
	var f struct {
		Key   string `json:"key"`
		Wrong *bool  `json:"wrong"`
	}
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || f.Key == "" || f.Wrong == nil || d.Decode(&struct{}{}) != io.EOF {
		return nil, errors.New(`the body must be {"key": "…", "wrong": true or false}`)
	}
	return &adminv1.CacheFeedbackRequest{Key: f.Key, Wrong: f.Wrong}, nil
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
