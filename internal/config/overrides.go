package config

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// overrides lays the files of catalogue.overrides under `models`: a later file goes over an earlier one, and what the
// configuration itself says of a model over all of them.
func (b *builder) overrides() {
	var laid []*dragomanv1.Model
	for i, o := range b.cfg.GetCatalogue().GetOverrides() {
		path := fmt.Sprintf("catalogue.overrides[%d].file", i)
		if o.File == "" {
			continue // noted by fields
		}
		data, err := b.read(o.File, maxFileBytes)
		if err != nil {
			b.fail(path, "the file %s", err)
			continue
		}
		for _, entry := range b.overrideFile(o.File, data) {
			if at := modelAt(laid, entry); at >= 0 {
				laid[at] = over(laid[at], entry)
			} else {
				laid = append(laid, entry)
			}
		}
	}
	for _, entry := range laid {
		if at := modelAt(b.cfg.Models, entry); at >= 0 {
			b.cfg.Models[at] = over(entry, b.cfg.Models[at])
		} else {
			b.cfg.Models = append(b.cfg.Models, entry)
		}
	}
}

// overrideFile reads one file. Its faults are named with the file's own name and lines; an entry at fault is left out.
func (b *builder) overrideFile(name string, data []byte) (entries []*dragomanv1.Model) {
	f, err := Parse(name, data)
	if err != nil {
		for _, p := range f.problems.List {
			b.problems.add(p)
		}
		b.problems.More += f.problems.More
		b.unlisted = true
		return nil
	}
	inside := &builder{file: f, cfg: f.Config, opts: b.opts, problems: b.problems}
	rest := proto.CloneOf(f.Config)
	if rest.Models = nil; proto.Size(rest) > 0 {
		inside.fail("", "nothing but models may stand in a file of catalogue.overrides")
	}
	inside.fields(f.Config.ProtoReflect(), "")
	for i, entry := range f.Config.Models {
		path := fmt.Sprintf("models[%d]", i)
		switch {
		case entry.Name == "" || entry.Provider == "": // noted by fields
		case b.snap.providers[ProviderName(entry.Provider)] == nil:
			inside.fail(path+".provider", "no provider named %q%s", clip(entry.Provider), didYouMean(entry.Provider, b.providerNames()))
			b.unlisted = true
		case modelAt(entries, entry) >= 0:
			inside.fail(path+".name", "another entry is for the model %q of %s", clip(entry.Name), clip(entry.Provider))
		default:
			entries = append(entries, entry)
		}
	}
	return entries
}

func modelAt(models []*dragomanv1.Model, entry *dragomanv1.Model) int {
	return slices.IndexFunc(models, func(m *dragomanv1.Model) bool { return m.Name == entry.Name && m.Provider == entry.Provider })
}

// over is a copy of entry with what top says laid over it.
func over(entry, top *dragomanv1.Model) *dragomanv1.Model {
	merged := proto.CloneOf(entry)
	merge(merged, top)
	return merged
}
