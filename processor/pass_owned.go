package processor

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"dragoman/processor/objects"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// owning makes a client's answer of what an account says about its objects.
type owning struct {
	keeper *objects.Keeper
	owner  objects.Owner
	mark   string // of the owner
}

// sendOwn answers with objects. A page of a list that holds none of the caller's although more may come would end every client's paging:
// such a client is sent on to the next page instead.
func (ex *Exchange) sendOwn(body []byte) error {
	out, location, err := ex.ownAnswer(body)
	if err != nil {
		return ex.fail(ex.blame(err))
	}
	h := newHeaders()
	ex.answerHeaders(&h, "application/json")
	if location != "" {
		ex.clientStatus = 307
		h.set(":status", "307")
		h.set("location", location)
	}
	h.set("content-length", strconv.Itoa(len(out)))
	return ex.sendAnswer(&h, out)
}

// ownAnswer seals ids, takes marks out, and cuts lists down to what is the caller's.
func (ex *Exchange) ownAnswer(body []byte) (out []byte, location string, err error) {
	if ex.cluster == nil {
		return nil, "", strange("it names no cluster") // fail closed: nobody could be told whose it is
	}
	k := ex.keeper()
	o := owning{keeper: k, mark: k.Mark(ex.principal.Tenant),
		owner: objects.Owner{Tenant: ex.principal.Tenant, Account: string(ex.cluster.Name)}}
	if ex.endpoint.pass.list {
		return ex.ownList(&o, body)
	}
	out, _, err = o.object(body)
	return out, "", err
}

// sealedFields are the members that name objects.
var sealedFields = []string{"id", "input_file_id", "output_file_id", "error_file_id"}

// object rewrites one object; own says whether it bears the owner's mark.
func (o *owning) object(body []byte) (out []byte, own bool, err error) {
	fields, err := strictjson.Scan(body)
	if err != nil {
		return nil, false, strange("it is no JSON object")
	}
	set := make([]strictjson.Member, 0, len(sealedFields)+2)
	for i := range fields {
		f := &fields[i]
		value := body[f.Start:f.End]
		switch {
		case slices.Contains(sealedFields, f.Name) && string(value) != "null":
			id, ok := text(value)
			if !ok || !objects.WellFormed(id) {
				return nil, false, strange("it has an id of an unknown form")
			}
			set = append(set, strictjson.Member{Name: f.Name, Value: strictjson.AppendString(nil, o.keeper.Seal(o.owner, id))})
		case f.Name == "filename":
			name, _ := text(value)
			if plain, marked := strings.CutPrefix(name, markPrefix+o.mark+"-"); marked {
				own = true
				set = append(set, strictjson.Member{Name: f.Name, Value: strictjson.AppendString(nil, plain)})
			}
		case f.Name == "metadata" && len(value) > 0 && value[0] == '{':
			plain, marked, err := o.unmarked(value)
			if err != nil {
				return nil, false, err
			}
			own = own || marked
			set = append(set, strictjson.Member{Name: f.Name, Value: plain})
		}
	}
	return strictjson.Set(body, fields, set...), own, nil
}

// text is a JSON string's value.
func text(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	return strictjson.Text(raw), true
}

// unmarked is metadata without its owner; own says whether that is this one.
func (o *owning) unmarked(metadata []byte) (out []byte, own bool, err error) {
	fields, err := strictjson.Scan(metadata)
	if err != nil {
		return nil, false, strange("its metadata is no JSON object")
	}
	out = append(out, '{')
	for i := range fields {
		f := &fields[i]
		if f.Name == ownerKey {
			mark, _ := text(metadata[f.Start:f.End])
			own = mark == o.mark
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(out, metadata[f.KeyStart:f.Start]...), metadata[f.Start:f.End]...)
	}
	if len(out) == 1 {
		return []byte("null"), own, nil
	}
	return append(out, '}'), own, nil
}

