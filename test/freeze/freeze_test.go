package freeze

import (
	"os/exec"
	"testing"
)

func TestProcess(t *testing.T) {
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if still, err := standsStill(cmd.Process.Pid); err != nil || still {
		t.Fatalf("before: %v %v", still, err)
	}
	if err := Process(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if still, err := standsStill(cmd.Process.Pid); err != nil || !still {
		t.Errorf("frozen: %v %v", still, err)
	}
	if err := Thaw(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := Process(1 << 29); err == nil {
		t.Error("a process that is not there was frozen")
	}
}
