package sqldb

import (
	"slices"
	"strings"

	"dragoman/internal/ledger"
)

// question is a query as it is put to one set of sums after the other.
type question struct {
	by     []string
	where  map[string][]string // of dimensions and the tag
	set    int                 // the smallest that has all names
	finest string              // period, "" for none
	tagged bool                // tags are told apart
}

func newQuestion(by []string, where map[string][]string) *question {
	q := &question{by: by, where: where, finest: finest(by), tagged: slices.Contains(by, ledger.TagDimension)}
	var columns []string
	for _, d := range ledger.Dimensions {
		if _, filtered := where[d]; filtered || slices.Contains(by, d) {
			columns = append(columns, columnOf(d))
		}
	}
	if q.set = setFor(columns); q.finest == "hour" && !sets[q.set].hours {
		q.set = ofDims
	}
	return q
}

// columnOf is the column of a dimension in the tables of names.
func columnOf(dimension string) string {
	switch dimension {
	case "user":
		return "user_id"
	case "key":
		return "key_name"
	default:
		return dimension
	}
}

// filters are the conditions on names, with their values.
func (q *question) filters() (text string, args []any) {
	for _, name := range ledger.Dimensions {
		values, ok := q.where[name]
		if !ok {
			continue
		}
		text += " AND d." + columnOf(name) + " IN (?" + strings.Repeat(",?", len(values)-1) + ")"
		for _, v := range values {
			args = append(args, v)
		}
	}
	return text, args
}

// from is the tables that a part of a question reads, and in which order: SQLite joins CROSS JOINs as they are written. Names that are filtered
// come first, so that only their rows are looked for; without a filter each slice is read from its first row to its last.
func (q *question) from(p *part, filters string) string {
	var tables []string
	where := " WHERE u.grain = s.grain AND u.start_s = s.start_s"
	switch {
	case q.tagged:
		tables = append(tables, "dragoman_tags t")
		where += " AND u.tag = t.id"
	case len(q.where[ledger.TagDimension]) > 0:
		where += " AND u.tag = (SELECT id FROM dragoman_tags WHERE tag = ?)"
	default:
		where += " AND u.tag = 0"
	}
	switch {
	case p.set == ofAll:
		tables = append(tables, "s", "dragoman_sums u")
		where += " AND u.dim = 0"
	case filters != "":
		tables = append(tables, sets[p.set].table+" d", "s", "dragoman_sums u")
		where += " AND u.dim = d.id" + filters
	default:
		tables = append(tables, "s", "dragoman_sums u")
	}
	return " FROM " + strings.Join(tables, " CROSS JOIN ") + where
}

// statement is the question to one part. Its rows are what they are shown as, the tag, the id of the names, and the sums: all numbers. Where
// no times are told apart each id has one row; else hardly any two rows would be summed, and sorting them costs more than reading them.
func (q *question) statement(p *part) (text string, args []any) {
	filters, values := q.filters()
	if tag := q.where[ledger.TagDimension]; len(tag) > 0 {
		args = append(args, tag[0])
	}
	args = append(args, values...)
	timed := q.finest != ""
	text = p.values(timed) + " SELECT "
	var group []string
	for _, c := range []struct {
		told bool
		name string
	}{{timed, "s.shown"}, {q.tagged, "u.tag"}, {p.set != ofAll, "u.dim"}} {
		if !c.told {
			c.name = "0"
		} else {
			group = append(group, c.name)
		}
		text += c.name + ", "
	}
	switch {
	case timed:
		return text + "u." + strings.Join(sumColumns, ", u.") + q.from(p, filters), args
	case len(group) == 0:
		return text + summed + q.from(p, filters) + " HAVING COUNT(*) > 0", args
	default:
		return text + summed + q.from(p, filters) + " GROUP BY " + strings.Join(group, ", "), args
	}
}

// summed are the sums of the columns as integers (PostgreSQL makes numerics of them).
var summed = "CAST(SUM(u." + strings.Join(sumColumns, ") AS BIGINT), CAST(SUM(u.") + ") AS BIGINT)"

// labels selects the ids of a set's names with those that are told apart.
func (q *question) labels(of int) (text string, args []any) {
	text = "SELECT d.id"
	for _, by := range q.by {
		if by != ledger.TagDimension && !isPeriod(by) {
			text += ", d." + columnOf(by)
		}
	}
	text += " FROM " + sets[of].table + " d"
	filters, args := q.filters()
	if filters != "" {
		text += " WHERE" + strings.TrimPrefix(filters, " AND")
	}
	return text, args
}
