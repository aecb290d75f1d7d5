// Command dragoman-embedder is the helper process that Dragoman starts for local embeddings. It loads ONNX Runtime and a model, and
// answers token ids with vectors on its standard output until its standard input ends: it never outlives Dragoman.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"dragoman/internal/embed/frame"
	"dragoman/internal/embed/onnx"
)

func main() {
	folder := flag.String("folder", "", "where libonnxruntime.so and model.onnx are (default: beside this program)")
	workers := flag.Int("workers", 1, "texts embedded at the same time, one core each")
	flag.Parse()
	if err := withoutTelemetry(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := serve(*folder, *workers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// withoutTelemetry starts the program anew when the environment does not keep ONNX Runtime from reporting its use to its vendor: the library
// reads the environment that the process began with.
func withoutTelemetry() error {
	const name = "ORT_DISABLE_TELEMETRY"
	if os.Getenv(name) == "1" {
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(exe, os.Args, append(os.Environ(), name+"=1"))
}

func serve(folder string, workers int) error {
	if folder == "" {
		exe, err := os.Executable()
		if err != nil {
			return err
		}
		folder = filepath.Dir(exe)
	}
	session, err := onnx.Open(filepath.Join(folder, "libonnxruntime.so"), filepath.Join(folder, "model.onnx"))
	if err != nil {
		return err
	}
	defer session.Close()
	if err := frame.Write(os.Stdout, 0, frame.Hello(session.Dimensions())); err != nil {
		return err
	}
	var (
		out  sync.Mutex
		busy sync.WaitGroup
		jobs = make(chan job) // unbuffered: what is not being worked on stays in the pipe, which is bounded
	)
	for range max(workers, 1) {
		busy.Go(func() {
			for j := range jobs {
				body := answer(session, j.body)
				out.Lock()
				err := frame.Write(os.Stdout, j.id, body)
				out.Unlock()
				if err != nil {
					os.Exit(0) // nobody listens any more
				}
			}
		})
	}
	err = read(jobs)
	close(jobs)
	busy.Wait()
	return err
}

type job struct {
	id   uint32
	body []byte
}

func read(jobs chan<- job) error {
	in := bufio.NewReader(os.Stdin)
	for {
		id, body, err := frame.Read(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		jobs <- job{id, body}
	}
}

func answer(session *onnx.Session, body []byte) []byte {
	ids, err := frame.ParseRequest(body)
	if err != nil {
		return frame.Failure(err)
	}
	vec, err := session.Embed(ids)
	if err != nil {
		return frame.Failure(err)
	}
	return frame.Vector(vec)
}
