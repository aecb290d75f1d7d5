package config

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// maxListed bounds how many models of one server become known.
const maxListed = 1000

// listModels asks a server of one's own, which takes no key, for its models: nobody else knows them. It says what the provider lacks
// when nobody answers at an address that was only guessed, or where an Ollama should be.
func (b *builder) listModels(v *vendor, p *dragomanv1.Provider) (lacks string) {
	if b.opts.Fetch == nil || len(p.Credentials) > 0 {
		return ""
	}
	e, fault := parseEndpoint(p.Endpoints[0].Url, baseOf(p, schemaOf(p.Schema)))
	if fault != "" {
		if v.name == "ollama" { // the others' was read before
			b.problems.add(Problem{Source: "environment", Path: "OLLAMA_HOST", Message: fault})
		}
		return "OLLAMA_HOST " + fault
	}
	models, err := b.modelsAt(e.url() + "/models")
	switch {
	case err == nil:
		p.Models = models
	case v.name == "ollama":
		return "no server answers at " + e.origin()
	default:
		b.warn("provider %s: its models are not known (%s): ask for %s/MODEL, or list them in a configuration file", p.Name, err, p.Name)
	}
	return ""
}

// modelsAt reads the list of models in OpenAI's form, which every server of that schema has. The error shows nothing of what came.
func (b *builder) modelsAt(at string) ([]string, error) {
	body, err := b.opts.Fetch(at)
	if err != nil {
		return nil, fmt.Errorf("no server answers at %s", at)
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &list) != nil {
		return nil, fmt.Errorf("%s is no list of models", at)
	}
	var models []string
	for _, m := range list.Data {
		if isModelName(m.ID) && !slices.Contains(models, m.ID) && len(models) < maxListed {
			models = append(models, m.ID)
		}
	}
	slices.Sort(models)
	return models, nil
}

// origin is scheme, host and port as a URL.
func (e endpoint) origin() string {
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(e.host, strconv.FormatUint(uint64(e.port), 10))}
	if e.tls {
		u.Scheme = "https"
	}
	return u.String()
}

// url is the base that paths of the schema are appended to.
func (e endpoint) url() string { return e.origin() + strings.TrimRight(e.basePath, "/") }
