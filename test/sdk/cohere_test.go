package sdk

import (
	"context"
	"testing"
	"time"

	"dragoman/test/fakeprovider"
)

// operationFakes are what the cases of the operations beside chat talk to straight.
func operationFakes(t *testing.T) map[string]*fakeprovider.Server {
	fakes := fakes(t)
	fakes["cohere"] = fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Cohere, AllowHeaders: fakeprovider.SDKHeaders})
	return fakes
}

// operation is a list of cases and the model that they ask each client's fake for, "" for its first one.
type operation struct {
	cases []Case
	model map[string]string
}

func operations() map[string]operation {
	return map[string]operation{
		"chat":       {cases: CohereCases()},
		"embeddings": {EmbeddingCases(), map[string]string{"openai": "text-embedding-3-small", "cohere": "embed-v4.0"}},
		"rerank":     {RerankCases(), map[string]string{"cohere": fakeprovider.RerankModels[0]}},
		"count":      {cases: CountCases()},
	}
}

func eachOperation(t *testing.T, providers map[string]*fakeprovider.Server, f func(t *testing.T, c Case, to Target)) {
	for kind, op := range operations() {
		for _, c := range op.cases {
			to := target(t, providers[c.Client])
			if m := op.model[c.Client]; m != "" {
				to.Model = m
			}
			t.Run(kind+"/"+c.Client+"/"+c.Name, func(t *testing.T) { f(t, c, to) })
		}
	}
}

func TestGoOperationsAgainstTheFakes(t *testing.T) {
	eachOperation(t, operationFakes(t), func(t *testing.T, c Case, to Target) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := c.Run(ctx, to); err != nil {
			t.Error(err)
		}
	})
}

func TestOperationCasesNoticeAFailure(t *testing.T) {
	providers := operationFakes(t)
	for _, f := range providers {
		f.Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 403})
	}
	eachOperation(t, providers, func(t *testing.T, c Case, to Target) {
		if err := c.Run(context.Background(), to); err == nil {
			t.Error("takes a failure")
		}
	})
}

func TestCohereStreamBrokenIsAnError(t *testing.T) {
	f := operationFakes(t)["cohere"]
	for _, kind := range []fakeprovider.Failure{fakeprovider.Cut, fakeprovider.ErrorEvent, fakeprovider.EndEarly} {
		f.Fail(1, fakeprovider.Fault{Kind: kind, After: 3})
		if err := cohereStream(context.Background(), target(t, f)); err == nil {
			t.Errorf("takes a stream broken by %v", kind)
		}
	}
}

func TestPythonOperationsAgainstTheFakes(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	providers := operationFakes(t)
	for client, run := range map[string]struct {
		fake   string
		models []string
		least  int
	}{
		"cohere":            {"cohere", []string{"command-a-03-2025", "command-a-reasoning-08-2025"}, 40},
		"cohere-embeddings": {"cohere", []string{"embed-v4.0"}, 6},
		"cohere-rerank":     {"cohere", []string{fakeprovider.RerankModels[0]}, 4},
		"openai-embeddings": {"openai", []string{"text-embedding-3-small"}, 8},
		"anthropic-count":   {"anthropic", []string{"claude-haiku-4-5"}, 4},
	} {
		report, err := Python(ctx, target(t, providers[run.fake]), run.models, PythonOptions{Client: client, Native: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(report) < run.least {
			t.Errorf("%s: only %d cases", client, len(report))
		}
		for name, result := range report {
			if result != "ok" {
				t.Errorf("%s: %s", name, result)
			}
		}
	}
}
