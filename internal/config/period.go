package config

import "time"

// Per is a part of the calendar.
type Per uint8

// The parts. Rolling is none: the last Period.Rolling.
const (
	Rolling Per = iota
	Hour
	Day
	Week // from Monday
	Month
)

var perNames = [...]string{"rolling", "hour", "day", "week", "month"}

// String is the part as the configuration names it.
func (p Per) String() string { return perNames[p] }

// Period is how long a budget lasts.
type Period struct {
	Per     Per
	Rolling time.Duration  // of Rolling
	Zone    *time.Location // whose calendar
}

// RollingSteps are the steps in which a rolling window moves on. What was spent counts for up to one step more than the window.
const RollingSteps = 60

// Step is one step of a rolling window.
func (p *Period) Step() time.Duration { return max(p.Rolling/RollingSteps, time.Millisecond) }

// Window is [Start, End).
type Window struct{ Start, End time.Time }

// Window is the part of the calendar around now. Of a rolling period it is the step around now, whose End is when room may come
// back.
func (p *Period) Window(now time.Time) Window {
	if p.Per == Rolling {
		start := now.Truncate(p.Step())
		return Window{start, start.Add(p.Step())}
	}
	t := now.In(p.Zone)
	y, m, d := t.Date()
	switch p.Per {
	case Hour: // by the zone's offset: at the end of summer time an hour comes twice
		_, offset := t.Zone()
		shift := time.Duration(offset) * time.Second
		start := now.Add(shift).Truncate(time.Hour).Add(-shift)
		return Window{start, start.Add(time.Hour)}
	case Week:
		monday := d - (int(t.Weekday())+6)%7
		return p.between(now, dayStart(y, m, monday, p.Zone), dayStart(y, m, monday+7, p.Zone))
	case Month:
		return p.between(now, dayStart(y, m, 1, p.Zone), dayStart(y, m+1, 1, p.Zone))
	default:
		return p.between(now, dayStart(y, m, d, p.Zone), dayStart(y, m, d+1, p.Zone))
	}
}

// between guards against zones whose midnight does not exist, or comes twice: now is always within.
func (p *Period) between(now, start, end time.Time) Window {
	if now.Before(start) {
		start = now.Truncate(time.Hour)
	}
	if !now.Before(end) {
		end = now.Truncate(time.Hour).Add(time.Hour)
	}
	return Window{start, end}
}

// dayStart is the first moment of a day. Where summer time begins at midnight, time.Date may give the last hour of the day before.
func dayStart(y int, m time.Month, d int, zone *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	if noon := time.Date(y, m, d, 12, 0, 0, 0, zone); t.Day() != noon.Day() {
		return t.Add(time.Hour)
	}
	return t
}
