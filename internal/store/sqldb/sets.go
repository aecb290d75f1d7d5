package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"dragoman/processor/account"
)

// dim is one row of dragoman_dims.
type dim struct{ organisation, tenant, team, user, key, route, model, provider string }

// The sets of names that sums are kept for. A question is answered from the first that has the names it asks for: the fewer names, the
// fewer rows.
const (
	ofAll = iota // of everybody together: no names, dim 0
	ofTeams
	ofServed
	ofTenantsServed
	ofCallers
	ofDims // every name
	setCount
)

// set is what is kept of a set of names.
type set struct {
	grain   int64    // is added to hourly, daily, monthly
	hours   bool     // whether there are sums by hour; else those of ofDims serve
	table   string   // of its names
	columns []string // of the table, named as those of ledger.Dimensions are
}

var sets = [setCount]set{
	ofAll:           {grain: 10, hours: true},
	ofTeams:         {grain: 20, hours: true, table: "dragoman_teams", columns: []string{"organisation", "tenant", "team"}},
	ofServed:        {grain: 30, hours: true, table: "dragoman_served", columns: []string{"route", "model", "provider"}},
	ofTenantsServed: {grain: 50, table: "dragoman_tenants_served", columns: []string{"organisation", "tenant", "route", "model", "provider"}},
	ofCallers:       {grain: 40, table: "dragoman_callers", columns: []string{"organisation", "tenant", "team", "user_id", "key_name"}},
	ofDims: {grain: 0, hours: true, table: "dragoman_dims",
		columns: []string{"organisation", "tenant", "team", "user_id", "key_name", "route", "model", "provider"}},
}

// setFor is the set that has all columns.
func setFor(columns []string) int {
	return slices.IndexFunc(sets[:], func(s set) bool {
		return !slices.ContainsFunc(columns, func(c string) bool { return !slices.Contains(s.columns, c) })
	})
}

// ids are a dim's names in every set.
type ids [setCount]int64

// names are a dim's names in a set, in the order of its columns.
func (d *dim) names(of int) []any {
	switch of {
	case ofTeams:
		return []any{d.organisation, d.tenant, d.team}
	case ofServed:
		return []any{d.route, d.model, d.provider}
	case ofTenantsServed:
		return []any{d.organisation, d.tenant, d.route, d.model, d.provider}
	case ofCallers:
		return []any{d.organisation, d.tenant, d.team, d.user, d.key}
	default:
		return []any{d.organisation, d.tenant, d.team, d.user, d.key, d.route, d.model, d.provider}
	}
}

// strange is the model of requests that failed for a name that no catalogue knows: clients can make up any number of those.
const strange = "(unknown)"

func dimOf(r *account.Record) dim {
	return dimFor(r, r.Provider, r.Model, r.Known, r.Outcome == "ok")
}

func dimOfAttempt(r *account.Record, a *account.Attempt) dim {
	return dimFor(r, a.Provider, a.Model, a.Known, r.Outcome == "ok")
}

func dimFor(r *account.Record, provider, model string, known, ok bool) dim {
	d := dim{r.Organisation, r.Tenant, r.Team, r.User, r.Key, r.Route, model, provider}
	if !known && !ok && model != "" {
		if d.route == model || d.route == r.Asked {
			d.route = strange
		}
		d.model = strange
	}
	return d
}

// name finds or makes a dim's ids in all sets.
func (db *DB) name(ctx context.Context, d dim) error {
	if db.isNamed(d) {
		return nil
	}
	var all ids
	for i := range sets {
		if i == ofAll {
			continue
		}
		k := d.within(i)
		id, ok := db.names[k] // a new dim is mostly one of names that are known
		if !ok || i == ofDims {
			var err error
			if id, err = db.identify(ctx, sets[i].find(), sets[i].insert(), d.names(i)); err != nil {
				return err
			}
		}
		if i != ofDims {
			db.names[k] = id
		}
		all[i] = id
	}
	db.dims[d] = all
	return nil
}

// name is what a dim is called in a set.
type name struct {
	of int
	dim
}

