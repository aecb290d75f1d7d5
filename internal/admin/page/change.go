package page

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"dragoman/internal/config"
	adminv1 "dragoman/proto/dragoman/admin/v1"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// createKey makes a key and shows its secret, which is in this answer alone.
func (p *Pages) createKey(w http.ResponseWriter, r *http.Request) error {
	at, err := config.ParsePlace(r.PostForm.Get("place"))
	if err != nil {
		return status.Error(codes.InvalidArgument, "choose whose key it is")
	}
	request := &adminv1.CreateKeyRequest{Tenant: at.Tenant, Team: at.Team, User: strings.TrimPrefix(strings.TrimSpace(r.PostForm.Get("user")), "@")}
	if request.Spec, err = readSpec(r); err != nil {
		return err
	}
	if request.Expires, err = day(r.PostForm.Get("expires")); err != nil {
		return err
	}
	k, err := p.o.Client.CreateKey(r.Context(), request)
	if err != nil {
		return err
	}
	p.show(w, r, http.StatusOK, &made{What: "key", Name: k.Key.Spec.Name, Secret: k.Secret})
	return nil
}

// readSpec reads what a form says of a key.
func readSpec(r *http.Request) (*adminv1.KeySpec, error) {
	spec := &adminv1.KeySpec{Name: strings.TrimSpace(r.PostForm.Get("name"))}
	spec.Models = strings.FieldsFunc(r.PostForm.Get("models"), func(c rune) bool { return c == ',' || c == ' ' })
	if s := strings.TrimSpace(r.PostForm.Get("rpm")); s != "" {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil || n == 0 {
			return nil, status.Error(codes.InvalidArgument, "requests per minute must be a number from 1")
		}
		spec.Limits = &dragomanv1.RateLimits{RequestsPerMinute: &n}
	}
	if s := strings.TrimSpace(r.PostForm.Get("usd")); s != "" {
		usd, err := strconv.ParseFloat(s, 64)
		if err != nil || !(usd > 0) {
			return nil, status.Error(codes.InvalidArgument, "the budget must be a number above 0")
		}
		spec.Budgets = []*dragomanv1.Budget{{Usd: &usd, Per: "month"}}
	}
	return spec, nil
}

// rotateKey gives a key another secret and shows it.
func (p *Pages) rotateKey(w http.ResponseWriter, r *http.Request) error {
	overlap, err := time.ParseDuration(r.PostForm.Get("overlap"))
	if err != nil {
		return status.Error(codes.InvalidArgument, "choose how long the secret before is taken, too")
	}
	k, err := p.o.Client.RotateKey(r.Context(), &adminv1.RotateKeyRequest{Id: r.PostForm.Get("id"), Overlap: durationpb.New(overlap)})
	if err != nil {
		return err
	}
	p.show(w, r, http.StatusOK, &made{What: "key", Name: k.Key.Spec.Name, Secret: k.Secret})
	return nil
}

func (p *Pages) revokeKey(w http.ResponseWriter, r *http.Request) error {
	if _, err := p.o.Client.RevokeKey(r.Context(), &adminv1.RevokeKeyRequest{Id: r.PostForm.Get("id")}); err != nil {
		return err
	}
	http.Redirect(w, r, "/#keys", http.StatusSeeOther)
	return nil
}

// createToken makes a token of an administrator and shows it, in this answer alone.
func (p *Pages) createToken(w http.ResponseWriter, r *http.Request) error {
	grant := &adminv1.Grant{Role: r.PostForm.Get("role")}
	if place := r.PostForm.Get("place"); place != "" {
		at, err := config.ParsePlace(place)
		if err != nil {
			return status.Error(codes.InvalidArgument, "choose for whom it is")
		}
		grant.Tenant, grant.Team = at.Tenant, at.Team
	}
	expires, err := day(r.PostForm.Get("expires"))
	if err != nil {
		return err
	}
	t, err := p.o.Client.CreateToken(r.Context(), &adminv1.CreateTokenRequest{Name: strings.TrimSpace(r.PostForm.Get("name")), Grant: grant, Expires: expires})
	if err != nil {
		return err
	}
	p.show(w, r, http.StatusOK, &made{What: "token", Name: t.Token.Name, Secret: t.Secret})
	return nil
}

func (p *Pages) revokeToken(w http.ResponseWriter, r *http.Request) error {
	if _, err := p.o.Client.RevokeToken(r.Context(), &adminv1.RevokeTokenRequest{Id: r.PostForm.Get("id")}); err != nil {
		return err
	}
	http.Redirect(w, r, "/#tokens", http.StatusSeeOther)
	return nil
}
