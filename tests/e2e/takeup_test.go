//go:build engine

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/tetryx/lynx-runner/api"
)

// numbered is how many lines and samples the scenario numbered.py makes.
const numbered = 500

// TestTakeUp: a runner is killed (SIGKILL) while numbered samples and lines flow, and
// started again, once while the job runs, and once after its end. The job is the same
// one, and by content no sample and no line is missing or twice.
func TestTakeUp(t *testing.T) {
	needVenv(t)
	for _, executor := range []string{"docker", "process"} {
		t.Run(executor, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			takeUp(t, executor)
		})
	}
}

func takeUp(t *testing.T, executor string) {
	dir, err := os.MkdirTemp("", "lx-up-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	rest, grpc, data := "unix://"+dir+"/rest", "unix://"+dir+"/grpc", filepath.Join(dir, "data")
	server := start(t, "lynx-server", "--listen", rest, "--grpc-listen", grpc, "--data", data)
	server.says("the platform is up")
	settings := "state_dir: " + dir + "/state\nruntime_dir: " + dir + "/run\noutput_root: " + dir + "/out\nexecutor: " + executor
	if executor == "process" {
		settings += "\npython_executable: " + filepath.Join(root, ".cache/basilisk-venv/bin/python3")
	}
	// Nobody else's, whoever else runs tests on this host.
	users := map[string]string{"docker": "1600030000-1600030009", "process": "1600030010-1600030019"}[executor]
	config := scriptRunner(t, settings)
	live := func() *program {
		return start(t, "env", "LYNX_RUNNER_SANDBOX_UID_RANGE="+users, programPath("lynx-runner"), "start", "--config", config, "--server", grpc,
			"--token-file", filepath.Join(data, "token"), "--runner-id", unique("up-"+executor))
	}
	die := func(p *program) {
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.ends(-1)
	}

	worker := live()
	c, err := api.NewClient(rest, api.WithToken(strings.TrimSpace(string(mustRead(t, filepath.Join(data, "token"))))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	submission, err := c.Submit(t.Context(), mustRead(t, script(t, "numbered.py", "")), api.YAML)
	if err != nil {
		t.Fatal(err)
	}
	worker.says("job started")
	stdout := filepath.Join(dir, "out", submission.BatchID, "00000", "attempt-1", "log", "stdout.log")
	reaches(t, stdout, numbered/5)
	die(worker)
	reaches(t, stdout, 2*numbered/5) // while nobody is there
	worker = live()
	worker.says("taking up a job")
	reaches(t, stdout, 3*numbered/5)
	die(worker)
	worker = live()
	waitForBatch(t, c, submission.BatchID, api.BatchFailed)
	worker.signal(syscall.SIGTERM)
	worker.ends(0)

	page, err := c.BatchResults(t.Context(), submission.BatchID, api.List{})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("results: %v, %d", err, len(page.Items))
	}
	r := page.Items[0]
	want(t, r, api.JobFailed, api.OutcomeNonzeroExit)
	if r.Attempt != 1 || r.Requeues != 0 || r.Retries != 0 || r.Metrics["acknowledged"] != numbered || r.Metrics["connections"] < 3 {
		t.Errorf("attempt %d, %d requeues, %d retries, metrics %v", r.Attempt, r.Requeues, r.Retries, r.Metrics)
	}
	if len(r.Warnings) > 0 {
		t.Errorf("warnings: %q", r.Warnings)
	}
	whole(t, r)
	server.signal(syscall.SIGTERM)
	server.ends(0)
}

// reaches waits until a log has a numbered line.
func reaches(t *testing.T, path string, line int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if log, err := os.ReadFile(path); err == nil && bytes.Contains(log, []byte("line "+strconv.Itoa(line)+"\n")) {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%s never came to line %d", path, line)
		}
	}
}

// whole checks what the job left by its content.
func whole(t *testing.T, r api.RunRow) {
	t.Helper()
	rows, err := parquet.ReadFile[struct {
		Time  float64 `parquet:"time"`
		Name  string  `parquet:"name"`
		Value float64 `parquet:"value"`
	}](filepath.Join(r.Directory, "telemetry.parquet"))
	if err != nil || len(rows) != numbered {
		t.Fatalf("telemetry.parquet: %v, %d rows, want %d", err, len(rows), numbered)
	}
	var out, errs strings.Builder
	for i, row := range rows {
		if n := float64(i + 1); row.Time != n || row.Value != n || row.Name != "count.value" {
			t.Fatalf("row %d is %+v", i+1, row)
		}
		fmt.Fprintf(&out, "line %d\n", i+1)
		fmt.Fprintf(&errs, "error line %d\n", i+1)
	}
	for name, want := range map[string]string{"stdout.log": out.String(), "stderr.log": errs.String()} {
		if got := string(file(t, r, "log/"+name)); got != want {
			t.Errorf("%s has %d bytes, want %d; it ends with %q", name, len(got), len(want), got[max(0, len(got)-60):])
		}
	}
	if _, err := os.Stat(filepath.Join(r.Directory, "telemetry.log")); err == nil {
		t.Error("telemetry.log is left")
	}
	if owner, err := os.Stat(filepath.Join(r.Directory, "output", "summary.json")); err != nil || owner.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		t.Errorf("the owner of the output: %+v, %v", owner, err)
	}
}
