package redis

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragoman/internal/config"
	"dragoman/internal/store/storetest"
	"dragoman/processor/limit"
	"dragoman/test/redisserver"
)

// startCluster makes a Redis Cluster of three masters on loopback.
func startCluster(t *testing.T) []string {
	t.Helper()
	var addrs []string
	var nodes []*goredis.Client
	bus := make([]string, 3)
	for i := range bus {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, bus[i], _ = net.SplitHostPort(l.Addr().String())
		l.Close()
		s := redisserver.Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", bus[i], "--cluster-node-timeout", "5000")
		addrs = append(addrs, s.Addr)
		c := goredis.NewClient(&goredis.Options{Addr: s.Addr})
		t.Cleanup(func() { _ = c.Close() })
		nodes = append(nodes, c)
	}
	const slots = 16384
	for i, c := range nodes {
		if err := c.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", i*slots/3, (i+1)*slots/3-1).Err(); err != nil {
			t.Fatal(err)
		}
		host, port, _ := net.SplitHostPort(addrs[i])
		if err := nodes[0].Do(t.Context(), "CLUSTER", "MEET", host, port, bus[i]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range nodes {
		waitFor(t, func() bool {
			info, err := c.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		}, "the cluster does not form")
	}
	return addrs
}

// TestLimitsOfACluster: the suite, and organisations that live in different nodes with a global budget over all.
func TestLimitsOfACluster(t *testing.T) {
	addrs := startCluster(t)
	open := func(t *testing.T, o LimitOptions) (*Limits, func()) {
		client := Open(&config.Redis{Addresses: addrs, Cluster: true, Prefix: "test:", Connections: 16}, Options{})
		t.Cleanup(func() { _ = client.Close() })
		waitFor(t, client.Available, "the cluster is not found")
		err := client.db.(*goredis.ClusterClient).ForEachMaster(t.Context(), func(ctx context.Context, c *goredis.Client) error { return c.FlushAll(ctx).Err() })
		if err != nil {
			t.Fatal(err)
		}
		return openLimits(t, client, o)
	}
	t.Run("suite", func(t *testing.T) {
		storetest.Limits(t, func(t *testing.T, now func() time.Time) (limit.Store, func()) {
			return open(t, LimitOptions{Clock: now, Wait: patientWait})
		})
	})
	t.Run("global", func(t *testing.T) {
		l, calm := open(t, LimitOptions{Wait: patientWait})
		g := limit.NewGate(limit.Options{Quota: config.Quota{Lease: time.Minute, MinOutput: 1}, Store: l, Shared: true})
		everybody := budgetOf("global", 1000, true)
		granted := int64(0)
		for i := range 100 {
			slot := fmt.Sprintf("organisation:%d", i%7)
			p := &config.Principal{Slot: slot, Meters: []*config.Meter{everybody, budgetOf(slot, 1_000_000, false)}}
			r, _, err := g.Reserve(t.Context(), tokensOf(p, fmt.Sprint("r", i), 30))
			if err != nil {
				continue
			}
			granted += 30
			settleTokens(g, r, 30)
		}
		if granted > 1000 || granted < 930 {
			t.Errorf("%d granted of 1000", granted)
		}
		calm()
		l.leases.close()
		wantCounter(t, g, everybody, granted)
	})
}
