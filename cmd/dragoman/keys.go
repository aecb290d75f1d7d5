package main

import (
	"context"
	"os"
	"time"

	"dragoman/internal/app"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key. With a place: in the store of keys (identity.keys); without: for the config, printed with the hash that belongs there."`
	List   keysListCmd   `cmd:"" help:"List the keys of the store."`
	Rotate keysRotateCmd `cmd:"" help:"Give a key of the store another secret; the one before may overlap."`
	Revoke keysRevokeCmd `cmd:"" help:"End a key of the store."`
}

type keysCreateCmd struct {
	configFlags
	adminFlags
	Place        string            `arg:"" optional:"" placeholder:"PLACE" help:"Whose key: TENANT, TENANT/TEAM, TENANT/@USER or TENANT/TEAM/@USER."`
	Name         string            `placeholder:"NAME" help:"What it is called, unique in its place."`
	Models       []string          `placeholder:"PATTERN" help:"What may be asked for: routes, models or provider/model, * at the end allowed; default all."`
	Providers    []string          `name:"provider" placeholder:"NAME" help:"Who may serve; default all."`
	DataRegions  []string          `name:"data-region" placeholder:"REGION" help:"Of the providers that may serve; default all."`
	Expires      string            `placeholder:"WHEN" help:"90d or 12h from now, 2026-12-31, or a time (RFC 3339); default never, or identity.keys.max_age."`
	RPM          uint64            `name:"rpm" placeholder:"N" help:"Requests a minute at most."`
	TPM          uint64            `name:"tpm" placeholder:"N" help:"Tokens a minute at most."`
	Concurrent   uint64            `placeholder:"N" help:"Requests at the same time at most."`
	Streams      uint64            `placeholder:"N" help:"Streamed requests at the same time at most."`
	BudgetUSD    float64           `name:"budget-usd" placeholder:"USD" help:"What it may cost in each --per."`
	BudgetTokens uint64            `placeholder:"N" help:"Tokens that it may use in each --per."`
	Per          string            `placeholder:"PERIOD" help:"hour, day, week or month, of the budgets."`
	Tag          map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Goes into the ledger; repeatable."`
	JSON         bool              `name:"json" help:"Print one JSON object."`
}

func (c *keysCreateCmd) Run(ctx context.Context) error {
	if c.Place == "" {
		return app.CreateKey(os.Stdout)
	}
	return app.CreateStoredKey(ctx, c.with(c.configFlags), app.NewStoredKey{Place: c.Place, Name: c.Name, Models: c.Models, Providers: c.Providers, DataRegions: c.DataRegions,
		Expires: c.Expires, PerMinute: c.RPM, TokensPerMinute: c.TPM, ConcurrentRequests: c.Concurrent, ConcurrentStreams: c.Streams,
		BudgetUSD: c.BudgetUSD, BudgetTokens: c.BudgetTokens, Per: c.Per, Tags: c.Tag, JSON: c.JSON})
}

type keysListCmd struct {
	configFlags
	adminFlags
	Place string `arg:"" optional:"" placeholder:"PLACE" help:"Only keys of this place and below it."`
	All   bool   `help:"Revoked ones, too."`
	JSON  bool   `name:"json" help:"Print a JSON object a line."`
}

func (c *keysListCmd) Run(ctx context.Context) error {
	return app.ListStoredKeys(ctx, c.with(c.configFlags), c.Place, c.All, c.JSON)
}

type keysRotateCmd struct {
	configFlags
	adminFlags
	Key     string        `arg:"" placeholder:"ID|PATH" help:"As keys list shows it."`
	Overlap time.Duration `default:"0s" placeholder:"DURATION" help:"How long the secret before is accepted, too (24h); default not at all."`
	JSON    bool          `name:"json" help:"Print one JSON object."`
}

func (c *keysRotateCmd) Run(ctx context.Context) error {
	return app.RotateStoredKey(ctx, c.with(c.configFlags), c.Key, c.Overlap, c.JSON)
}

type keysRevokeCmd struct {
	configFlags
	adminFlags
	Key  string `arg:"" placeholder:"ID|PATH" help:"As keys list shows it."`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

func (c *keysRevokeCmd) Run(ctx context.Context) error {
	return app.RevokeStoredKey(ctx, c.with(c.configFlags), c.Key, c.JSON)
}
