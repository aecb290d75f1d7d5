package processor

import (
	"strings"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/processor/auth"
	"dragoman/processor/route"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
)

// Operations beside chat whose requests only providers of the client's own schema can serve: they go there as they are, but for the
// model's name. What is made there and named later (files, batches) belongs to the tenant that made it: see pass_object.go.

// passage is what is particular about a path of such an operation.
type passage struct {
	api   string // the word of config.Provider.APIs
	path  string // below a provider's base path; {id} stands for the object's id
	codec translate.Provider

	form    bool   // the body is multipart, and passed on as it comes
	model   bool   // the request may name a model
	object  string // what the answer describes: file, batch; "" for none
	list    bool   // many of them
	id      bool   // the path names one
	content bool   // the answer is a file's content
}

// The paths, without /v1, which may be left out.
var passages = []struct {
	method, path string
	client       translate.Client
	pass         passage
}{
	{"POST", "/completions", openai.Completions{}, passage{api: "completions", codec: openai.Completions{}, model: true}},
	{"POST", "/moderations", openai.Moderations, passage{api: "moderations", codec: openai.Moderations, model: true}},
	{"POST", "/images/generations", openai.Images, passage{api: "images", codec: openai.Images, model: true}},
	{"POST", "/images/edits", openai.Objects, passage{api: "images", form: true, model: true}},
	{"POST", "/images/variations", openai.Objects, passage{api: "images", form: true, model: true}},
	{"POST", "/audio/speech", openai.Speech, passage{api: "audio", codec: openai.Speech, model: true}},
	{"POST", "/audio/transcriptions", openai.Objects, passage{api: "audio", form: true, model: true}},
	{"POST", "/audio/translations", openai.Objects, passage{api: "audio", form: true, model: true}},
	{"POST", "/files", openai.Objects, passage{api: "files", form: true, model: true, object: "file"}},
	{"GET", "/files", openai.Objects, passage{api: "files", object: "file", list: true}},
	{"GET", "/files/{id}", openai.Objects, passage{api: "files", object: "file", id: true}},
	{"DELETE", "/files/{id}", openai.Objects, passage{api: "files", object: "file", id: true}},
	{"GET", "/files/{id}/content", openai.Objects, passage{api: "files", object: "file", id: true, content: true}},
	{"POST", "/batches", openai.Objects, passage{api: "batches", object: "batch"}},
	{"GET", "/batches", openai.Objects, passage{api: "batches", object: "batch", list: true}},
	{"GET", "/batches/{id}", openai.Objects, passage{api: "batches", object: "batch", id: true}},
	{"POST", "/batches/{id}/cancel", openai.Objects, passage{api: "batches", object: "batch", id: true}},
}

// passing are the endpoints of passages.
var passing = func() []endpoint {
	list := make([]endpoint, len(passages))
	for i := range passages {
		p := &passages[i]
		p.pass.path = p.path
		if p.pass.codec == nil {
			p.pass.codec = openai.Objects
		}
		list[i] = endpoint{path: "/v1" + p.path, method: p.method, op: opPass, client: p.client, pass: &p.pass}
		if p.pass.api == "completions" {
			list[i].op = opComplete
		}
	}
	return list
}()

// findPass looks such an endpoint up, and what its path names. For a path that exists with other methods alone, it is one with those.
func findPass(method, path string) (e *endpoint, id string) {
	path = strings.TrimPrefix(path, "/v1")
	var methods []string
	for i := range passing {
		name, ok := matches(passing[i].pass.path, path)
		if !ok {
			continue
		}
		if passing[i].method == method {
			return &passing[i], name
		}
		methods = append(methods, passing[i].method)
		e = &passing[i]
	}
	if e != nil {
		other := *e
		other.method = strings.Join(methods, ", ")
		e = &other
	}
	return e, ""
}

// matches compares a path with a pattern that may hold one {id}, which stands for one segment.
func matches(pattern, path string) (id string, ok bool) {
	before, after, named := strings.Cut(pattern, "{id}")
	if !named {
		return "", pattern == path
	}
	if len(path) <= len(before)+len(after) || !strings.HasPrefix(path, before) || !strings.HasSuffix(path, after) {
		return "", false
	}
	id = path[len(before) : len(path)-len(after)]
	return id, !strings.Contains(id, "/")
}

// served says whether a provider serves the operation as it is.
func (p *passage) served(by *config.Provider) bool {
	return by.Schema == chat.OpenAI && by.APIs[p.api]
}

// provider is what an operation is asked in, nil when the provider cannot be asked.
func (p *passage) provider(by *config.Provider) translate.Provider {
	if !p.served(by) {
		return nil
	}
	return p.codec
}

