package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// shown is a cluster in one line: provider, dialect, URL, credential and header.
func shown(c *Cluster) string {
	scheme := "http"
	if c.TLS {
		scheme = "https"
	}
	credential := c.Secret.String()
	switch {
	case c.Signing != nil:
		credential = "aws " + c.Signing.Region + " " + c.Signing.AccessKeyID.String()
		if c.Signing.SessionToken.Source() != "" {
			credential += "+token"
		}
		if c.Signing.Chain {
			credential += "+chain"
		}
	case c.Grant != nil && c.Grant.Google != nil:
		credential = "google " + c.Grant.Google.Type + c.Grant.Google.Key.Source()
	case c.Grant != nil:
		credential = "entra " + c.Grant.Entra.Client + " " + c.Grant.Entra.ClientSecret.Source() + c.Grant.Entra.TokenFile
	}
	return strings.Join([]string{string(c.Provider.Name), string(c.Provider.Schema), or(c.Provider.Dialect, "-"),
		scheme + "://" + c.Host + ":" + strconv.Itoa(int(c.Port)) + c.BasePath, credential, c.Header + "=" + c.Prefix}, " ")
}

// What each vendor's own SDK does with its variables is what happens here.
func TestDiscoveryOfEveryVendor(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"OPENAI_API_KEY=SECRET", "openai openai - https://api.openai.com:443/v1 env OPENAI_API_KEY authorization=Bearer "},
		{"AZURE_OPENAI_API_KEY=SECRET\nAZURE_OPENAI_ENDPOINT=https://east.openai.azure.com/", "azure openai azure https://east.openai.azure.com:443/openai/v1 env AZURE_OPENAI_API_KEY api-key="},
		{"AZURE_OPENAI_API_KEY=SECRET\nAZURE_OPENAI_ENDPOINT=https://east.openai.azure.com\nOPENAI_API_VERSION=2024-10-21", "azure openai azure https://east.openai.azure.com:443/openai env AZURE_OPENAI_API_KEY api-key="},
		{"AZURE_OPENAI_API_KEY=SECRET\nAZURE_OPENAI_AD_TOKEN=SECRET\nAZURE_OPENAI_ENDPOINT=https://east.openai.azure.com/openai/v1/", "azure openai azure https://east.openai.azure.com:443/openai/v1 env AZURE_OPENAI_AD_TOKEN authorization=Bearer "},
		{"AZURE_TENANT_ID=t\nAZURE_CLIENT_ID=app\nAZURE_CLIENT_SECRET=SECRET\nAZURE_OPENAI_ENDPOINT=https://e.openai.azure.com", "azure openai azure https://e.openai.azure.com:443/openai/v1 entra app env AZURE_CLIENT_SECRET authorization=Bearer "},
		{"AZURE_TENANT_ID=t\nAZURE_CLIENT_ID=app\nAZURE_FEDERATED_TOKEN_FILE=/run/token\nAZURE_OPENAI_ENDPOINT=https://e.openai.azure.com", "azure openai azure https://e.openai.azure.com:443/openai/v1 entra app /run/token authorization=Bearer "},
		{"GEMINI_API_KEY=SECRET", "gemini gemini - https://generativelanguage.googleapis.com:443/v1beta env GEMINI_API_KEY x-goog-api-key="},
		{"GEMINI_API_KEY=SECRET\nGOOGLE_API_KEY=SECRET\nGOOGLE_GEMINI_BASE_URL=http://127.0.0.1:1", "gemini gemini - http://127.0.0.1:1/v1beta env GOOGLE_API_KEY x-goog-api-key="},
		{"GOOGLE_API_KEY=SECRET\nGOOGLE_GENAI_USE_VERTEXAI=true", "vertex gemini vertex https://aiplatform.googleapis.com:443/v1beta1/publishers/google env GOOGLE_API_KEY x-goog-api-key="},
		{"GOOGLE_CLOUD_PROJECT=p1\nGOOGLE_CLOUD_LOCATION=europe-west4\nGOOGLE_GENAI_USE_VERTEXAI=1", "vertex gemini vertex https://europe-west4-aiplatform.googleapis.com:443/v1beta1/projects/p1/locations/europe-west4/publishers/google google  authorization=Bearer "},
		{"GOOGLE_CLOUD_PROJECT=p1\nGOOGLE_GENAI_USE_ENTERPRISE=True\nGOOGLE_CLOUD_LOCATION=eu\nGOOGLE_API_KEY=SECRET", "vertex gemini vertex https://aiplatform.eu.rep.googleapis.com:443/v1beta1/projects/p1/locations/eu/publishers/google google  authorization=Bearer "},
		{"GOOGLE_CLOUD_PROJECT=p1\nGOOGLE_GENAI_USE_VERTEXAI=1\nGOOGLE_VERTEX_BASE_URL=http://127.0.0.1:1/x", "vertex gemini vertex http://127.0.0.1:1/x/v1beta1/projects/p1/locations/global/publishers/google google  authorization=Bearer "},
		{"AWS_BEARER_TOKEN_BEDROCK=SECRET\nAWS_REGION=us-west-2", "bedrock bedrock - https://bedrock-runtime.us-west-2.amazonaws.com:443 env AWS_BEARER_TOKEN_BEDROCK authorization=Bearer "},
		{"AWS_ACCESS_KEY_ID=SECRET\nAWS_SECRET_ACCESS_KEY=SECRET\nAWS_DEFAULT_REGION=cn-north-1", "bedrock bedrock - https://bedrock-runtime.cn-north-1.amazonaws.com.cn:443 aws cn-north-1 env AWS_ACCESS_KEY_ID ="},
		{"AWS_ACCESS_KEY_ID=SECRET\nAWS_SECRET_ACCESS_KEY=SECRET\nAWS_SESSION_TOKEN=SECRET\nAWS_REGION=us-east-1\nAWS_ENDPOINT_URL=http://127.0.0.1:2\nAWS_ENDPOINT_URL_BEDROCK_RUNTIME=http://127.0.0.1:1", "bedrock bedrock - http://127.0.0.1:1 aws us-east-1 env AWS_ACCESS_KEY_ID+token ="},
		{"AWS_WEB_IDENTITY_TOKEN_FILE=/t\nAWS_ROLE_ARN=arn\nAWS_REGION=us-east-1", "bedrock bedrock - https://bedrock-runtime.us-east-1.amazonaws.com:443 aws us-east-1 none+chain ="},
		{"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://x\nAWS_REGION=us-east-1", "bedrock bedrock - https://bedrock-runtime.us-east-1.amazonaws.com:443 aws us-east-1 none+chain ="},
		{"CO_API_KEY=SECRET", "cohere cohere - https://api.cohere.com:443/v2 env CO_API_KEY authorization=Bearer "},
		{"CO_API_KEY=SECRET\nCO_API_URL=http://127.0.0.1:1/", "cohere cohere - http://127.0.0.1:1/v2 env CO_API_KEY authorization=Bearer "},
		{"MISTRAL_API_KEY=SECRET", "mistral openai mistral https://api.mistral.ai:443/v1 env MISTRAL_API_KEY authorization=Bearer "},
		{"GROQ_API_KEY=SECRET", "groq openai groq https://api.groq.com:443/openai/v1 env GROQ_API_KEY authorization=Bearer "},
		{"GROQ_API_KEY=SECRET\nGROQ_BASE_URL=http://127.0.0.1:1/proxy", "groq openai groq http://127.0.0.1:1/proxy/openai/v1 env GROQ_API_KEY authorization=Bearer "},
		{"GROQ_API_KEY=SECRET\nGROQ_BASE_URL=https://api.groq.com", "groq openai groq https://api.groq.com:443/openai/v1 env GROQ_API_KEY authorization=Bearer "},
		{"TOGETHER_API_KEY=SECRET", "together openai together https://api.together.ai:443/v1 env TOGETHER_API_KEY authorization=Bearer "},
		{"TOGETHER_API_KEY=SECRET\nTOGETHER_BASE_URL=http://127.0.0.1:1", "together openai together http://127.0.0.1:1/v1 env TOGETHER_API_KEY authorization=Bearer "},
		{"FIREWORKS_API_KEY=SECRET", "fireworks openai fireworks https://api.fireworks.ai:443/inference/v1 env FIREWORKS_API_KEY authorization=Bearer "},
		{"FIREWORKS_API_KEY=SECRET\nFIREWORKS_BASE_URL=http://127.0.0.1:1", "fireworks openai fireworks http://127.0.0.1:1/v1 env FIREWORKS_API_KEY authorization=Bearer "},
		{"DEEPSEEK_API_KEY=SECRET", "deepseek openai deepseek https://api.deepseek.com:443/v1 env DEEPSEEK_API_KEY authorization=Bearer "},
		{"DASHSCOPE_API_KEY=SECRET", "qwen openai qwen https://dashscope.aliyuncs.com:443/compatible-mode/v1 env DASHSCOPE_API_KEY authorization=Bearer "},
		{"DASHSCOPE_API_KEY=SECRET\nDASHSCOPE_COMPATIBLE_BASE_URL=https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "qwen openai qwen https://dashscope-intl.aliyuncs.com:443/compatible-mode/v1 env DASHSCOPE_API_KEY authorization=Bearer "},
		{"OPENROUTER_API_KEY=SECRET", "openrouter openai openrouter https://openrouter.ai:443/api/v1 env OPENROUTER_API_KEY authorization=Bearer "},
		{"XAI_API_KEY=SECRET", "xai openai xai https://api.x.ai:443/v1 env XAI_API_KEY authorization=Bearer "},
		{"PPLX_API_KEY=SECRET", "perplexity openai perplexity https://api.perplexity.ai:443 env PPLX_API_KEY authorization=Bearer "},
		{"NVIDIA_API_KEY=SECRET", "nvidia openai nvidia https://integrate.api.nvidia.com:443/v1 env NVIDIA_API_KEY authorization=Bearer "},
		{"OLLAMA_HOST=gpu", "ollama openai ollama http://gpu:11434/v1 none ="},
		{"VLLM_BASE_URL=http://gpu:8000", "vllm openai vllm http://gpu:8000/v1 none ="},
		{"VLLM_BASE_URL=http://127.0.0.1:8000/v1\nVLLM_API_KEY=SECRET", "vllm openai vllm http://127.0.0.1:8000/v1 env VLLM_API_KEY authorization=Bearer "},
		{"LM_STUDIO_API_BASE=http://127.0.0.1:1234/v1", "lmstudio openai lmstudio http://127.0.0.1:1234/v1 none ="},
	} {
		s, err := loadYAML("", c.env)
		if err != nil {
			t.Errorf("%q: %v", c.env, err)
			continue
		}
		if got := shown(s.Clusters[0]); got != c.want || len(s.Clusters) != 1 {
			t.Errorf("%q\n got %s\nwant %s", c.env, got, c.want)
		}
		if again := mustLoad(t, "", c.env); again.Version != s.Version {
			t.Errorf("%q: two loads differ", c.env)
		}
	}
}

