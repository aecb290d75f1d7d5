package config

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/reflect/protoreflect"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

const (
	vaultRefresh = time.Minute
	vaultTimeout = 5 * time.Second
	// maxVaultRefs bounds what one configuration asks of Vault, again and again.
	maxVaultRefs = 500
	// serviceAccountToken is where Kubernetes puts a pod's own, and replaces it before it ends.
	serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

	wantVaultPath = "must be 1 to 256 visible ASCII characters, in parts with / between them and none at either end, without .. ? # % and \\"
)

// Vault is a server of HashiCorp Vault or OpenBao, how one logs in there, and what the configuration has of it. One of Token,
// Kubernetes and AppRole is set.
type Vault struct {
	Address    string // https://host:port, with a path where the server lies behind one; no / at its end
	Namespace  string // "": the root's
	ServerName string // SNI and verified name, "": the address's host
	CA         []byte // PEM, nil: the system roots
	Token      Secret
	Kubernetes *VaultKubernetes
	AppRole    *VaultAppRole
	Refresh    time.Duration // how often what is used is read anew
	Timeout    time.Duration // of one request

	Refs   []VaultRef          // what the configuration uses, sorted, each once
	Values map[VaultRef]Secret // what it got, as it stands in Vault
}

// VaultKubernetes logs in by the service account of the pod.
type VaultKubernetes struct {
	Role, Mount string
	TokenFile   string // read at each login
}

// VaultAppRole logs in by AppRole.
type VaultAppRole struct {
	RoleID, Mount string
	SecretID      Secret
}

// VaultRef is a field of a secret of a KV engine, version 2.
type VaultRef struct{ Mount, Path, Field string }

// String is mount/path#field.
func (r VaultRef) String() string { return r.Mount + "/" + r.Path + "#" + r.Field }

// VaultAnswer is what came of reading. Each reference has a value or an error, unless Login says why none could be asked for. The
// texts of errors hold no secret; those of Errs read on after "the secret X of Vault".
type VaultAnswer struct {
	Values map[VaultRef]string
	Errs   map[VaultRef]error
	Login  error
}

// Same says whether o is the same server and the same login, so that a token can be kept over a reload.
func (v *Vault) Same(o *Vault) bool {
	if v == nil || o == nil {
		return v == o
	}
	return v.SameServer(o) && v.ServerName == o.ServerName && bytes.Equal(v.CA, o.CA) && v.Token == o.Token &&
		same(v.Kubernetes, o.Kubernetes) && same(v.AppRole, o.AppRole) && v.Timeout == o.Timeout
}