// ownList cuts a page down. location is where the client is sent when nothing is left of it.
func (ex *Exchange) ownList(o *owning, body []byte) (out []byte, location string, err error) {
	fields, err := strictjson.Scan(body)
	if err != nil {
		return nil, "", strange("it is no JSON object")
	}
	p := ownPage{limit: ex.list.limit}
	h := chat.Head{Body: body, Fields: fields}
	data := h.Field("data")
	if len(data) == 0 || data[0] != '[' {
		return nil, "", strange("it is no list")
	}
	if err := p.read(o, data); err != nil {
		return nil, "", err
	}
	beyond := string(h.Field("has_more")) == "true" && p.last != ""
	next := ex.accountAfter(ex.list.account)
	if len(p.ids) > 0 || !beyond && next == "" {
		return strictjson.Set(body, fields, p.members(beyond || next != "")...), "", nil
	}
	from := objects.Owner{Tenant: o.owner.Tenant, Account: next}
	if beyond {
		from.Account = ex.list.account
	} else {
		p.last = ""
	}
	query := ex.list.query
	query.Set("after", o.keeper.Cursor(from, p.last))
	return nil, "?" + query.Encode(), nil
}

// accountAfter is the account that is listed next, "" after the last one.
func (ex *Exchange) accountAfter(account string) string {
	allowed, err := ex.allowance()
	if err != nil {
		return ""
	}
	accounts := ex.accounts(ex.endpoint.pass.api, &allowed)
	if i := slices.Index(accounts, account); i >= 0 && i+1 < len(accounts) {
		return accounts[i+1]
	}
	return ""
}

// ownPage is what of a page is the caller's.
type ownPage struct {
	limit int
	data  []byte
	ids   []string // as the client gets them
	more  bool     // in the page itself, over the limit
	last  string   // of the whole page, as the provider calls it
}

func (p *ownPage) read(o *owning, data []byte) error {
	s := strictjson.New(data)
	defer s.Release()
	mark := []byte(o.mark)
	p.data = append(make([]byte, 0, 1024), '[')
	for s.Enter(strictjson.Array); s.Next(); {
		raw := s.Skip()
		if len(raw) == 0 {
			break
		}
		fields, err := strictjson.Scan(raw)
		if err != nil {
			return strange("an element of its list is no JSON object")
		}
		h := chat.Head{Body: raw, Fields: fields}
		id, ok := text(h.Field("id"))
		if !ok {
			return strange("an element of its list has no id")
		}
		p.last = strings.Clone(id)
		if !bytes.Contains(raw, mark) {
			continue // by far the most, where many tenants share a key
		}
		if err := p.add(o, raw); err != nil {
			return err
		}
	}
	p.data = append(p.data, ']')
	if s.End() != nil {
		return strange("its list is no JSON")
	}
	return nil
}

// add takes an element that may be the caller's.
func (p *ownPage) add(o *owning, raw []byte) error {
	out, own, err := o.object(raw)
	if err != nil || !own {
		return err
	}
	if len(p.ids) == p.limit {
		p.more = true
		return nil
	}
	if len(p.ids) > 0 {
		p.data = append(p.data, ',')
	}
	p.data = append(p.data, out...)
	p.ids = append(p.ids, o.keeper.Seal(o.owner, p.last))
	return nil
}

// members are what of the list's object changes.
func (p *ownPage) members(beyond bool) []strictjson.Member {
	first, last := []byte("null"), []byte("null")
	if n := len(p.ids); n > 0 {
		first, last = strictjson.AppendString(nil, p.ids[0]), strictjson.AppendString(nil, p.ids[n-1])
	}
	return []strictjson.Member{
		{Name: "data", Value: p.data}, {Name: "first_id", Value: first}, {Name: "last_id", Value: last},
		{Name: "has_more", Value: strconv.AppendBool(nil, p.more || beyond)},
	}
}
