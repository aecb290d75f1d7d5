package api

import (
	"context"
	"encoding/json"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"dragoman/internal/admin/access"
	"dragoman/processor/cache"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// PurgeCache implements adminv1.AdminServer. Nothing named is no purge of everything: that has to be said.
func (s *Server) PurgeCache(ctx context.Context, r *adminv1.PurgeCacheRequest) (*adminv1.PurgeCacheResponse, error) {
	call := access.CallOf(ctx)
	f := cache.Filter{Tenant: r.Tenant, Model: r.Model, Key: r.Key}
	if r.OlderThan != nil {
		if f.OlderThan = r.OlderThan.AsDuration(); r.OlderThan.CheckValid() != nil || f.OlderThan <= 0 || f.OlderThan > 100*365*24*time.Hour {
			return nil, invalid("older_than must be a duration above 0")
		}
	}
	call.Subject = purgeSubject(f, r.All)
	if named := f != (cache.Filter{}); named == r.All {
		return nil, invalid("say what to purge: tenant, model, older_than and key, which all must hold, or all alone")
	}
	if err := call.At(r.Tenant, ""); err != nil {
		return nil, err
	}
	removed := 0
	for _, t := range s.o.Cache() {
		n, err := t.Purge(ctx, f)
		removed += n
		if err != nil {
			s.o.Log.Warn("the cache was not purged whole", "error", err)
			return nil, status.Error(codes.Unavailable, "the purge is not complete: "+err.Error())
		}
	}
	return &adminv1.PurgeCacheResponse{Removed: uint64(max(removed, 0))}, nil
}

func purgeSubject(f cache.Filter, all bool) string {
	if all {
		return "all"
	}
	out := ""
	for _, part := range [][2]string{{"tenant", f.Tenant}, {"model", f.Model}, {"key", f.Key}} {
		if part[1] != "" {
			out += part[0] + "=" + part[1] + " "
		}
	}
	if f.OlderThan > 0 {
		out += "older_than=" + f.OlderThan.String()
	}
	return out
}

// CacheFeedback implements adminv1.AdminServer.
func (s *Server) CacheFeedback(ctx context.Context, r *adminv1.CacheFeedbackRequest) (*adminv1.CacheFeedbackResponse, error) {
	access.CallOf(ctx).Subject = r.Key
	if r.Key == "" || r.Wrong == nil {
		return nil, invalid("key and wrong are needed")
	}
	found := false
	for _, t := range s.o.Cache() {
		has, err := t.Feedback(ctx, r.Key, *r.Wrong)
		if err != nil {
			return nil, status.Error(codes.Unavailable, "the feedback was not taken: "+err.Error())
		}
		found = found || has
	}
	if !found {
		return nil, status.Error(codes.NotFound, "the cache has no entry of this key")
	}
	return &adminv1.CacheFeedbackResponse{}, nil
}

// GetStatus implements adminv1.AdminServer.
func (s *Server) GetStatus(context.Context, *adminv1.GetStatusRequest) (*adminv1.GetStatusResponse, error) {
	b, err := json.Marshal(s.o.Status())
	if err != nil {
		return nil, s.away("the status", err)
	}
	out := &structpb.Struct{}
	if err := out.UnmarshalJSON(b); err != nil {
		return nil, s.away("the status", err)
	}
	return &adminv1.GetStatusResponse{Status: out}, nil
}

// Reload implements adminv1.AdminServer.
func (s *Server) Reload(context.Context, *adminv1.ReloadRequest) (*adminv1.ReloadResponse, error) {
	version, err := s.o.Reload()
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &adminv1.ReloadResponse{Version: version}, nil
}
