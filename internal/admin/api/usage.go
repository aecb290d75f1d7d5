package api

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/processor/limit"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// GetUsage implements adminv1.AdminServer.
func (s *Server) GetUsage(ctx context.Context, r *adminv1.GetUsageRequest) (*adminv1.GetUsageResponse, error) {
	u, err := s.usage(ctx, Question{By: r.By, Where: r.Where, Since: r.Since, Until: r.Until, Limit: int(r.Limit)})
	if err != nil {
		return nil, err
	}
	out := &adminv1.GetUsageResponse{By: u.By, Since: timestamppb.New(u.Since), Until: timestamppb.New(u.Until), Total: showRow(&u.Total), Truncated: u.Truncated}
	for i := range u.Rows {
		out.Rows = append(out.Rows, showRow(&u.Rows[i]))
	}
	return out, nil
}

// Usage is GetUsage for GET /usage, whose answer has another form.
func (s *Server) Usage(ctx context.Context, q Question) (u *ledger.Usage, err error) {
	err = s.Do(ctx, adminv1.Admin_GetUsage_FullMethodName, func(ctx context.Context) error {
		u, err = s.usage(ctx, q)
		return err
	})
	return u, err
}

func (s *Server) usage(ctx context.Context, q Question) (*ledger.Usage, error) {
	if q.Limit < 0 {
		return nil, invalid("limit must be a number from 1")
	}
	within, err := usageWithin(access.CallOf(ctx), q.Where)
	if err != nil {
		return nil, err
	}
	if s.o.Usage == nil {
		return nil, status.Error(codes.FailedPrecondition, "this gateway keeps no ledger")
	}
	q.Within = within
	return s.o.Usage(ctx, q) // its errors are a status
}

// usageWithin is what a question is narrowed to: what it asks for must be the caller's, and what it leaves out becomes the caller's.
func usageWithin(call *access.Call, where []string) (map[string][]string, error) {
	var tenants, teams []string
	for _, w := range where {
		switch name, value, _ := strings.Cut(w, "="); name {
		case "tenant":
			tenants = append(tenants, value)
		case "team":
			teams = append(teams, value)
		}
	}
	if len(tenants) > 0 {
		return nil, eachAt(call, tenants, teams)
	}
	places, err := call.Places("", "")
	if err != nil {
		return nil, err
	}
	within := map[string][]string{}
	for _, p := range places {
		switch {
		case p.Tenant == "":
			return nil, nil
		case len(places) == 1 && p.Team != "":
			if len(teams) > 0 {
				return map[string][]string{"tenant": {p.Tenant}}, eachAt(call, []string{p.Tenant}, teams)
			}
			within["team"] = []string{p.Team}
		case p.Team != "":
			return nil, invalid("say where: tenant=… and team=…, for you may see several")
		}
		within["tenant"] = append(within["tenant"], p.Tenant)
	}
	return within, nil
}

// eachAt checks every team of every tenant that a question is about.
func eachAt(call *access.Call, tenants, teams []string) error {
	if len(tenants) > 100 || len(teams) > 100 {
		return invalid("tenant and team must be filtered by 1 to 100 values")
	}
	if len(teams) == 0 {
		teams = []string{""}
	}
	for _, tenant := range tenants {
		for _, team := range teams {
			if tenant == "" {
				return access.ErrNotFound()
			}
			if err := call.At(tenant, team); err != nil {
				return err
			}
		}
	}
	return nil
}

func showRow(r *ledger.Row) *adminv1.UsageRow {
	return &adminv1.UsageRow{Group: r.Group, Requests: r.Requests, Errors: r.Errors, Refused: r.Refused, CacheHits: r.Hits, FailedAttempts: r.Attempts,
		InputTokens: r.Input, CacheReadTokens: r.CacheRead, CacheWriteTokens: r.CacheWrite, OutputTokens: r.Output, CostMicrousd: int64(r.Cost),
		Unpriced: r.Unpriced, Estimated: r.Estimated, SavedTokens: r.SavedTokens, SavedMicrousd: int64(r.Saved), DurationUs: r.DurationUS}
}

// ListPrincipals implements adminv1.AdminServer.
func (s *Server) ListPrincipals(ctx context.Context, r *adminv1.ListPrincipalsRequest) (*adminv1.ListPrincipalsResponse, error) {
	if r.Team != "" && r.Tenant == "" {
		return nil, invalid("a team needs its tenant")
	}
	places, err := access.CallOf(ctx).Places(r.Tenant, r.Team)
	if err != nil {
		return nil, err
	}
	out := &adminv1.ListPrincipalsResponse{}
	levels, err := s.o.Levels(ctx)
	if err != nil {
		s.o.Log.Warn("where limits stand could not be looked up", "error", err)
		out.LimitsUnknown = true
	}
	for _, p := range hierarchy(s.o.Config(), levels) {
		if slices.ContainsFunc(places, func(at config.Place) bool {
			return access.Covers(config.RoleGrant{Tenant: at.Tenant, Team: at.Team}, p.Tenant, p.Team)
		}) {
			out.Principals = append(out.Principals, p)
		}
	}
	return out, nil
}

// hierarchy is every level of the configuration, and those of which only the counters know, each with its own limits.
func hierarchy(snap *config.Snapshot, levels []limit.Level) []*adminv1.Principal {
	found := map[string]*adminv1.Principal{}
	for _, p := range snap.Keys.Principals() {
		level := &adminv1.Principal{Organisation: p.Organisation, Tenant: p.Tenant, Team: p.Team, User: p.User, Key: p.Key}
		level.Level = levelName(level)
		found[level.Level] = level
	}
	for i := range levels {
		l := &levels[i]
		p := found[l.Level]
		if p == nil {
			p = readLevel(l.Level)
			if above := found[levelName(&adminv1.Principal{Tenant: p.Tenant})]; above != nil {
				p.Organisation = above.Organisation
			}
			found[l.Level] = p
		}
		p.Limits = append(p.Limits, &adminv1.Limit{Name: l.Name, Mode: l.Mode, Unit: l.Unit, Limit: l.Limit, Spent: l.Spent, Reserved: l.Reserved,
			Resets: stamp(l.Resets), Override: l.Override})
	}
	out := make([]*adminv1.Principal, 0, len(found))
	for _, p := range found {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *adminv1.Principal) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Team, b.Team), cmp.Compare(a.User, b.User), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Level, b.Level))
	})
	return out
}

// levelName is what the counters call a level.
func levelName(p *adminv1.Principal) string {
	at := config.Place{Tenant: p.Tenant, Team: p.Team, User: p.User}.String()
	switch {
	case p.Key != "":
		return "key:" + at + "/" + p.Key
	case p.User != "":
		return "user:" + at
	case p.Team != "":
		return "team:" + at
	default:
		return "tenant:" + at
	}
}

// readLevel reads what the counters call a level. One that cannot be read belongs to no tenant: only who may see all sees it.
func readLevel(name string) *adminv1.Principal {
	p := &adminv1.Principal{Level: name}
	kind, path, _ := strings.Cut(name, ":")
	key := ""
	if kind == "key" {
		if i := strings.LastIndexByte(path, '/'); i >= 0 {
			path, key = path[:i], path[i+1:]
		}
	}
	switch kind {
	case "tenant", "team", "user", "key":
		if at, err := config.ParsePlace(path); err == nil {
			p.Tenant, p.Team, p.User, p.Key = at.Tenant, at.Team, at.User, key
		}
	case "organisation":
		p.Organisation = path
	}
	return p
}
