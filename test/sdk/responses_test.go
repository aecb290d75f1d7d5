package sdk

import (
	"context"
	"strings"
	"testing"
	"time"

	"dragoman/test/fakeprovider"
)

func responsesFake(t *testing.T) *fakeprovider.Server {
	return fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Responses, AllowHeaders: fakeprovider.SDKHeaders})
}

func TestResponsesCasesAgainstTheFake(t *testing.T) {
	f := responsesFake(t)
	for _, c := range ResponsesCases() {
		t.Run(c.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if err := c.Run(ctx, target(t, f)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestResponsesCasesNoticeWhatIsWrong(t *testing.T) {
	f := responsesFake(t)
	f.Script(fakeprovider.Rule{Reply: &fakeprovider.Reply{Blocks: fakeprovider.Text("something else").Blocks, NoUsage: true}})
	for _, c := range ResponsesCases() {
		if strings.HasPrefix(c.Name, "unknown") || c.Name == "bad request" {
			continue // answered before any reply
		}
		if err := c.Run(t.Context(), target(t, f)); err == nil {
			t.Errorf("%s takes a wrong answer", c.Name)
		}
	}
	if err := f.Reset(); err != nil {
		t.Fatal(err)
	}
	f.Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500})
	for _, c := range ResponsesCases() {
		if err := c.Run(t.Context(), target(t, f)); err == nil {
			t.Errorf("%s takes a failure", c.Name)
		}
	}
}

func TestResponsesBrokenStreamIsAnError(t *testing.T) {
	f := responsesFake(t)
	for _, kind := range []fakeprovider.Failure{fakeprovider.Cut, fakeprovider.ErrorEvent, fakeprovider.EndEarly} {
		f.Fail(1, fakeprovider.Fault{Kind: kind, After: 5})
		if err := responsesStream(t.Context(), target(t, f)); err == nil {
			t.Errorf("a stream broken by %v is taken", kind)
		}
	}
}
