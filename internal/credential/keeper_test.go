package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dragoman/internal/config"
)

// script is a source that does as it is told, and notes when it was asked.
type script struct {
	mu    sync.Mutex
	begin time.Time
	asked []time.Duration
	do    func(n int) (Token, error) // n from 1
}

func (s *script) source(*config.Grant) Source {
	return func(context.Context) (Token, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, time.Since(s.begin))
		return s.do(len(s.asked))
	}
}

func (s *script) times() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Duration(nil), s.asked...)
}

// fresh tokens live for a given time.
func fresh(lifetime time.Duration) func(int) (Token, error) {
	return func(n int) (Token, error) {
		return Token{Value: fmt.Sprint("token-", n), Expires: time.Now().Add(lifetime)}, nil
	}
}

func cluster(name, id string) *config.Cluster {
	return &config.Cluster{SecretName: name, Grant: &config.Grant{ID: id, Google: &config.GoogleGrant{Metadata: true}}}
}

// keep runs f with a Keeper of the script, in made-up time.
func keep(t *testing.T, do func(int) (Token, error), f func(k *Keeper, s *script, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var log bytes.Buffer
		s := &script{do: do, begin: time.Now()}
		k := New(ctx, Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Source: s.source, Random: func() float64 { return 1 }})
		k.Use([]*config.Cluster{cluster("credential/vertex/default", "g1"), cluster("credential/vertex/default", "g1"), {}})
		f(k, s, &log)
		cancel()
		k.Wait()
	})
}

func TestTokensAreReplacedBeforeTheyEnd(t *testing.T) {
	for _, c := range []struct{ lifetime, first time.Duration }{
		{time.Hour, 55 * time.Minute}, {24 * time.Hour, 23*time.Hour + 55*time.Minute}, {6 * time.Minute, 3 * time.Minute}, {time.Second, time.Second},
	} {
		keep(t, fresh(c.lifetime), func(k *Keeper, s *script, _ *bytes.Buffer) {
			synctest.Wait()
			if got := k.Tokens(); !maps.Equal(got, map[string]string{"g1": "token-1"}) {
				t.Errorf("tokens %v", got)
			}
			time.Sleep(c.first + time.Millisecond)
			synctest.Wait()
			if asked := s.times(); len(asked) != 2 || asked[1] != c.first {
				t.Errorf("a token of %v: asked at %v, want again at %v", c.lifetime, asked, c.first)
			}
			if got := k.Tokens()["g1"]; got != "token-2" {
				t.Errorf("holds %q", got)
			}
		})
	}
}

// One source gives the same token until shortly before its end: it is asked again each minute then, and pushes nothing.
func TestASourceThatKeepsItsTokens(t *testing.T) {
	end := time.Duration(0)
	keep(t, func(n int) (Token, error) {
		at := time.Now()
		if n == 1 {
			end = time.Hour
		}
		return Token{Value: "same", Expires: at.Add(end - 55*time.Minute*time.Duration(min(n-1, 1)))}, nil
	}, func(k *Keeper, s *script, _ *bytes.Buffer) {
		synctest.Wait()
		<-k.Changes()
		time.Sleep(56*time.Minute + time.Second)
		synctest.Wait()
		if asked := s.times(); len(asked) != 3 || asked[2]-asked[1] != time.Minute {
			t.Errorf("asked at %v", asked)
		}
		select {
		case <-k.Changes():
			t.Error("the same token was called a change")
		default:
		}
	})
}

func TestFailuresAreTriedAgainWithPauses(t *testing.T) {
	keep(t, func(n int) (Token, error) {
		if n <= 9 {
			return Token{}, errors.New("the token endpoint answered 503")
		}
		return fresh(time.Hour)(n)
	}, func(k *Keeper, s *script, log *bytes.Buffer) {
		synctest.Wait()
		if st := k.Status(); len(st) != 1 || st[0].Failures != 1 || st[0].Error != "the token endpoint answered 503" || !st[0].Expires.IsZero() {
			t.Errorf("status %+v", st)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		asked := s.times()
		var pauses []time.Duration
		for i := 1; i < len(asked); i++ {
			pauses = append(pauses, asked[i]-asked[i-1])
		}
		want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60}
		for i := range want {
			if i >= len(pauses) || pauses[i] != want[i]*time.Second {
				t.Fatalf("pauses %v, want %v s", pauses, want)
			}
		}
		if k.Tokens()["g1"] != "token-10" || k.Status()[0].Failures != 0 || k.Status()[0].Error != "" {
			t.Errorf("holds %v, %+v", k.Tokens(), k.Status())
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings of one cause:\n%s", n, log)
		}
		if !strings.Contains(log.String(), "had again") || strings.Contains(log.String(), "token-10") {
			t.Errorf("log:\n%s", log)
		}
	})
}

