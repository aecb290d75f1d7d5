package config

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Signing is how Envoy signs the requests of a cluster for AWS (SigV4).
type Signing struct {
	Service, Region string
	// The pair of keys; zero with Chain.
	AccessKeyID, SecretAccessKey Secret
	SessionToken                 Secret // zero without
	Chain                        bool   // Envoy looks for credentials where it runs
}

// Grant is what Dragoman gets bearer tokens for: one of Google and Entra is set.
type Grant struct {
	ID     string // 32 hex digits over all below: two grants with one ID give the same tokens
	Google *GoogleGrant
	Entra  *EntraGrant
}

// GoogleGrant is a key of Google Cloud, or the machine's own identity.
type GoogleGrant struct {
	Key      Secret // the JSON of the key file; zero with Metadata
	Type     string // service_account, authorized_user, external_account, …
	Metadata bool
}

// EntraGrant is an application of Entra ID, or the machine's own identity.
type EntraGrant struct {
	Tenant, Client   string
	ClientSecret     Secret
	TokenFile        string // with the federated token; read at each use
	ManagedIdentity  bool
	Authority, Scope string
}

// material is one credential as its clusters use it: one of the three is set, none for a provider without credentials.
type material struct {
	secret  Secret
	signing *Signing
	grant   *Grant
}

const (
	maxAWSFile   = 256 << 10
	maxGoogleKey = 64 << 10
)

// material resolves one credential. ok is false after a fault, which it has noted.
func (b *builder) material(at string, p *dragomanv1.Provider, c *dragomanv1.Credential) (m material, ok bool) {
	kinds := 0
	for _, set := range []bool{c.Secret != nil, c.Aws != nil, c.Google != nil, c.Entra != nil} {
		if set {
			kinds++
		}
	}
	if kinds > 1 {
		b.fail(at, "is one of secret, aws, google and entra: keep one")
		return m, false
	}
	before := len(b.problems.List) + b.problems.More
	switch {
	case c.Aws != nil:
		m.signing = b.signing(at+".aws", p, c.Aws)
	case c.Google != nil:
		m.grant = b.googleGrant(at+".google", c.Google)
	case c.Entra != nil:
		m.grant = b.entraGrant(at+".entra", c.Entra)
	default:
		m.secret = b.secret(at+".secret", c.Secret)
	}
	return m, len(b.problems.List)+b.problems.More == before
}

func (b *builder) signing(path string, p *dragomanv1.Provider, c *dragomanv1.AwsCredential) *Signing {
	s := &Signing{Service: "bedrock", Region: p.Region, Chain: c.Chain}
	pair, profile := c.AccessKeyId != nil || c.SecretAccessKey != nil || c.SessionToken != nil, c.Profile != "" || c.File != ""
	switch {
	case p.Region == "":
		provider, _, _ := strings.Cut(path, ".")
		b.fail(provider+".region", "is missing: a signature is for one region")
	case pair && profile || pair && c.Chain || profile && c.Chain:
		b.fail(path, "is one of a pair of keys, a profile and chain: keep one")
	case c.Chain:
	case profile:
		b.profile(path, c, s)
	case c.AccessKeyId == nil:
		b.fail(path+".access_key_id", "is missing: give a pair of keys, a profile, or chain: true")
	case c.SecretAccessKey == nil:
		b.fail(path+".secret_access_key", "is missing")
	default:
		s.AccessKeyID, s.SecretAccessKey = b.secret(path+".access_key_id", c.AccessKeyId), b.secret(path+".secret_access_key", c.SecretAccessKey)
		if c.SessionToken != nil {
			s.SessionToken = b.secret(path+".session_token", c.SessionToken)
		}
	}
	return s
}

