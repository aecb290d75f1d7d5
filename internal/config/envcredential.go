package config

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// credential makes what the vendor's own SDK would authenticate with, or says what is lacking.
func (v *vendor) credential(env lookup) (*dragomanv1.Credential, string) {
	if v.find != nil {
		return v.find(env)
	}
	if name, value := env.first(v.keys...); value != "" {
		return &dragomanv1.Credential{Secret: envSecret(name)}, ""
	}
	if v.token != "" && env(v.token) != "" {
		return &dragomanv1.Credential{Secret: envSecret(v.token), Scheme: "bearer"}, ""
	}
	if v.local || len(v.keys) == 0 {
		return nil, ""
	}
	return nil, v.keys[0] + " is not set"
}

// azureCredential: a token goes before a key, as in OpenAI's SDK; then an application of Entra ID, as in Azure's.
func azureCredential(env lookup) (*dragomanv1.Credential, string) {
	if env("AZURE_OPENAI_AD_TOKEN") != "" {
		return &dragomanv1.Credential{Secret: envSecret("AZURE_OPENAI_AD_TOKEN"), Scheme: "bearer"}, ""
	}
	if env("AZURE_OPENAI_API_KEY") != "" {
		return &dragomanv1.Credential{Secret: envSecret("AZURE_OPENAI_API_KEY")}, ""
	}
	entra := &dragomanv1.EntraCredential{Tenant: env("AZURE_TENANT_ID"), Client: env("AZURE_CLIENT_ID"), Authority: env("AZURE_AUTHORITY_HOST")}
	switch {
	case entra.Tenant == "" || entra.Client == "":
	case env("AZURE_CLIENT_SECRET") != "":
		entra.ClientSecret = envSecret("AZURE_CLIENT_SECRET")
		return &dragomanv1.Credential{Entra: entra}, ""
	case env("AZURE_FEDERATED_TOKEN_FILE") != "":
		entra.TokenFile = env("AZURE_FEDERATED_TOKEN_FILE")
		return &dragomanv1.Credential{Entra: entra}, ""
	}
	return nil, "AZURE_OPENAI_API_KEY is not set"
}

// usesVertex: Google's one SDK speaks to either API, and one variable says to which.
func usesVertex(env lookup) bool {
	_, value := env.first("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI")
	return value == "1" || strings.EqualFold(value, "true")
}

func geminiCredential(env lookup) (*dragomanv1.Credential, string) {
	names := []string{"GOOGLE_API_KEY", "GEMINI_API_KEY"} // in the order of the SDK
	if usesVertex(env) {
		names = names[1:]
	}
	if name, value := env.first(names...); value != "" {
		return &dragomanv1.Credential{Secret: envSecret(name)}, ""
	}
	return nil, "GEMINI_API_KEY is not set"
}

// vertexCredential: a project goes before a key, as in Google's SDK.
func vertexCredential(env lookup) (*dragomanv1.Credential, string) {
	if env("GOOGLE_CLOUD_PROJECT") == "" && usesVertex(env) && env("GOOGLE_API_KEY") != "" {
		return &dragomanv1.Credential{Secret: envSecret("GOOGLE_API_KEY")}, ""
	}
	if file := googleKeyFile(env); file != "" {
		return &dragomanv1.Credential{Google: &dragomanv1.GoogleCredential{Key: fileSecret(file)}}, ""
	}
	if usesVertex(env) {
		return &dragomanv1.Credential{Google: &dragomanv1.GoogleCredential{Metadata: true}}, ""
	}
	return nil, "GOOGLE_APPLICATION_CREDENTIALS is not set"
}

// googleKeyFile is where Google's libraries look: the variable, then what gcloud wrote.
func googleKeyFile(env lookup) string {
	if file := env("GOOGLE_APPLICATION_CREDENTIALS"); file != "" {
		return file
	}
	dir := env("CLOUDSDK_CONFIG")
	if dir == "" && env("HOME") != "" {
		dir = filepath.Join(env("HOME"), ".config", "gcloud")
	}
	return existing(dir, "application_default_credentials.json")
}

