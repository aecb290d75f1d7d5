package embed

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Files of the folder that `make embedder` fills.
const (
	helperFile  = "dragoman-embedder"
	libraryFile = "libonnxruntime.so"
	modelFile   = "model.onnx"
	vocabFile   = "vocab.txt"
)

// MissingError says which files the local embedder lacks, and how to get them.
type MissingError struct {
	Folder   string // "" when none was found in any of the usual places
	Files    []string
	Searched []string
}

func (e *MissingError) Error() string {
	const get = "run `make embedder`, or copy the folder that it fills and name it in DRAGOMAN_EMBEDDER"
	if e.Folder == "" {
		return fmt.Sprintf("the local embedder is not installed (looked in %s): %s", strings.Join(e.Searched, ", "), get)
	}
	return fmt.Sprintf("the local embedder in %s lacks %s: %s", e.Folder, strings.Join(e.Files, ", "), get)
}

// Find is the folder with the local embedder: the given one, else $DRAGOMAN_EMBEDDER, else `embedder` or `.tools/embedder` beside the
// binary, in its folder's parent, and in the working directory. The error is a *MissingError.
func Find(folder string, lookupEnv func(string) (string, bool)) (string, error) {
	if folder == "" {
		folder, _ = lookupEnv("DRAGOMAN_EMBEDDER")
	}
	if folder != "" {
		return folder, complete(folder)
	}
	missing := &MissingError{}
	for _, f := range usual() {
		if complete(f) == nil {
			return f, nil
		}
		missing.Searched = append(missing.Searched, f)
	}
	return "", missing
}

func usual() []string {
	var roots []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		roots = append(roots, filepath.Dir(exe), filepath.Dir(filepath.Dir(exe)))
	}
	if wd, err := os.Getwd(); err == nil {
		roots = append(roots, wd)
	}
	var out []string
	for _, r := range roots {
		out = append(out, filepath.Join(r, "embedder"), filepath.Join(r, ".tools", "embedder"))
	}
	return out
}

func complete(folder string) error {
	missing := &MissingError{Folder: folder}
	for _, name := range []string{helperFile, libraryFile, modelFile, vocabFile} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.IsDir() {
			missing.Files = append(missing.Files, name)
		}
	}
	if missing.Files == nil {
		return nil
	}
	return missing
}