// The test above has every vendor; and what is in the table keeps its own rules.
func TestVendors(t *testing.T) {
	for _, v := range vendors {
		if schemaOf(string(v.schema)) == nil || !isName(v.name) || v.dialect != "" && v.dialect != v.name {
			t.Errorf("%s: schema %s, dialect %s", v.name, v.schema, v.dialect)
		}
		for _, api := range v.apis {
			if !slices.Contains(apiWords, api) || api == none {
				t.Errorf("%s: %q is no API", v.name, api)
			}
		}
		if v.endpoint != "" {
			if _, fault := parseEndpoint(v.endpoint, schemaOf(string(v.schema)).base); fault != "" {
				t.Errorf("%s: %s", v.name, fault)
			}
			if !v.local && !v.at(v.endpoint) {
				t.Errorf("%s does not know its own endpoint", v.name)
			}
		} else if v.locate == nil && v.name != "azure" {
			t.Errorf("%s has no endpoint", v.name)
		}
	}
}

func TestDiscoveryLacks(t *testing.T) {
	for _, c := range []struct{ env, provider, want string }{
		{"", "groq", "GROQ_API_KEY is not set"},
		{"AZURE_OPENAI_API_KEY=SECRET", "azure", "AZURE_OPENAI_ENDPOINT is not set"},
		{"AZURE_OPENAI_ENDPOINT=https://x.openai.azure.com", "azure", "AZURE_OPENAI_API_KEY is not set"},
		{"AZURE_TENANT_ID=t\nAZURE_CLIENT_ID=c\nAZURE_OPENAI_ENDPOINT=https://x.openai.azure.com", "azure", "AZURE_OPENAI_API_KEY is not set"},
		{"GOOGLE_GENAI_USE_VERTEXAI=true", "vertex", "GOOGLE_CLOUD_PROJECT is not set"},
		{"GOOGLE_GENAI_USE_VERTEXAI=true\nGOOGLE_API_KEY=SECRET", "gemini", "GEMINI_API_KEY is not set"},
		{"GOOGLE_CLOUD_PROJECT=p", "vertex", "GOOGLE_APPLICATION_CREDENTIALS is not set"},
		{"AWS_BEARER_TOKEN_BEDROCK=SECRET", "bedrock", "AWS_REGION is not set"},
		{"AWS_ACCESS_KEY_ID=SECRET\nAWS_REGION=us-east-1", "bedrock", "AWS_SECRET_ACCESS_KEY is not set"},
		{"AWS_REGION=us-east-1", "bedrock", "AWS_BEARER_TOKEN_BEDROCK or AWS_ACCESS_KEY_ID is not set"},
		{"", "ollama", "OLLAMA_HOST is not set"},
		{"", "vllm", "VLLM_BASE_URL is not set"},
	} {
		s := mustLoad(t, "", c.env)
		i := slices.IndexFunc(s.Found, func(f Found) bool { return f.Provider == ProviderName(c.provider) })
		if i < 0 || s.Found[i].Lacks != c.want {
			t.Errorf("%q: %s lacks %+v, want %q", c.env, c.provider, s.Found, c.want)
		}
	}
}

