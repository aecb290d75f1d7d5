package config

import (
	"embed"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// catalogue holds the built-in catalogue, a file for each vendor: the `models` of a configuration, with the vendor in the
// provider's place.
//
//go:embed catalogue/*.yaml
var catalogue embed.FS

// catalogueYAML is all of it, for a snapshot's version.
var catalogueYAML = func() []byte {
	var all []byte
	for _, vendor := range catalogued() {
		all = append(all, catalogueFile(vendor)...)
	}
	return all
}()

// builtIn reads a vendor's part of the catalogue, once each: most gateways need few. A fault in it is a bug of this program,
// which its tests find.
func builtIn(vendor string) []*dragomanv1.Model {
	read, ok := catalogueParts[vendor]
	if !ok {
		return nil
	}
	return read()
}

var catalogueParts = func() map[string]func() []*dragomanv1.Model {
	parts := map[string]func() []*dragomanv1.Model{}
	for _, vendor := range catalogued() {
		parts[vendor] = sync.OnceValue(func() []*dragomanv1.Model {
			f, err := Parse(vendor+".yaml", catalogueFile(vendor))
			if err != nil {
				panic(err)
			}
			return f.Config.Models
		})
	}
	return parts
}()

// catalogued are the vendors that have a part, sorted.
func catalogued() []string {
	files, err := catalogue.ReadDir("catalogue")
	if err != nil {
		panic(err)
	}
	var vendors []string
	for _, f := range files {
		vendors = append(vendors, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return vendors
}

func catalogueFile(vendor string) []byte {
	text, err := catalogue.ReadFile("catalogue/" + vendor + ".yaml")
	if err != nil {
		panic(err)
	}
	return text
}

// models compiles the usable catalogue: the built-in entries of the configured providers' vendors, changed and added to
// by `models`, and what the providers list themselves.
func (b *builder) models() {
	own := b.ownModels()
	for _, p := range b.snap.Providers {
		for _, entry := range builtIn(b.catalogue[p.Name]) {
			merged := proto.CloneOf(entry)
			merged.Aliases = slices.DeleteFunc(merged.Aliases, func(alias string) bool { return b.claimed(p.Name, entry.Name, alias) })
			if o := own[string(p.Name)+"/"+entry.Name]; o != nil {
				merge(merged, o.entry)
				o.used = true
			}
			b.model(p, merged)
		}
	}
	for _, entry := range b.cfg.Models {
		if o := own[entry.Provider+"/"+entry.Name]; o != nil && o.entry == entry && !o.used {
			b.model(b.snap.providers[ProviderName(entry.Provider)], entry)
		}
	}
	b.listedModels()
	for i, entry := range b.cfg.Models {
		b.otherNames(fmt.Sprintf("models[%d].aliases", i), entry, entry.Aliases)
		b.otherNames(fmt.Sprintf("models[%d].versions", i), entry, entry.Versions)
	}
	b.index()
}

type ownModel struct {
	entry *dragomanv1.Model
	used  bool
}

// ownModels are the file's entries by provider/name.
func (b *builder) ownModels() map[string]*ownModel {
	own := map[string]*ownModel{}
	for i, entry := range b.cfg.Models {
		path := fmt.Sprintf("models[%d]", i)
		if entry.Provider != "" && b.snap.providers[ProviderName(entry.Provider)] == nil {
			b.fail(path+".provider", "no provider named %q%s", clip(entry.Provider), didYouMean(entry.Provider, b.providerNames()))
			b.unlisted = true
			continue
		}
		key := entry.Provider + "/" + entry.Name
		if own[key] != nil {
			b.fail(path+".name", "another entry is for the model %q of %s", entry.Name, entry.Provider)
			continue
		}
		if entry.Name == "" || entry.Provider == "" {
			continue
		}
		own[key] = &ownModel{entry: entry}
	}
	return own
}

// merge lays what o says over a built-in entry: a field that o sets replaces, quality is merged by task class.
func merge(entry, o *dragomanv1.Model) {
	entry.Id = or(o.Id, entry.Id)
	entry.Context = or(o.Context, entry.Context)
	entry.MaxOutput = or(o.MaxOutput, entry.MaxOutput)
	if o.Price != nil {
		entry.Price = o.Price
	}
	if len(o.Aliases) > 0 {
		entry.Aliases = o.Aliases
	}
	if len(o.Versions) > 0 {
		entry.Versions = o.Versions
	}
	if len(o.Capabilities) > 0 {
		entry.Capabilities = o.Capabilities
	}
	if o.Deprecated != nil {
		entry.Deprecated = o.Deprecated
	}
	if len(o.Quality) > 0 && entry.Quality == nil {
		entry.Quality = map[string]float64{}
	}
	for class, q := range o.Quality {
		entry.Quality[class] = q
	}
}

// model compiles one entry and its pinned versions.
func (b *builder) model(p *Provider, entry *dragomanv1.Model) {
	m := &Model{Name: entry.Name, Provider: p, ID: or(entry.Id, entry.Name), Aliases: entry.Aliases, Price: priceOf(entry.Price),
		Context: int64(entry.Context), MaxOutput: int64(entry.MaxOutput), Quality: entry.Quality, Deprecated: entry.GetDeprecated(), Known: true}
	if len(entry.Capabilities) > 0 {
		m.Capabilities = map[string]bool{}
		for _, c := range entry.Capabilities {
			m.Capabilities[c] = true
		}
	}
	m.Pinned = m.Capabilities["embeddings"] || m.Capabilities["rerank"] || b.undeployed(m)
	b.addModel(m)
	for _, version := range entry.Versions {
		pinned := *m
		pinned.Name, pinned.ID, pinned.Aliases, pinned.Pinned = version, version, nil, true
		b.addModel(&pinned)
	}
}

// undeployed says that a model of the catalogue exists at its provider only where the operator made it: Azure's models are
// deployments. One that is not listed has a price when it is asked for, and is no candidate of auto.
func (b *builder) undeployed(m *Model) bool {
	if b.catalogue[m.Provider.Name] != "azure" {
		return false
	}
	for _, p := range b.cfg.Providers {
		if p.Name == string(m.Provider.Name) && (slices.Contains(p.Models, m.ID) || slices.Contains(p.Models, m.Name)) {
			return false
		}
	}
	return !slices.ContainsFunc(b.cfg.Models, func(own *dragomanv1.Model) bool {
		return own.Provider == string(m.Provider.Name) && own.Name == m.Name
	})
}

// capabilityWords are what a model can do, as the configuration says it.
var capabilityWords = []string{"tools", "images", "documents", "audio", "structured_output", "reasoning", "streaming", "embeddings", "rerank"}

// able lists the capabilities in the order of capabilityWords, nil when they are unknown.
func (m *Model) able() []string {
	var words []string
	for _, word := range capabilityWords {
		if m.Capabilities[word] {
			words = append(words, word)
		}
	}
	return words
}

func (b *builder) addModel(m *Model) {
	m.Ref = string(m.Provider.Name) + "/" + m.ID
	b.snap.Models = append(b.snap.Models, m)
}

// listedModels adds what `providers[].models` names and no catalogue knows.
func (b *builder) listedModels() {
	for i, p := range b.cfg.Providers {
		provider := b.snap.providers[ProviderName(p.Name)]
		for j, id := range p.Models {
			known := slices.ContainsFunc(b.snap.Models, func(m *Model) bool { return m.Provider == provider && (m.ID == id || m.Name == id) })
			switch {
			case provider == nil:
			case slices.Contains(p.Models[:j], id):
				b.fail(fmt.Sprintf("providers[%d].models[%d]", i, j), "%q stands here twice", clip(id))
			case !known:
				b.addModel(&Model{Name: id, Provider: provider, ID: id, Known: true})
			}
		}
	}
}

// claimed says whether the file gives the alias of a built-in entry to another model: what the file says goes first.
func (b *builder) claimed(provider ProviderName, name, alias string) bool {
	for _, entry := range b.cfg.Models {
		if entry.Provider == string(provider) && entry.Name != name &&
			(entry.Name == alias || slices.Contains(entry.Aliases, alias) || slices.Contains(entry.Versions, alias)) {
			return true
		}
	}
	return false
}

// otherNames refuses an alias or version that another model of the same provider has: which one answers would be a
// matter of luck.
func (b *builder) otherNames(path string, entry *dragomanv1.Model, names []string) {
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", path, i)
		if name == entry.Name || slices.Contains(names[:i], name) {
			b.fail(at, "stands here twice")
			continue
		}
		for _, m := range b.snap.Models {
			if string(m.Provider.Name) != entry.Provider || m.ID == name && m.Pinned || m.Name == entry.Name {
				continue
			}
			if m.Name == name || slices.Contains(m.Aliases, name) {
				b.fail(at, "is also a name of the model %q of %s", m.Name, entry.Provider)
				break
			}
		}
	}
}

// index sorts the catalogue and makes the tables that names are looked up in.
func (b *builder) index() {
	sort.SliceStable(b.snap.Models, func(i, j int) bool {
		x, y := b.snap.Models[i], b.snap.Models[j]
		if x.Name != y.Name {
			return x.Name < y.Name
		}
		return x.Provider.Index < y.Provider.Index
	})
	for _, m := range b.snap.Models {
		b.byName[m.Name] = append(b.byName[m.Name], m)
		for _, alias := range m.Aliases {
			b.byAlias[alias] = append(b.byAlias[alias], m)
		}
		b.byRef[string(m.Provider.Name)+"/"+m.Name] = m
	}
	for _, m := range b.snap.Models { // the provider's own id wins over a name that looks the same
		b.byRef[m.Ref] = m
	}
	for i := range b.snap.Found {
		for _, m := range b.snap.Models {
			if m.Provider.Name == b.snap.Found[i].Provider && !m.Pinned {
				b.snap.Found[i].Models++
			}
		}
	}
}

// resolve finds the models that a name stands for, none when it is not known.
func (b *builder) resolve(name string) []*Model {
	if models := b.byName[name]; len(models) > 0 {
		return models
	}
	if models := b.byAlias[name]; len(models) > 0 {
		return models
	}
	if m := b.byRef[name]; m != nil {
		return []*Model{m}
	}
	if m := b.snap.unknown(name); m != nil {
		return []*Model{m}
	}
	return nil
}

func (b *builder) providerNames() []string {
	var names []string
	for _, p := range b.snap.Providers {
		names = append(names, string(p.Name))
	}
	return names
}

// modelNames are what a candidate could have meant.
func (b *builder) modelNames() []string {
	var names []string
	for _, m := range b.snap.Models {
		names = append(names, m.Name)
		names = append(names, m.Aliases...)
	}
	return names
}

// priceOf turns USD per million tokens into micro-USD, and fills the classes without a price of their own.
func priceOf(p *dragomanv1.Price) *Price {
	if p == nil {
		return nil
	}
	out := &Price{Source: p.Source, Date: p.Date}
	out.Input, out.Output, out.CacheRead, out.CacheWrite, out.CacheWrite1h = classes(p.Input, p.Output, p.CacheRead, p.CacheWrite, p.CacheWrite_1H)
	if l := p.Long; l != nil {
		out.Above, out.Long = int64(l.Above), &Price{Source: p.Source, Date: p.Date}
		out.Long.Input, out.Long.Output, out.Long.CacheRead, out.Long.CacheWrite, out.Long.CacheWrite1h =
			classes(l.Input, l.Output, l.CacheRead, l.CacheWrite, l.CacheWrite_1H)
	}
	return out
}

func classes(input, output, read, write, write1h *float64) (in, out, r, w, w1 MicroUSD) {
	in = micro(input, 0)
	w = micro(write, in)
	return in, micro(output, 0), micro(read, in), w, micro(write1h, w)
}

func micro(usd *float64, fallback MicroUSD) MicroUSD {
	if usd == nil {
		return fallback
	}
	return MicroUSD(math.Round(*usd * 1e6))
}
