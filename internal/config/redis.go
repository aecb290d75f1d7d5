package config

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strconv"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Redis is where the state that replicas share is kept.
type Redis struct {
	Addresses   []string // host:port
	Master      string   // of sentinels; "" for a server or a cluster
	Cluster     bool
	Database    int
	Username    string
	Password    Secret
	TLS         bool
	ServerName  string // SNI and verified name, "": the address's host
	CA          []byte // PEM, nil: the system roots
	Prefix      string // of every key
	Connections int    // at most
}

// Same says whether o is the same store reached the same way, so that its connections can be kept over a reload.
func (r *Redis) Same(o *Redis) bool {
	if r == nil || o == nil {
		return r == o
	}
	return slices.Equal(r.Addresses, o.Addresses) && r.Master == o.Master && r.Cluster == o.Cluster && r.Database == o.Database &&
		r.Username == o.Username && r.Password == o.Password && r.TLS == o.TLS && r.ServerName == o.ServerName &&
		bytes.Equal(r.CA, o.CA) && r.Prefix == o.Prefix && r.Connections == o.Connections
}

// redis compiles store.redis.
func (b *builder) redis() {
	r := b.cfg.GetStore().GetRedis()
	if r == nil {
		return
	}
	out := &Redis{Addresses: b.redisAddresses(r), Master: r.SentinelMaster, Cluster: r.Cluster, Database: int(r.Database),
		Username: r.Username, Prefix: r.Prefix, Connections: int(r.Connections)}
	const path = "store.redis"
	if r.Cluster && r.SentinelMaster != "" {
		b.fail(path+".cluster", "and sentinel_master exclude each other")
	}
	if r.Cluster && r.Database != 0 {
		b.fail(path+".database", "must be 0: a cluster has only one")
	}
	if len(r.Addresses) > 1 && !r.Cluster && r.SentinelMaster == "" {
		b.fail(path+".addresses", "are of one server: name it alone, or say cluster: true, or the sentinel_master")
	}
	if len(r.Prefix) > 64 {
		b.fail(path+".prefix", "must be at most 64 bytes")
	}
	if r.Password != nil {
		out.Password = b.secret(path+".password", r.Password)
	}
	if t := r.Tls; t != nil {
		out.TLS, out.ServerName = true, t.ServerName
		if t.Ca != "" {
			out.CA = b.authorities(path+".tls.ca", t.Ca)
		}
	}
	b.redisClear(out)
	b.snap.Redis = out
}

func (b *builder) redisAddresses(r *dragomanv1.Redis) []string {
	const path = "store.redis"
	switch {
	case r.Address != "" && len(r.Addresses) > 0:
		b.fail(path+".address", "and addresses exclude each other")
	case r.Address != "":
		b.redisAddress(path+".address", r.Address)
		return []string{r.Address}
	case len(r.Addresses) == 0:
		b.fail(path+".address", "is missing: host:port")
	}
	for i, a := range r.Addresses {
		b.redisAddress(fmt.Sprintf("%s.addresses[%d]", path, i), a)
	}
	return r.Addresses
}

func (b *builder) redisAddress(path, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		b.fail(path, `must be a host and a port, such as "redis:6379"`)
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		b.fail(path, "has a port that is not from 1 to 65535")
	}
}

// redisClear warns of a password that anybody on the way can read.
func (b *builder) redisClear(r *Redis) {
	if r.TLS || r.Password.Source() == "" {
		return
	}
	for _, a := range r.Addresses {
		if host, _, err := net.SplitHostPort(a); err == nil && !isLoopback(host) {
			b.warn("store.redis: the password is sent to %s in clear text: add tls", a)
			return
		}
	}
}
