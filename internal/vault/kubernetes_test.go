package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/test/openbao"
)

// clusterKey signs the tokens of the test's cluster.
var clusterKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // never (crypto/rand)
	}
	return key
})

// serviceAccount is a token as Kubernetes projects it into a pod; serial tells two of one account apart.
func serviceAccount(namespace, name string, serial int) string {
	part := func(v any) string {
		text, _ := json.Marshal(v) // maps of plain values always marshal
		return base64.RawURLEncoding.EncodeToString(text)
	}
	now := time.Now()
	text := part(map[string]string{"alg": "ES256", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": "https://kubernetes.default.svc.cluster.local", "sub": "system:serviceaccount:" + namespace + ":" + name,
		"aud": []string{"https://kubernetes.default.svc.cluster.local"}, "iat": now.Unix(), "nbf": now.Unix() - 10, "exp": now.Unix() + 3600, "serial": serial,
		"kubernetes.io": map[string]any{"namespace": namespace, "serviceaccount": map[string]string{"name": name, "uid": "7d6b2f5e-0000-4000-8000-000000000001"}},
	})
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, clusterKey(), digest[:])
	if err != nil {
		panic(err) // never: the key is one
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// apiServer is the part of Kubernetes' API that a login asks: who has this token? It knows the tokens that it signed, by ok.
func apiServer(t *testing.T, ok func(token string) bool) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct{ Spec struct{ Token string } }
		if r.Method != http.MethodPost || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" || r.Header.Get("Authorization") != "Bearer reviewer" ||
			json.NewDecoder(r.Body).Decode(&review) != nil || review.Spec.Token == "" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
			http.Error(w, "{}", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		status := `{"authenticated":false,"error":"invalid bearer token"}`
		if ok(review.Spec.Token) {
			payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(review.Spec.Token, ".")[1])
			var claims struct{ Sub string }
			_ = json.Unmarshal(payload, &claims)
			status = fmt.Sprintf(`{"authenticated":true,"audiences":["https://kubernetes.default.svc.cluster.local"],"user":{"username":%q,"uid":"7d6b2f5e-0000-4000-8000-000000000001","groups":["system:serviceaccounts"]}}`, claims.Sub)
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":%s}`, status)
	}))
	t.Cleanup(s.Close)
	return s
}

// project does what a kubelet does with a projected volume: a new folder, and a link to it that is swapped in one step.
// https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go
func project(t *testing.T, dir string, serial int, files map[string]string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	now := fmt.Sprintf("..2026_01_02_03_04_05.%09d", serial)
	must(os.Mkdir(filepath.Join(dir, now), 0o755))
	for name, text := range files {
		must(os.WriteFile(filepath.Join(dir, now, name), []byte(text), 0o600))
	}
	must(os.Symlink(now, filepath.Join(dir, "..data_tmp")))
	must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	for name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			must(os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
		}
	}
	if old != "" {
		must(os.RemoveAll(filepath.Join(dir, old)))
	}
}

// A real server that asks a cluster who we are; the token in the projected volume is another one at each login, and the one before does
// not hold any more.
func TestKubernetes(t *testing.T) {
	s := policied(t, openbao.Start(t))
	dir := t.TempDir()
	var current string
	show := func(serial int, namespace, name string) {
		current = serviceAccount(namespace, name, serial)
		project(t, dir, serial, map[string]string{"token": current + "\n"})
	}
	show(1, "llm", "dragoman")
	cluster := apiServer(t, func(token string) bool {
		now, err := os.ReadFile(filepath.Join(dir, "token"))
		return err == nil && token == strings.TrimSpace(string(now))
	})
	s.Must(t, http.MethodPost, "sys/auth/clusters/one", map[string]string{"type": "kubernetes"})
	s.Must(t, http.MethodPost, "auth/clusters/one/config", map[string]any{"kubernetes_host": cluster.URL, "token_reviewer_jwt": "reviewer", "disable_local_ca_jwt": true,
		"kubernetes_ca_cert": string(newAuthority(t).pem)})
	s.Must(t, http.MethodPost, "auth/clusters/one/role/dragoman", map[string]any{
		"bound_service_account_names": "dragoman", "bound_service_account_namespaces": "llm", "token_policies": "dragoman", "token_ttl": "2s", "token_max_ttl": "3s",
	})
	v := withToken(s.URL, "")
	v.Token = config.Secret{}
	v.Kubernetes = &config.VaultKubernetes{Role: "dragoman", Mount: "clusters/one", TokenFile: filepath.Join(dir, "token")}
	key := ref("dragoman/openai", "key")

	k, c := keeper(t)
	use(t, k, v, key)
	run(t, k)
	for serial := 2; serial < 4; serial++ {
		show(serial, "llm", "dragoman")
		eventually(t, "a login with the new token", func() bool { return c.login("login") >= serial })
	}
	if st := k.Status(); len(st.Failing) > 0 || c.login("login failed") > 0 {
		t.Errorf("%+v, %v", st, c.logins)
	}

	refused := func(name, want string, v *config.Vault) {
		t.Helper()
		k, _ := keeper(t)
		a := k.Read(v, []config.VaultRef{key})
		if a.Login == nil || !strings.Contains(a.Login.Error(), want) || strings.Contains(a.Login.Error(), current) {
			t.Errorf("%s: %v, want %s", name, a.Login, want)
		}
	}
	with := func(change func(k *config.VaultKubernetes)) *config.Vault {
		other, login := *v, *v.Kubernetes
		change(&login)
		other.Kubernetes = &login
		return &other
	}
	refused("a role that is none", `invalid role name "nobody"`, with(func(k *config.VaultKubernetes) { k.Role = "nobody" }))
	refused("a wrong mount", "permission denied", with(func(k *config.VaultKubernetes) { k.Mount = "kubernetes" }))
	stale := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(stale, []byte(serviceAccount("llm", "dragoman", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a token that was replaced", "permission denied", with(func(k *config.VaultKubernetes) { k.TokenFile = stale }))
	if err := os.WriteFile(stale, []byte("no-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("no JWT", "cannot log in at "+s.URL, with(func(k *config.VaultKubernetes) { k.TokenFile = stale }))
	show(9, "llm", "somebody")
	refused("another service account", "service account name not authorized", v)
}
