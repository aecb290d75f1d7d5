package xds

import (
	"fmt"
	"net/netip"
	"os"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"dragoman/internal/config"
)

// bundles are where systems keep their CA certificates in one PEM file, as Go's crypto/x509 looks for them.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Alpine, Gentoo
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7 and later
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/ssl/cert.pem",                                 // Alpine, macOS, BSD
}

// SystemRoots finds the system's CA bundle; $SSL_CERT_FILE comes first. "" when there is none.
func SystemRoots() string {
	for _, path := range append([]string{os.Getenv("SSL_CERT_FILE")}, bundles...) {
		if st, err := os.Stat(path); err == nil && !st.IsDir() {
			return path
		}
	}
	return ""
}

// upstreamTLS verifies the provider: a chain to its own CA or the system's, and a certificate for the very name that is asked for.
func upstreamTLS(c *config.Cluster, roots string) (*corev3.TransportSocket, error) {
	ca := &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: roots}}
	switch {
	case len(c.Provider.CAData) > 0:
		ca = inline(c.Provider.CAData)
	case roots == "":
		return nil, fmt.Errorf("provider %s: the system has no CA bundle to verify it by; install ca-certificates or set tls.ca", c.Provider.Name)
	}
	san := &tlsv3.SubjectAltNameMatcher{
		SanType: tlsv3.SubjectAltNameMatcher_DNS,
		Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: c.ServerName}},
	}
	ctx := &tlsv3.UpstreamTlsContext{Sni: c.ServerName, CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsParams: &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
		ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa:                 ca,
			MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{san},
		}},
	}}
	if _, err := netip.ParseAddr(c.ServerName); err == nil {
		ctx.Sni = "" // RFC 6066: no addresses in SNI
		san.SanType = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
	}
	switch c.Provider.HTTP { // with "auto" Envoy offers both by itself
	case "http2":
		ctx.CommonTlsContext.AlpnProtocols = []string{"h2"}
	case "http1":
		ctx.CommonTlsContext.AlpnProtocols = []string{"http/1.1"}
	}
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(ctx)},
	}, nil
}

// downstreamTLS takes the listener's certificate from SDS, so that a rotated one replaces it without a new listener.
func downstreamTLS(cert *config.ServerTLS) *corev3.TransportSocket {
	ctx := &tlsv3.DownstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsParams:                      &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
		AlpnProtocols:                  []string{"h2", "http/1.1"},
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: secretListener, SdsConfig: adsSource()}},
	}}
	if len(cert.ClientCA) > 0 {
		ctx.RequireClientCertificate = flag(cert.RequireClient)
		ctx.CommonTlsContext.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
			ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: secretClientCA, SdsConfig: adsSource()},
		}
	}
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(ctx)},
	}
}