// metered says that tokens are counted although an answer may not say how many.
func (p *passage) metered() bool { return p.api == "completions" }

// unmetered says that the answer does not say how many tokens it took, and that nobody could tell: requests alone are counted.
func (ex *Exchange) unmetered() bool {
	return ex.endpoint.pass != nil && !ex.endpoint.pass.metered() && !ex.seen.Usage.Known
}

// beginPass goes on with a request whose body is an upload, or that is about objects.
func (ex *Exchange) beginPass(r incoming, last bool) error {
	if ex.endpoint.pass.form {
		return ex.beginUpload(r, last)
	}
	ex.query = r.query
	if last {
		return ex.orderObject(true)
	}
	ex.arm(ex.snap.Limits.UploadTimeout, func() {
		_ = ex.refuse(fault.New(fault.UploadTimeout, "The request's body did not arrive within %s.", ex.snap.Limits.UploadTimeout))
	})
	return nil
}

// permitPass resolves the model that the body or the header names, or takes the providers' own default, and leaves in the route whom the
// operation can be asked of.
func (ex *Exchange) permitPass() (*config.Route, error) {
	pass := ex.endpoint.pass
	if ex.head.Model == "" {
		ex.head.Model = ex.modelHeader
	}
	if ex.head.Model == "" {
		return ex.permitDefault(pass)
	}
	rt, err := ex.snap.Lookup(ex.head.Model)
	if err != nil {
		return nil, err
	}
	ex.route, ex.policy = rt.Name, rt
	if err := auth.Permit(ex.principal, ex.head.Model, rt); err != nil {
		return nil, err
	}
	able := *rt
	able.Candidates = nil
	for _, c := range rt.Candidates {
		if pass.served(c.Model.Provider) {
			able.Candidates = append(able.Candidates, c)
		}
	}
	if len(able.Candidates) == 0 {
		f := fault.New(fault.Unsupported, "No provider of the model %s serves %s: it takes one of OpenAI's schema whose apis list %q.", clip(ex.head.Model), ex.endpoint.path, pass.api)
		f.Param, f.Code = "model", "unsupported_by_provider"
		return nil, f
	}
	return &able, nil
}

// permitDefault is for a request without a model: every provider of the operation may serve it, in the order of the config, with the
// model that it takes by itself. A key that may use certain models alone must name one, or be allowed all of such a provider's.
func (ex *Exchange) permitDefault(pass *passage) (*config.Route, error) {
	rt := &config.Route{Name: pass.api, Strategy: config.Fallback, Implicit: true, Overlong: config.OverlongReject}
	served := false
	for _, p := range ex.snap.Providers {
		if !pass.served(p) || len(p.Clusters) == 0 {
			continue
		}
		served = true
		if name := string(p.Name) + "/default"; pass.object != "" || ex.principal.MayUse(name) {
			rt.Candidates = append(rt.Candidates, config.Candidate{Model: &config.Model{Name: name, Ref: name, Provider: p}, Weight: 1})
		}
	}
	ex.route, ex.policy = rt.Name, rt
	switch {
	case !served:
		return nil, ex.unserved(pass)
	case len(rt.Candidates) == 0:
		f := fault.New(fault.PermissionDenied, "This API key may use certain models only: name one of them in the field model (of an upload before the file), or in the header x-dragoman-model.")
		f.Param, f.Code = "model", "model_not_allowed"
		return nil, f
	}
	return rt, nil
}

// unserved is for an operation that no configured provider serves.
func (ex *Exchange) unserved(pass *passage) error {
	f := fault.New(fault.Unsupported, "No configured provider serves %s: it takes one of OpenAI's schema whose apis list %q.", ex.endpoint.path, pass.api)
	f.Code = "unsupported_by_provider"
	return f
}

// overCeiling is for a request about objects of which rules and the client's own headers leave no account.
func (ex *Exchange) overCeiling() error {
	f := fault.New(fault.PermissionDenied, "No provider of %s stays within what the gateway's rules and the request allow.", ex.endpoint.path)
	f.Code = "over_ceiling"
	return f
}

// accounts are the clusters in which objects of an operation can have been made, of those that are allowed.
func (ex *Exchange) accounts(api string, allowed *config.Ceilings) []string {
	var names []string
	for _, c := range ex.snap.Clusters {
		if c.Provider.Schema == chat.OpenAI && c.Provider.APIs[api] && ex.principal.MayReach(c.Provider) && route.MayAsk(c.Provider, allowed) {
			names = append(names, string(c.Name))
		}
	}
	return names
}

// restricted says that the key may use certain models only.
func restricted(p *config.Principal) bool { return p.Restricted() }
