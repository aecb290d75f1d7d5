package app

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// ledgerSettings are those of the configuration, else of the ledger that `run` keeps by itself.
func ledgerSettings(o Options) (*config.Ledger, error) {
	snap, book, err := bookOf(o)
	if err == nil && (book == nil || snap.Ledger == nil && !exists(book.SQLite)) {
		err = errNoBook
	}
	return book, err
}

// bookOf is the configuration and its ledger, else the one that `run` keeps by itself, which may not be there yet; nil where it says that there
// is none.
func bookOf(o Options) (*config.Snapshot, *config.Ledger, error) {
	a := &App{o: o}
	defer a.closeVault()
	options := a.configOptions()
	options.Demo = func() (config.DemoEndpoints, error) {
		return config.DemoEndpoints{OpenAI: "http://127.0.0.1:1", Anthropic: "http://127.0.0.1:1"}, nil
	}
	snap, err := config.Load(options)
	if err != nil {
		return nil, nil, err
	}
	if snap.Ledger != nil || snap.Config.GetLedger() != nil {
		return snap, snap.Ledger, nil
	}
	snap.Demo = false // a demo's ledger is gone with its process
	return snap, a.ownBook(snap), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// ExportLedger writes every request and failed attempt of a period: format csv or json (a line each).
func ExportLedger(ctx context.Context, o Options, since, until, format string) error {
	now := time.Now()
	from, err := moment(since, "30d", now)
	if err != nil {
		return fmt.Errorf("since: %w", err)
	}
	to, err := moment(until, "0h", now)
	if err != nil {
		return fmt.Errorf("until: %w", err)
	}
	return withDatabase(o, func(db ledger.Database) error {
		out := bufio.NewWriterSize(o.Stdout, 1<<16)
		write := exportJSON(out)
		finish := func() error { return nil }
		if format == "csv" {
			write, finish = exportCSV(out)
		}
		if err := db.Charges(ctx, from, to, write); err != nil {
			return err
		}
		return errors.Join(finish(), out.Flush())
	})
}

func exportJSON(w io.Writer) func(*ledger.Charge) error {
	enc := json.NewEncoder(w)
	return func(c *ledger.Charge) error { return enc.Encode(c) }
}

var exportColumns = []string{"time", "request_id", "attempt", "final", "organisation", "tenant", "team", "user", "key", "route", "asked", "model", "provider", "cluster",
	"endpoint", "stream", "cache", "status", "outcome", "reason", "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
	"reasoning_tokens", "estimated", "cost_microusd", "price", "duration_us", "ttft_us", "saved_tokens", "saved_microusd", "tags"}

// exportCSV leaves the cost empty where it is unknown.
func exportCSV(w io.Writer) (write func(*ledger.Charge) error, finish func() error) {
	out := csv.NewWriter(w)
	err := out.Write(exportColumns)
	n := func(n int64) string { return strconv.FormatInt(n, 10) }
	return func(c *ledger.Charge) error {
			cost := ""
			if c.Cost != nil {
				cost = n(int64(*c.Cost))
			}
			line := []string{c.Time.Format(time.RFC3339Nano), c.RequestID, strconv.Itoa(c.Attempt), strconv.FormatBool(c.Final), c.Organisation, c.Tenant, c.Team, c.User, c.Key,
				c.Route, c.Asked, c.Model, c.Provider, c.Cluster, c.Endpoint, strconv.FormatBool(c.Stream), c.Cache, strconv.Itoa(c.Status), c.Outcome, c.Reason, n(c.Input),
				n(c.CacheRead), n(c.CacheWrite), n(c.CacheWrite1h), n(c.Output), n(c.Reasoning), strconv.FormatBool(c.Estimated), cost, c.Price, n(c.DurationUS),
				n(c.TTFTUS), n(c.SavedTokens), n(int64(c.Saved)), strings.Join(c.Tags, " ")}
			for i := range line {
				line[i] = spreadsheet(line[i])
			}
			return out.Write(line)
		}, func() error {
			out.Flush()
			return errors.Join(err, out.Error())
		}
}

// VerifyLedger compares the sums with their rows, and costs with tokens and prices. What does not hold is the error.
func VerifyLedger(ctx context.Context, o Options, asJSON bool) error {
	return withDatabase(o, func(db ledger.Database) error {
		c, err := db.Verify(ctx)
		if err != nil {
			return err
		}
		if asJSON {
			_ = json.NewEncoder(o.Stdout).Encode(c)
		} else {
			fmt.Fprintf(o.Stdout, "%d days, %s requests and attempts, %s charges made again from tokens and price\n", c.Days, thousands(c.Rows), thousands(c.Repriced))
			for _, f := range c.Faults {
				fmt.Fprintln(o.Stdout, "-", f)
			}
		}
		if n := len(c.Faults) + c.More; n > 0 {
			return fmt.Errorf("%d faults: `dragoman ledger rebuild` makes the sums anew from their rows", n)
		}
		return nil
	})
}

// RebuildLedger makes the sums anew from their rows.
func RebuildLedger(ctx context.Context, o Options) error {
	return withDatabase(o, func(db ledger.Database) error {
		days, err := db.Rebuild(ctx)
		if err == nil {
			fmt.Fprintf(o.Stdout, "the sums of %d days were made anew from their rows\n", days)
		}
		return err
	})
}

// VerifyAudit recomputes the chains of the audit trail. expected are heads that an earlier verification printed. What does not hold is the error.
func VerifyAudit(ctx context.Context, o Options, expected []string, asJSON bool) error {
	if o.Remote.URL != "" {
		v, err := remoteVerify(ctx, o.Remote, expected)
		if err != nil {
			return err
		}
		return showVerdict(o, v, asJSON)
	}
	return withDatabase(o, func(db ledger.Database) error {
		v, err := ledger.Verify(ctx, db, expected)
		if err != nil {
			return err
		}
		return showVerdict(o, v, asJSON)
	})
}

// remoteVerify asks a running gateway.
func remoteVerify(ctx context.Context, r Remote, expected []string) (*ledger.Verdict, error) {
	out := &adminv1.VerifyAuditResponse{}
	if err := r.call(ctx, http.MethodGet, "/api/v1/audit:verify", url.Values{"expect": expected}, nil, out); err != nil {
		return nil, err
	}
	return &ledger.Verdict{Chains: int(out.Chains), Entries: out.Entries, Pruned: out.Pruned, Heads: out.Heads, Faults: out.Faults, More: int(out.MoreFaults)}, nil
}

func showVerdict(o Options, v *ledger.Verdict, asJSON bool) error {
	if asJSON {
		_ = json.NewEncoder(o.Stdout).Encode(v)
	} else {
		fmt.Fprintf(o.Stdout, "%d chains, %s entries\n", v.Chains, thousands(int64(v.Entries)))
		if v.Pruned > 0 {
			fmt.Fprintf(o.Stdout, "%s entries have outlived ledger.retention.audit\n", thousands(int64(v.Pruned)))
		}
		for _, h := range v.Heads {
			fmt.Fprintln(o.Stdout, "head", h)
		}
		for _, f := range v.Faults {
			fmt.Fprintln(o.Stdout, "-", f)
		}
	}
	if n := len(v.Faults) + v.More; n > 0 {
		return fmt.Errorf("the audit trail does not hold: %d faults", n)
	}
	return nil
}
