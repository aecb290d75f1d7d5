package app

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/admin"
	"dragoman/internal/admin/api"
	"dragoman/internal/ledger"
)

// UsageQuestion is what `dragoman usage` and GET /usage are asked.
type UsageQuestion struct {
	By     []string // ledger.Dimensions, tag, hour, day, month
	Where  []string // name=value; the same name again: or
	Since  string   // 30d, 12h, 2026-11-01, RFC 3339; default 30d
	Until  string   // default now
	Limit  int
	Format string // table (default), chart, json, csv
	From   string // base URL of a gateway's admin port, "" for the database that the configuration names
}

// query reads the words of a question.
func (u UsageQuestion) query(now time.Time) (q ledger.Query, err error) {
	if q.Since, err = moment(u.Since, "30d", now); err != nil {
		return q, fmt.Errorf("since: %w", err)
	}
	if q.Until, err = moment(u.Until, "0h", now); err != nil {
		return q, fmt.Errorf("until: %w", err)
	}
	q.By, q.Limit, q.Where = slices.Clone(u.By), u.Limit, map[string][]string{}
	for _, w := range u.Where {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return q, fmt.Errorf("where: %q must be name=value", w)
		}
		q.Where[name] = append(q.Where[name], value)
	}
	return q, q.Check()
}

// moment reads a date, a time, or how long ago: 30d, 12h.
func moment(s, fallback string, now time.Time) (time.Time, error) {
	if s == "" {
		s = fallback
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36_500 {
			return now.UTC().AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.UTC().Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no moment: write 30d or 12h for how long ago, 2026-11-01 or 2026-11-01T08:00:00Z", s)
}

// Usage answers a question to o.Stdout: from the ledger's database, or by a running gateway's admin port.
func Usage(ctx context.Context, o Options, u UsageQuestion) error {
	q, err := u.query(time.Now())
	if err != nil {
		return err
	}
	var answer *ledger.Usage
	if u.From != "" {
		answer, err = fetchUsage(ctx, o, u)
	} else {
		err = withDatabase(o, func(db ledger.Database) (err error) {
			answer, err = db.Usage(ctx, q)
			return err
		})
	}
	if err != nil {
		return err
	}
	return writeUsage(o.Stdout, answer, u.Format)
}

// withDatabase opens the database of the configuration's ledger. A gateway that runs may have it open.
func withDatabase(o Options, f func(ledger.Database) error) error {
	settings, err := ledgerSettings(o)
	if err != nil {
		return err
	}
	db, err := openDatabase(settings)
	if err != nil {
		return err
	}
	return errors.Join(f(db), db.Close())
}

// fetchUsage asks a gateway. Its answer is read as far as MaxGroups groups may go.
func fetchUsage(ctx context.Context, o Options, u UsageQuestion) (*ledger.Usage, error) {
	v := url.Values{"by": {strings.Join(u.By, ",")}, "where": u.Where, "format": {"json"}}
	for name, value := range map[string]string{"since": u.Since, "until": u.Until} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if u.Limit > 0 {
		v.Set("limit", strconv.Itoa(u.Limit))
	}
	r := o.Remote
	r.URL = u.From
	code, body, err := r.do(ctx, http.MethodGet, "/usage", v, nil)
	switch {
	case err != nil:
		return nil, err
	case code == http.StatusNotFound && strings.HasPrefix(string(body), "404 page"):
		return nil, errors.New("that gateway keeps no ledger")
	case code != http.StatusOK:
		return nil, fmt.Errorf("the gateway's admin port says: %s", strings.TrimSpace(string(body[:min(len(body), 1000)])))
	}
	answer := &ledger.Usage{}
	return answer, json.Unmarshal(body, answer)
}

// usageHandler serves GET /usage: by (a list with commas), since, until, where (name=value, again and again) or a dimension's name, limit,
// format (json, csv).
func usageHandler(s *api.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, err := readQuestion(r.URL.RawQuery)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := s.Usage(r.Context(), api.Question{By: u.By, Where: u.Where, Since: u.Since, Until: u.Until, Limit: u.Limit})
		if err != nil {
			admin.Fail(w, err)
			return
		}
		contentType := "application/json"
		if u.Format == "csv" {
			contentType = "text/csv; charset=utf-8"
		}
		w.Header().Set("content-type", contentType)
		_ = writeUsage(w, answer, u.Format)
	})
}

// readQuestion reads the query of GET /usage.
func readQuestion(raw string) (u UsageQuestion, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return u, errors.New("the query cannot be read")
	}
	u.Format = "json"
	for name, list := range values {
		last := list[len(list)-1]
		switch {
		case name == "by" && last == "":
		case name == "by":
			u.By = strings.Split(last, ",")
		case name == "since":
			u.Since = last
		case name == "until":
			u.Until = last
		case name == "where":
			u.Where = append(u.Where, list...)
		case name == "limit":
			if u.Limit, err = strconv.Atoi(last); err != nil || u.Limit < 1 {
				return u, errors.New("limit must be a number from 1")
			}
		case name == "format" && (last == "json" || last == "csv"):
			u.Format = last
		case slices.Contains(ledger.Dimensions, name) || name == ledger.TagDimension:
			for _, value := range list {
				u.Where = append(u.Where, name+"="+value)
			}
		default:
			return u, fmt.Errorf("usage knows by, since, until, where, limit, format (json, csv), %s and %s", strings.Join(ledger.Dimensions, ", "), ledger.TagDimension)
		}
	}
	return u, nil
}

// writeUsage writes an answer in a format.
func writeUsage(w io.Writer, u *ledger.Usage, format string) error {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(u)
	case "csv":
		return usageCSV(w, u)
	case "chart":
		return usageChart(w, u)
	default:
		return usageTable(w, u)
	}
}

func usageCSV(w io.Writer, u *ledger.Usage) error {
	c := csv.NewWriter(w)
	_ = c.Write(append(slices.Clone(u.By), "requests", "errors", "refused", "cache_hits", "failed_attempts", "input_tokens", "cache_read_tokens",
		"cache_write_tokens", "output_tokens", "cost_microusd", "unpriced", "estimated", "saved_tokens", "saved_microusd", "duration_us"))
	for i := range u.Rows {
		r := &u.Rows[i]
		line := make([]string, 0, len(r.Group)+15)
		for _, g := range r.Group {
			line = append(line, spreadsheet(g))
		}
		for _, n := range []int64{r.Requests, r.Errors, r.Refused, r.Hits, r.Attempts, r.Input, r.CacheRead, r.CacheWrite, r.Output, int64(r.Cost), r.Unpriced,
			r.Estimated, r.SavedTokens, int64(r.Saved), r.DurationUS} {
			line = append(line, strconv.FormatInt(n, 10))
		}
		_ = c.Write(line)
	}
	c.Flush()
	return c.Error()
}

// spreadsheet keeps a text that a client made up from being taken for a formula.
func spreadsheet(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
