// Package bootstrap renders the file that an Envoy starts with: where Dragoman is, and that all else comes from there.
package bootstrap

import (
	"bytes"
	_ "embed"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"dragoman/internal/wiring"
)

// MinVersion is the oldest Envoy that can serve with Dragoman: the first with the priority_group cluster specifier.
const MinVersion = "1.40"

// defaultConnections is the most clients' connections at a time.
const defaultConnections = 50_000

// Params of a bootstrap.
type Params struct {
	Processor      string // where Dragoman's gRPC server listens: host:port or unix:///absolute/path
	Admin          string // host:port of Envoy's admin; default 127.0.0.1:0, a free port
	NodeID         string // default wiring.NodeID; Dragoman serves any
	MaxConnections uint32 // of clients, at a time; default 50,000
}

// Address is a parsed host:port, or the path of a Unix-domain socket.
type Address struct {
	Path string
	Host string
	Port uint16
	DNS  bool // Host is a name and no IP address
}

//go:embed bootstrap.yaml.tmpl
var source string

var page = template.Must(template.New("bootstrap").Funcs(template.FuncMap{"q": strconv.QuoteToASCII}).Parse(source))

// Render writes the bootstrap as YAML with comments. The same Params give the same bytes.
func Render(p Params) ([]byte, error) {
	processor, err := ParseAddress(p.Processor)
	if err != nil {
		return nil, fmt.Errorf("processor.address: %w", err)
	}
	if p.Admin == "" {
		p.Admin = "127.0.0.1:0"
	}
	admin, err := ParseAddress(p.Admin)
	if err != nil || admin.Path != "" || admin.DNS {
		return nil, fmt.Errorf("envoy.admin_address: %q is not an IP address with a port", p.Admin)
	}
	if p.NodeID == "" {
		p.NodeID = wiring.NodeID
	}
	if p.MaxConnections == 0 {
		p.MaxConnections = defaultConnections
	}
	var out bytes.Buffer
	err = page.Execute(&out, struct {
		Version, NodeID, NodeCluster, Cluster string
		Admin, Processor                      Address
		MaxConnections                        uint32
	}{MinVersion, p.NodeID, wiring.NodeCluster, wiring.Cluster, admin, processor, p.MaxConnections})
	return out.Bytes(), err
}

// ParseAddress reads host:port or unix:///absolute/path.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix://"); ok {
		if !filepath.IsAbs(path) {
			return Address{}, fmt.Errorf("%q: a socket needs an absolute path: unix:///run/dragoman.sock", s)
		}
		if len(path) > maxSocketPath {
			return Address{}, fmt.Errorf("%q: a socket's path has at most %d bytes", s, maxSocketPath)
		}
		return Address{Path: path}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Address{}, fmt.Errorf("%q is neither host:port nor unix:///path", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" {
		return Address{}, fmt.Errorf("%q is neither host:port nor unix:///path", s)
	}
	a := Address{Host: host, Port: uint16(n)}
	if host == "localhost" {
		a.Host = "127.0.0.1"
	} else if _, err := netip.ParseAddr(host); err != nil {
		a.DNS = true
	}
	return a, nil
}

// maxSocketPath is what sockaddr_un holds, less its final zero byte.
const maxSocketPath = 107
