package sqldb

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/processor/account"
	"dragoman/translate/chat"
)

// table is where rows go, many with one statement.
type table struct {
	columns int
	texts   map[int]string // the statement, by its number of rows
	shared  int            // leading columns that rows can have in common
	alike   map[int]string // the statement for rows that have: it gives each of those columns once, with the first row
}

func newTable(insert string, columns, shared int, suffix string) table {
	t := table{columns: columns, texts: map[int]string{}, shared: shared, alike: map[int]string{}}
	row := "(?" + strings.Repeat(",?", columns-1) + ")"
	for _, n := range chunks {
		t.texts[n] = insert + " VALUES " + row + strings.Repeat(","+row, n-1) + suffix
	}
	if shared == 0 {
		return t
	}
	// A plain ? is the parameter after the greatest one so far: only those that are numbered come again.
	again := "(" + numbered(shared) + strings.Repeat(",?", columns-shared) + ")"
	for _, n := range chunks[:len(chunks)-1] {
		t.alike[n] = insert + " VALUES " + row + strings.Repeat(","+again, n-1) + suffix
	}
	return t
}

// text is the statement for n rows.
func (t *table) text(n int) string { return t.texts[n] }

const keepOld = " ON CONFLICT DO NOTHING"

var (
	requestsTable = newTable(`INSERT INTO dragoman_requests (endpoint, client_schema, asked, cluster, stream, cache, status, outcome, reason, refused, attempts,
		cache_write_1h, usage_known, estimated, price, saved_tokens, saved_cost, dropped, tags,
		at_us, id, dim, input, cache_read, cache_write, output, reasoning, cost, duration_us, ttft_us, overhead_us)`, 31, 19, keepOld)
	attemptsTable = newTable(`INSERT INTO dragoman_attempts (at_us, request_id, number, dim, cluster, status, outcome, input, cache_read, cache_write, cache_write_1h,
		output, reasoning, usage_known, cost, price, duration_us, tags)`, 18, 0, keepOld)
	auditTable = newTable(`INSERT INTO dragoman_audit (at_us, writer, number, action, outcome, organisation, tenant, team, user_id, key_name, subject, detail,
		request_id, count, hash)`, 15, 0, keepOld)
)

// chunks are how many rows one statement takes: few sizes, so that each is prepared once. 31 × 64 parameters are below every database's bound.
var chunks = []int{64, 8, 1}

// rows inserts rows, whose values follow each other in args, and says how many were new.
func (w *writing) rows(t *table, args []any) (added int64, err error) {
	for _, n := range chunks {
		for len(args) >= n*t.columns {
			k, err := w.exec(t.text(n), args[:n*t.columns]...)
			if err != nil {
				return added, err
			}
			added, args = added+k, args[n*t.columns:]
		}
	}
	return added, nil
}

// pending are rows that wait until there are as many as one statement takes: a batch needs no room for all of its own.
type pending struct {
	w            *writing
	table        *table
	room         []any
	given, added int64
}

// row counts the one that was put into room, and inserts those that wait, at once or when there are enough.
func (p *pending) row(now bool) (added int64, err error) {
	p.given++
	return p.full(now)
}

func (p *pending) full(now bool) (added int64, err error) {
	if !now && len(p.room) < chunks[0]*p.table.columns {
		return 0, nil
	}
	before := p.added
	err = p.flush()
	return p.added - before, err
}

func (p *pending) flush() error {
	n, err := p.w.rows(p.table, p.room)
	p.added += n
	clear(p.room)
	p.room = p.room[:0]
	return err
}

// alike are requests that wait. To give a database a value costs more than to store it, and most requests differ from others of their time
// in a third of their columns: those that share the rest go together, and give it once.
type alike struct {
	pending // of the others
	kinds   []kind
	last    int
}

// kind is one kind of requests: its traits, and the rows that wait: the shared columns once, and then what is each row's own.
type kind struct {
	traits
	room []any
}

// maxKinds bounds the kinds of one batch; what comes beyond goes among the others.
const maxKinds = 32

// traits are the columns that requests can share.
type traits struct {
	asked, cluster, outcome, reason, cache, endpoint string
	schema                                           chat.Schema
	price, tags                                      string
	status, attempts, dropped                        int
	written1h, savedTokens                           int64
	saved                                            config.MicroUSD
	stream, refused, known, estimated                bool
}

func (db *DB) traitsOf(r *account.Record) traits {
	t := traits{asked: r.Asked, cluster: r.Cluster, outcome: r.Outcome, reason: r.Reason, cache: r.Cache, endpoint: r.Endpoint, schema: r.Schema,
		tags: db.tagsText(r.Tags), status: r.Status, attempts: r.Attempts, dropped: r.Dropped, written1h: r.Usage.CacheWrite1h, savedTokens: r.SavedTokens,
		saved: r.Saved, stream: r.Stream, refused: r.Refused, known: r.Usage.Known, estimated: r.Estimated}
	if r.Priced && r.Price != nil {
		t.price = db.priceVersion(r.Price)
	}
	return t
}

