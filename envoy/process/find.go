// Package process runs the Envoy that Dragoman supervises: finds a binary that is new enough, starts it with a bootstrap, watches it by its
// admin port (never by its log), and stops it without cutting streams that are under way. START READING AT process.go.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dragoman/envoy/bootstrap"
)

// EnvBinary is the environment variable that names the Envoy to use.
const EnvBinary = "DRAGOMAN_ENVOY"

// pinned is where `make` puts the pinned Envoy, below the repository's root.
var pinned = filepath.Join(".tools", "envoy", "envoy")

// Find returns the path of the Envoy to use: the configured one, else $DRAGOMAN_ENVOY, else the pinned one at or above the folder
// of this program or the working one, else envoy on $PATH. The first that is named must exist: a typing error does not
// silently run another one.
func Find(configured string) (string, error) {
	if configured != "" {
		return runnable(configured, "envoy.binary")
	}
	if path := os.Getenv(EnvBinary); path != "" {
		return runnable(path, "$"+EnvBinary)
	}
	for _, start := range starts() {
		if path := upward(start); path != "" {
			return path, nil
		}
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return filepath.Abs(path)
	}
	return "", errors.New("no Envoy was found. Run `make envoy` to fetch the pinned one, or name one by envoy.binary, by $" +
		EnvBinary + " or on $PATH. It must be " + bootstrap.MinVersion + " or later")
}

func runnable(path, by string) (string, error) {
	found, err := exec.LookPath(path)
	if err != nil {
		return "", fmt.Errorf("%s: there is no program at %s", by, path)
	}
	return filepath.Abs(found)
}

func starts() []string {
	var all []string
	if exe, err := os.Executable(); err == nil {
		all = append(all, filepath.Dir(exe))
	}
	if wd, err := os.Getwd(); err == nil {
		all = append(all, wd)
	}
	return all
}

// upward looks for the pinned Envoy in a folder and those above it.
func upward(dir string) string {
	for {
		path := filepath.Join(dir, pinned)
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
		above := filepath.Dir(dir)
		if above == dir {
			return ""
		}
		dir = above
	}
}

// versionTimeout bounds `envoy --version`.
const versionTimeout = 10 * time.Second

// envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL
var versionLine = regexp.MustCompile(`version: [^/\s]*/(\d+)\.(\d+)\.(\d+[^/\s]*)/`)

// Version asks a binary for its version and fails when it is too old for Dragoman, or no Envoy.
func Version(ctx context.Context, binary string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w: %s", binary, err, clip(strings.TrimSpace(string(out)), 300))
	}
	m := versionLine.FindStringSubmatch(string(out))
	if m == nil {
		return "", fmt.Errorf("%s is no Envoy: --version printed %q", binary, clip(strings.TrimSpace(string(out)), 100))
	}
	version := m[1] + "." + m[2] + "." + m[3]
	if older(m[1], m[2]) {
		return version, fmt.Errorf("%s is Envoy %s; Dragoman needs %s or later, which can fail over between providers "+
			"by an order made per request. Run `make envoy` to fetch the pinned one",
			binary, version, bootstrap.MinVersion)
	}
	return version, nil
}

func older(major, minor string) bool {
	least, _, _ := strings.Cut(bootstrap.MinVersion, ".")
	if major != least {
		a, _ := strconv.Atoi(major)
		b, _ := strconv.Atoi(least)
		return a < b
	}
	a, _ := strconv.Atoi(minor)
	b, _ := strconv.Atoi(strings.TrimPrefix(bootstrap.MinVersion, least+"."))
	return a < b
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
