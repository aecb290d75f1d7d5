package sdk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// EnvFrameworks names the folder of the frameworks; without it the one that `make sdk` fills is used.
const EnvFrameworks = "DRAGOMAN_FRAMEWORKS"

// LangChainAndLlamaIndex runs the cases of both against each model. The report is that of Python.
func LangChainAndLlamaIndex(ctx context.Context, t Target, models []string) (map[string]string, error) {
	dir := frameworks()
	python := filepath.Join(dir, "python", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		return nil, fmt.Errorf("there is no Python with LangChain and LlamaIndex at %s: run `make sdk`", python)
	}
	script := filepath.Join(folder(), "frameworks", "python", "run.py")
	return report(ctx, "LangChain and LlamaIndex", python, append([]string{script, t.BaseURL, t.Key}, models...)...)
}

// VercelAI runs the cases of Vercel's AI SDK against each model. The report is that of Python.
func VercelAI(ctx context.Context, t Target, models []string) (map[string]string, error) {
	dir := filepath.Join(frameworks(), "node")
	script := filepath.Join(dir, "run.mjs") // a link: Node looks for packages beside the script
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "ai")); err != nil {
		return nil, fmt.Errorf("there is no AI SDK in %s: run `make sdk`", dir)
	}
	return report(ctx, "Vercel's AI SDK", "node", append([]string{"--preserve-symlinks", "--preserve-symlinks-main", script, t.BaseURL, t.Key}, models...)...)
}

func frameworks() string {
	if dir := os.Getenv(EnvFrameworks); dir != "" {
		return dir
	}
	return filepath.Join(folder(), "..", "..", ".tools", "frameworks")
}
