package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// EnvFrameworks names the folder of the frameworks; without it the one that `make sdk` fills is used.
const EnvFrameworks = "DRAGOMAN_FRAMEWORKS"

// Framework is a program that asks by what applications put above the SDKs.
type Framework struct {
	Name    string
	Clients map[string]string // the schema that each speaks
	Cases   int               // that each client has

	command func(dir string) (program string, args []string)
	needs   string // a file of what `make sdk` installs
}

// Served is where a framework's client finds its models.
type Served struct {
	URL    string   `json:"url"` // without a path
	Key    string   `json:"key"`
	Models []string `json:"models"`
}

// Frameworks are all of them.
var Frameworks = []Framework{
	{
		Name: "LangChain and LlamaIndex", Cases: 7, needs: filepath.Join("python", "bin", "python"),
		Clients: map[string]string{
			"langchain-openai": "openai", "langchain-responses": "responses", "langchain-anthropic": "anthropic", "langchain-google": "gemini",
			"llamaindex-openai": "openai", "llamaindex-responses": "responses", "llamaindex-anthropic": "anthropic",
		},
		command: func(dir string) (string, []string) {
			return filepath.Join(dir, "python", "bin", "python"), []string{filepath.Join(folder(), "frameworks", "python", "run.py")}
		},
	},
	{
		Name: "Vercel's AI SDK", Cases: 6, needs: filepath.Join("node", "node_modules", "ai"),
		Clients: map[string]string{
			"vercel-openai": "openai", "vercel-compatible": "openai", "vercel-responses": "responses", "vercel-anthropic": "anthropic",
			"vercel-google": "gemini",
		},
		command: func(dir string) (string, []string) { // run.mjs is a link there: Node looks for packages beside the script
			return "node", []string{"--preserve-symlinks", "--preserve-symlinks-main", filepath.Join(dir, "node", "run.mjs")}
		},
	},
}

// Run runs every case of the named clients against each of their models. The report has "ok" or what went wrong for each
// client/case/model; the error is for a run that gave no report.
func (f *Framework) Run(ctx context.Context, at map[string]Served) (map[string]string, error) {
	dir := os.Getenv(EnvFrameworks)
	if dir == "" {
		dir = filepath.Join(folder(), "..", "..", ".tools", "frameworks")
	}
	if _, err := os.Stat(filepath.Join(dir, f.needs)); err != nil {
		return nil, fmt.Errorf("%s is not installed in %s: run `make sdk`, or name another folder by $%s", f.Name, dir, EnvFrameworks)
	}
	served, err := json.Marshal(at)
	if err != nil {
		return nil, err
	}
	program, args := f.command(dir)
	return report(ctx, f.Name, program, append(args, string(served))...)
}
