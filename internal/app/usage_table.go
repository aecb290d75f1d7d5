package app

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
)

// usageTable writes for people. A column whose numbers are all zero is left out.
func usageTable(w io.Writer, u *ledger.Usage) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s to %s UTC\n\n", u.Since.Format("2006-01-02 15:04"), u.Until.Format("2006-01-02 15:04"))
	columns := []struct {
		name   string
		always bool
		value  func(*ledger.Row) int64
		show   func(int64) string
	}{
		{"requests", true, func(r *ledger.Row) int64 { return r.Requests }, thousands},
		{"errors", false, func(r *ledger.Row) int64 { return r.Errors }, thousands},
		{"hits", false, func(r *ledger.Row) int64 { return r.Hits }, thousands},
		{"input", true, func(r *ledger.Row) int64 { return r.Input }, thousands},
		{"cached", false, func(r *ledger.Row) int64 { return r.CacheRead }, thousands},
		{"written", false, func(r *ledger.Row) int64 { return r.CacheWrite }, thousands},
		{"output", true, func(r *ledger.Row) int64 { return r.Output }, thousands},
		{"cost USD", true, func(r *ledger.Row) int64 { return int64(r.Cost) }, usd},
		{"saved USD", false, func(r *ledger.Row) int64 { return int64(r.Saved) }, usd},
		{"unpriced", false, func(r *ledger.Row) int64 { return r.Unpriced }, thousands},
		{"failed attempts", false, func(r *ledger.Row) int64 { return r.Attempts }, thousands},
	}
	t := tabwriter.NewWriter(out, 2, 8, 2, ' ', tabwriter.AlignRight)
	line := func(name string, cell func(int) string) {
		fmt.Fprint(t, name)
		for i, c := range columns {
			if c.always || c.value(&u.Total) != 0 {
				fmt.Fprint(t, "\t", cell(i))
			}
		}
		fmt.Fprintln(t, "\t")
	}
	width := utf8.RuneCountInString(strings.Join(u.By, "  "))
	for i := range u.Rows {
		width = max(width, utf8.RuneCountInString(groupName(&u.Rows[i])))
	}
	pad := func(s string) string {
		return s + strings.Repeat(" ", max(0, min(width, 60)-utf8.RuneCountInString(s)))
	}
	line(pad(strings.Join(u.By, "  ")), func(i int) string { return columns[i].name })
	for i := range u.Rows {
		r := &u.Rows[i]
		line(pad(groupName(r)), func(i int) string { return columns[i].show(columns[i].value(r)) })
	}
	if len(u.Rows) != 1 {
		line(pad("total"), func(i int) string { return columns[i].show(columns[i].value(&u.Total)) })
	}
	if err := t.Flush(); err != nil {
		return err
	}
	notes(out, u)
	return out.Flush()
}

// notes say what the figures leave out.
func notes(w io.Writer, u *ledger.Usage) {
	if u.Total.Unpriced > 0 {
		fmt.Fprintf(w, "\n%s requests or attempts have no known price: the cost is without them.\n", thousands(u.Total.Unpriced))
	}
	if u.Truncated {
		fmt.Fprintln(w, "\nThere are more groups than are shown, and the total is of those shown: narrow the question, or raise --limit.")
	}
}

// groupName is a group in one line, without what would move the cursor.
func groupName(r *ledger.Row) string {
	parts := make([]string, len(r.Group))
	for i, g := range r.Group {
		if g == "" {
			g = "-"
		}
		parts[i] = strings.Map(func(c rune) rune {
			if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
				return '?'
			}
			return c
		}, g)
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, "  ")
}

// usageChart draws a bar of each group's cost, or of its requests where nothing has cost anything.
func usageChart(w io.Writer, u *ledger.Usage) error {
	out := bufio.NewWriter(w)
	value, show, what := func(r *ledger.Row) int64 { return int64(r.Cost) }, usd, "cost in USD"
	if u.Total.Cost == 0 {
		value, show, what = func(r *ledger.Row) int64 { return r.Requests }, thousands, "requests"
	}
	most, width := int64(1), 0
	for i := range u.Rows {
		most = max(most, value(&u.Rows[i]))
		width = max(width, utf8.RuneCountInString(groupName(&u.Rows[i])))
	}
	width = min(width, 40)
	fmt.Fprintf(out, "%s by %s, %s to %s UTC\n\n", what, strings.Join(u.By, ", "), u.Since.Format("2006-01-02 15:04"), u.Until.Format("2006-01-02 15:04"))
	for i := range u.Rows {
		name := []rune(groupName(&u.Rows[i]))
		if len(name) > width {
			name = append(name[:width-1], '…')
		}
		n := value(&u.Rows[i])
		fmt.Fprintf(out, "%s%s %s %s\n", string(name), strings.Repeat(" ", width-len(name)), bar(n, most), show(n))
	}
	notes(out, u)
	return out.Flush()
}

// chartWidth is the longest bar in characters.
const chartWidth = 40

// bar is drawn in eighths of a character.
func bar(n, most int64) string {
	eighths := int(float64(n) / float64(most) * chartWidth * 8)
	s := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	if s == "" && n > 0 {
		s = "▏"
	}
	return s
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// usd shows whole cents of what is large, and what is small to the millionth.
func usd(n int64) string {
	whole, rest := n/1_000_000, n%1_000_000
	if config.MicroUSD(n) >= 100_000_000 {
		return thousands(whole) + fmt.Sprintf(".%02d", rest/10_000)
	}
	return thousands(whole) + fmt.Sprintf(".%06d", rest)
}
