package executortest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/executor"
)

// yields says how a job stands beside the rest of the host, in the kernel's own
// words: it goes first where memory is short, its shim after it, and it weighs as
// its CPU limit says.
func yields(t *testing.T, b *bench) {
	a := b.attempt("sleep")
	a.Sandbox = a.Sandbox.WithCPU(2000)
	b.start(a)
	b.ready(a)
	pids := a.processes()
	if len(pids) != 1 {
		t.Fatalf("processes %v", pids)
	}
	if got := read(t, "/proc", pids[0], "oom_score_adj"); os.Geteuid() == 0 && got != itoa(executor.DefaultOOMScoreAdj+500) {
		t.Errorf("oom_score_adj of the job is %s", got)
	}
	if !b.Limits {
		return
	}
	for line := range strings.Lines(read(t, "/proc", pids[0], "cgroup")) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for controller := range strings.SplitSeq(fields[1], ",") {
			if controller == "cpu" {
				if got, want := read(t, "/sys/fs/cgroup/cpu", fields[2], "cpu.shares"), itoa(2*executor.CPUSharesPerCore); got != want {
					t.Errorf("cpu.shares are %s, want %s", got, want)
				}
				return
			}
		}
	}
	group := strings.TrimPrefix(read(t, "/proc", pids[0], "cgroup"), "0::")
	if got := read(t, "/sys/fs/cgroup", group, "cpu.weight"); len(got) > 2 {
		t.Errorf("cpu.weight is %s, as heavy as a service", got)
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
