package config

import (
	"strings"
	"testing"
	"time"
)

func TestLedger(t *testing.T) {
	env := map[string]string{"HOME": "/home/ada", "DSN": "postgres://u:p@db/ledger"}
	for text, want := range map[string]Ledger{
		"ledger: {}": {SQLite: "/home/ada/.local/state/dragoman/ledger.db", Log: "/home/ada/.local/state/dragoman/ledger-log", MaxBytes: 1 << 30, Sync: time.Second, Records: ledgerRecords, Hours: ledgerHours, Audit: ledgerHours},
		"ledger: {sqlite: /var/l/x.db, log: {max_bytes: 67108864, sync: 200ms}, on_full: refuse, retention: {records: 24h, hours: 0s, audit: 48h}}": {SQLite: "/var/l/x.db", Log: "/var/l/ledger-log",
			MaxBytes: 64 << 20, Sync: 200 * time.Millisecond, Refuse: true, Records: 24 * time.Hour, Audit: 48 * time.Hour},
		"ledger: {}\nglobal: {budgets: [{usd: 10, per: day}]}": {SQLite: "/home/ada/.local/state/dragoman/ledger.db", Log: "/home/ada/.local/state/dragoman/ledger-log", MaxBytes: 1 << 30, Sync: time.Second, Refuse: true, Records: ledgerRecords, Hours: ledgerHours, Audit: ledgerHours},
	} {
		s, err := compiled(t, text, env)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if s.Ledger == nil || *s.Ledger != want {
			t.Errorf("%s:\n%+v, want\n%+v", text, s.Ledger, want)
		}
	}
	s, err := compiled(t, "ledger: {postgres: {dsn: {env: DSN}}, log: {path: /var/log/x}}", env)
	if err != nil || s.Ledger.SQLite != "" || s.Ledger.Postgres.Reveal() != env["DSN"] || s.Ledger.Log != "/var/log/x" || strings.Contains(s.Ledger.Postgres.String(), "p@db") {
		t.Errorf("%+v %v", s, err)
	}
	for _, text := range []string{"", "ledger: {enabled: false}"} {
		if s, err := compiled(t, text, env); err != nil || s.Ledger != nil {
			t.Errorf("%q: %v %v", text, s.Ledger, err)
		}
	}
	for text, want := range map[string]string{
		"ledger: {sqlite: x.db, postgres: {dsn: {env: DSN}}}":   "ledger.sqlite: and postgres exclude each other",
		"ledger: {postgres: {}}":                                "ledger.postgres.dsn: is missing",
		"ledger: {postgres: {dsn: {env: NOT_SET}}}":             "NOT_SET is not set",
		"ledger: {postgres: {dsn: 'postgres://u:secret@db/x'}}": "must not stand in the configuration",
		"ledger: {on_full: panic}":                              "ledger.on_full: must be",
		"ledger: {log: {max_bytes: 1}}":                         "ledger.log.max_bytes: must be from",
		"ledger: {log: {sync: 1ns}}":                            "ledger.log.sync: must be from",
		"ledger: {retention: {records: -1h}}":                   "must not be negative",
		"ledger: {retention: {years: 1}}":                       "ledger.retention.years",
	} {
		if _, err := compiled(t, text, env); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "u:secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestStateDir(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"STATE_DIRECTORY": "/var/lib/x", "HOME": "/h"}, "/var/lib/x"},
		{map[string]string{"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/dragoman"},
		{map[string]string{"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/dragoman"},
		{nil, "/var/lib/dragoman"},
	} {
		if got := StateDir(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %s", c.env, got)
		}
	}
}
