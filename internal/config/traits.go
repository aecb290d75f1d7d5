package config

// Traits are what each choice asks of a model that has a list of capabilities, found out once: a choice among many looks at all of them.
type Traits uint8

// The traits. None of the others means anything without Listed.
const (
	Listed    Traits = 1 << iota // there is a list
	HasTools                     // capability tools
	HasImages                    // capability images
	Streams                      // capability streaming
)

// Traits of the model. Those of a model that was not compiled are looked up.
func (m *Model) Traits() Traits {
	if m.traits != 0 || m.Capabilities == nil {
		return m.traits
	}
	return traitsOf(m.Capabilities)
}

func traitsOf(can map[string]bool) Traits {
	t := Listed
	if can["tools"] {
		t |= HasTools
	}
	if can["images"] {
		t |= HasImages
	}
	if can["streaming"] {
		t |= Streams
	}
	return t
}

// traits are noted for every model that the configuration or the catalogue knows.
func (b *builder) traits() {
	for _, r := range b.snap.lookup {
		for i := range r.Candidates {
			r.Candidates[i].Model.Prepare()
		}
	}
}

// Prepare notes what is asked of a model for each request. Compile does it; Capabilities must not change afterwards.
func (m *Model) Prepare() {
	if m.Capabilities != nil {
		m.traits = traitsOf(m.Capabilities)
	}
}
