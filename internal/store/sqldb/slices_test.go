package sqldb

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// hoursIn are the hours that a slice is the sum of.
func (s *slice) hoursIn() []int64 {
	from := time.Unix(s.start, 0).UTC()
	to := map[int]time.Time{hourly: from.Add(time.Hour), daily: from.AddDate(0, 0, 1), monthly: from.AddDate(0, 1, 0)}[s.grain]
	var out []int64
	for ; from.Before(to); from = from.Add(time.Hour) {
		out = append(out, from.Unix())
	}
	return out
}

// TestEveryHourOnce: whatever the period, its slices together are each of its hours once, shown as the period that it belongs to, and
// nothing else; and they are few.
func TestEveryHourOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	origin := time.Date(2025, 12, 29, 0, 0, 0, 0, time.UTC)
	for range 3000 {
		since := origin.Add(time.Duration(r.IntN(400*24)) * time.Hour)
		length := []int{30, 24 * 40, 24 * 400}[r.IntN(3)]
		until := since.Add(time.Duration(1+r.IntN(length)) * time.Hour)
		c := cover{by: []string{"", "day", "month", "hour"}[r.IntN(4)], hours: origin.Add(time.Duration(r.IntN(400*24)) * time.Hour).Unix()}
		net := map[[2]int64]int{}
		list := c.period(since, until)
		for _, s := range list {
			n := 1
			if s.minus {
				n = -1
				if day := s.start - s.start%86400; s.grain == hourly && day < c.hours {
					t.Errorf("hours are taken from the day of %d, and sums by hour begin at %d", s.start, c.hours)
				}
			}
			for _, h := range s.hoursIn() {
				net[[2]int64{h, s.shown}] += n
			}
		}
		want := map[[2]int64]int{}
		for at := since; at.Before(until); at = at.Add(time.Hour) {
			shown := monthOf(at)
			switch c.by {
			case "hour":
				shown = at
			case "day":
				shown = at.Truncate(day)
			}
			want[[2]int64{at.Unix(), shown.Unix()}] = 1
		}
		for k, n := range net {
			if n == 0 {
				delete(net, k)
			}
		}
		if !reflect.DeepEqual(net, want) {
			t.Fatalf("by %q from %v to %v: %d hours in %d slices, want %d", c.by, since, until, len(net), len(list), len(want))
		}
		months := int(until.Sub(since)/(28*day)) + 2
		if most := 2*24 + 2*16 + months; c.by == "" && len(list) > most || c.by == "" && c.hours <= origin.Unix() && len(list) > most-2*11 {
			t.Errorf("from %v to %v takes %d slices", since, until, len(list))
		}
	}
}

// TestFewestNames: a question is put to the sums of the fewest names that have its own.
func TestFewestNames(t *testing.T) {
	for _, c := range []struct {
		by    []string
		where string
		want  int
	}{
		{nil, "", ofAll}, {[]string{"day"}, "", ofAll}, {[]string{"tag"}, "", ofAll}, {[]string{"team"}, "", ofTeams}, {[]string{"tenant"}, "team", ofTeams},
		{[]string{"model", "provider"}, "route", ofServed}, {[]string{"model"}, "tenant", ofTenantsServed}, {[]string{"key"}, "", ofCallers}, {[]string{"user"}, "tenant", ofCallers},
		{[]string{"key"}, "model", ofDims}, {[]string{"team", "model"}, "", ofDims}, {[]string{"hour", "key"}, "", ofDims}, {[]string{"hour", "team"}, "", ofTeams},
	} {
		where := map[string][]string{}
		if c.where != "" {
			where[c.where] = []string{"x"}
		}
		if got := newQuestion(c.by, where).set; got != c.want {
			t.Errorf("by %v where %v: set %d, want %d", c.by, where, got, c.want)
		}
	}
}
