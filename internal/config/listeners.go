package config

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// maxPEM bounds a certificate or key file: a whole bundle of system roots is a quarter of it.
const maxPEM = 1 << 20

// listeners checks what is listened on, and reads the certificates.
func (b *builder) listeners() {
	cfg := b.cfg
	host, fault := hostPort(cfg.Listen.Address)
	switch {
	case fault != "":
		b.fail("listen.address", "%s", fault)
	case len(cfg.Tenants) == 0 && !isLoopback(host):
		b.fail("listen.address", "%s can be reached from other machines, and without keys everybody there could spend your "+
			"credit: open on loopback only. Listen on 127.0.0.1, or add tenants with keys", cfg.Listen.Address)
	}
	b.processorAddress()
	if _, fault = hostPort(cfg.Envoy.AdminAddress); fault != "" {
		b.fail("envoy.admin_address", "%s", fault)
	}
	if cfg.Listen.Address == cfg.Admin.Address && !strings.HasSuffix(cfg.Admin.Address, ":0") {
		b.fail("admin.address", "must not be the same as listen.address")
	}
	b.snap.TLS = b.serverTLS("listen.tls", cfg.Listen.Tls)
}

func (b *builder) processorAddress() {
	address := b.cfg.Processor.Address
	if path, unix := strings.CutPrefix(address, "unix://"); unix {
		if !strings.HasPrefix(path, "/") || len(path) > 100 {
			b.fail("processor.address", "must be unix:// and an absolute path of at most 100 characters")
		}
		return
	}
	host, fault := hostPort(address)
	if fault != "" {
		b.fail("processor.address", "%s, or unix:///path", fault)
	} else if !isLoopback(host) {
		b.warn("processor.address %s can be reached from other machines: who connects to it as an Envoy would is given the providers' credentials", address)
	}
}

// serverTLS reads what a listener shows and asks for; nil for cleartext.
func (b *builder) serverTLS(path string, t *dragomanv1.ServerTls) *ServerTLS {
	if t == nil {
		return nil
	}
	certificate, okCert := b.pem(path+".certificate", t.Certificate)
	key, okKey := b.pem(path+".private_key", t.PrivateKey)
	if okCert && okKey {
		if _, err := tls.X509KeyPair(certificate, key); err != nil {
			b.fail(path+".certificate", "and %s.private_key are no pair: %s", path, strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	out := &ServerTLS{Certificate: certificate, PrivateKey: NewSecret(string(key), "file "+t.PrivateKey), RequireClient: t.RequireClientCertificate}
	if t.ClientCa != "" {
		out.ClientCA = b.authorities(path+".client_ca", t.ClientCa)
	} else if t.RequireClientCertificate {
		b.fail(path+".require_client_certificate", "needs client_ca to verify them against")
	}
	return out
}

// pem reads a file; false when it could not, or when there is none to read.
func (b *builder) pem(path, file string) ([]byte, bool) {
	if file == "" {
		return nil, false
	}
	data, err := b.read(file, maxPEM)
	if err != nil {
		b.fail(path, "the file %s %s", file, err)
		return nil, false
	}
	return data, true
}

// authorities reads a bundle of certificates.
func (b *builder) authorities(path, file string) []byte {
	data, ok := b.pem(path, file)
	if ok && !x509.NewCertPool().AppendCertsFromPEM(data) {
		b.fail(path, "the file %s holds no PEM certificate", file)
	}
	return data
}