// A token stays in use while its source fails, until its end; then it goes, and that is a change.
func TestATokenIsHeldToItsEnd(t *testing.T) {
	keep(t, func(n int) (Token, error) {
		if n > 1 {
			return Token{}, fmt.Errorf("failure %d", n)
		}
		return fresh(10 * time.Minute)(n)
	}, func(k *Keeper, _ *script, _ *bytes.Buffer) {
		synctest.Wait()
		<-k.Changes()
		time.Sleep(10*time.Minute - time.Millisecond)
		synctest.Wait()
		if k.Tokens()["g1"] != "token-1" {
			t.Error("a token that still holds was given up")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(k.Tokens()) != 0 {
			t.Error("a token is held after its end")
		}
		select {
		case <-k.Changes():
		default:
			t.Error("nobody was told")
		}
	})
}

func TestUselessAnswersAreFailures(t *testing.T) {
	for _, token := range []Token{{}, {Value: "x"}, {Expires: time.Now().Add(1e6 * time.Hour)}} {
		keep(t, func(int) (Token, error) { return token, nil }, func(k *Keeper, _ *script, _ *bytes.Buffer) {
			synctest.Wait()
			if len(k.Tokens()) != 0 || k.Status()[0].Error != errUseless.Error() {
				t.Errorf("%+v: %v, %+v", token, k.Tokens(), k.Status())
			}
		})
	}
}

// Use follows the configuration: what is new is asked for, what is gone is forgotten, what stays is not asked for again.
func TestUse(t *testing.T) {
	keep(t, fresh(time.Hour), func(k *Keeper, s *script, _ *bytes.Buffer) {
		synctest.Wait()
		k.Use([]*config.Cluster{cluster("a", "g1"), cluster("b", "g2")})
		synctest.Wait()
		if len(s.times()) != 2 || len(k.Tokens()) != 2 {
			t.Errorf("asked %v, holds %v", s.times(), k.Tokens())
		}
		k.Use([]*config.Cluster{cluster("b", "g2")})
		if got := k.Tokens(); len(got) != 1 || got["g2"] == "" {
			t.Errorf("holds %v", got)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := len(s.times()); n != 4 { // g2 alone, every 55 minutes
			t.Errorf("asked %d times", n)
		}
	})
}

// Every try is reported, for the metrics.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		s := &script{begin: time.Now(), do: func(n int) (Token, error) {
			if n == 1 {
				return Token{}, errors.New("no")
			}
			return fresh(time.Hour)(n)
		}}
		k := New(ctx, Options{Log: slog.New(slog.DiscardHandler), Source: s.source, Report: func(name string, expires time.Time, err error) {
			got = append(got, fmt.Sprint(name, " ", !expires.IsZero(), " ", err))
		}})
		k.Use([]*config.Cluster{cluster("c", "g")})
		time.Sleep(time.Minute)
		cancel()
		k.Wait()
		if want := "c false no, c true <nil>"; strings.Join(got, ", ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
	})
}

// A source that never answers holds up nobody, and its time is bounded.
func TestASilentSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		waited := time.Duration(0)
		k := New(ctx, Options{Log: slog.New(slog.DiscardHandler), Source: func(*config.Grant) Source {
			return sanitized(func(ctx context.Context) (Token, error) {
				begin := time.Now()
				<-ctx.Done()
				waited = time.Since(begin)
				return Token{}, ctx.Err()
			})
		}})
		k.Use([]*config.Cluster{cluster("c", "g")})
		time.Sleep(patience + time.Millisecond)
		synctest.Wait()
		if waited != patience || k.Status()[0].Error != "the token endpoint did not answer in time" {
			t.Errorf("waited %v, %+v", waited, k.Status())
		}
		cancel()
		k.Wait()
	})
}