// within is a dim without the names that a set does not have.
func (d *dim) within(of int) name {
	n := name{of: of}
	switch of {
	case ofTeams:
		n.dim = dim{organisation: d.organisation, tenant: d.tenant, team: d.team}
	case ofServed:
		n.dim = dim{route: d.route, model: d.model, provider: d.provider}
	case ofTenantsServed:
		n.dim = dim{organisation: d.organisation, tenant: d.tenant, route: d.route, model: d.model, provider: d.provider}
	case ofCallers:
		n.dim = dim{organisation: d.organisation, tenant: d.tenant, team: d.team, user: d.user, key: d.key}
	}
	return n
}

func (s *set) find() string {
	return "SELECT id FROM " + s.table + " WHERE " + strings.Join(s.columns, " = ? AND ") + " = ?"
}

func (s *set) insert() string {
	return "INSERT INTO " + s.table + " (" + strings.Join(s.columns, ", ") + ") VALUES (?" + strings.Repeat(",?", len(s.columns)-1) + ") ON CONFLICT DO NOTHING"
}

func (db *DB) nameTag(ctx context.Context, tag string) error {
	if _, ok := db.tags[tag]; ok {
		return nil
	}
	id, err := db.identify(ctx, "SELECT id FROM dragoman_tags WHERE tag = ?", "INSERT INTO dragoman_tags (tag) VALUES (?) ON CONFLICT DO NOTHING", []any{tag})
	if err == nil {
		db.tags[tag] = id
	}
	return err
}

// identify selects, inserts when there is nothing, and selects again: another replica may have been faster.
func (db *DB) identify(ctx context.Context, choose, insert string, values []any) (id int64, err error) {
	for range 2 {
		s, err := db.stmt(ctx, choose)
		if err != nil {
			return 0, err
		}
		if err = s.QueryRowContext(ctx, values...).Scan(&id); err != sql.ErrNoRows {
			return id, err
		}
		if s, err = db.stmt(ctx, insert); err != nil {
			return 0, err
		}
		if _, err := s.ExecContext(ctx, values...); err != nil {
			return 0, err
		}
	}
	s, err := db.stmt(ctx, choose)
	if err == nil {
		err = s.QueryRowContext(ctx, values...).Scan(&id)
	}
	return id, err
}

// known are all names that rows refer to.
type known struct {
	dims    map[int64]ids // by their ids among dims
	tags    map[string]int64
	lastDim int64
	lastTag int64
}

// load reads what is new since the last time.
func (k *known) load(ctx context.Context, tx *sql.Tx) error {
	var dims, tags int64
	err := tx.QueryRowContext(ctx, "SELECT COALESCE((SELECT MAX(id) FROM dragoman_dims), 0), COALESCE((SELECT MAX(id) FROM dragoman_tags), 0)").Scan(&dims, &tags)
	if err != nil || k.dims != nil && dims == k.lastDim && tags == k.lastTag {
		return err
	}
	k.dims, k.tags, k.lastDim, k.lastTag = map[int64]ids{}, map[string]int64{}, dims, tags
	err = eachRow(ctx, tx, allDims(), nil, func(rows *sql.Rows) error {
		var all ids
		if err := rows.Scan(&all[ofDims], &all[ofTeams], &all[ofServed], &all[ofTenantsServed], &all[ofCallers]); err != nil {
			return err
		}
		k.dims[all[ofDims]] = all
		return nil
	})
	if err != nil {
		return err
	}
	return eachRow(ctx, tx, "SELECT id, tag FROM dragoman_tags", nil, func(rows *sql.Rows) error {
		var id int64
		var tag string
		err := rows.Scan(&id, &tag)
		k.tags[tag] = id
		return err
	})
}

// allDims selects the ids of every dim in every set.
func allDims() string {
	text, joins := "SELECT d.id", ""
	for _, i := range []int{ofTeams, ofServed, ofTenantsServed, ofCallers} {
		s := &sets[i]
		on := make([]string, len(s.columns))
		for j, c := range s.columns {
			on[j] = fmt.Sprintf("s%d.%s = d.%s", i, c, c)
		}
		text += fmt.Sprintf(", s%d.id", i)
		joins += fmt.Sprintf(" JOIN %s s%d ON %s", s.table, i, strings.Join(on, " AND "))
	}
	return text + " FROM dragoman_dims d" + joins
}

// eachRow calls f with every row of an answer.
func eachRow(ctx context.Context, tx *sql.Tx, query string, args []any, f func(rows *sql.Rows) error) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
