package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	benchKeyEnv = "DRAGOMAN_BENCH_KEY"
	benchKey    = "sk-bench-0123456789abcdef"  // no secret: the fake provider takes anything
	callerKey   = "dgm-bench-0123456789abcdef" // of the one caller that there is
)

// gateway is a running `dragoman run`: the program under test with the Envoy that it started.
type gateway struct {
	*child
	address string // of Envoy's listener
	envoy   procStat
}

// helperName is the embedder's, as far as the kernel keeps names.
const helperName = "dragoman-embedd"

// dragomanConfig is what a newcomer would write for these providers, with Envoy's worker threads as the plain Envoy has
// them. Everything else is as it comes.
func dragomanConfig(o *options, listen, admin string, a providerAddresses, setup, redis string) string {
	provider := func(name, schema, address string) string {
		return fmt.Sprintf("- {name: %s, schema: %s, endpoint: \"http://%s\", catalogue: none, credentials: [{secret: {env: %s}}]}\n", name, schema, address, benchKeyEnv)
	}
	config := fmt.Sprintf("listen: {address: %s}\nadmin: {address: %s}\nenvoy: {concurrency: %d}\n", listen, admin, o.workers) +
		"providers:\n" + provider("up", "openai", a.Up) + provider("claude", "anthropic", a.Up) + failing(a) + `models:
- {name: up-model, provider: up, price: {input: 1, output: 4}, capabilities: [streaming]}
- {name: claude-model, provider: claude, price: {input: 1, output: 4}, capabilities: [streaming]}
- {name: down-model, provider: down, price: {input: 1, output: 4}, capabilities: [streaming]}
routes:
- {model: ` + modelPlain + `, strategy: fallback, candidates: [up-model, claude-model]}
- {model: ` + modelTranslated + `, strategy: fallback, candidates: [claude-model, up-model]}
- {model: ` + modelFailover + `, strategy: fallback, candidates: [down-model, up-model]}
`
	switch setup {
	case "-cache":
		config += "cache: {exact: {ttl: 1h}}\n"
	case "-semantic":
		// With the usual deadline, one late lookup would store the answer, and every later one be an exact hit.
		config += "cache: {exact: {ttl: 1h}, semantic: {every_route: true, timeout: 5s}}\n"
	default:
		config += governing(callers(setup), redis)
	}
	return config
}

// governing is what a setup knows and counts of the one caller that there is.
func governing(c callers, redis string) string {
	config := ""
	switch c {
	case callersKeyed:
		return hierarchy(levels{}) + "ledger: {enabled: false}\n"
	case callersGoverned, callersRedis:
		config = hierarchy(levels{organisation: aBudget, tenant: aMinute + ", " + aBudget, key: aMinute})
	case callersDeep, callersDeepRedis:
		config = hierarchy(levels{everyLimit, everyLimit, everyLimit, everyLimit, everyLimit}) + "global: {" + everyLimit + "}\n"
	default:
		return ""
	}
	config += "ledger: {on_full: refuse}\n"
	if c.inRedis() {
		config += "store: {redis: {address: \"" + redis + "\"}}\n"
	}
	return config
}

// Limits that a benchmark does not come near: those that people set, and every kind of limit and a budget.
const (
	aMinute    = "limits: {requests_per_minute: 100000000, tokens_per_minute: 100000000000}"
	aBudget    = "budgets: [{usd: 100000000, per: month}]"
	everyLimit = "limits: {requests_per_minute: 100000000, tokens_per_minute: 100000000000, concurrent_requests: 100000}, " + aBudget
)

// levels are the limits of each level of the hierarchy, "" for none.
type levels struct{ organisation, tenant, team, user, key string }

// hierarchy is the one caller with every level above the key.
func hierarchy(l levels) string {
	then := func(limits string) string {
		if limits == "" {
			return ""
		}
		return limits + ", "
	}
	return fmt.Sprintf("organisations: [{%sname: group}]\ntenants: [{name: acme, organisation: group, %steams: [{name: search, %susers: [{name: ada, %skeys: [{name: laptop, %shash: \"sha256:%x\"}]}]}]}]\n",
		then(l.organisation), then(l.tenant), then(l.team), then(l.user), then(l.key), sha256.Sum256([]byte(callerKey)))
}

// failing is a provider whose first attempt always fails. Health would learn that within a second, and the second provider
// would be asked at once, which is right and not what is to be measured: so it has a spare endpoint that looks healthy,
// because it gets next to no traffic, and failures take no weight from the first.
func failing(a providerAddresses) string {
	return fmt.Sprintf("- {name: down, schema: openai, catalogue: none, credentials: [{secret: {env: %s}}], endpoints: [{url: \"http://%s\", weight: 1000}, {url: \"http://%s\", weight: 0}]}\n",
		benchKeyEnv, a.Down, a.Up) + "health: {floor: 100}\n"
}

// startDragoman starts a build of Dragoman and waits until its gateway serves.
func startDragoman(ctx context.Context, o *options, name, binary, dir string, a providerAddresses, setup, redis string) (*gateway, error) {
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, name+".yaml")
	if err := os.WriteFile(config, []byte(dragomanConfig(o, listen, admin, a, setup, redis)), 0o600); err != nil {
		return nil, err
	}
	runDir := filepath.Join(dir, name)
	cmd := exec.Command(binary, "run", "--config", config, "--envoy", o.envoy, "--run-dir", runDir, "--drain", "1s")
	cmd.Env = append(os.Environ(), benchKeyEnv+"="+benchKey, "STATE_DIRECTORY="+filepath.Join(dir, name+"-state")) // not the user's own ledger
	c, err := start(name, dir, cmd)
	if err != nil {
		return nil, err
	}
	g := &gateway{child: c, address: listen}
	err = poll(ctx, name, c.ended, func() error { return ready(ctx, "http://"+admin+"/readyz") })
	if err == nil {
		g.envoy, err = childNamed("/proc", c.pid(), filepath.Base(o.envoy))
	}
	if err != nil {
		g.stop()
		return nil, fmt.Errorf("%w\n%s%s", err, tail(c.log), tail(filepath.Join(runDir, "envoy.log")))
	}
	return g, nil
}

// stop ends Dragoman, which ends its Envoy. One that is left over after Dragoman had to be killed is ended here, if it is
// still the same process.
func (g *gateway) stop() {
	g.child.stop()
	if g.envoy.pid == 0 {
		return
	}
	if s, err := statOf("/proc", g.envoy.pid); err == nil && s.started == g.envoy.started {
		syscall.Kill(g.envoy.pid, syscall.SIGKILL)
	}
}

// freeAddress is a port that was free a moment ago. Dragoman is told its ports rather than asked for them, as by a user.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// direct is a client that asks no proxy of the environment for loopback.
var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}

func ready(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := direct.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
