// Command dragoman is an LLM gateway: Envoy carries the traffic, Dragoman stands beside it and decides. This file is the
// command line only; the program is internal/app.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	Keys      keysCmd      `cmd:"" help:"Make, list, rotate and revoke keys for callers."`
	Tokens    tokensCmd    `cmd:"" help:"Make, list and revoke tokens of those who administer."`
	Bench     benchCmd     `cmd:"" help:"Measure parts of Dragoman on your own data."`
	Train     trainCmd     `cmd:"" help:"Fit the task and difficulty classifier on your own labelled prompts."`
	Classify  classifyCmd  `cmd:"" help:"Show the task and the difficulty of a text, and why."`
	Usage     usageCmd     `cmd:"" help:"Show what was used and what it cost, from the ledger."`
	Ledger    ledgerCmd    `cmd:"" help:"Export, verify and rebuild the ledger."`
	Audit     auditCmd     `cmd:"" help:"Verify the audit trail."`
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
	Request string   `placeholder:"FILE" help:"A request body to explain (- for standard input)."`
	Path    string   `default:"/v1/chat/completions" help:"The path that the request would be sent to: it says which schema the body is in."`
	Key     string   `placeholder:"TENANT/KEY" help:"Explain as this key of the config or of the store of keys (tenant/key, tenant/team/@user/key)."`
	Claims  string   `placeholder:"FILE" help:"Explain as the bearer of a token with these claims (JSON, - for standard input); alone: show who that is."`
	San     string   `name:"san" placeholder:"URI" help:"Explain as the owner of a certificate with this subject alternative name; alone: show who that is."`
	Header  []string `short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"A header of the request, for rules, wishes and deadlines; repeatable."`
	JSON    bool     `name:"json" help:"Print the explanation as JSON."`
}

func (c *checkCmd) Run() error {
	return app.Check(c.options(), app.Question{Request: c.Request, Path: c.Path, Key: c.Key, Claims: c.Claims, SAN: c.San, Headers: c.Header, JSON: c.JSON})
}

