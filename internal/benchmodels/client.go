package benchmodels

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Client asks a gateway in OpenAI's chat schema.
type Client struct {
	URL  string // base URL without /v1
	Key  string // "" for an open gateway
	HTTP *http.Client
}

// maxBody bounds an answer of the gateway, in bytes.
const maxBody = 8 << 20

// Model is one model to measure.
type Model struct {
	Ask      string // what is asked for: provider/name
	Provider string // "" when the gateway does not say
	Name     string // in the catalogue
	Price    *Price // nil: unknown
}

// Price is in USD per million tokens.
type Price struct {
	Input  float64 `json:"input"`
	Output float64 `json:"output"`
}

// Models are the gateway's models that answer chats. Routes are not models, and are left out, like models for embeddings and
// reranking and those that their vendor is about to end.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	body, _, err := c.do(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return nil, err
	}
	var page struct {
		Data []struct {
			ID           string   `json:"id"`
			OwnedBy      string   `json:"owned_by"`
			Price        *Price   `json:"price_usd_per_million_tokens"`
			Capabilities []string `json:"capabilities"`
			Deprecated   bool     `json:"deprecated"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("%s/v1/models is no list of models: %w", c.URL, err)
	}
	var models []Model
	for _, m := range page.Data {
		if m.OwnedBy == "dragoman" || m.Deprecated || slices.Contains(m.Capabilities, "embeddings") || slices.Contains(m.Capabilities, "rerank") {
			continue
		}
		models = append(models, named(m.OwnedBy, m.ID, m.Price))
	}
	return models, nil
}

// named asks for a model at the provider that the list shows, so that no other one answers for it.
func named(provider, name string, price *Price) Model {
	m := Model{Ask: provider + "/" + name, Provider: provider, Name: name, Price: price}
	if rest, ok := strings.CutPrefix(name, provider+"/"); ok || provider == "" {
		m.Ask, m.Name = name, rest
	}
	return m
}

// Pick finds the models that were asked for, by name or provider/name, in the list; one that is not there is asked for as it was named.
func Pick(listed []Model, names []string) (picked []Model, err error) {
	for _, name := range names {
		at := slices.IndexFunc(listed, func(m Model) bool { return m.Name == name || m.Ask == name })
		m := Model{}
		switch provider, rest, ok := strings.Cut(name, "/"); {
		case at >= 0:
			m = listed[at]
		case ok:
			m = Model{Ask: name, Provider: provider, Name: rest}
		default:
			return nil, fmt.Errorf("the gateway lists no model %q; name it provider/model when only its provider knows it", name)
		}
		if !slices.Contains(picked, m) {
			picked = append(picked, m)
		}
	}
	return picked, nil
}

// answer is one completion.
type answer struct {
	text          string
	input, output int64
	provider      string // x-dragoman-provider
	took          time.Duration
}

func (c *Client) ask(ctx context.Context, m *Model, t *Task) (a answer, err error) {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	request := struct {
		Model    string    `json:"model"`
		Messages []message `json:"messages"`
		Tokens   int64     `json:"max_completion_tokens"`
	}{Model: m.Ask, Tokens: t.Tokens}
	if t.System != "" {
		request.Messages = append(request.Messages, message{"system", t.System})
	}
	request.Messages = append(request.Messages, message{"user", t.Prompt})
	data, err := json.Marshal(request)
	if err != nil {
		return a, err
	}
	began := time.Now()
	body, header, err := c.do(ctx, http.MethodPost, "/v1/chat/completions", data)
	a.took = time.Since(began)
	if err != nil {
		return a, err
	}
	var completion struct {
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
		} `json:"choices"`
		Usage struct {
			Input  int64 `json:"prompt_tokens"`
			Output int64 `json:"completion_tokens"`
		} `json:"usage"`
	}
	if err := json.Unmarshal(body, &completion); err != nil {
		return a, fmt.Errorf("the answer is no completion: %w", err)
	}
	if len(completion.Choices) == 0 {
		return a, errors.New("the answer has no choices")
	}
	a.text = completion.Choices[0].Message.Content
	a.input, a.output, a.provider = completion.Usage.Input, completion.Usage.Output, header.Get("x-dragoman-provider")
	if m.Provider != "" && a.provider != "" && a.provider != m.Provider {
		return a, fmt.Errorf("%s answered in its place", a.provider)
	}
	return a, nil
}

// do sends one request. An answer other than 200 is an error with the gateway's own words.
func (c *Client) do(ctx context.Context, method, path string, data []byte) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cache-Control", "no-store") // the model is to be measured, not the gateway's cache
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, refusal(resp.StatusCode, body)
	}
	return body, resp.Header, nil
}

// maxWords bounds what of a refusal is shown.
const maxWords = 200

func refusal(status int, body []byte) error {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &e) // a body of another form says nothing that could be shown
	message := strings.Join(strings.Fields(e.Error.Message), " ")
	if len(message) > maxWords {
		message = message[:maxWords] + "…"
	}
	if message == "" {
		return fmt.Errorf("status %d", status)
	}
	return fmt.Errorf("status %d: %s", status, message)
}
