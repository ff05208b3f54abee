//go:build engine

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// lab is what the README's section on separate processes builds: a platform, a
// runner whose jobs are containers, another whose jobs are processes, and a user
// with lynxctl and curl.
type lab struct {
	*site

	dir, rest, grpc string
}

// startLab starts the platform. Its REST interface is on loopback, as a user's.
func startLab(t *testing.T) *lab {
	t.Helper()
	needVenv(t)
	dir, err := os.MkdirTemp("", "lx-lab-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := &lab{dir: dir, rest: freeAddress(t), grpc: "unix://" + dir + "/grpc"}
	l.site = &site{t: t, env: append(os.Environ(), "LYNXCTL_SERVER=http://"+l.rest, "LYNXCTL_TOKEN_FILE="+l.tokenFile())}
	l.server = start(t, "lynx-server", "--listen", l.rest, "--grpc-listen", l.grpc, "--data", filepath.Join(dir, "data"))
	l.server.says("the platform is up")
	// Jobs of a root runner have users of their own, who have to reach the results.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return l
}

// freeAddress is one of loopback that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (l *lab) tokenFile() string { return filepath.Join(l.dir, "data", "token") }

// runner starts `lynx-runner start` with one of the configurations that come with
// the programs, and one slot. Its jobs end with it, if it is killed.
func (l *lab) runner(id, config string) *program {
	l.t.Helper()
	p := start(l.t, "env", "LYNX_RUNNER_RUNTIME_DIR="+l.dir+"/r-"+id, "LYNX_RUNNER_ON_RUNNER_LOSS=kill", programPath("lynx-runner"), "start",
		"--config", config, "--runner-id", id, "--server", l.grpc, "--token-file", l.tokenFile(),
		"--max-concurrent-jobs", "1", "--state-dir", l.dir+"/"+id, "--output-root", l.dir+"/out")
	p.says("registered")
	return p
}

// call is what a user does with curl: one request with the token.
func call[T any](l *lab, method, path string) (value T) {
	l.t.Helper()
	token := strings.TrimSpace(string(mustRead(l.t, l.tokenFile())))
	request, err := http.NewRequestWithContext(l.t.Context(), method, "http://"+l.rest+path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(body, &value)
	}
	if err != nil || response.StatusCode != http.StatusOK {
		l.t.Fatalf("%s %s: %s, %v\n%s", method, path, response.Status, err, body)
	}
	return value
}

// until waits, asking the platform, until a runner is as it should be.
func (l *lab) until(id, what string, is func(api.Runner) bool) {
	l.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for r := call[api.Runner](l, "GET", "/runners/"+id); !is(r); r = call[api.Runner](l, "GET", "/runners/"+id) {
		select {
		case <-tick.C:
		case <-l.t.Context().Done():
			l.t.Fatalf("runner %s never was %s: %+v", id, what, r)
		}
	}
}

// TestTwoRunnersShareABatch is the README's tutorial: forty orbits, one runner
// with containers and one with processes. One is drained and resumed on the way,
// the other is killed and started again; every run completes once.
func TestTwoRunnersShareABatch(t *testing.T) {
	const total = 40
	l := startLab(t)
	docker, process := unique("d"), unique("p") // short: sockets lie below
	inContainers := l.runner(docker, "configs/lynx-runner-basilisk.yaml")
	asProcesses := l.runner(process, "configs/lynx-runner-process.yaml")
	if health := call[api.Health](l, "GET", "/healthz"); health.Status != "ok" {
		t.Errorf("health %+v", health)
	}
	stdout, _ := l.lynxctl(0, "submit", "../../scenarios/aerospace/configs/basic_orbit_tutorial.yaml", "--runs", strconv.Itoa(total))
	batch := strings.TrimSpace(stdout)
	inContainers.says("job started")
	asProcesses.says("job started")

	call[api.Runner](l, "POST", "/runners/"+process+"/drain")
	l.until(process, "drained", func(r api.Runner) bool { return r.Status == api.RunnerMaintenance && r.ActiveJobs == 0 })
	inContainers.says("job started") // the other goes on
	l.lynxctl(0, "resume", process)
	asProcesses.says("job started")

	inContainers.says("job started")
	if err := inContainers.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	inContainers.ends(-1)
	inContainers = l.runner(docker, "configs/lynx-runner-basilisk.yaml")

	_, stderr := l.lynxctl(0, "watch", batch)
	if !strings.Contains(stderr, fmt.Sprintf("%d of %d runs done", total, total)) || strings.Contains(stderr, "\x1b") {
		t.Errorf("a watch without a terminal says:\n%s", stderr)
	}
	l.checkShared(batch, total)
	l.checkKept(batch, total)
	for _, p := range []*program{inContainers, asProcesses, l.server} {
		p.signal(syscall.SIGTERM)
		p.ends(0)
	}
}

// checkShared looks at what became of the batch.
func (l *lab) checkShared(batch string, total int) {
	l.t.Helper()
	status := call[api.BatchStatus](l, "GET", "/batches/"+batch)
	if status.Batch.Status != api.BatchCompleted || status.JobsByStatus[api.JobCompleted] != total {
		l.t.Errorf("batch %+v", status)
	}
	results := call[api.BatchResults](l, "GET", "/batches/"+batch+"/results?limit=1000")
	if len(results.Items) != total {
		l.t.Fatalf("%d runs, want %d", len(results.Items), total)
	}
	ran, requeued := map[string]int{}, 0
	for _, r := range results.Items {
		want(l.t, r, api.JobCompleted, api.OutcomeCompleted)
		ran[*r.AssignedRunner]++
		requeued += r.Requeues
		if err := checkTrajectory(readRunConfig(l.t, r).Parameters, trajectory(l.t, r)); err != nil {
			l.t.Errorf("run %d: %v", r.RunIndex, err)
		}
	}
	if len(ran) != 2 || requeued == 0 {
		l.t.Errorf("jobs by runner %v, %d requeued; want both runners, and what the killed one had", ran, requeued)
	}
}

// checkKept looks at what the platform keeps of jobs that ran elsewhere: telemetry,
// logs, and every file as the run left it.
func (l *lab) checkKept(batch string, total int) {
	l.t.Helper()
	table, _ := l.lynxctl(0, "telemetry", batch+"/0")
	if !strings.Contains(table, "orbit.radius_km") {
		l.t.Errorf("telemetry:\n%s", table)
	}
	l.lynxctl(0, "logs", batch+"/0")
	dir := l.t.TempDir()
	// Files are handed in behind the results.
	for try := 1; ; try++ {
		cmd := exec.CommandContext(l.t.Context(), filepath.Join(bin, "lynxctl"), "results", batch, "--download", dir)
		cmd.Env = l.env
		out, err := cmd.CombinedOutput()
		if err == nil {
			break
		}
		if cmd.ProcessState.ExitCode() != 1 || try == 100 {
			l.t.Fatalf("results --download: %v\n%s", err, out)
		}
	}
	files := 0
	for _, r := range call[api.BatchResults](l, "GET", "/batches/"+batch+"/results?limit=1000").Items {
		for _, a := range r.Artifacts {
			files++
			got := mustRead(l.t, filepath.Join(dir, fmt.Sprintf("%05d", r.RunIndex), a.Name))
			if !bytes.Equal(got, file(l.t, r, "output/"+a.Name)) {
				l.t.Errorf("run %d: %s is not what the run left", r.RunIndex, a.Name)
			}
		}
	}
	if files != 3*total {
		l.t.Errorf("%d files, want three of each of %d runs", files, total)
	}
}

// TestRetries: a scenario that fails on its first attempt completes on the second,
// and both attempts are kept.
func TestRetries(t *testing.T) {
	o := lynxctlRun(t, script(t, "flaky.py", "max_retries: 1"), "--config", scriptRunner(t, ""))
	r := o.run(t)
	want(t, r, api.JobCompleted, api.OutcomeCompleted)
	if o.exit != 0 || r.Retries != 1 || r.Attempt != 2 || r.Requeues != 0 || r.Metrics["value"] != 42 {
		t.Errorf("exit status %d, run %+v", o.exit, r)
	}
	first := mustRead(t, filepath.Join(filepath.Dir(r.Directory), "attempt-1", "log", "stderr.log"))
	if !strings.Contains(string(first), "the star tracker is blind") {
		t.Errorf("the first attempt's log is %q", first)
	}
}

// TestExitStatus: what a pipeline decides on, for each way in which a study ends.
func TestExitStatus(t *testing.T) {
	runner := scriptRunner(t, "")
	study := func(entrypoint, compute string) []string {
		return []string{"run", script(t, entrypoint, compute), "--config", runner, "--output", t.TempDir()}
	}
	invalid := write(t, "bad.yaml", "simulation: {name: Bad, versoin: 1.0.0}\n")
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"completed":             {study("ok.py", ""), 0, "1 completed"},
		"a failed run":          {study("exit3.py", ""), 1, "the propellant tank is empty"},
		"as many as may fail":   {append(study("exit3.py", ""), "--max-failed", "1"), 0, "1 nonzero_exit"},
		"a timeout":             {study("sleep.py", "job_timeout_seconds: 1"), 1, "job_timeout_seconds"},
		"an invalid study":      {[]string{"run", invalid}, 2, "versoin"},
		"no such study":         {[]string{"run", "nowhere.yaml"}, 2, "nowhere.yaml"},
		"a flag that is not":    {[]string{"run", invalid, "--rnus", "3"}, 2, "--rnus"},
		"no platform":           {[]string{"batches", "--server", "unix:///nowhere/lynx"}, 3, "lynx-server"},
		"an invalid submission": {[]string{"submit", invalid, "--server", "unix:///nowhere/lynx"}, 2, "versoin"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "lynxctl"), c.args...)
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != c.status || !strings.Contains(string(out), c.says) {
				t.Errorf("exit status %d, want %d and %q:\n%s", got, c.status, c.says, out)
			}
			if strings.ContainsAny(string(out), "\r\x1b") {
				t.Errorf("a pipe gets more than plain lines: %q", out)
			}
		})
	}
}
