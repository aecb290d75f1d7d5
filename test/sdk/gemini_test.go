package sdk

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/genai"

	"dragoman/test/fakeprovider"
)

func geminiFake(t *testing.T) *fakeprovider.Server {
	return fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Gemini, AllowHeaders: fakeprovider.SDKHeaders})
}

func TestGeminiGoSDKAgainstTheFake(t *testing.T) {
	f := geminiFake(t)
	for _, model := range []string{"gemini-3-flash-preview", "gemini-3-pro-preview", "gemini-2.5-flash"} {
		for _, c := range GeminiCases() {
			if model == "gemini-2.5-flash" && strings.HasPrefix(c.Name, "thinking") {
				continue // it has no levels and signs nothing
			}
			t.Run(model+"/"+c.Name, func(t *testing.T) {
				to := target(t, f)
				to.Model = model
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				if err := c.Run(ctx, to); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestGeminiCasesNoticeWhatIsWrong(t *testing.T) {
	f := geminiFake(t)
	f.Script(fakeprovider.Rule{Reply: &fakeprovider.Reply{Blocks: fakeprovider.Text("something else").Blocks, NoUsage: true}})
	for _, c := range GeminiCases() {
		if c.Name == "models" || c.Name == "count tokens" || strings.HasPrefix(c.Name, "unknown") || strings.HasPrefix(c.Name, "bad request") {
			continue // answered before any reply
		}
		if err := c.Run(context.Background(), target(t, f)); err == nil {
			t.Errorf("%s takes a wrong answer", c.Name)
		}
	}
	if err := f.Reset(); err != nil {
		t.Fatal(err)
	}
	f.Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500})
	for _, c := range GeminiCases() {
		to := target(t, f)
		to.Key = "wrong"
		if err := c.Run(context.Background(), to); err == nil {
			t.Errorf("%s takes a failure", c.Name)
		}
	}
}

func TestGeminiGoSDKSeesABrokenStreamAsAnError(t *testing.T) {
	f := geminiFake(t)
	for _, kind := range []fakeprovider.Failure{fakeprovider.Cut, fakeprovider.ErrorEvent, fakeprovider.EndEarly} {
		f.Fail(1, fakeprovider.Fault{Kind: kind, After: 2})
		if err := geminiStream(context.Background(), target(t, f)); err == nil {
			t.Errorf("takes a stream broken by %v", kind)
		}
	}
}

// TestVertexTakesABearerToken: the same SDK speaks to the other service by another path and credential.
func TestVertexTakesABearerToken(t *testing.T) {
	f := geminiFake(t)
	to := target(t, f)
	ctx := context.Background()
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		Backend: genai.BackendVertexAI, Project: "p", Location: "l", HTTPClient: to.HTTP,
		HTTPOptions: genai.HTTPOptions{BaseURL: to.BaseURL, APIVersion: "v1", Headers: map[string][]string{"Authorization": {"Bearer " + to.Key}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	q := geminiRequest(twoCalls)
	q.config.Tools = geminiWeather()
	r, err := client.Models.GenerateContent(ctx, to.Model, q.contents, q.config)
	if err != nil {
		t.Fatal(err)
	}
	if calls := r.FunctionCalls(); len(calls) != 2 || calls[0].ID != "" {
		t.Errorf("calls %+v", calls)
	}
	if got := f.Last().Path; got != "/v1/projects/p/locations/l/publishers/google/models/"+to.Model+":generateContent" {
		t.Errorf("path %s", got)
	}
}

func TestGeminiPythonSDKAgainstTheFake(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	f := geminiFake(t)
	report, err := Python(ctx, target(t, f), []string{"gemini-3-flash-preview", "gemini-3-pro-preview"}, PythonOptions{Client: "gemini", Native: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(report) < 60 {
		t.Errorf("only %d cases", len(report))
	}
	for name, result := range report {
		if result != "ok" {
			t.Errorf("%s: %s", name, result)
		}
	}
}
