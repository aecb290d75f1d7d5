package sdk

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/test/fakeprovider"
)

// TestMain: OpenCensus, which Google's SDK brings along, has a goroutine of its own for ever.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// fakes are what the SDKs talk to straight: one of each schema.
func fakes(t *testing.T) map[string]*fakeprovider.Server {
	return map[string]*fakeprovider.Server{
		"openai":    fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.OpenAI, AllowHeaders: fakeprovider.SDKHeaders}),
		"anthropic": fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Anthropic, AllowHeaders: fakeprovider.SDKHeaders}),
	}
}

func target(t *testing.T, f *fakeprovider.Server) Target {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return Target{BaseURL: f.Origin(), Key: f.Key(), Model: f.Model(), HTTP: &http.Client{Transport: tr}}
}

func TestGoSDKsAgainstTheFakes(t *testing.T) {
	providers := fakes(t)
	for _, c := range Cases() {
		t.Run(c.Client+"/"+c.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := c.Run(ctx, target(t, providers[c.Client])); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCasesNoticeWhatIsWrong: a case that passes whatever it gets is worth nothing.
func TestCasesNoticeWhatIsWrong(t *testing.T) {
	providers := fakes(t)
	wrong := &fakeprovider.Reply{Blocks: fakeprovider.Text("something else").Blocks, NoUsage: true}
	for _, f := range providers {
		f.Script(fakeprovider.Rule{Reply: wrong})
	}
	for _, c := range Cases() {
		if c.Name == "models" || strings.HasPrefix(c.Name, "unknown") || strings.HasPrefix(c.Name, "bad request") {
			continue // answered before any reply
		}
		if err := c.Run(context.Background(), target(t, providers[c.Client])); err == nil {
			t.Errorf("%s/%s takes a wrong answer", c.Client, c.Name)
		}
	}
	for _, f := range providers {
		f.Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500})
	}
	for _, c := range Cases() {
		to := target(t, providers[c.Client])
		to.Key = "wrong"
		if err := c.Run(context.Background(), to); err == nil {
			t.Errorf("%s/%s takes a failure", c.Client, c.Name)
		}
	}
}

func TestGoSDKsSeeABrokenStreamAsAnError(t *testing.T) {
	providers := fakes(t)
	for _, kind := range []fakeprovider.Failure{fakeprovider.Cut, fakeprovider.ErrorEvent, fakeprovider.EndEarly} {
		for client, f := range providers {
			f.Fail(1, fakeprovider.Fault{Kind: kind, After: 3})
			i := slices.IndexFunc(Cases(), func(c Case) bool { return c.Client == client && c.Name == "stream" })
			if err := Cases()[i].Run(context.Background(), target(t, f)); err == nil {
				t.Errorf("%s takes a stream broken by %v", client, kind)
			}
		}
	}
}

func TestPythonSDKsAgainstTheFakes(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for client, f := range fakes(t) {
		report, err := Python(ctx, target(t, f), []string{f.Model(), fakeprovider.DefaultModels[f.Schema()][1]}, PythonOptions{Client: client, Native: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(report) < 60 {
			t.Errorf("%s: only %d cases", client, len(report))
		}
		for name, result := range report {
			if result != "ok" {
				t.Errorf("%s: %s", name, result)
			}
		}
	}
}

func TestPythonSDKsSayWhatWentWrong(t *testing.T) {
	f := fakes(t)["openai"]
	f.Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 529})
	report, err := Python(context.Background(), target(t, f), []string{f.Model()}, PythonOptions{Client: "openai", Parallel: 2, Cases: []string{"plain"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(report) != 4 {
		t.Errorf("%v", report)
	}
	for name, result := range report {
		if !strings.Contains(result, "529") {
			t.Errorf("%s: %s", name, result)
		}
	}
	t.Setenv(EnvPython, "/nonexistent")
	if _, err := Python(context.Background(), target(t, f), nil, PythonOptions{}); err == nil || !strings.Contains(err.Error(), "make sdk") {
		t.Errorf("without a Python: %v", err)
	}
}
