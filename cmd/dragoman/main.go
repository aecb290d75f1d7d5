// Command dragoman is an LLM gateway: Envoy carries the traffic, Dragoman stands beside it and decides. This file is the
// command line only; the program is internal/app.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"dragoman/internal/app"
)

type cli struct {
	Run       runCmd       `cmd:"" help:"Start Envoy and Dragoman: the gateway in one command."`
	Serve     serveCmd     `cmd:"" help:"Start Dragoman alone (ext_proc and xDS), for an Envoy of your own."`
	Bootstrap bootstrapCmd `cmd:"" help:"Print the bootstrap for an Envoy of your own."`
	Check     checkCmd     `cmd:"" help:"Validate a config; with --request, explain what would happen to a request, without sending it."`
	Keys      keysCmd      `cmd:"" help:"Make keys for callers."`
	Bench     benchCmd     `cmd:"" help:"Measure parts of Dragoman on your own data."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// configFlags are shared by every command that reads a config.
type configFlags struct {
	Config    string `short:"c" placeholder:"FILE" help:"Config file. Without one, providers are discovered from the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, ...)." env:"DRAGOMAN_CONFIG"`
	Listen    string `placeholder:"HOST:PORT" help:"Gateway address; overrides listen.address (default 127.0.0.1:8080)."`
	Admin     string `placeholder:"HOST:PORT" help:"Admin address with /metrics, /healthz, /readyz; overrides admin.address (default 127.0.0.1:8081)."`
	Processor string `placeholder:"ADDRESS" help:"Where Envoy reaches Dragoman, host:port or unix:///path; overrides processor.address."`
	LogLevel  string `placeholder:"LEVEL" help:"debug, info, warn or error; overrides log.level."`
}

func (c configFlags) options() app.Options {
	return app.Options{
		ConfigFile: c.Config, Listen: c.Listen, Admin: c.Admin, Processor: c.Processor, LogLevel: c.LogLevel,
		LookupEnv: os.LookupEnv, Stdout: os.Stdout, Stderr: os.Stderr,
	}
}

type runCmd struct {
	configFlags
	EnvoyBinary string        `name:"envoy" placeholder:"PATH" help:"Envoy 1.40 or later; overrides envoy.binary. Else $DRAGOMAN_ENVOY, the one that make fetched, or $PATH."`
	RunDir      string        `placeholder:"DIR" help:"Where Envoy's config, socket and log are kept (default: a private temporary folder)."`
	Drain       time.Duration `default:"30s" help:"How long requests in flight may take to finish after Ctrl-C."`
}

func (c *runCmd) Run(ctx context.Context) error {
	o := c.options()
	o.Envoy, o.EnvoyBinary, o.RunDir, o.Drain = true, c.EnvoyBinary, c.RunDir, c.Drain
	return start(ctx, o)
}

type serveCmd struct {
	configFlags
	Drain time.Duration `default:"30s" help:"How long requests in flight may take to finish after SIGTERM."`
}

func (c *serveCmd) Run(ctx context.Context) error {
	o := c.options()
	o.Drain = c.Drain
	return start(ctx, o)
}

// start runs the program until it is told to stop; SIGHUP reloads the config.
func start(ctx context.Context, o app.Options) error {
	app.TuneRuntime(os.LookupEnv, o.Envoy)
	a, err := app.New(o)
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for range hup {
			_ = a.Reload() // a refused reload is logged with its reasons, and shown at /status
		}
	}()
	return a.Run(ctx)
}

type bootstrapCmd struct {
	configFlags
	EnvoyAdmin string `placeholder:"HOST:PORT" default:"127.0.0.1:9901" help:"Envoy's own admin address."`
}

func (c *bootstrapCmd) Run() error { return app.Bootstrap(c.options(), c.EnvoyAdmin) }

type checkCmd struct {
	configFlags
	Request string `placeholder:"FILE" help:"A request body to explain (- for standard input)."`
	Path    string `default:"/v1/chat/completions" help:"The path that the request would be sent to: it says which schema the body is in."`
	Key     string `placeholder:"TENANT/KEY" help:"Explain as this key of the config (tenant/key or tenant/team/key)."`
	JSON    bool   `name:"json" help:"Print the explanation as JSON."`
}

func (c *checkCmd) Run() error {
	return app.Check(c.options(), app.Question{Request: c.Request, Path: c.Path, Key: c.Key, JSON: c.JSON})
}

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key: printed once, with the hash that belongs into the config."`
}

type keysCreateCmd struct{}

func (keysCreateCmd) Run() error { return app.CreateKey(os.Stdout) }

type benchCmd struct {
	Cache benchCacheCmd `cmd:"" help:"How well the semantic cache tells the same question from one that only looks alike."`
}

type benchCacheCmd struct {
	Pairs     string  `required:"" placeholder:"FILE" help:"JSON lines with a, b (texts) and same_answer (- for standard input)."`
	Threshold float64 `default:"0.95" help:"Cosine similarity of the summary and of the list of mistakes."`
	JSON      bool    `name:"json" help:"Print one object with precision, recall and false_hit_rate of the guarded tier at the threshold, and nothing else."`
	SVG       string  `name:"svg" placeholder:"FILE" help:"Also draw the curves into this file."`
	Split     string  `default:"all" enum:"all,even,odd" help:"Use only the even or odd rows, counted from 0."`
	Show      int     `default:"0" placeholder:"N" help:"List at most so many wrong hits, and right ones that a guard refused."`
	Embedder  string  `placeholder:"DIR" help:"Folder of the local embedder. Else $DRAGOMAN_EMBEDDER, the one beside the binary, or the one that make embedder fills."`
}

func (c *benchCacheCmd) Run(ctx context.Context) error {
	return app.BenchCache(ctx, app.CacheBench{Pairs: c.Pairs, Threshold: c.Threshold, JSON: c.JSON, SVG: c.SVG, Split: c.Split, Show: c.Show,
		Embedder: c.Embedder, LookupEnv: os.LookupEnv, Stdout: os.Stdout, Stderr: os.Stderr})
}

type versionCmd struct{}

func (versionCmd) Run() error {
	_, err := fmt.Println("dragoman", app.Version)
	return err
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c,
		kong.Name("dragoman"),
		kong.Description("An LLM gateway made of Envoy and a Go sidecar. `dragoman run` needs no config."),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	err := k.Run()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "dragoman:", err)
		os.Exit(1)
	}
}