// existing joins a path and keeps it only when there is such a file; dir "" names none.
func existing(dir, name string) string {
	path := filepath.Join(dir, name)
	if info, err := os.Stat(path); dir == "" || err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

// bedrockCredential follows the order of AWS's SDKs: the API key, the pair of keys, a profile, the machine's own role.
func bedrockCredential(env lookup) (*dragomanv1.Credential, string) {
	aws := &dragomanv1.AwsCredential{}
	switch {
	case env("AWS_BEARER_TOKEN_BEDROCK") != "":
		return &dragomanv1.Credential{Secret: envSecret("AWS_BEARER_TOKEN_BEDROCK"), Scheme: "bearer"}, ""
	case env("AWS_ACCESS_KEY_ID") != "" && env("AWS_SECRET_ACCESS_KEY") != "":
		aws.AccessKeyId, aws.SecretAccessKey = envSecret("AWS_ACCESS_KEY_ID"), envSecret("AWS_SECRET_ACCESS_KEY")
		if env("AWS_SESSION_TOKEN") != "" {
			aws.SessionToken = envSecret("AWS_SESSION_TOKEN")
		}
	case env("AWS_PROFILE") != "":
		aws.Profile, aws.File = env("AWS_PROFILE"), awsFile(env, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
	case env("AWS_WEB_IDENTITY_TOKEN_FILE") != "" && env("AWS_ROLE_ARN") != "",
		env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "", env("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		aws.Chain = true
	case env("AWS_ACCESS_KEY_ID") != "":
		return nil, "AWS_SECRET_ACCESS_KEY is not set"
	default:
		return nil, "AWS_BEARER_TOKEN_BEDROCK or AWS_ACCESS_KEY_ID is not set"
	}
	return &dragomanv1.Credential{Aws: aws}, ""
}

// awsFile is the path of one of AWS's two shared files.
func awsFile(env lookup, variable, name string) string {
	if path := env(variable); path != "" {
		return path
	}
	return filepath.Join(env("HOME"), ".aws", name)
}

func prepareAzure(env lookup, p *dragomanv1.Provider) string {
	p.ApiVersion = env("OPENAI_API_VERSION")
	if len(p.Endpoints) == 0 {
		return "AZURE_OPENAI_ENDPOINT is not set"
	}
	return ""
}

func prepareVertex(env lookup, p *dragomanv1.Provider) string {
	p.Project, p.Location = env("GOOGLE_CLOUD_PROJECT"), env("GOOGLE_CLOUD_LOCATION")
	if p.Project == "" && len(p.Credentials) > 0 && p.Credentials[0].Secret == nil {
		return "GOOGLE_CLOUD_PROJECT is not set"
	}
	return ""
}

func prepareBedrock(env lookup, p *dragomanv1.Provider) string {
	if _, p.Region = env.first("AWS_REGION", "AWS_DEFAULT_REGION"); p.Region == "" {
		p.Region = awsProfileRegion(env)
	}
	if p.Region == "" && (len(p.Endpoints) == 0 || regionOf(p.Endpoints[0].Url) == "") {
		return "AWS_REGION is not set"
	}
	return ""
}

// awsProfileRegion reads the profile's region from AWS's config file, "" when it says none.
func awsProfileRegion(env lookup) string {
	section := "default"
	if profile := env("AWS_PROFILE"); profile != "" && profile != section {
		section = "profile " + profile
	}
	if env("AWS_CONFIG_FILE") == "" && env("HOME") == "" {
		return ""
	}
	data, err := readBounded(awsFile(env, "AWS_CONFIG_FILE", "config"), maxAWSFile)
	if err != nil {
		return ""
	}
	return iniSection(string(data), section)["region"]
}

// prepareOllama reads OLLAMA_HOST in every form that Ollama's own programs take: host, host:port, :port, URL.
func prepareOllama(env lookup, p *dragomanv1.Provider) string {
	if host := env("OLLAMA_HOST"); host != "" {
		p.Endpoints = []*dragomanv1.Endpoint{{Url: ollamaURL(host)}}
	}
	return ""
}

// ollamaURL is https://github.com/ollama/ollama-python's _parse_host: port 11434 unless a scheme implies another. The
// address that a server binds to in order to listen everywhere is no address to ask: it becomes loopback.
func ollamaURL(host string) string {
	scheme, rest, hasScheme := strings.Cut(strings.TrimSpace(host), "://")
	port := map[string]string{"http": "80", "https": "443"}[scheme]
	if !hasScheme || rest == "" {
		scheme, rest, port = "http", strings.TrimSpace(host), "11434"
	}
	if ip, err := netip.ParseAddr(rest); err == nil && ip.Is6() { // bare, without brackets
		rest = "[" + rest + "]"
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil {
		return host // what is wrong is said where the URL is read
	}
	name := u.Hostname()
	if ip, err := netip.ParseAddr(name); name == "" || err == nil && ip.IsUnspecified() {
		name = "127.0.0.1"
	}
	if u.Port() != "" {
		port = u.Port()
	}
	u.Host, u.Path = net.JoinHostPort(name, port), strings.TrimRight(u.Path, "/")
	return u.String()
}

func fileSecret(path string) *dragomanv1.Secret {
	return &dragomanv1.Secret{Source: &dragomanv1.Secret_File{File: path}}
}