// ollama-python's own cases, and the address that a server binds to.
func TestOllamaHost(t *testing.T) {
	for host, want := range map[string]string{
		"1.2.3.4": "http://1.2.3.4:11434", ":56789": "http://127.0.0.1:56789", "1.2.3.4:56789": "http://1.2.3.4:56789",
		"http://1.2.3.4": "http://1.2.3.4:80", "https://1.2.3.4": "https://1.2.3.4:443", "https://1.2.3.4:56789": "https://1.2.3.4:56789",
		"example.com": "http://example.com:11434", "example.com:56789": "http://example.com:56789", "http://example.com": "http://example.com:80",
		"example.com/": "http://example.com:11434", "example.com:56789/": "http://example.com:56789", "example.com/path": "http://example.com:11434/path",
		"https://example.com:56789/path/": "https://example.com:56789/path", "[0001:002:003:0004::1]": "http://[0001:002:003:0004::1]:11434",
		"https://[::1]:56789/path": "https://[::1]:56789/path", "::1": "http://[::1]:11434",
		"0.0.0.0": "http://127.0.0.1:11434", "0.0.0.0:1": "http://127.0.0.1:1", "[::]:1": "http://127.0.0.1:1", " localhost ": "http://localhost:11434",
	} {
		if got := ollamaURL(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

func FuzzOllamaURL(f *testing.F) {
	for _, seed := range []string{"", ":1", "http://", "[::1]:1/x", "a b", "://", "%zz", "0:0:0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		e, fault := parseEndpoint(ollamaURL(host), schemaOf("openai").base)
		if fault == "" && (e.host == "" || e.port == 0) {
			t.Errorf("%q: %+v", host, e)
		}
	})
}

// fetched stands for servers of one's own, by URL.
func fetched(servers map[string]string, asked *[]string) func(string) ([]byte, error) {
	return func(url string) ([]byte, error) {
		*asked = append(*asked, url)
		body, ok := servers[url]
		if !ok {
			return nil, errors.New("SECRET refused")
		}
		return []byte(body), nil
	}
}

const listing = `{"object":"list","data":[{"id":"qwen3:8b"},{"id":"llama3.2:latest"},{"id":"llama3.2:latest"},{"id":"bad name"},{"id":""}]}`

func TestServersOfOnesOwnAreAskedForTheirModels(t *testing.T) {
	const ollama, vllm = "http://127.0.0.1:11434/v1/models", "http://gpu:8000/v1/models"
	for _, c := range []struct {
		name, env string
		servers   map[string]string
		asked     []string
		providers string // name=model,model
		lacks     string // ollama's
	}{
		{"a local Ollama is found", "", map[string]string{ollama: listing}, []string{ollama}, "ollama=llama3.2:latest,qwen3:8b", ""},
		{"no Ollama", "OPENAI_API_KEY=SECRET", nil, []string{ollama}, "openai=", "no server answers at http://127.0.0.1:11434"},
		{"one that is named and away", "OPENAI_API_KEY=SECRET\nOLLAMA_HOST=gpu", nil, []string{"http://gpu:11434/v1/models"}, "openai=", "no server answers at http://gpu:11434"},
		{"set to nothing: it is not looked for", "OPENAI_API_KEY=SECRET\nOLLAMA_HOST=", map[string]string{ollama: listing}, nil, "openai=", "OLLAMA_HOST is not set"},
		{"no list", "OPENAI_API_KEY=SECRET", map[string]string{ollama: "<html>"}, []string{ollama}, "openai=", "no server answers at http://127.0.0.1:11434"},
		{"an empty one", "", map[string]string{ollama: `{"data":[]}`}, []string{ollama}, "ollama=", ""},
		{"a base URL without a key", "OLLAMA_HOST=\nVLLM_BASE_URL=http://gpu:8000", map[string]string{vllm: listing}, []string{vllm}, "vllm=llama3.2:latest,qwen3:8b", "OLLAMA_HOST is not set"},
		{"which is kept when it does not answer", "OLLAMA_HOST=\nVLLM_BASE_URL=http://gpu:8000", nil, []string{vllm}, "vllm=", "OLLAMA_HOST is not set"},
		{"OpenAI's too", "OLLAMA_HOST=\nOPENAI_BASE_URL=http://gpu:8000/v1", map[string]string{vllm: listing}, []string{vllm}, "openai=llama3.2:latest,qwen3:8b", "OLLAMA_HOST is not set"},
		{"one with a key is not asked", "OLLAMA_HOST=\nVLLM_BASE_URL=http://gpu:8000\nVLLM_API_KEY=SECRET", map[string]string{vllm: listing}, nil, "vllm=", "OLLAMA_HOST is not set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			f, _ := Parse("c.yaml", nil)
			s, err := Compile(f, Options{Env: envOf(c.env), Now: fixedNow, Fetch: fetched(c.servers, &asked)})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(asked, c.asked) {
				t.Errorf("asked %v, want %v", asked, c.asked)
			}
			var providers []string
			for _, p := range s.Config.Providers {
				providers = append(providers, p.Name+"="+strings.Join(p.Models, ","))
				for _, id := range p.Models {
					if r, err := s.Lookup(id); err != nil || r.Candidates[0].Model.Provider.Name != ProviderName(p.Name) {
						t.Errorf("%s cannot be asked for: %v", id, err)
					}
				}
			}
			if got := strings.Join(providers, " "); got != c.providers {
				t.Errorf("providers %s, want %s", got, c.providers)
			}
			for _, found := range s.Found {
				if found.Provider == "ollama" && found.Lacks != c.lacks {
					t.Errorf("ollama lacks %q, want %q", found.Lacks, c.lacks)
				}
			}
			if text := strings.Join(s.Warnings, "\n"); strings.Contains(text, "SECRET") {
				t.Errorf("shown: %s", text)
			}
		})
	}
}

// Files in the places where the vendors' tools put them.
func TestDiscoveryByFiles(t *testing.T) {
	home := t.TempDir()
	files := map[string]string{
		".aws/credentials": "[default]\naws_access_key_id = SECRET\naws_secret_access_key=SECRET\n[dev]\naws_access_key_id=SECRET\naws_secret_access_key=SECRET\naws_session_token=SECRET\n[sso]\nsso_start_url=x\n",
		".aws/config":      "[default]\nregion=us-east-2\n[profile dev]\nregion = eu-central-1\n",
		".config/gcloud/application_default_credentials.json": `{"type":"authorized_user","client_id":"SECRET"}`,
	}
	for name, text := range files {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := mustLoad(t, "", "HOME="+home+"\nAWS_PROFILE=dev\nGOOGLE_CLOUD_PROJECT=p")
	var got []string
	for _, c := range s.Clusters {
		got = append(got, strings.ReplaceAll(shown(c), home, "~"))
	}
	want := []string{
		"vertex gemini vertex https://aiplatform.googleapis.com:443/v1beta1/projects/p/locations/global/publishers/google google authorized_userfile ~/.config/gcloud/application_default_credentials.json authorization=Bearer ",
		"bedrock bedrock - https://bedrock-runtime.eu-central-1.amazonaws.com:443 aws eu-central-1 profile dev of ~/.aws/credentials+token =",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	_, err := loadYAML("", "HOME="+home+"\nAWS_PROFILE=sso\nAWS_REGION=us-east-1")
	if err == nil || !strings.Contains(err.Error(), "[sso]") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("a profile without keys: %v", err)
	}
}
