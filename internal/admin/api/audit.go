package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"dragoman/internal/admin/access"
	"dragoman/internal/ledger"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

var errNoTrail = status.Error(codes.FailedPrecondition, "this gateway keeps no ledger, and so no audit trail")

// ListAudit implements adminv1.AdminServer.
func (s *Server) ListAudit(ctx context.Context, r *adminv1.ListAuditRequest) (*adminv1.ListAuditResponse, error) {
	if r.Team != "" && r.Tenant == "" {
		return nil, invalid("a team needs its tenant")
	}
	if len(r.Action) > 100 {
		return nil, invalid("action has more than 100 bytes")
	}
	places, err := access.CallOf(ctx).Places(r.Tenant, r.Team)
	if err != nil {
		return nil, err
	}
	if len(places) != 1 {
		return nil, invalid("say which tenant and team, for you may see several")
	}
	before, err := readCursor(r.PageToken)
	if err != nil {
		return nil, err
	}
	if s.o.AuditPage == nil {
		return nil, errNoTrail
	}
	size := pageSize(r.PageSize)
	entries, err := s.o.AuditPage(ctx, ledger.PageFilter{Tenant: places[0].Tenant, Team: places[0].Team, Action: r.Action, Before: before, Limit: size + 1})
	if err != nil {
		return nil, s.away("the ledger's database", err)
	}
	out := &adminv1.ListAuditResponse{}
	if len(entries) > size {
		entries = entries[:size]
		out.NextPageToken = cursor(entries[size-1])
	}
	for _, e := range entries {
		out.Entries = append(out.Entries, showEntry(e))
	}
	return out, nil
}

func showEntry(e *ledger.Entry) *adminv1.AuditEntry {
	return &adminv1.AuditEntry{Time: timestamppb.New(e.Time), Action: e.Action, Outcome: e.Outcome, Organisation: e.Organisation, Tenant: e.Tenant, Team: e.Team,
		User: e.User, Key: e.Key, Subject: e.Subject, Detail: e.Detail, RequestId: e.RequestID, Count: e.Count, Writer: e.Writer, Number: e.Number,
		Hash: hex.EncodeToString(e.Hash[:])}
}

// cursor is where a page ends.
func cursor(e *ledger.Entry) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(e.Time.UnixMicro(), 10) + " " + strconv.FormatUint(e.Number, 10) + " " + e.Writer))
}

func readCursor(text string) (*ledger.Entry, error) {
	if text == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	parts := strings.SplitN(string(b), " ", 3)
	if err != nil || len(parts) != 3 || len(b) > 200 {
		return nil, invalid("page_token is none of this method's")
	}
	at, err1 := strconv.ParseInt(parts[0], 10, 64)
	number, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err1 != nil || err2 != nil || number < 0 || strings.ToValidUTF8(parts[2], "") != parts[2] || strings.ContainsRune(parts[2], 0) {
		return nil, invalid("page_token is none of this method's")
	}
	return &ledger.Entry{Time: time.UnixMicro(at), Number: uint64(number), Writer: parts[2]}, nil
}

// VerifyAudit implements adminv1.AdminServer.
func (s *Server) VerifyAudit(ctx context.Context, r *adminv1.VerifyAuditRequest) (*adminv1.VerifyAuditResponse, error) {
	if s.o.Verify == nil {
		return nil, errNoTrail
	}
	if len(r.Expect) > 1000 {
		return nil, invalid("expect holds more than 1000 heads")
	}
	for _, e := range r.Expect {
		if strings.Count(e, ":") != 2 {
			return nil, invalid("expect must be heads, WRITER:NUMBER:HASH, as an earlier verification answered")
		}
	}
	if !s.verifying.TryLock() {
		return nil, status.Error(codes.ResourceExhausted, "the trail is being verified for somebody else: wait a moment")
	}
	defer s.verifying.Unlock()
	v, err := s.o.Verify(ctx, r.Expect)
	switch {
	case ctx.Err() != nil:
		return nil, status.Error(codes.DeadlineExceeded, "the trail is too long to be verified here: use dragoman audit verify with the gateway's configuration")
	case err != nil:
		return nil, s.away("the ledger's database", err)
	}
	return &adminv1.VerifyAuditResponse{Chains: uint32(v.Chains), Entries: v.Entries, Pruned: v.Pruned, Heads: v.Heads, Faults: v.Faults, MoreFaults: uint32(v.More)}, nil
}