// profile reads a pair of keys from AWS's credentials file.
func (b *builder) profile(path string, c *dragomanv1.AwsCredential, s *Signing) {
	name, file := or(c.Profile, "default"), c.File
	if file == "" {
		file = awsFile(b.env, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
	}
	data, err := b.read(file, maxAWSFile)
	if err != nil {
		b.fail(path+".file", "the file %s %s", file, err)
		return
	}
	keys := iniSection(string(data), name)
	id, key, token := keys["aws_access_key_id"], keys["aws_secret_access_key"], keys["aws_session_token"]
	switch {
	case keys == nil:
		b.fail(path+".profile", "%s has no profile [%s]", file, clip(name))
	case id == "" || key == "":
		b.fail(path+".profile", "the profile [%s] of %s holds no pair of keys (aws_access_key_id, aws_secret_access_key): roles, SSO and processes are not followed; "+
			"use chain: true where Envoy can take the role itself", clip(name), file)
	case badSecret(id)+badSecret(key)+badSecret(token) != "":
		b.fail(path+".profile", "the profile [%s] of %s holds what no header can carry", clip(name), file)
	default:
		source := "profile " + name + " of " + file
		s.AccessKeyID, s.SecretAccessKey = NewSecret(id, source), NewSecret(key, source)
		if token != "" {
			s.SessionToken = NewSecret(token, source)
		}
	}
}

// iniSection reads one section of a file in AWS's format, nil when it is not there.
func iniSection(text, section string) map[string]string {
	var keys map[string]string
	in := false
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, maxAWSFile+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if name, ok := strings.CutPrefix(line, "["); ok {
			name, _, _ = strings.Cut(name, "]")
			if in = strings.Join(strings.Fields(name), " ") == section; in && keys == nil {
				keys = map[string]string{}
			}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if in && ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			keys[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
		}
	}
	return keys
}

// googleTypes are the key files that the token source of Google's own library reads.
var googleTypes = []string{"service_account", "authorized_user", "external_account", "external_account_authorized_user", "impersonated_service_account"}

func (b *builder) googleGrant(path string, c *dragomanv1.GoogleCredential) *Grant {
	g := &GoogleGrant{Metadata: c.Metadata}
	switch {
	case c.Metadata && c.Key != nil:
		b.fail(path, "is either key or metadata: keep one")
	case c.Metadata:
	case c.Key == nil:
		b.fail(path+".key", "is missing: point to a key file ({file: PATH}), or say metadata: true")
	default:
		g.Key, g.Type = b.googleKey(path+".key", c.Key)
	}
	return newGrant(&Grant{Google: g}, "google", g.Key.value, fmt.Sprint(g.Metadata))
}

// googleKey reads a key's JSON, which unlike other secrets has line breaks.
func (b *builder) googleKey(path string, ref *dragomanv1.Secret) (Secret, string) {
	var data []byte
	source := ""
	switch {
	case ref.GetFile() != "":
		source = "file " + ref.GetFile()
		read, err := b.read(ref.GetFile(), maxGoogleKey)
		if err != nil {
			b.fail(path, "the file %s %s", ref.GetFile(), err)
			return Secret{}, ""
		}
		data = read
	case isVariable(ref.GetEnv()) && b.env(ref.GetEnv()) != "":
		source, data = "env "+ref.GetEnv(), []byte(b.env(ref.GetEnv()))
		b.mix(data)
	case ref.GetVault() != nil:
		value, fault := b.vaultValue(ref.GetVault())
		if value == "" {
			if fault != "" {
				b.fail(path, "%s", fault)
			}
			return Secret{}, ""
		}
		source, data = "vault "+refOf(ref.GetVault()).String(), []byte(value)
		b.mix(data)
	default:
		_, fault := b.resolveSecret(ref)
		b.fail(path, "%s", or(fault, missingSecret))
		return Secret{}, ""
	}
	var key struct {
		Type string `json:"type"`
	}
	if len(data) > maxGoogleKey || json.Unmarshal(data, &key) != nil {
		b.fail(path, "%s is not the JSON of a Google Cloud key", source)
		return Secret{}, ""
	}
	if !slices.Contains(googleTypes, key.Type) {
		b.fail(path, "%s is a key of a type that is not one of %s", source, strings.Join(googleTypes, ", "))
	}
	return NewSecret(string(data), source), key.Type
}

func (b *builder) entraGrant(path string, c *dragomanv1.EntraCredential) *Grant {
	g := &EntraGrant{Tenant: c.Tenant, Client: c.Client, TokenFile: c.TokenFile, ManagedIdentity: c.ManagedIdentity, Authority: c.Authority, Scope: c.Scope}
	ways := 0
	for _, set := range []bool{c.ClientSecret != nil, c.TokenFile != "", c.ManagedIdentity} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		b.fail(path, "is one of client_secret, token_file and managed_identity: give one")
	}
	if !c.ManagedIdentity {
		for _, field := range []struct{ name, value string }{{"tenant", c.Tenant}, {"client", c.Client}} {
			if field.value == "" {
				b.fail(path+"."+field.name, "is missing")
			}
		}
	}
	// The library behind it refuses anything else, later and with less to go by.
	if u, err := url.Parse(c.Authority); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		b.fail(path+".authority", "must begin with https:// and a host")
	}
	if c.ClientSecret != nil {
		g.ClientSecret = b.secret(path+".client_secret", c.ClientSecret)
	}
	return newGrant(&Grant{Entra: g}, "entra", g.Tenant, g.Client, g.ClientSecret.value, g.TokenFile, fmt.Sprint(g.ManagedIdentity), g.Authority, g.Scope)
}

// newGrant names a grant by what it holds.
func newGrant(g *Grant, parts ...string) *Grant {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	g.ID = hex.EncodeToString(h.Sum(nil)[:16])
	return g
}

// source says in a few words where a credential comes from, never what it is.
func (m *material) source() string {
	switch {
	case m.signing != nil && m.signing.Chain:
		return "AWS by Envoy"
	case m.signing != nil:
		return "AWS " + m.signing.AccessKeyID.Source()
	case m.grant != nil && m.grant.Google != nil && m.grant.Google.Metadata:
		return "Google's metadata server"
	case m.grant != nil && m.grant.Google != nil:
		return "Google " + m.grant.Google.Key.Source()
	case m.grant != nil && m.grant.Entra.ManagedIdentity:
		return "Azure managed identity"
	case m.grant != nil:
		return "Entra ID " + or(m.grant.Entra.ClientSecret.Source(), "file "+m.grant.Entra.TokenFile)
	}
	return m.secret.Source()
}
