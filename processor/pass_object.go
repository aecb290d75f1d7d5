package processor

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/processor/objects"
	"dragoman/processor/route"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
	"dragoman/translate/strictjson"
)

// ownerKey is the member of a batch's metadata that says whose it is, and markPrefix begins what says it in a file's name: what lists of a
// shared key are cut down by. Clients see neither.
const (
	ownerKey   = "dragoman_owner"
	markPrefix = "dgm-"
)

// maxMetadata is how many members a batch's metadata may have with the owner's.
const maxMetadata = 16

// listing is what a client asked for of a list.
type listing struct {
	account string
	limit   int
	query   url.Values // as the client sent it, without `after`
}

// keeper seals this request's ids: by the configured secret, or the process's own.
func (ex *Exchange) keeper() *objects.Keeper { return ex.s.keeper(ex.snap.Objects.Secret) }

// mark is what stands before the names of the tenant's files.
func (ex *Exchange) mark() string { return markPrefix + ex.keeper().Mark(ex.principal.Tenant) + "-" }

// orderObject sends a request about objects on its way. bare says that it has no body.
func (ex *Exchange) orderObject(bare bool) error {
	path, account, body, err := ex.admitObject()
	if err != nil {
		return ex.refuse(err)
	}
	cluster := ex.snap.Cluster(config.ClusterName(account))
	ex.decision = &route.Decision{Route: ex.route, Plan: []route.Step{{
		Group: account, Provider: cluster.Provider, Cluster: cluster, Model: &config.Model{Provider: cluster.Provider},
	}}}
	h := newHeaders()
	h.set(":path", cluster.Provider.BasePath+path)
	if len(body) > 0 {
		h.set("content-type", "application/json")
		h.set("content-length", strconv.Itoa(len(body)))
	}
	if err := ex.orderPass(&h, "1"); err != nil || bare {
		return err
	}
	return ex.sendLast(body)
}

// admitObject says where a request about objects goes: to the account that they were made in, if they are the caller's.
func (ex *Exchange) admitObject() (path, account string, body []byte, err error) {
	pass := ex.endpoint.pass
	ex.head = &chat.Head{Schema: chat.OpenAI, N: 1}
	ex.asked = ex.head
	ex.route = pass.api
	if _, err = ex.rule(nil); err != nil {
		return "", "", nil, err
	}
	allowed, err := ex.allowance()
	if err != nil {
		return "", "", nil, err
	}
	accounts := ex.accounts(pass.api, &allowed)
	body = ex.body
	switch {
	case len(accounts) == 0 && (allowed.Providers != nil || allowed.DataRegions != nil):
		err = ex.overCeiling()
	case len(accounts) == 0:
		err = ex.unserved(pass)
	case pass.list:
		account, path, err = ex.listOf(accounts)
	case pass.id:
		if account, path, err = ex.owned(ex.objectID, accounts); err == nil {
			path = strings.Replace(pass.path, "{id}", path, 1)
		}
	default:
		path = pass.path
		account, body, err = ex.newBatch(accounts)
	}
	if err == nil && len(ex.body) > 0 && ex.endpoint.method != "POST" {
		err = fault.New(fault.InvalidRequest, "%s %s takes no body.", ex.endpoint.method, ex.endpoint.path)
	}
	if err == nil {
		err = ex.reserve()
	}
	return path, account, body, err
}

// owned opens an id that the caller names.
func (ex *Exchange) owned(sealed string, accounts []string) (account, id string, err error) {
	account, id, ok := ex.keeper().Open(ex.principal.Tenant, sealed, accounts)
	if !ok {
		return "", "", objects.NotFound(ex.endpoint.pass.object, sealed)
	}
	return account, id, nil
}

// newBatch reads a batch's request: its file says where it goes, and it is marked with its owner. A key that may use certain models alone
// makes none, because the models stand in the file.
func (ex *Exchange) newBatch(accounts []string) (account string, body []byte, err error) {
	if restricted(ex.principal) {
		f := fault.New(fault.PermissionDenied, "This API key may use certain models only, and a batch's models stand in its file: it may make none.")
		f.Code = "batches_not_allowed"
		return "", nil, f
	}
	if ex.principal.Budgeted() {
		f := fault.New(fault.PermissionDenied, "A budget holds for this API key, and what a batch will cost stands nowhere in its request: it may make none.")
		f.Code = "batches_not_allowed"
		return "", nil, f
	}
	h, err := openai.Objects.Parse(ex.body)
	if err != nil {
		return "", nil, err
	}
	file := h.Field("input_file_id")
	if len(file) < 2 || file[0] != '"' {
		return "", nil, fault.Invalid("input_file_id", "input_file_id is required, and is a string.")
	}
	account, id, ok := ex.keeper().Open(ex.principal.Tenant, strictjson.Text(file), accounts)
	if !ok {
		f := objects.NotFound("file", strictjson.Text(file))
		f.Kind, f.Param = fault.InvalidRequest, "input_file_id"
		return "", nil, f
	}
	metadata, err := ex.marked(h.Field("metadata"))
	if err != nil {
		return "", nil, err
	}
	return account, strictjson.Set(ex.body, h.Fields,
		strictjson.Member{Name: "input_file_id", Value: strictjson.AppendString(nil, id)},
		strictjson.Member{Name: "metadata", Value: metadata}), nil
}

