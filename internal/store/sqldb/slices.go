package sqldb

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/ledger"
)

// slice is the rows of one hour, day or month.
type slice struct {
	grain int
	start int64 // seconds
	minus bool  // it is taken away: most of a month is the month without the rest
	shown int64 // the beginning of the period that it is shown as, of those that are told apart
}

// cover says which slices make up a period, as few as it takes: at most 12 for each day that is cut, and 17 for each month, whatever the
// period (23 where it lies within one day). What a question tells apart in time is not mixed.
type cover struct {
	by string // the finest period that is told apart, "" for none
	// hours is where sums by hour begin: earlier ones have outlived their time, and nothing is taken away from what they are missing in.
	hours int64
	list  []slice
}

const day = 24 * time.Hour

func (c *cover) add(grain int, start time.Time, minus bool, shown time.Time) {
	c.list = append(c.list, slice{grain, start.Unix(), minus, shown.Unix()})
}

// period covers since to until, whole hours.
func (c *cover) period(since, until time.Time) []slice {
	for at := since.UTC(); at.Before(until); {
		first := monthOf(at)
		next := first.AddDate(0, 1, 0)
		end := minTime(next, until)
		switch {
		case c.by == "hour":
			for ; at.Before(end); at = at.Add(time.Hour) {
				c.add(hourly, at, false, at)
			}
		case c.by != "day" && at.Equal(first) && end.Equal(next):
			c.add(monthly, first, false, first)
		default:
			c.month(first, at, end)
		}
		at = end
	}
	return c.list
}

// month covers a part of a month: whole days, or the month without those that are outside, and the hours at its edges, added or taken away.
func (c *cover) month(first, from, to time.Time) {
	dayFrom, dayTo := from.Truncate(day), to.Truncate(day)
	if dayFrom.Equal(dayTo) { // within one day
		c.hoursOf(first, from, to, false)
		return
	}
	if !dayFrom.Equal(from) {
		if c.without(dayFrom, from) {
			c.hoursOf(first, dayFrom, from, true)
		} else {
			dayFrom = dayFrom.Add(day)
			c.hoursOf(first, from, dayFrom, false)
		}
	}
	if !dayTo.Equal(to) {
		if end := dayTo.Add(day); c.without(to, end) {
			c.hoursOf(first, to, end, true)
			dayTo = end
		} else {
			c.hoursOf(first, dayTo, to, false)
		}
	}
	next := first.AddDate(0, 1, 0)
	if c.by != "day" && 2*dayTo.Sub(dayFrom) > next.Sub(first) {
		c.add(monthly, first, false, first)
		c.days(first, first, dayFrom, true)
		c.days(first, dayTo, next, true)
		return
	}
	c.days(first, dayFrom, dayTo, false)
}

// without says whether a day is better taken without these hours of it.
func (c *cover) without(from, to time.Time) bool {
	return to.Sub(from) < day/2 && c.hours <= from.Truncate(day).Unix()
}

func (c *cover) hoursOf(first, from, to time.Time, minus bool) {
	shown := first
	if c.by == "day" {
		shown = from.Truncate(day)
	}
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		c.add(hourly, at, minus, shown)
	}
}

func (c *cover) days(first, from, to time.Time, minus bool) {
	for at := from; at.Before(to); at = at.Add(day) {
		shown := first
		if c.by == "day" {
			shown = at
		}
		c.add(daily, at, minus, shown)
	}
}

func monthOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// finest is the finest period that a query tells apart.
func finest(by []string) string {
	for _, p := range ledger.Periods {
		if slices.Contains(by, p) {
			return p
		}
	}
	return ""
}

// part is the slices that one statement reads: of one set, all added or all taken away.
type part struct {
	set    int
	minus  bool
	slices []slice
}

// parts splits slices by the set that has their sums. What is taken away is with what it is taken from, in all parts together.
func parts(of int, list []slice) []part {
	var out []part
	for _, s := range list {
		from := of
		if s.grain == hourly && !sets[of].hours {
			from = ofDims
		}
		i := slices.IndexFunc(out, func(p part) bool { return p.set == from && p.minus == s.minus })
		if i < 0 {
			i = len(out)
			out = append(out, part{set: from, minus: s.minus})
		}
		out[i].slices = append(out[i].slices, s)
	}
	return out
}

// values writes the slices as rows of grain, start and, where it matters, what they are shown as. They are numbers: nothing of a client's
// gets into a statement.
func (p *part) values(timed bool) string {
	b := make([]byte, 0, 32*len(p.slices))
	for i, s := range p.slices {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '(')
		b = strconv.AppendInt(b, sets[p.set].grain+int64(s.grain), 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, s.start, 10)
		if timed {
			b = append(b, ',')
			b = strconv.AppendInt(b, s.shown, 10)
		}
		b = append(b, ')')
	}
	columns := "grain, start_s"
	if timed {
		columns += ", shown"
	}
	return strings.Join([]string{"WITH s(", columns, ") AS (VALUES ", string(b), ")"}, "")
}
