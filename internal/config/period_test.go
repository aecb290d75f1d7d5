package config

import (
	"testing"
	"time"
)

// Windows follow each other without a gap, and now is always within its own: in zones whose clocks change at midnight, that are
// shifted by parts of an hour, and over the date line.
func TestWindowsHaveNoGaps(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Cairo", "Pacific/Apia", "America/Havana", "Asia/Beirut"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, per := range []Per{Hour, Day, Week, Month} {
			p := Period{Per: per, Zone: loc}
			at := time.Date(2017, 12, 30, 0, 0, 0, 0, time.UTC)
			last := p.Window(at)
			for range 14_000 {
				at = at.Add(37 * time.Minute)
				w := p.Window(at)
				if at.Before(w.Start) || !at.Before(w.End) {
					t.Fatalf("%s %s: %v is not in %v", zone, per, at, w)
				}
				if w.Start.Equal(last.Start) && w.End.Equal(last.End) {
					continue
				}
				if w.Start.Before(last.End) {
					t.Fatalf("%s %s at %v: %v overlaps %v", zone, per, at, w, last)
				}
				last = w
			}
		}
	}
}

func TestWindows(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		per        Per
		at         string
		start, end string
	}{
		"month":              {Month, "2026-02-10T12:00:00Z", "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"},
		"month over summer":  {Month, "2026-03-31T12:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"},
		"a new year":         {Month, "2025-12-31T23:00:00Z", "2025-12-31T23:00:00Z", "2026-01-31T23:00:00Z"},
		"sunday":             {Week, "2026-03-29T12:00:00Z", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"},
		"monday":             {Week, "2026-03-30T00:00:00Z", "2026-03-29T22:00:00Z", "2026-04-05T22:00:00Z"},
		"a day of 23 hours":  {Day, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		"a day of 25 hours":  {Day, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		"the doubled hour":   {Hour, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		"the hour before it": {Hour, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
	} {
		at, _ := time.Parse(time.RFC3339, c.at)
		p := Period{Per: c.per, Zone: berlin}
		w := p.Window(at)
		if got := w.Start.UTC().Format(time.RFC3339) + " " + w.End.UTC().Format(time.RFC3339); got != c.start+" "+c.end {
			t.Errorf("%s: %s, want %s %s", name, got, c.start, c.end)
		}
	}
	p := Period{Rolling: time.Hour}
	if w := p.Window(time.Unix(90, 0)); w.Start.Unix() != 60 || w.End.Unix() != 120 {
		t.Errorf("a step: %v", w)
	}
}

func TestMeterWindowIsRemembered(t *testing.T) {
	m := NewMeter(Meter{Kind: MeterBudgetUSD, Period: Period{Per: Day, Zone: time.UTC}}, 5)
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	for _, d := range []time.Duration{0, time.Hour, 14 * time.Hour, -time.Hour} {
		w := m.Window(at.Add(d))
		if now := at.Add(d); now.Before(w.Start) || !now.Before(w.End) {
			t.Errorf("%v: %v", now, w)
		}
	}
}

// Every level that names models, providers or regions narrows what those above allow.
func TestPermissionsOfAllLevels(t *testing.T) {
	s := mustLoad(t, `
providers:
- {name: a, schema: openai, endpoint: "http://127.0.0.1:1", models: [m, n], data_region: eu}
- {name: b, schema: openai, endpoint: "http://127.0.0.1:2", models: [m], data_region: us}
routes: [{model: both, candidates: [a/m, b/m]}]
tenants:
- name: t
  models: [both, "a/*", m]
  teams:
  - {name: eu, data_regions: [eu], keys: [{name: k, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000001"}]}
  keys: [{name: k, models: [n, "a/m"], hash: "sha256:0000000000000000000000000000000000000000000000000000000000000002"}]
`, "")
	by := map[string]*Principal{}
	for _, p := range s.Keys.ByHash {
		by[p.Path()] = p
	}
	eu, k := by["t/eu/k"], by["t/k"]
	for asked, want := range map[string][2]bool{"both": {true, false}, "m": {true, false}, "n": {true, true}, "a/m": {true, true}, "b/m": {true, false}} {
		r, err := s.Lookup(asked)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{eu.MayUseRoute(asked, r), k.MayUseRoute(asked, r)}; got != want {
			t.Errorf("%s: %v, want %v", asked, got, want)
		}
	}
	both := s.Route("both")
	if r := eu.Reachable(both); len(r.Candidates) != 1 || r.Candidates[0].Model.Ref != "a/m" || k.Reachable(both) != both {
		t.Errorf("%+v", r)
	}
	if r, _ := s.Lookup("b/m"); eu.Reachable(r) != nil {
		t.Error("a region that is closed is reached")
	}
	if !k.Restricted() || !eu.Restricted() || Anonymous.Restricted() {
		t.Error("restricted")
	}
}