// marked is a batch's metadata with its owner.
func (ex *Exchange) marked(old []byte) ([]byte, error) {
	owner := strictjson.AppendString(nil, ex.keeper().Mark(ex.principal.Tenant))
	if len(old) == 0 || string(old) == "null" {
		old = []byte("{}")
	}
	if old[0] != '{' {
		return nil, fault.Invalid("metadata", "metadata must be an object.")
	}
	fields, err := strictjson.Scan(old)
	if err != nil {
		return nil, err
	}
	if len(fields) >= maxMetadata && !slices.ContainsFunc(fields, func(f chat.Field) bool { return f.Name == ownerKey }) {
		return nil, fault.Invalid("metadata", "metadata may have at most %d members: one more is the gateway's.", maxMetadata-1)
	}
	return strictjson.Set(old, fields, strictjson.Member{Name: ownerKey, Value: owner}), nil
}

// Pages of a provider's list: as large as they get, because only a part of each is the caller's. Files come by 10,000 unless another
// number is asked for.
var pageOf = map[string]struct {
	ask         string
	most, usual int
}{
	"file":  {"", 10_000, 10_000},
	"batch": {"100", 100, 20},
}

// listOf reads a list's query. Accounts are listed one after the other; where the page begins, `after` says.
func (ex *Exchange) listOf(accounts []string) (account, path string, err error) {
	query, err := url.ParseQuery(ex.query)
	if err != nil {
		return "", "", fault.New(fault.InvalidRequest, "The query string cannot be read.")
	}
	page := pageOf[ex.endpoint.pass.object]
	l := &listing{limit: page.usual, query: query}
	up := url.Values{}
	if page.ask != "" {
		up.Set("limit", page.ask)
	}
	account = accounts[0]
	for name, values := range query {
		value := values[0]
		switch {
		case len(values) > 1:
			return "", "", fault.Invalid(name, "%s stands twice in the query.", name)
		case name == "limit":
			if l.limit, err = strconv.Atoi(value); err != nil || l.limit < 1 || l.limit > page.most {
				return "", "", fault.Invalid(name, "limit must be from 1 to %d.", page.most)
			}
		case name == "after":
			var after string
			if account, after, err = ex.after(value, accounts); err != nil {
				return "", "", err
			}
			if after != "" {
				up.Set("after", after)
			}
		case (name == "order" || name == "purpose") && ex.endpoint.pass.object == "file":
			up.Set(name, value)
		default:
			return "", "", fault.New(fault.InvalidRequest, "The query has a parameter %s that this list does not know.", clip(name))
		}
	}
	query.Del("after")
	l.account = account
	ex.list = l
	path = ex.endpoint.pass.path
	if len(up) > 0 {
		path += "?" + up.Encode()
	}
	return account, path, nil
}

// after is the place that a client goes on from: behind one of its objects, or a cursor of the gateway's.
func (ex *Exchange) after(value string, accounts []string) (account, after string, err error) {
	if account, after, ok := ex.keeper().OpenCursor(ex.principal.Tenant, value); ok && slices.Contains(accounts, account) {
		return account, after, nil
	}
	account, after, ok := ex.keeper().Open(ex.principal.Tenant, value, accounts)
	if !ok {
		f := objects.NotFound(ex.endpoint.pass.object, value)
		f.Kind, f.Param = fault.InvalidRequest, "after"
		return "", "", f
	}
	return account, after, nil
}

// keptSecret is a configured secret with its keeper, which takes some work to make.
type keptSecret struct {
	secret config.Secret
	keeper *objects.Keeper
}

// keeper is the one of a configured secret, or the process's own when none is.
func (s *Server) keeper(secret config.Secret) *objects.Keeper {
	if secret.Source() == "" {
		s.warned.Do(func() {
			s.Log.Warn("objects.secret is not set: the ids of files and batches that are handed out end with this process")
		})
		return s.unsaved
	}
	kept := s.saved.Load()
	if kept == nil || kept.secret != secret {
		kept = &keptSecret{secret, objects.NewKeeper([]byte(secret.Reveal()))}
		s.saved.Store(kept)
	}
	return kept.keeper
}
