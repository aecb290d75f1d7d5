package app

import (
	"dragoman/internal/config"
	"dragoman/internal/fetch"
)

// setFetcher makes what fetches the media that requests name by URL, as the configuration in force has it.
func (a *App) setFetcher(snap *config.Snapshot) {
	var next *fetch.Fetcher
	if m := snap.Media; m.Fetch {
		next = fetch.New(fetch.Options{MaxBytes: m.MaxBytes, Timeout: m.Timeout, Allow: m.Allow})
	}
	a.swapFetcher(next)
}

// swapFetcher puts another one, or none, in the place of the last.
func (a *App) swapFetcher(next *fetch.Fetcher) {
	if last := a.fetcher.Swap(next); last != nil {
		last.Close() // idle connections only: a fetch under way ends by itself
	}
}
