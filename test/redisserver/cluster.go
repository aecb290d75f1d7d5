package redisserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// slots is how many there are in every cluster.
const slots = 16384

// Cluster is a Redis Cluster of masters without replicas, on loopback.
type Cluster struct{ Nodes []*Server }

// Addresses are those of all nodes.
func (c *Cluster) Addresses() []string {
	list := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		list[i] = n.Addr
	}
	return list
}

// StartCluster starts a cluster of n nodes, each with an equal share of the slots. It ends with the test.
func StartCluster(t testing.TB, n int) *Cluster {
	t.Helper()
	c := &Cluster{}
	var buses []string
	for range n {
		bus, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(bus)
		buses = append(buses, port)
		// A node that is lost must not stop the others: a gateway has to live with the part that is left.
		c.Nodes = append(c.Nodes, Start(t, "--cluster-enabled", "yes", "--cluster-port", port, "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "2000"))
	}
	for i, node := range c.Nodes {
		commands := []string{fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", slots*i/n, slots*(i+1)/n-1)}
		if i > 0 {
			host, port, _ := net.SplitHostPort(c.Nodes[0].Addr)
			commands = append(commands, "CLUSTER MEET "+host+" "+port+" "+buses[0])
		}
		for _, command := range commands {
			if answer, err := node.command(command); err != nil || !strings.HasPrefix(answer, "+OK") {
				t.Fatalf("%s: %q, %v", command, answer, err)
			}
		}
	}
	if err := c.wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

// wait returns when every node knows all others and where every slot is.
func (c *Cluster) wait() error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ready := 0
		for _, node := range c.Nodes {
			info, err := node.command("CLUSTER INFO")
			if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(c.Nodes))) &&
				strings.Contains(info, fmt.Sprintf("cluster_slots_assigned:%d\r", slots)) {
				ready++
			}
		}
		if ready == len(c.Nodes) {
			return nil
		}
	}
	return errors.New("redisserver: the cluster does not come together")
}

// command sends one command in its plain form, and gives the answer as it comes: a line, or a text.
func (s *Server) command(line string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprint(conn, line+"\r\n"); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	first, err := in.ReadString('\n')
	if err != nil || !strings.HasPrefix(first, "$") {
		return first, err
	}
	var n int
	if _, err := fmt.Sscanf(first, "$%d", &n); err != nil || n < 0 || n > 1<<20 {
		return "", fmt.Errorf("redisserver: answer %q: %w", first, err)
	}
	text := make([]byte, n)
	_, err = io.ReadFull(in, text)
	return string(text), err
}
