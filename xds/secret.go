package xds

import (
	"cmp"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"dragoman/internal/config"
)

// Names of the listener's secrets. A credential's name holds a slash or more after its provider, so none can be the same.
const (
	secretListener = "dragoman.listener"
	secretClientCA = "dragoman.client-ca"
)

// lackingToken stands in for a token that could not be had. The provider refuses it, and Envoy goes on to the next one; with an empty
// secret the injector itself would refuse the request, which Envoy's router takes for the final answer.
const lackingToken = "unavailable"

// secrets holds each credential once (clusters may share one by name) and the listener's certificate.
func secrets(all []*config.Cluster, tokens map[string]string, cert *config.ServerTLS) []*tlsv3.Secret {
	var list []*tlsv3.Secret
	seen := map[string]bool{"": true}
	for _, c := range all {
		if seen[c.SecretName] {
			continue
		}
		seen[c.SecretName] = true
		value := c.Secret.Reveal()
		if c.Grant != nil {
			value = cmp.Or(tokens[c.Grant.ID], lackingToken)
		}
		list = append(list, &tlsv3.Secret{Name: c.SecretName, Type: &tlsv3.Secret_GenericSecret{
			GenericSecret: &tlsv3.GenericSecret{Secret: inline([]byte(value))},
		}})
	}
	if cert == nil {
		return list
	}
	list = append(list, &tlsv3.Secret{Name: secretListener, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(cert.Certificate),
		PrivateKey:       inline([]byte(cert.PrivateKey.Reveal())),
	}}})
	if len(cert.ClientCA) > 0 {
		list = append(list, &tlsv3.Secret{Name: secretClientCA, Type: &tlsv3.Secret_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(cert.ClientCA)},
		}})
	}
	return list
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