// row appends the shared columns.
func (t *traits) row(row []any) []any {
	var price any
	if t.price != "" {
		price = t.price
	}
	return append(row, t.endpoint, string(t.schema), t.asked, t.cluster, number(t.stream), t.cache, int64(t.status), t.outcome, t.reason, number(t.refused),
		int64(t.attempts), t.written1h, number(t.known), number(t.estimated), price, t.savedTokens, int64(t.saved), int64(t.dropped), t.tags)
}

// ownRow appends the columns that are each request's own.
func (db *DB) ownRow(row []any, r *account.Record) []any {
	var cost any
	if r.Priced {
		cost = int64(r.Cost)
	}
	u := &r.Usage
	return append(row, r.Time.UnixMicro(), r.ID, db.idsOf(dimOf(r))[ofDims], u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning, cost,
		r.Duration.Microseconds(), r.TTFT.Microseconds(), r.Overhead.Microseconds())
}

// add takes a request, and inserts those that wait with it when they are as many as one statement takes; now inserts it alone.
func (p *alike) add(r *account.Record, now bool) (added int64, err error) {
	db, t := p.w.db, p.w.db.traitsOf(r)
	k := p.kind(&t, now)
	if k == nil {
		p.room = db.ownRow(t.row(p.room), r)
		return p.row(now)
	}
	p.given++
	k.room = db.ownRow(k.room, r)
	if k.rows(p.table) < chunks[0] {
		return 0, nil
	}
	n, err := p.w.exec(p.table.alike[chunks[0]], k.room...)
	p.added += n
	k.cut(p.table)
	return n, err
}

// kind finds or makes a kind, nil when there is none for it.
func (p *alike) kind(t *traits, now bool) *kind {
	if now {
		return nil
	}
	if p.last < len(p.kinds) && p.kinds[p.last].traits == *t {
		return &p.kinds[p.last]
	}
	i := slices.IndexFunc(p.kinds, func(k kind) bool { return k.traits == *t })
	if i < 0 {
		if len(p.kinds) == maxKinds {
			return nil
		}
		i = len(p.kinds)
		p.kinds = slices.Grow(p.kinds, 1)[:i+1] // with the room that an earlier batch has left there
		p.kinds[i] = kind{traits: *t, room: t.row(p.kinds[i].room[:0])}
	}
	p.last = i
	return &p.kinds[i]
}

// rows are how many wait.
func (k *kind) rows(t *table) int { return (len(k.room) - t.shared) / (t.columns - t.shared) }

// cut forgets the rows.
func (k *kind) cut(t *table) {
	clear(k.room[t.shared:])
	k.room = k.room[:t.shared]
}

// rest inserts what waits of every kind, or puts it among the others where it is not enough for a statement.
func (p *alike) rest() error {
	t, few := p.table, chunks[1]
	own := t.columns - t.shared
	for i := range p.kinds {
		k := &p.kinds[i]
		left := k.room
		for ; len(left) >= t.shared+few*own; left = left[few*own:] {
			n, err := p.w.exec(t.alike[few], left[:t.shared+few*own]...)
			if err != nil {
				return err
			}
			p.added += n
			copy(left[few*own:], k.room[:t.shared]) // in front of the next ones, over rows that are stored
		}
		for row := range slices.Chunk(left[t.shared:], own) {
			p.room = append(append(p.room, left[:t.shared]...), row...)
			if _, err := p.full(false); err != nil {
				return err
			}
		}
		clear(k.room)
		k.room, k.traits = k.room[:0], traits{}
	}
	return nil
}

// What the record before had is mostly what this one has: made once.
type before struct {
	named   bool // dim and ids are
	dim     dim
	ids     ids
	price   *config.Price
	version string
	tags    []string
	text    string
}

// idsOf are the ids of a dim that name has seen.
func (db *DB) idsOf(d dim) ids {
	if !db.isNamed(d) {
		return ids{}
	}
	return db.before.ids
}

// isNamed says whether a dim's ids are known, which are then those of before.
func (db *DB) isNamed(d dim) bool {
	if db.before.named && d == db.before.dim {
		return true
	}
	all, ok := db.dims[d]
	if ok {
		db.before.named, db.before.dim, db.before.ids = true, d, all
	}
	return ok
}

func (db *DB) priceVersion(p *config.Price) string {
	if p != db.before.price {
		db.before.price, db.before.version = p, ledger.PriceVersion(p)
	}
	return db.before.version
}

func (db *DB) tagsText(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	if !slices.Equal(tags, db.before.tags) {
		b, _ := json.Marshal(tags) // texts always marshal
		db.before.tags, db.before.text = tags, string(b)
	}
	return db.before.text
}

// numbered are the first n parameters, by their numbers.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("?" + strconv.Itoa(i+1))
	}
	return b.String()
}
