package ledger

import (
	"reflect"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/processor/account"
	"dragoman/translate/chat"
)

// FuzzDecode: no bytes of a log crash the reader, and what can be read comes back the same.
func FuzzDecode(f *testing.F) {
	r := &account.Record{ID: "id", Time: time.Unix(1_800_000_000, 0), Tenant: "acme", Outcome: "ok", Priced: true, Cost: 7, Price: &config.Price{Input: 1, Long: &config.Price{}, Above: 9},
		Usage: chat.Usage{Known: true, Input: 3}, Tags: []string{"a=b"}, Failed: []account.Attempt{{Number: 1, Provider: "p", Priced: true}}}
	var e encoder
	e.request(kindRequest, r)
	f.Add(e.b)
	a := &Entry{Action: "x", Time: r.Time, Number: 4}
	e = encoder{}
	e.audit(a)
	f.Add(e.b)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := decoder{b: data}
		switch d.header() {
		case kindBegin, kindRequest:
			r := d.request()
			if d.bad {
				return
			}
			var e encoder
			e.request(kindRequest, r)
			again := decoder{b: e.b}
			again.header()
			if got := again.request(); again.bad || !reflect.DeepEqual(got.Usage, r.Usage) || got.ID != clean(cut(r.ID)) || len(got.Failed) != len(r.Failed) || got.Cost != r.Cost {
				t.Errorf("%+v is read again as %+v", r, got)
			}
		case kindAudit:
			d.audit()
		}
	})
}

func TestPriceVersion(t *testing.T) {
	p := &config.Price{Input: 250_000, Output: 2_000_000}
	same := &config.Price{Input: 250_000, Output: 2_000_000, Source: "elsewhere"}
	other := &config.Price{Input: 250_001, Output: 2_000_000}
	long := &config.Price{Input: 250_000, Output: 2_000_000, Above: 200_000, Long: &config.Price{Input: 500_000}}
	if PriceVersion(p) != PriceVersion(same) || PriceVersion(p) == PriceVersion(other) || PriceVersion(p) == PriceVersion(long) || len(PriceVersion(p)) != 16 || PriceVersion(nil) != "" {
		t.Errorf("%s %s %s %s", PriceVersion(p), PriceVersion(same), PriceVersion(other), PriceVersion(long))
	}
}
