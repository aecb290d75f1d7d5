package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Options say where a configuration comes from and what stands around it.
type Options struct {
	Path     string                        // of the YAML file; "": nothing but the environment
	Env      func(string) (string, bool)   // default os.LookupEnv
	Override func(*dragomanv1.Config)      // what flags say: applied to each load, before the defaults
	Demo     func() (DemoEndpoints, error) // base URLs of the demo providers, asked when nothing else is found; nil: none
	// Fetch asks a server of one's own for its models: the body of a GET of url, within a short time, of bounded size. Discovery
	// alone calls it; nil: no server is asked.
	Fetch func(url string) ([]byte, error)
	// Vault reads secrets of Vault, all that a load needs at once and within a bounded time. For what cannot be read now it may give what it
	// had before. nil: there is no Vault.
	Vault func(v *Vault, refs []VaultRef) VaultAnswer
	Now   func() time.Time // default time.Now
}

// DemoEndpoints are the base URLs of the built-in demo providers.
type DemoEndpoints struct{ OpenAI, Anthropic string }

func (o Options) withDefaults() Options {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Load reads o.Path (or only the environment) and compiles it. The error is a *Problems with everything that is wrong.
func Load(o Options) (*Snapshot, error) {
	s, _, err := load(o)
	return s, err
}

// load also says which files the configuration depends on, as far as it could be read.
func load(o Options) (*Snapshot, []dependency, error) {
	if o.Path == "" {
		return compile(&File{Name: "environment", Config: &dragomanv1.Config{}, Empty: true}, o)
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, nil, problem(o.Path, "", "the path %s", reason(err))
	}
	self := depend(path)
	data, err := readBounded(path, maxFileBytes)
	if err != nil {
		return nil, []dependency{self}, problem(o.Path, "", "the file %s", err)
	}
	f, _ := Parse(o.Path, data) // compile reports its faults together with its own
	f.Dir = filepath.Dir(path)
	s, files, err := compile(f, o)
	return s, append([]dependency{self}, files...), err
}

// Compile makes a Snapshot of a parsed file. The file itself is not changed. The error is a *Problems with everything that
// is wrong with it, faults of form included. Compile is deterministic: equal input makes an equal Snapshot, but for Loaded.
func Compile(f *File, o Options) (*Snapshot, error) {
	s, _, err := compile(f, o)
	return s, err
}

// CompileProto is Compile for a configuration that was built and not read.
func CompileProto(cfg *dragomanv1.Config, o Options) (*Snapshot, error) {
	return Compile(&File{Name: "configuration", Config: cfg}, o)
}

// builder makes one Snapshot. It checks while it compiles, and goes on after a fault.
type builder struct {
	file     *File
	cfg      *dragomanv1.Config
	opts     Options
	snap     *Snapshot
	problems *Problems
	files    []dependency
	digest   hash.Hash

	secrets   map[string]Secret // by the path of their credential
	vaulted   VaultAnswer       // to what the configuration asks of Vault
	byName    map[string][]*Model
	byAlias   map[string][]*Model
	byRef     map[string]*Model
	catalogue map[ProviderName]string // provider → its part of the built-in catalogue
	lacking   []Found                 // vendors that the environment does not know
	unlisted  bool                    // models or providers are at fault: a name that is not found may be one of those
}

func compile(f *File, o Options) (*Snapshot, []dependency, error) {
	o = o.withDefaults()
	b := &builder{file: f, cfg: proto.CloneOf(f.Config), opts: o, problems: &Problems{}, digest: sha256.New(),
		snap:    &Snapshot{callers: newCallers(), Source: f.Name, Loaded: o.Now(), empty: f.Empty && o.Path != "", providers: map[ProviderName]*Provider{}, clusters: map[ClusterName]*Cluster{}, routes: map[string]*Route{}, lookup: map[string]*Route{}},
		secrets: map[string]Secret{}, byName: map[string][]*Model{}, byAlias: map[string][]*Model{}, byRef: map[string]*Model{}, catalogue: map[ProviderName]string{}}
	if f.problems != nil {
		for _, p := range f.problems.List {
			b.problems.add(p)
		}
		b.problems.More += f.problems.More
	}
	if slices.Contains(f.broken, "") {
		return nil, b.files, b.problems // not readable as a whole: all else would be a consequence
	}
	b.build()
	if err := b.problems.err(); err != nil {
		return nil, b.files, err
	}
	return b.snap, b.files, nil
}

func (b *builder) build() {
	if b.opts.Override != nil {
		b.opts.Override(b.cfg)
	}
	b.discover()
	setDefaults(b.cfg, b.file.Dir, b.env)
	b.fields(b.cfg.ProtoReflect(), "")
	b.vault()
	b.settings()
	b.listeners()
	b.providers()
	b.snap.Found = append(b.snap.Found, b.lacking...)
	b.overrides()
	b.classifier()
	b.models()
	b.redis()
	b.cache()
	b.semantic()
	b.routes()
	b.quota()
	b.tenants()
	b.worsts()
	b.traits()
	b.media()
	b.objects()
	b.ledger()
	b.keyStore()
	b.identity()
	b.admin()
	b.finish()
}

// fail notes a fault, unless it follows from one that was noted when the file was read.
func (b *builder) fail(path, format string, args ...any) {
	if b.file.related(path) {
		return
	}
	b.problems.add(Problem{Source: b.file.Name, Line: b.file.line(path), Path: path, Message: fmt.Sprintf(format, args...)})
}

// warn notes what the operator should know.
func (b *builder) warn(format string, args ...any) {
	b.snap.Warnings = append(b.snap.Warnings, fmt.Sprintf(format, args...))
}

// read reads a file that the configuration names, and remembers to watch it.
func (b *builder) read(path string, limit int) ([]byte, error) {
	b.files = append(b.files, depend(path))
	data, err := readBounded(path, limit)
	if err == nil {
		b.mix(data)
	}
	return data, err
}

// mix makes what stands outside the configuration part of its version.
func (b *builder) mix(data []byte) {
	sum := sha256.Sum256(data)
	b.digest.Write(sum[:])
}

// settings are the parts that are numbers only; fields has checked each by itself.
func (b *builder) settings() {
	s, cfg := b.snap, b.cfg
	s.Limits = Limits{MaxBody: int(cfg.Limits.MaxBodyBytes), MaxResponse: int(cfg.Limits.MaxResponseBytes),
		MaxEvent: int(cfg.Limits.MaxEventBytes), MaxUpload: int64(cfg.Limits.MaxUploadBytes), UploadTimeout: cfg.Limits.UploadTimeout.AsDuration()}
	r := cfg.Retry
	s.Retry = Retry{MaxAttempts: int(r.MaxAttempts), PerTryTimeout: r.PerTryTimeout.AsDuration(), IdleTimeout: r.IdleTimeout.AsDuration(),
		Timeout: r.Timeout.AsDuration(), ConnectTimeout: r.ConnectTimeout.AsDuration(), Backoff: r.Backoff.AsDuration(), Probe: Probe(r.Probe), Budget: r.GetBudget()}
	if s.Retry.PerTryTimeout > s.Retry.Timeout {
		b.fail("retry.per_try_timeout", "must not be longer than retry.timeout (%s)", s.Retry.Timeout)
	}
	if s.Retry.ConnectTimeout > s.Retry.PerTryTimeout {
		b.fail("retry.connect_timeout", "must not be longer than retry.per_try_timeout (%s)", s.Retry.PerTryTimeout)
	}
	b.health()
}

// media says what may be fetched, and for whom.
func (b *builder) media() {
	f := b.cfg.Media.Fetch
	b.snap.Turns = Turns{TTL: b.cfg.Turns.Ttl.AsDuration(), MaxBytes: int(b.cfg.Turns.MaxBytes)}
	b.snap.Media = Media{Fetch: f.Enabled, MaxBytes: int64(f.MaxBytes), Timeout: f.Timeout.AsDuration()}
	for i, text := range f.Allow {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			b.fail(fmt.Sprintf("media.fetch.allow[%d]", i), "%q is no network: write it as 10.1.2.0/24", clip(text))
			continue
		}
		b.snap.Media.Allow = append(b.snap.Media.Allow, prefix)
	}
	if f.Enabled && !slices.ContainsFunc(b.cfg.Tenants, func(t *dragomanv1.Tenant) bool { return t.Trusted }) {
		b.warn("media.fetch is enabled, and no tenant is trusted: nothing is fetched")
	}
}

// finish seals the snapshot with its version.
func (b *builder) finish() {
	b.snap.Config = b.cfg
	canonical, err := proto.MarshalOptions{Deterministic: true}.Marshal(b.cfg)
	if err != nil {
		b.fail("", "cannot be written in canonical form: it holds text that is not UTF-8")
		return
	}
	b.mix(canonical)
	b.mix(catalogueYAML)
	b.snap.Version = hex.EncodeToString(b.digest.Sum(nil))[:12]
}
