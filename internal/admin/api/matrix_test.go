package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dragoman/internal/admin/access"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// may is who may do what, said once more and in other words than access.Methods: a change of the one needs a change of the other.
var may = map[string]string{
	"WhoAmI":    "admin operator viewer member",
	"CreateKey": "admin operator member", "RotateKey": "admin operator member", "RevokeKey": "admin operator member",
	"ListKeys": "admin operator viewer member", "GetKey": "admin operator viewer member",
	"CreateToken": "admin", "ListTokens": "admin", "RevokeToken": "admin",
	"ListPrincipals": "admin operator viewer member", "GetUsage": "admin operator viewer member",
	"ListAudit": "admin operator viewer", "VerifyAudit": "admin operator viewer", "GetStatus": "admin operator viewer",
	"PurgeCache": "admin operator", "CacheFeedback": "admin operator", "Reload": "admin operator",
}

// whole are methods that look at everything: a role that holds for a tenant does not allow them.
var whole = []string{"VerifyAudit", "GetStatus", "CacheFeedback", "Reload"}

// ask calls a method about a place; a tenant's cache is one.
func (w *world) ask(t *testing.T, ctx context.Context, method, tenant, team string) error {
	t.Helper()
	w.n++
	name := fmt.Sprintf("n%d", w.n)
	var err error
	switch method {
	case "WhoAmI":
		_, err = w.client.WhoAmI(ctx, &adminv1.WhoAmIRequest{})
	case "CreateKey":
		_, err = w.client.CreateKey(ctx, &adminv1.CreateKeyRequest{Tenant: tenant, Team: team, Spec: &adminv1.KeySpec{Name: name}})
	case "RotateKey":
		_, err = w.client.RotateKey(ctx, &adminv1.RotateKeyRequest{Id: w.makeKey(t, tenant, team, name).Key.Id})
	case "RevokeKey":
		_, err = w.client.RevokeKey(ctx, &adminv1.RevokeKeyRequest{Id: w.makeKey(t, tenant, team, name).Key.Id})
	case "GetKey":
		_, err = w.client.GetKey(ctx, &adminv1.GetKeyRequest{Id: w.makeKey(t, tenant, team, name).Key.Id})
	case "ListKeys":
		_, err = w.client.ListKeys(ctx, &adminv1.ListKeysRequest{Tenant: tenant, Team: team})
	case "CreateToken":
		_, err = w.client.CreateToken(ctx, &adminv1.CreateTokenRequest{Name: name, Grant: &adminv1.Grant{Role: "viewer", Tenant: tenant, Team: team}})
	case "RevokeToken":
		_, err = w.client.RevokeToken(ctx, &adminv1.RevokeTokenRequest{Id: w.makeToken(t, name, "viewer", tenant, team).Token.Id})
	case "ListTokens":
		_, err = w.client.ListTokens(ctx, &adminv1.ListTokensRequest{})
	case "ListPrincipals":
		_, err = w.client.ListPrincipals(ctx, &adminv1.ListPrincipalsRequest{Tenant: tenant, Team: team})
	case "GetUsage":
		where := []string{"tenant=" + tenant}
		if team != "" {
			where = append(where, "team="+team)
		}
		_, err = w.client.GetUsage(ctx, &adminv1.GetUsageRequest{Where: where})
	case "ListAudit":
		_, err = w.client.ListAudit(ctx, &adminv1.ListAuditRequest{Tenant: tenant, Team: team})
	case "VerifyAudit":
		_, err = w.client.VerifyAudit(ctx, &adminv1.VerifyAuditRequest{})
	case "PurgeCache":
		_, err = w.client.PurgeCache(ctx, &adminv1.PurgeCacheRequest{Tenant: tenant})
	case "CacheFeedback":
		yes := true
		_, err = w.client.CacheFeedback(ctx, &adminv1.CacheFeedbackRequest{Key: "entry", Wrong: &yes})
	case "GetStatus":
		_, err = w.client.GetStatus(ctx, &adminv1.GetStatusRequest{})
	case "Reload":
		_, err = w.client.Reload(ctx, &adminv1.ReloadRequest{})
	default:
		t.Fatalf("%s is not in the matrix", method)
	}
	return err
}

// expected is what the words above come to.
func expected(method, role, grantTenant, grantTeam, tenant, team string) codes.Code {
	if method == "PurgeCache" {
		team = ""
	}
	switch {
	case !slices.Contains(strings.Fields(may[method]), role):
		return codes.PermissionDenied
	case method == "WhoAmI" || method == "ListTokens" || grantTenant == "":
		return codes.OK
	case slices.Contains(whole, method):
		return codes.PermissionDenied
	case grantTenant == tenant && (grantTeam == "" || grantTeam == team):
		return codes.OK
	default:
		return codes.NotFound
	}
}

// TestMatrix: every method, every role, every scope, inside and outside of it.
func TestMatrix(t *testing.T) {
	w := newWorld(t)
	checked := 0
	for _, m := range adminv1.Admin_ServiceDesc.Methods {
		method := m.MethodName
		if _, ok := access.Methods["/"+adminv1.Admin_ServiceDesc.ServiceName+"/"+method]; !ok {
			t.Errorf("nobody may call %s: it has no entry in access.Methods", method)
		}
		if may[method] == "" {
			t.Fatalf("the matrix does not know %s", method)
		}
		for _, role := range []string{"admin", "operator", "viewer", "member"} {
			for _, scope := range []string{"", "acme", "acme/search"} {
				for _, target := range []string{"acme", "acme/search", "acme/ads", "globex", "globex/search"} {
					grantTenant, grantTeam, _ := strings.Cut(scope, "/")
					tenant, team, _ := strings.Cut(target, "/")
					want := expected(method, role, grantTenant, grantTeam, tenant, team)
					before := len(w.noted())
					err := w.ask(t, as(role+":"+scope), method, tenant, team)
					if status.Code(err) != want {
						t.Errorf("%s by %s of %q about %s: %v, want %s", method, role, scope, target, err, want)
					}
					if want != codes.OK && !w.refusedSince(before) {
						t.Errorf("%s by %s of %q about %s: the trail knows of no refusal", method, role, scope, target)
					}
					checked++
				}
			}
		}
	}
	if checked != len(adminv1.Admin_ServiceDesc.Methods)*4*3*5 || len(may) != len(adminv1.Admin_ServiceDesc.Methods) || len(access.Methods) != len(may) {
		t.Errorf("checked %d; %d methods, %d in the table, %d in the matrix", checked, len(adminv1.Admin_ServiceDesc.Methods), len(access.Methods), len(may))
	}
}

func (w *world) refusedSince(n int) bool {
	return slices.ContainsFunc(w.noted()[n:], func(e access.Event) bool { return e.Outcome == "not_found" || e.Outcome == "permission_denied" })
}

// TestNobody: without an identity nothing is answered, whatever is asked.
func TestNobody(t *testing.T) {
	w := newWorld(t)
	for _, m := range adminv1.Admin_ServiceDesc.Methods {
		wantCode(t, m.MethodName, w.ask(t, context.Background(), m.MethodName, "acme", ""), codes.Unauthenticated)
	}
	if e := w.noted(); e[len(e)-1].Action != "refused" || e[len(e)-1].Outcome != "unauthenticated" {
		t.Errorf("the trail: %+v", e[len(e)-1])
	}
}