// SameServer says whether a reference means the same secret to both.
func (v *Vault) SameServer(o *Vault) bool {
	return v != nil && o != nil && v.Address == o.Address && v.Namespace == o.Namespace
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// Login names the way of logging in: token, kubernetes or app_role, as the configuration does.
func (v *Vault) Login() string {
	switch {
	case v.Kubernetes != nil:
		return "kubernetes"
	case v.AppRole != nil:
		return "app_role"
	}
	return "token"
}

// vaultDefaults fill in what `vault` leaves out.
func vaultDefaults(v *dragomanv1.Vault, env lookup) {
	if v == nil {
		return
	}
	v.Address = or(v.Address, env("VAULT_ADDR"))
	v.Refresh = orDuration(v.Refresh, vaultRefresh)
	v.Timeout = orDuration(v.Timeout, vaultTimeout)
	if k := v.Kubernetes; k != nil {
		k.Mount = or(k.Mount, "kubernetes")
		k.TokenFile = or(k.TokenFile, serviceAccountToken)
	}
	if a := v.AppRole; a != nil {
		a.Mount = or(a.Mount, "approle")
	}
	if v.Token == nil && v.Kubernetes == nil && v.AppRole == nil {
		v.Token = envSecret("VAULT_TOKEN")
	}
}

// secretDefaults fill in what a reference leaves out.
func secretDefaults(s *dragomanv1.Secret, dir string) {
	switch source := s.GetSource().(type) {
	case *dragomanv1.Secret_File:
		source.File = absolute(source.File, dir)
	case *dragomanv1.Secret_Vault:
		if source.Vault != nil {
			source.Vault.Mount = or(source.Vault.Mount, "secret")
			source.Vault.Field = or(source.Vault.Field, "value")
		}
	}
}

// eachSecret calls f with every reference that stands in m, in the order of the proto, and its path.
func eachSecret(m protoreflect.Message, path string, f func(path string, s *dragomanv1.Secret)) {
	if s, ok := m.Interface().(*dragomanv1.Secret); ok {
		f(path, s)
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.Message() == nil || fd.IsMap() || !m.Has(fd) {
			continue
		}
		at := join(path, string(fd.Name()))
		if !fd.IsList() {
			eachSecret(m.Get(fd).Message(), at, f)
			continue
		}
		for i := range m.Get(fd).List().Len() {
			eachSecret(m.Get(fd).List().Get(i).Message(), fmt.Sprintf("%s[%d]", at, i), f)
		}
	}
}

// vault compiles `vault`, and reads all that the configuration has there: before anything that has a secret.
func (b *builder) vault() {
	v := b.vaultServer()
	refs, first := b.vaultRefs()
	if v == nil {
		return
	}
	v.Refs = refs
	b.snap.Vault = v
	if len(refs) == 0 || b.faulty("vault") {
		return
	}
	if b.opts.Vault == nil {
		b.fail("vault", "cannot be read by this command")
		return
	}
	b.vaulted = b.opts.Vault(v, refs)
	if err := b.vaulted.Login; err != nil {
		b.fail("vault."+v.Login(), "%s; %d secrets of this configuration are there, the first is %s", err, len(refs), first)
	}
	v.Values = make(map[VaultRef]Secret, len(refs))
	for ref, value := range b.vaulted.Values {
		v.Values[ref] = NewSecret(value, "vault "+ref.String())
	}
}

// faulty says whether anything at or below path is known to be wrong.
func (b *builder) faulty(path string) bool {
	return b.problems.More > 0 || slices.ContainsFunc(b.problems.List, func(p Problem) bool { return within(p.Path, path) })
}

// vaultRefs lists what the configuration has in Vault, and where the first of it stands.
func (b *builder) vaultRefs() (refs []VaultRef, first string) {
	seen := map[VaultRef]bool{}
	eachSecret(b.cfg.ProtoReflect(), "", func(path string, s *dragomanv1.Secret) {
		if s.GetVault() == nil {
			return
		}
		ref := refOf(s.GetVault())
		switch {
		case within(path, "vault"):
			b.fail(path, "must be {env: NAME} or {file: PATH}: Vault cannot be asked before one is logged in")
		case b.cfg.Vault == nil:
			b.fail(path, "is in Vault, and nothing says where that is: add `vault`")
		case seen[ref] || !ref.wellFormed(): // of the latter, fields has said what is wrong
		case len(refs) == maxVaultRefs:
			b.fail(path, "is one too many: at most %d secrets of one configuration may be in Vault", maxVaultRefs)
		default:
			if first == "" {
				first = path
			}
			seen[ref] = true
			refs = append(refs, ref)
		}
	})
	slices.SortFunc(refs, func(a, b VaultRef) int { return strings.Compare(a.String(), b.String()) })
	return refs, first
}

// vaultServer compiles `vault` itself; nil without it.
func (b *builder) vaultServer() *Vault {
	c := b.cfg.Vault
	if c == nil {
		return nil
	}
	v := &Vault{Namespace: c.Namespace, Refresh: c.Refresh.AsDuration(), Timeout: c.Timeout.AsDuration()}
	v.Address = b.vaultAddress(c.Address)
	if t := c.Tls; t != nil {
		v.ServerName = t.ServerName
		if t.Ca != "" {
			v.CA = b.authorities("vault.tls.ca", t.Ca)
		}
		if strings.HasPrefix(v.Address, "http://") {
			b.fail("vault.tls", "needs an address of https")
		}
	}
	ways := 0
	for _, set := range []bool{c.Token != nil, c.Kubernetes != nil, c.AppRole != nil} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		b.fail("vault", "is one of token, kubernetes and app_role: keep one")
		return v
	}
	switch {
	case c.Kubernetes != nil:
		v.Kubernetes = &VaultKubernetes{Role: c.Kubernetes.Role, Mount: c.Kubernetes.Mount, TokenFile: c.Kubernetes.TokenFile}
	case c.AppRole != nil:
		v.AppRole = &VaultAppRole{RoleID: c.AppRole.RoleId, Mount: c.AppRole.Mount}
		if c.AppRole.SecretId.GetVault() == nil && c.AppRole.SecretId != nil {
			v.AppRole.SecretID = b.secret("vault.app_role.secret_id", c.AppRole.SecretId)
		}
	case c.Token.GetVault() == nil:
		v.Token = b.secret("vault.token", c.Token)
	}
	return v
}

