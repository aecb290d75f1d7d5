package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"dragoman/internal/config"
)

// cloudScope is what Vertex AI's methods ask for: https://cloud.google.com/vertex-ai/docs/authentication.
const cloudScope = "https://www.googleapis.com/auth/cloud-platform"

var errUseless = errors.New("the answer holds no token, or one that has expired")

// Open makes the source of a grant's tokens. Each call of it asks anew: the Keeper alone keeps tokens.
func Open(g *config.Grant) Source { return open(g, http.DefaultTransport) }

func open(g *config.Grant, transport http.RoundTripper) Source {
	client := &http.Client{Transport: transport, Timeout: patience, CheckRedirect: noRedirect}
	switch {
	case g.Entra != nil:
		return sanitized(entraSource(g.Entra, client))
	case g.Google.Metadata:
		return sanitized(metadataSource(client))
	default:
		return sanitized(googleSource(g.Google, client))
	}
}

// noRedirect: a token endpoint has no reason to send a credential elsewhere.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// googleSource exchanges a key file, whose own token_uri says where.
func googleSource(g *config.GoogleGrant, client *http.Client) Source {
	return func(ctx context.Context) (Token, error) {
		ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
		c, err := google.CredentialsFromJSONWithTypeAndParams(ctx, []byte(g.Key.Reveal()), google.CredentialsType(g.Type),
			google.CredentialsParams{Scopes: []string{cloudScope}})
		if err != nil {
			return Token{}, errors.New("the key file is not complete") // the cause may quote it
		}
		t, err := c.TokenSource.Token()
		if err != nil {
			return Token{}, err
		}
		return Token{Value: t.AccessToken, Expires: t.Expiry}, nil
	}
}

// metadataSource asks the machine: https://cloud.google.com/compute/docs/access/authenticate-workloads.
func metadataSource(client *http.Client) Source {
	server := metadata.NewClient(client)
	return func(ctx context.Context) (Token, error) {
		body, err := server.GetWithContext(ctx, "instance/service-accounts/default/token?scopes="+url.QueryEscape(cloudScope))
		if err != nil {
			return Token{}, err
		}
		var answer struct {
			AccessToken string `json:"access_token"`
			ExpiresIn   int64  `json:"expires_in"`
		}
		if json.Unmarshal([]byte(body), &answer) != nil || answer.ExpiresIn > int64((365*24*time.Hour).Seconds()) {
			return Token{}, errUseless
		}
		return Token{Value: answer.AccessToken, Expires: time.Now().Add(time.Duration(answer.ExpiresIn) * time.Second)}, nil
	}
}

func entraSource(g *config.EntraGrant, client *http.Client) Source {
	return func(ctx context.Context) (Token, error) {
		c, err := entraCredential(g, client)
		if err != nil {
			return Token{}, err
		}
		t, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{g.Scope}})
		return Token{Value: t.Token, Expires: t.ExpiresOn}, err
	}
}

// entraCredential is made anew for each token: the library keeps tokens, and would give one back that is about to end.
func entraCredential(g *config.EntraGrant, client *http.Client) (azcore.TokenCredential, error) {
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: g.Authority},
		Transport: client,
		Retry:     policy.RetryOptions{MaxRetries: -1}, // the Keeper tries again
	}
	switch {
	case g.ManagedIdentity:
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if g.Client != "" {
			o.ID = azidentity.ClientID(g.Client)
		}
		return azidentity.NewManagedIdentityCredential(o)
	case g.TokenFile != "":
		// The library reads the file, at each use. That it can is worth an error of our own.
		if _, err := os.Stat(g.TokenFile); err != nil {
			return nil, errors.New("the file of the federated token cannot be read")
		}
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, TenantID: g.Tenant, ClientID: g.Client, TokenFilePath: g.TokenFile, DisableInstanceDiscovery: true,
		})
	default:
		return azidentity.NewClientSecretCredential(g.Tenant, g.Client, g.ClientSecret.Reveal(),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	}
}

// sanitized replaces a source's errors, which quote requests and answers, by what an operator needs.
func sanitized(s Source) Source {
	return func(ctx context.Context) (Token, error) {
		t, err := s(ctx)
		if err != nil {
			return Token{}, errors.New(reason(err))
		}
		return t, nil
	}
}

// reason says why a token was not given, from a closed set of forms: status and code of an answer, or how the connection failed.
func reason(err error) string {
	var google *oauth2.RetrieveError
	var entra *azidentity.AuthenticationFailedError
	var gce *metadata.Error
	var network *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, errUseless):
		return err.Error()
	case errors.As(err, &google):
		return refused(google.Response, google.Body)
	case errors.As(err, &entra) && entra.RawResponse != nil:
		return fmt.Sprintf("the token endpoint answered %d%s", entra.RawResponse.StatusCode, entraNumber(err.Error()))
	case errors.As(err, &gce):
		return fmt.Sprintf("the metadata server answered %d", gce.Code)
	case errors.Is(err, context.DeadlineExceeded):
		return "the token endpoint did not answer in time"
	case errors.As(err, &dns):
		return "the token endpoint's name is not known: " + dns.Name
	case errors.As(err, &network):
		return "the token endpoint cannot be reached: " + network.Err.Error()
	}
	var own *url.Error
	if errors.As(err, &own) {
		return "the token endpoint cannot be asked"
	}
	if strings.HasPrefix(err.Error(), "the ") { // of this package
		return err.Error()
	}
	return "the token could not be made from the credential"
}

// entraNumber finds the number of Entra's error, which its documentation explains, in the library's text: the answer itself has been read.
func entraNumber(text string) string {
	_, after, found := strings.Cut(text, "AADSTS")
	end := 0
	for end < len(after) && end < 9 && '0' <= after[end] && after[end] <= '9' {
		end++
	}
	if !found || end == 0 {
		return ""
	}
	return " (AADSTS" + after[:end] + ")"
}

// refused is RFC 6749's error code, which is a word; never the description.
func refused(r *http.Response, body []byte) string {
	var answer struct {
		Error string `json:"error"`
	}
	status := 0
	if r != nil {
		status = r.StatusCode
	}
	text := fmt.Sprintf("the token endpoint answered %d", status)
	if json.Unmarshal(body, &answer) == nil && isWord(answer.Error) {
		text += " " + answer.Error
	}
	return text
}

func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && c != '-' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
