package main

import (
	"context"

	"dragoman/internal/app"
)

// adminFlags say which gateway is asked, where that is not the database of the configuration.
type adminFlags struct {
	URL   string `name:"url" placeholder:"URL" help:"Ask the admin port of a running gateway instead of the database that the config names."`
	Token string `name:"admin-token" env:"DRAGOMAN_ADMIN_TOKEN" placeholder:"TOKEN" help:"Of --url; better $DRAGOMAN_ADMIN_TOKEN, which no list of processes shows."`
	CA    string `name:"ca" placeholder:"FILE" help:"PEM file of who signed the certificate of --url; default the system's."`
}

// with is the options of a command that may ask a gateway.
func (f adminFlags) with(c configFlags) app.Options {
	o := c.options()
	o.Remote = app.Remote{URL: f.URL, Token: f.Token, CA: f.CA}
	return o
}

type tokensCmd struct {
	Create tokensCreateCmd `cmd:"" help:"Make a token for a program that uses the admin API: printed once."`
	List   tokensListCmd   `cmd:"" help:"List tokens."`
	Revoke tokensRevokeCmd `cmd:"" help:"End a token."`
}

type tokensCreateCmd struct {
	configFlags
	adminFlags
	Name    string `required:"" placeholder:"NAME" help:"What it is called, unique in its tenant and team."`
	Role    string `required:"" enum:"admin,operator,viewer,member" placeholder:"ROLE" help:"admin (everything), operator (keys, cache, reload, reading), viewer (reading) or member (keys, limits and usage of a tenant)."`
	Tenant  string `placeholder:"TENANT" help:"The role holds for this tenant alone; required of member."`
	Team    string `placeholder:"TEAM" help:"And for this team of it alone."`
	Expires string `placeholder:"WHEN" help:"90d or 12h from now, 2026-12-31, or a time (RFC 3339); default never."`
	Offline bool   `help:"Store nothing: print the token and what belongs under admin.tokens of the config."`
	JSON    bool   `name:"json" help:"Print one JSON object."`
}

func (c *tokensCreateCmd) Run(ctx context.Context) error {
	return app.CreateToken(ctx, c.with(c.configFlags), app.NewToken{Name: c.Name, Role: c.Role, Tenant: c.Tenant, Team: c.Team, Expires: c.Expires,
		Offline: c.Offline, JSON: c.JSON})
}

type tokensListCmd struct {
	configFlags
	adminFlags
	JSON bool `name:"json" help:"Print a JSON object a line."`
}

func (c *tokensListCmd) Run(ctx context.Context) error {
	return app.ListTokens(ctx, c.with(c.configFlags), c.JSON)
}

type tokensRevokeCmd struct {
	configFlags
	adminFlags
	Which string `arg:"" placeholder:"ID|NAME" help:"As tokens list shows it: the ID, NAME or TENANT/TEAM/NAME."`
}

func (c *tokensRevokeCmd) Run(ctx context.Context) error {
	return app.RevokeToken(ctx, c.with(c.configFlags), c.Which)
}
