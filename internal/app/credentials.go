package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/credential"
)

// startCredentials makes what gets the tokens of providers that want them. Its work begins when the first configuration is set, and ends
// with stopCredentials.
func (a *App) startCredentials() {
	ctx, stop := context.WithCancel(context.Background())
	a.tokens = credential.New(ctx, credential.Options{
		Log: a.log, Now: time.Now, Random: rand.Float64, Report: a.metrics.Credential,
	})
	a.stopCredentials = func() {
		stop()
		a.tokens.Wait()
	}
}

// useCredentials says whose tokens are needed: those of every configuration that a request may still go by.
func (a *App) useCredentials(snap *config.Snapshot, previous []*config.Snapshot) map[string]string {
	clusters := snap.Clusters
	for _, old := range previous {
		clusters = append(clusters[:len(clusters):len(clusters)], old.Clusters...)
	}
	a.tokens.Use(clusters)
	return a.tokens.Tokens()
}

// sameTokens says whether the secrets that were pushed last still hold.
func (b *built) sameTokens(tokens map[string]string) bool { return maps.Equal(b.tokens, tokens) }

const (
	// askTime is what a server of one's own has to say which models it serves: one that is there answers at once, and start-up waits.
	askTime  = 500 * time.Millisecond
	askBytes = 1 << 20
)

// fetchModels asks a server of one's own for its models. A proxy of the environment has no part in it, nor does it follow anybody elsewhere.
func fetchModels(url string) ([]byte, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Timeout: askTime, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, askBytes+1))
	if err == nil && len(body) > askBytes {
		return nil, errors.New("the list is too long")
	}
	return body, err
}
