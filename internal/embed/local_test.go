package embed

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/embed/frame"
)

// TestMain: this binary is also the helper that misbehaves, when a test starts it as one.
func TestMain(m *testing.M) {
	if how := filepath.Base(os.Args[0]); how == helperFile {
		misbehave(filepath.Base(filepath.Dir(os.Args[0])))
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func misbehave(how string) {
	_ = frame.Write(os.Stdout, 0, frame.Hello(2))
	for {
		id, _, err := frame.Read(os.Stdin)
		if err != nil {
			return
		}
		switch how {
		case "dies":
			_, _ = io.WriteString(os.Stderr, "out of memory")
			return
		case "silent":
		case "garbage":
			_, _ = os.Stdout.Write([]byte{0xff, 0xff, 0xff, 0xff})
		case "stranger":
			_ = frame.Write(os.Stdout, id+7, frame.Vector([]float32{1, 0}))
		case "short":
			_ = frame.Write(os.Stdout, id, frame.Vector([]float32{1}))
		case "sorry":
			_ = frame.Write(os.Stdout, id, frame.Failure(errors.New("no such token")))
		}
	}
}

// pretend makes a folder whose helper misbehaves.
func pretend(t *testing.T, how string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), how)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Symlink(exe, filepath.Join(dir, helperFile)),
		os.WriteFile(filepath.Join(dir, libraryFile), nil, 0o600), os.WriteFile(filepath.Join(dir, modelFile), nil, 0o600),
		os.WriteFile(filepath.Join(dir, vocabFile), []byte("[UNK]\n[CLS]\n[SEP]\nhello\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// assets is the real folder, which `make embedder` fills.
func assets(t testing.TB) string {
	t.Helper()
	folder := os.Getenv("DRAGOMAN_EMBEDDER")
	if folder == "" {
		folder = filepath.Join("..", "..", ".tools", "embedder")
	}
	if err := complete(folder); err != nil {
		t.Fatal(err)
	}
	return folder
}

func open(t testing.TB, folder string, workers int) *Local {
	t.Helper()
	l, err := NewLocal(LocalOptions{Folder: folder, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

func cosine(a, b []float32) (dot float64) {
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
	}
	return dot
}

func TestLocalEmbeds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	l, err := NewLocal(LocalOptions{Folder: assets(t), Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	texts := []string{"how do I reset my password?", "how can I reset my password?", "what is the capital of France?"}
	var vs [3][]float32
	for i, text := range texts {
		if vs[i], err = l.Embed(t.Context(), text); err != nil || len(vs[i]) != 384 {
			t.Fatal(len(vs[i]), err)
		}
	}
	if near, far := cosine(vs[0], vs[1]), cosine(vs[0], vs[2]); near < 0.95 || far > 0.5 {
		t.Errorf("paraphrase %.3f, other question %.3f", near, far)
	}
	if s := l.Status(); !s.Ready || s.Dimensions != 384 || s.Restarts != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := l.Embed(t.Context(), strings.Repeat("word ", 300)); !TooLong(err) {
		t.Errorf("a long text: %v", err)
	}
}

// TestDeadline: whoever cannot wait goes, and the next caller is not worse off for it.
func TestDeadline(t *testing.T) {
	l := open(t, assets(t), 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
	defer cancel()
	for range 20 {
		if _, err := l.Embed(ctx, "hello"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
	}
	if v, err := l.Embed(t.Context(), "hello"); err != nil || len(v) != 384 {
		t.Fatal(err)
	}
}

// TestQueueIsBounded: a crowd gets vectors or is refused at once; nobody waits without end.
func TestQueueIsBounded(t *testing.T) {
	l := open(t, assets(t), 1)
	var (
		mu         sync.Mutex
		busy, good int
		crowd      sync.WaitGroup
	)
	for range 4 * waitersPerWorker {
		crowd.Go(func() {
			_, err := l.Embed(t.Context(), "what is the fastest way to learn touch typing?")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				good++
			case errors.Is(err, ErrBusy):
				busy++
			default:
				t.Error(err)
			}
		})
	}
	crowd.Wait()
	if good == 0 || busy == 0 || good < waitersPerWorker {
		t.Errorf("%d got a vector, %d were refused", good, busy)
	}
}

// TestHelperDies: it is started again, and until then every text is a miss at once.
func TestHelperDies(t *testing.T) {
	l := open(t, assets(t), 1)
	l.mu.Lock()
	process := l.helper.cmd.Process
	l.mu.Unlock()
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return !l.Status().Ready })
	if _, err := l.Embed(t.Context(), "hello"); !errors.Is(err, ErrAway) {
		t.Errorf("without helper: %v", err)
	}
	if s := l.Status(); s.Problem == "" {
		t.Error("no problem is told")
	}
	await(t, func() bool { return l.Status().Ready })
	if _, err := l.Embed(t.Context(), "hello"); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	if l.Status().Restarts != 1 {
		t.Errorf("%+v", l.Status())
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

func TestHelperMisbehaves(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for how, want := range map[string]string{
		"dies": "out of memory", "garbage": "bytes", "stranger": "nobody asked",
	} {
		t.Run(how, func(t *testing.T) {
			l := open(t, pretend(t, how), 1)
			if _, err := l.Embed(t.Context(), "hello"); !errors.Is(err, ErrAway) {
				t.Errorf("got %v", err)
			}
			await(t, func() bool { return strings.Contains(l.Status().Problem, want) })
			l.Close()
		})
	}
	for how, want := range map[string]string{"short": "a reply of 5 bytes", "sorry": "no such token"} {
		t.Run(how, func(t *testing.T) {
			l := open(t, pretend(t, how), 1)
			if _, err := l.Embed(t.Context(), "hello"); err == nil || err.Error() != want {
				t.Errorf("got %v", err)
			}
			if !l.Status().Ready {
				t.Error("one bad answer ended the helper")
			}
			l.Close()
		})
	}
}

// TestHelperHangs: callers go at their deadline, slots stay taken, and the supervisor sees it.
func TestHelperHangs(t *testing.T) {
	l := open(t, pretend(t, "silent"), 1)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := l.Embed(ctx, "hello"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	l.mu.Lock()
	h := l.helper
	l.mu.Unlock()
	if h.hung(time.Now()) || !h.hung(time.Now().Add(hungAfter+time.Second)) {
		t.Error("it is not told from a slow one")
	}
}

func TestClosed(t *testing.T) {
	l := open(t, pretend(t, "silent"), 1)
	l.Close()
	l.Close()
	if _, err := l.Embed(t.Context(), "hello"); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestMissingAssets(t *testing.T) {
	var missing *MissingError
	none := func(string) (string, bool) { return "", false }
	t.Chdir(t.TempDir())
	if _, err := Find("", none); !errors.As(err, &missing) || !strings.Contains(err.Error(), "make embedder") {
		t.Errorf("nowhere: %v", err)
	}
	dir := pretend(t, "dies")
	if err := os.Remove(filepath.Join(dir, modelFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := NewLocal(LocalOptions{Folder: dir}); !errors.As(err, &missing) || len(missing.Files) != 1 || missing.Files[0] != modelFile {
		t.Errorf("without model: %v", err)
	}
	if _, err := Find("", func(string) (string, bool) { return dir, true }); err == nil {
		t.Error("the environment's folder lacks a file and was taken")
	}
	whole := pretend(t, "silent")
	if err := os.Rename(whole, "embedder"); err != nil {
		t.Fatal(err)
	}
	if f, err := Find("", none); err != nil || filepath.Base(f) != "embedder" {
		t.Errorf("in the working directory: %q %v", f, err)
	}
}

// TestSecretsStayHere: the helper runs code that is not ours; the providers' keys are not its business.
func TestSecretsStayHere(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-canary")
	for _, v := range helperEnv() {
		if strings.Contains(v, "canary") {
			t.Errorf("%s is given to the helper", v)
		}
	}
}

// TestHelperReportsNothing: ONNX Runtime would tell its vendor that it is used, and keep a device id and a database for that. It leaves
// nothing anywhere, whoever starts the helper.
func TestHelperReportsNothing(t *testing.T) {
	folder, home := assets(t), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("TMPDIR", home)
	wantNothing := func(who string) {
		t.Helper()
		if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
			t.Errorf("started by %s, it leaves %v, %v", who, left, err)
		}
	}
	l := open(t, folder, 1)
	if _, err := l.Embed(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	l.Close()
	wantNothing("Dragoman")
	byHand := exec.Command(filepath.Join(folder, helperFile), "--folder", folder)
	byHand.Env = []string{"HOME=" + home, "TMPDIR=" + home}
	if out, err := byHand.Output(); err != nil || len(out) == 0 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	wantNothing("hand")
}

func BenchmarkLocal(b *testing.B) {
	l := open(b, assets(b), 1)
	for b.Loop() {
		if _, err := l.Embed(b.Context(), "what is the fastest way to learn touch typing on a small keyboard without looking at my hands?"); err != nil {
			b.Fatal(err)
		}
	}
}