type benchCmd struct {
	Models  benchModelsCmd  `cmd:"" help:"Measure the models behind a running gateway, and write the result as catalogue overrides."`
	Routing benchRoutingCmd `cmd:"" help:"How well the classifier tells prompts that need the strong model (APGR, CPT50, CPT80)."`
	Cache   benchCacheCmd   `cmd:"" help:"How well the semantic cache tells the same question from one that only looks alike."`
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

// fieldFlags name the members of a file of labelled prompts.
type fieldFlags struct {
	PromptField string `placeholder:"NAME" help:"Member that holds the prompt (default: prompt, text, question, input or messages)."`
	WeakField   string `placeholder:"NAME" help:"Member with the quality of the weak model's answer (default: weak, weak_score or weak_correct)."`
	StrongField string `placeholder:"NAME" help:"Member with the quality of the strong model's answer (default: strong, strong_score or strong_correct)."`
	GroupField  string `placeholder:"NAME" help:"Member that says which prompts belong together (default: group, subject or topic)."`
}

func (f fieldFlags) fields() app.TrainFields {
	return app.TrainFields{Prompt: f.PromptField, Weak: f.WeakField, Strong: f.StrongField, Group: f.GroupField}
}

type trainCmd struct {
	fieldFlags
	From string   `required:"" placeholder:"FILE" help:"JSON lines: a prompt each, with weak and strong, weak, better, difficulty or task (- for standard input)."`
	Out  string   `placeholder:"FILE" help:"Write the weights here."`
	Test []string `enum:"random,grouped" sep:"," placeholder:"SPLIT" help:"random, grouped or both; default: grouped where the prompts have groups, then random."`
	Seed uint64   `default:"1" help:"Of the folds."`
	JSON bool     `name:"json" help:"Print the reports as JSON, and nothing else."`
}

func (c *trainCmd) Run() error {
	return app.Train(app.Training{From: c.From, Out: c.Out, Tests: c.Test, Seed: c.Seed, JSON: c.JSON, Fields: c.fields(), Stdout: os.Stdout})
}

type benchRoutingCmd struct {
	fieldFlags
	Data    string `required:"" placeholder:"FILE" help:"JSON lines with a prompt, weak and strong (- for standard input)."`
	Weights string `placeholder:"FILE" help:"Weights of dragoman train; default the built-in ones."`
	JSON    bool   `name:"json" help:"Print one object, and nothing else."`
}

func (c *benchRoutingCmd) Run() error {
	return app.BenchRouting(app.RoutingBench{Data: c.Data, Weights: c.Weights, JSON: c.JSON, Fields: c.fields(), Stdout: os.Stdout})
}

type benchModelsCmd struct {
	URL         string        `name:"url" default:"http://127.0.0.1:8080" placeholder:"URL" help:"The running gateway (default ${default})."`
	Key         string        `env:"DRAGOMAN_API_KEY" help:"A caller's key, where the gateway wants one; also $DRAGOMAN_API_KEY."`
	Models      []string      `sep:"," placeholder:"MODEL" help:"Models by name or provider/model; default all that the gateway lists."`
	Tasks       string        `placeholder:"FILE" help:"Your own workload as JSON lines (id, class, prompt, checks); default the 14 built-in tasks."`
	Out         string        `placeholder:"FILE" help:"Write the qualities as catalogue overrides (YAML)."`
	SVG         string        `name:"svg" placeholder:"FILE" help:"Draw cost against quality into this file."`
	Concurrency int           `default:"4" help:"Requests at the same time."`
	Timeout     time.Duration `default:"3m" help:"Of one request."`
	Yes         bool          `short:"y" help:"Do not ask before money is spent."`
	JSON        bool          `name:"json" help:"Print every answer as a JSON line instead of the table."`
}

func (c *benchModelsCmd) Run(ctx context.Context) error {
	return app.BenchModels(ctx, app.ModelBench{URL: c.URL, Key: c.Key, Models: c.Models, Tasks: c.Tasks, Out: c.Out, SVG: c.SVG, Concurrency: c.Concurrency,
		Timeout: c.Timeout, Yes: c.Yes, JSON: c.JSON, Stdin: os.Stdin, Terminal: app.IsTerminal(os.Stdin) && app.IsTerminal(os.Stderr), Stdout: os.Stdout, Stderr: os.Stderr,
		Client: http.DefaultClient, Now: time.Now})
}

type classifyCmd struct {
	Text     string `arg:"" default:"-" placeholder:"FILE" help:"The text (- for standard input)."`
	Weights  string `placeholder:"FILE" help:"Weights of dragoman train; default the built-in ones."`
	Features bool   `help:"List the features that are looked at."`
}

func (c *classifyCmd) Run() error {
	return app.Classify(app.Classification{Text: c.Text, Weights: c.Weights, Features: c.Features, Stdout: os.Stdout})
}

type usageCmd struct {
	configFlags
	By    []string `placeholder:"WHAT" help:"Tell apart by organisation, tenant, team, user, key, route, model, provider, tag, hour, day, month (several with commas)."`
	Where []string `placeholder:"NAME=VALUE" help:"Only what has this value; the same name again: or."`
	Since string   `default:"30d" placeholder:"WHEN" help:"30d or 12h ago, 2026-11-01, or a time (RFC 3339)."`
	Until string   `placeholder:"WHEN" help:"Default now."`
	Limit int      `default:"100" help:"Groups at most, the dearest."`
	JSON  bool     `name:"json" xor:"format" help:"Print JSON."`
	CSV   bool     `name:"csv" xor:"format" help:"Print CSV."`
	Chart bool     `xor:"format" help:"Draw bars instead of a table."`
	From  string   `placeholder:"URL" aliases:"url" help:"Ask the admin port of a running gateway instead of the database that the config names; also --url."`
	Token string   `name:"admin-token" env:"DRAGOMAN_ADMIN_TOKEN" placeholder:"TOKEN" help:"Of --from; better $DRAGOMAN_ADMIN_TOKEN."`
	CA    string   `name:"ca" placeholder:"FILE" help:"PEM file of who signed the certificate of --from; default the system's."`
}

func (c *usageCmd) Run(ctx context.Context) error {
	format := "table"
	switch {
	case c.JSON:
		format = "json"
	case c.CSV:
		format = "csv"
	case c.Chart:
		format = "chart"
	}
	return app.Usage(ctx, adminFlags{Token: c.Token, CA: c.CA}.with(c.configFlags), app.UsageQuestion{By: c.By, Where: c.Where, Since: c.Since, Until: c.Until, Limit: c.Limit, Format: format, From: c.From})
}

type ledgerCmd struct {
	Export  ledgerExportCmd  `cmd:"" help:"Write every request and failed attempt of a period."`
	Verify  ledgerVerifyCmd  `cmd:"" help:"Compare the sums with their rows, and every cost with its tokens and its price."`
	Rebuild ledgerRebuildCmd `cmd:"" help:"Make the sums anew from their rows."`
}

type ledgerExportCmd struct {
	configFlags
	Since  string `default:"30d" placeholder:"WHEN" help:"30d or 12h ago, 2026-11-01, or a time (RFC 3339)."`
	Until  string `placeholder:"WHEN" help:"Default now."`
	Format string `default:"json" enum:"json,csv" help:"json (a line each) or csv."`
}

func (c *ledgerExportCmd) Run(ctx context.Context) error {
	return app.ExportLedger(ctx, c.options(), c.Since, c.Until, c.Format)
}

type ledgerVerifyCmd struct {
	configFlags
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *ledgerVerifyCmd) Run(ctx context.Context) error {
	return app.VerifyLedger(ctx, c.options(), c.JSON)
}

type ledgerRebuildCmd struct{ configFlags }

func (c *ledgerRebuildCmd) Run(ctx context.Context) error {
	return app.RebuildLedger(ctx, c.options())
}

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Recompute the hash of every entry: one that was changed, removed or put in shows."`
}

type auditVerifyCmd struct {
	configFlags
	adminFlags
	Expect []string `placeholder:"HEAD" help:"A head that an earlier verification printed: shows whether the end of the trail was cut off since."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

func (c *auditVerifyCmd) Run(ctx context.Context) error {
	return app.VerifyAudit(ctx, c.with(c.configFlags), c.Expect, c.JSON)
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
