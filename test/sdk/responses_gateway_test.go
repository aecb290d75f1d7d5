package sdk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/internal/fault"
	"dragoman/processor/turns"
	"dragoman/test/fakeprovider"
	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
	"dragoman/translate/responses"
)

// gateway is the codec and the store of turns as the gateway uses them, without Envoy: a client of the Responses API before a
// provider of any schema.
type gateway struct {
	codec    responses.Codec
	provider translate.Provider
	fake     *fakeprovider.Server
	store    turns.Store
	serial   atomic.Int64
	pins     sync.Map // requests that go to the provider as they came
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if err := g.answer(w, r, body); err != nil {
		var f *fault.Fault
		if !errors.As(err, &f) {
			f = fault.New(fault.Internal, "%v", err)
		}
		status, body := g.codec.EncodeFault(f, "")
		w.Header().Set("content-type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

// answer: parse, put the conversation into the request, ask, translate, keep.
func (g *gateway) answer(w http.ResponseWriter, r *http.Request, body []byte) error {
	asked, err := g.codec.Parse(body)
	if err != nil {
		return err
	}
	whole, err := g.resume(r.Context(), asked)
	if err != nil {
		return err
	}
	sent := whole
	if _, pinned := g.pins.LoadAndDelete(asked); pinned {
		sent = asked
	}
	res, err := g.ask(r.Context(), sent)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return g.provider.DecodeFault(res.StatusCode, res.Header.Get, said)
	}
	o := translate.Answer{RequestID: "gw-" + strconv.FormatInt(g.serial.Add(1), 10), Model: asked.Model, Now: time.Now(), Head: asked}
	out, object, err := g.translate(said, asked.Stream, o)
	if err != nil {
		return err
	}
	if err := g.keep(r.Context(), asked, whole, object); err != nil {
		return err
	}
	media := "application/json"
	if asked.Stream {
		media = "text/event-stream"
	}
	w.Header().Set("content-type", media)
	_, err = w.Write(out)
	return err
}

const tenant = "acme"

// resume makes the request that says all it has to say. What the provider itself keeps it is asked for by its id, which this
// tenant has proved to be its own.
func (g *gateway) resume(ctx context.Context, h *chat.Head) (*chat.Head, error) {
	previous, references := responses.Previous(h), responses.References(h)
	if previous == "" && references == nil {
		return h, nil
	}
	var history []chat.Message
	pinned := true
	if previous != "" {
		turn, err := turns.Load(ctx, g.store, tenant, previous)
		if err != nil {
			return nil, err
		}
		history, pinned = turn.Messages, turn.Origin == string(g.provider.Schema())
	}
	known, err := turns.Items(ctx, g.store, tenant, references)
	if err != nil {
		return nil, err
	}
	whole, err := responses.Continue(h, history, known)
	if pinned && previous != "" {
		g.pins.Store(h, true)
	}
	return whole, err
}

func (g *gateway) ask(ctx context.Context, h *chat.Head) (*http.Response, error) {
	to := translate.Target{BasePath: "/v1", Model: h.Model, MaxOutput: 4096}
	up, err := g.provider.Rewrite(h, to)
	if g.provider.Schema() != chat.Responses {
		var request *chat.Request
		if request, err = g.codec.Decode(h); err == nil {
			up, err = g.provider.Encode(request, to)
		}
	}
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.fake.Origin()+up.Path, bytes.NewReader(up.Body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("content-type", "application/json")
	if g.provider.Schema() == chat.Anthropic {
		req.Header.Set("x-api-key", g.fake.Key())
	} else {
		req.Header.Set("authorization", "Bearer "+g.fake.Key())
	}
	for _, h := range up.Headers {
		req.Header.Set(h.Name, h.Value)
	}
	return http.DefaultClient.Do(req)
}

// translate returns what the client gets, and the response object in it.
func (g *gateway) translate(said []byte, streamed bool, o translate.Answer) (out, object []byte, err error) {
	if !streamed {
		out, _, err = translate.Whole(g.codec, g.provider, said, o)
		return out, out, err
	}
	s := translate.NewStream(g.codec, g.provider, 1<<20, o)
	if out, err = s.Write(nil, said); err == nil {
		out, err = s.Close(out)
	}
	return out, responses.FinalObject(out), err
}

// keep stores the turn.
func (g *gateway) keep(ctx context.Context, asked, whole *chat.Head, object []byte) error {
	if !responses.Stored(asked) {
		return nil
	}
	r, err := g.codec.DecodeResponse(object)
	if err != nil {
		return err
	}
	messages, err := responses.History(whole)
	if err != nil {
		return err
	}
	turn := &turns.Turn{ID: r.ID, Created: r.Created, Input: len(messages), Body: object}
	if g.provider.Schema() == chat.Responses {
		turn.Origin = string(chat.Responses)
	}
	turn.Messages = append(messages, chat.Message{Role: chat.Assistant, Parts: r.Choices[0].Parts})
	for _, item := range responses.OutputItems(object) {
		turn.AddItem(item.ID, item.Message)
	}
	return turns.Save(ctx, g.store, tenant, turn)
}

func gateways(t *testing.T) map[string]Target {
	targets := map[string]Target{}
	for _, provider := range []translate.Provider{openai.Codec{}, anthropic.Codec{}, responses.Codec{}} {
		schema := fakeprovider.Schema(provider.Schema())
		fake := fakeprovider.Start(t, fakeprovider.Options{Schema: schema, AllowHeaders: fakeprovider.SDKHeaders})
		store := turns.NewMemory(64<<20, turns.TTL{}, time.Now)
		t.Cleanup(store.Close)
		server := httptest.NewServer(&gateway{provider: provider, fake: fake, store: store})
		t.Cleanup(server.Close)
		tr := &http.Transport{}
		t.Cleanup(tr.CloseIdleConnections)
		t.Cleanup(http.DefaultClient.CloseIdleConnections)
		targets[string(schema)] = Target{BaseURL: server.URL, Key: "sk-client", Model: fake.Model(), HTTP: &http.Client{Transport: tr}}
	}
	return targets
}

// TestResponsesThroughTheCodec: the same cases with a provider of each schema behind the codec and the store of turns.
func TestResponsesThroughTheCodec(t *testing.T) {
	for name, to := range gateways(t) {
		for _, c := range ResponsesCases() {
			if c.Name == "unknown model" && name == "anthropic" {
				continue // the gateway's routes say so in the client's words; there are none here
			}
			t.Run(name+"/"+c.Name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if err := c.Run(ctx, to); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestPythonResponsesThroughTheCodec(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	targets := gateways(t)
	f := responsesFake(t)
	targets["straight to the fake"] = target(t, f)
	var all sync.WaitGroup
	for name, to := range targets {
		all.Go(func() {
			report, err := Python(ctx, to, []string{to.Model}, PythonOptions{Client: "responses", Native: true})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if len(report) < 30 {
				t.Errorf("%s: only %d cases", name, len(report))
			}
			for c, result := range report {
				if result != "ok" {
					t.Errorf("%s: %s: %s", name, c, result)
				}
			}
		})
	}
	all.Wait()
}
