package processor

import (
	"bytes"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/processor/objects"
	"dragoman/processor/route"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Files that a chat request names by their id: a provider would show any of the shared key's to whoever knows it. Here too only what
// opens as the caller's own goes on, to the account that it is in.

// Where such an id may stand; escapes within a name are looked at too.
var (
	fileIDMark  = []byte(`file_id`)
	escapedMark = []byte(`\u00`)
)

// namedFile is an id in a request's body, with its quotes.
type namedFile struct {
	from, to int
	id       string
}

// openFiles puts the provider's own ids in the place of the sealed ones.
func (ex *Exchange) openFiles() error {
	h := ex.head
	if ex.endpoint.op != opChat || h.Schema != chat.OpenAI && h.Schema != chat.Responses || ex.s == nil ||
		!bytes.Contains(h.Body, fileIDMark) && !bytes.Contains(h.Body, escapedMark) {
		return nil
	}
	accounts := ex.accounts("files", &config.Ceilings{}) // the choice has kept to what is allowed
	named := namedFiles(h)
	if len(accounts) == 0 || len(named) == 0 {
		return nil
	}
	body, at := make([]byte, 0, len(h.Body)), 0
	for _, n := range named {
		account, id, ok := ex.keeper().Open(ex.principal.Tenant, n.id, accounts)
		switch {
		case !ok && ex.snap.Keys.Open:
			continue // there are no tenants: the file may be the operator's own
		case !ok:
			f := objects.NotFound("file", n.id)
			f.Kind, f.Param = fault.InvalidRequest, "file_id"
			return f
		case ex.filesAt != "" && ex.filesAt != account:
			return fault.Invalid("file_id", "The request names files that were made in different accounts; no provider can read all of them.")
		}
		ex.filesAt = account
		body = strictjson.AppendString(append(body, h.Body[at:n.from]...), id)
		at = n.to
	}
	if at == 0 {
		return nil
	}
	body = append(body, h.Body[at:]...)
	model, stream := h.Model, h.Stream
	opened, err := ex.endpoint.client.Parse(body)
	if err != nil {
		return err
	}
	opened.Model, opened.Stream = model, stream
	ex.head, ex.body = opened, body
	return nil
}

// namedFiles finds the ids in the parts of a request that a provider reads them from, in their order.
func namedFiles(h *chat.Head) (list []namedFile) {
	for i := range h.Fields {
		switch f := &h.Fields[i]; f.Name {
		case "messages", "input", "tools":
			s := strictjson.NewLenient(h.Body[f.Start:f.End])
			list = appendNamed(list, s, f.Start)
			s.Release()
		}
	}
	return list
}

// appendNamed goes through a value. What a tool's parameters or an answer's metadata call a file_id is none.
func appendNamed(list []namedFile, s *strictjson.Scanner, base int) []namedFile {
	switch s.Kind() {
	case strictjson.Object:
		for s.Enter(strictjson.Object); s.Next(); {
			switch key := string(s.Key()); {
			case key == "file_id" && s.Kind() == strictjson.String:
				list = append(list, namedAt(s, base))
			case key == "file_ids" && s.Kind() == strictjson.Array:
				for s.Enter(strictjson.Array); s.Next(); {
					if s.Kind() == strictjson.String {
						list = append(list, namedAt(s, base))
					}
				}
			case key == "parameters", key == "metadata":
				s.Skip()
			default:
				list = appendNamed(list, s, base)
			}
		}
	case strictjson.Array:
		for s.Enter(strictjson.Array); s.Next(); {
			list = appendNamed(list, s, base)
		}
	default:
		s.Skip()
	}
	return list
}

func namedAt(s *strictjson.Scanner, base int) namedFile {
	from := base + s.Offset()
	raw := s.RawString()
	return namedFile{from, from + len(raw), strictjson.Text(raw)}
}

// stayWithFiles leaves the steps that lead to the account of the files that the request names.
func (ex *Exchange) stayWithFiles() error {
	if ex.filesAt == "" {
		return nil
	}
	cluster := ex.snap.Cluster(config.ClusterName(ex.filesAt))
	var plan []route.Step
	for _, s := range ex.decision.Plan {
		if cluster != nil && s.Provider == cluster.Provider && (s.Cluster == nil || s.Cluster == cluster) {
			s.Group, s.Cluster = ex.filesAt, cluster
			plan = append(plan, s)
		}
	}
	if len(plan) == 0 {
		return fault.Invalid("file_id", "The request names a file that is stored at another provider than those of the model. Ask for a model of the provider that the file was sent to, or send the file itself.")
	}
	ex.decision.Plan = plan
	return nil
}