func (b *builder) vaultAddress(address string) string {
	const path = "vault.address"
	u, err := url.Parse(address)
	switch {
	case address == "":
		b.fail(path, "is missing: https://vault.example.com:8200 (or set VAULT_ADDR)")
		return ""
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		b.fail(path, "must be a URL of http or https, such as https://vault.example.com:8200")
		return ""
	case u.User != nil:
		b.fail(path, "must not hold a user or password: use token, kubernetes or app_role")
		return ""
	case u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/v1"):
		b.fail(path, "must end before /v1: no ? and no #")
		return ""
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		b.warn("vault.address: the token and all secrets cross the network to %s in clear text: use https", u.Host)
	}
	return strings.TrimRight(address, "/")
}

// secretFromVault is secret for a value that a header can carry.
func (b *builder) secretFromVault(v *dragomanv1.VaultSecret) (Secret, string) {
	value, fault := b.vaultValue(v)
	if fault != "" || value == "" {
		return Secret{}, fault
	}
	ref := refOf(v)
	value = strings.TrimRightFunc(value, unicode.IsSpace)
	switch {
	case value == "":
		fault = "is empty"
	default:
		fault = badSecret(value)
	}
	if fault != "" {
		return Secret{}, fmt.Sprintf("the secret %s of Vault %s", ref.shown(), fault)
	}
	return NewSecret(value, "vault "+ref.String()), ""
}

// vaultValue is what Vault gave for a reference, as it stands there. Neither a value nor a fault comes of what is noted elsewhere.
func (b *builder) vaultValue(v *dragomanv1.VaultSecret) (value, fault string) {
	ref := refOf(v)
	if err := b.vaulted.Errs[ref]; err != nil {
		return "", fmt.Sprintf("the secret %s of Vault %s", ref.shown(), err)
	}
	if value, ok := b.vaulted.Values[ref]; ok && value == "" {
		return "", fmt.Sprintf("the secret %s of Vault is empty", ref.shown())
	}
	return b.vaulted.Values[ref], ""
}

func refOf(v *dragomanv1.VaultSecret) VaultRef {
	return VaultRef{Mount: v.GetMount(), Path: v.GetPath(), Field: v.GetField()}
}

func (r VaultRef) wellFormed() bool {
	return isVaultPath(r.Mount) && isVaultPath(r.Path) && isVaultField(r.Field)
}

// shown is the reference in a message about one that could not be read: its longest parts may be keys in the wrong place.
func (r VaultRef) shown() string {
	parts := strings.Split(r.Mount+"/"+r.Path, "/")
	for _, part := range append(parts, r.Field) {
		if len(part) > 48 {
			return "that it names"
		}
	}
	return r.String()
}

// isVaultPath tells what can stand in the path of a URL as it is, and nowhere but below the mount.
func isVaultPath(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte("?#%\\\"<>^`{|}", s[i]) >= 0 {
			return false
		}
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// isVaultField tells what is the name of a field, a role or its id.
func isVaultField(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
