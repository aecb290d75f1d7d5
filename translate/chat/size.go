package chat

// Size guesses the bytes of the request as JSON, a little above what they are, so that it is written into one allocation.
func (r *Request) Size() int {
	n := 512
	for i := range r.Messages {
		n += r.Messages[i].Size()
	}
	for i := range r.Tools {
		t := &r.Tools[i]
		n += 128 + len(t.Name) + len(t.Description) + len(t.Parameters) + len(t.Raw)
	}
	if r.Format != nil {
		n += len(r.Format.Schema)
	}
	return n
}

// Size guesses the bytes of the message as JSON.
func (m *Message) Size() int {
	n := 64
	for i := range m.Parts {
		n += m.Parts[i].Size()
	}
	return n
}

// Size guesses the bytes of the part as JSON.
func (p *Part) Size() int {
	n := 96 + len(p.Text) + len(p.Text)/16 + len(p.Signature)
	if p.Media != nil {
		n += len(p.Media.Data) + len(p.Media.URL)
	}
	if p.Call != nil {
		n += len(p.Call.Arguments) + len(p.Call.Arguments)/8 + 64
	}
	if p.Result != nil {
		for i := range p.Result.Parts {
			n += p.Result.Parts[i].Size()
		}
	}
	return n
}
