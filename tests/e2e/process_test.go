//go:build engine

package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// program is one of ours, running.
type program struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	lines chan string

	mu  sync.Mutex
	log strings.Builder
}

// start starts a program; what it prints to stderr can be waited for.
func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	p := &program{t: t, name: name, cmd: exec.Command(programPath(name), args...), lines: make(chan string, 10_000)}
	p.cmd.Dir = root
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(pipe)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("%s %s:\n%s", name, strings.Join(args, " "), p.log.String())
		}
	})
	return p
}

func (p *program) read(pipe io.Reader) {
	defer close(p.lines)
	scanner := bufio.NewScanner(pipe)
	for scanner.Scan() {
		p.mu.Lock()
		p.log.WriteString(scanner.Text() + "\n")
		p.mu.Unlock()
		p.lines <- scanner.Text()
	}
}

// says waits for a line that contains text.
func (p *program) says(text string) {
	p.t.Helper()
	for line := range p.lines {
		if strings.Contains(line, text) {
			return
		}
	}
	p.t.Fatalf("%s ended without saying %q", p.name, text)
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the program's end and checks its exit status.
func (p *program) ends(status int) {
	p.t.Helper()
	for range p.lines {
		// To the end: the pipe must be empty before Wait.
	}
	_ = p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Errorf("%s ended with status %d, want %d", p.name, got, status)
	}
}

// TestTwoProcesses: lynx-server and lynx-runner as a user starts them, with a
// token, a drain by SIGTERM, and results that outlive a restart of the server.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "lx-two-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	rest, grpc, data := "unix://"+dir+"/rest", "unix://"+dir+"/grpc", filepath.Join(dir, "data")
	startServer := func() *program {
		s := start(t, "lynx-server", "--listen", rest, "--grpc-listen", grpc, "--data", data)
		s.says("the platform is up")
		return s
	}
	server := startServer()
	config := scriptRunner(t, "state_dir: "+dir+"/state\nruntime_dir: "+dir+"/run\noutput_root: "+dir+"/out")
	token := filepath.Join(data, "token")
	worker := start(t, "lynx-runner", "start", "--config", config, "--server", grpc, "--token-file", token, "--runner-id", unique("two-processes"))

	client := func(options ...api.Option) *api.Client {
		c, err := api.NewClient(rest, options...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	secret := strings.TrimSpace(string(mustRead(t, token)))
	if _, err := client().Batches(t.Context(), api.List{}); err == nil {
		t.Error("the platform answers without a token")
	}
	c := client(api.WithToken(secret))
	text := strings.Replace(string(mustRead(t, script(t, "ok.py", ""))), "runs: 1", "runs: 4", 1)
	submission, err := c.Submit(t.Context(), []byte(text), api.YAML)
	if err != nil {
		t.Fatal(err)
	}
	waitForBatch(t, c, submission.BatchID, api.BatchCompleted)
	runner, err := c.Runner(t.Context(), unique("two-processes"))
	if err != nil || runner.Executor != "docker" {
		t.Errorf("runner %+v, %v", runner, err)
	}
	worker.signal(syscall.SIGTERM)
	worker.ends(0)
	if runner, err = c.Runner(t.Context(), unique("two-processes")); err != nil || runner.Status != api.RunnerOffline {
		t.Errorf("a runner that has ended: %+v, %v", runner, err)
	}
	server.signal(syscall.SIGTERM)
	server.ends(0)

	server = startServer()
	page, err := c.BatchResults(t.Context(), submission.BatchID, api.List{})
	if err != nil || len(page.Items) != 4 || page.Items[3].Metrics["value"] != 42 {
		t.Errorf("after a restart: %v, %+v", err, page)
	}
	server.signal(syscall.SIGTERM)
	server.ends(0)
}

// waitForBatch follows a batch to its end.
func waitForBatch(t *testing.T, c *api.Client, id string, state api.BatchState) {
	t.Helper()
	status, err := c.Batch(t.Context(), id)
	for err == nil && !status.Batch.Status.Terminal() {
		status, err = c.WaitBatch(t.Context(), id, status.Revision, 20*time.Second)
	}
	if err != nil || status.Batch.Status != state {
		t.Fatalf("batch: %v, %+v", err, status)
	}
}

// TestInterrupt: Ctrl-C cancels the study in order, a second one kills; either
// way the status is 130 and nothing runs on.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for name, signals := range map[string][]os.Signal{
		"once": {syscall.SIGINT},
		// Another signal: two of the same kind may arrive as one.
		"twice": {syscall.SIGINT, syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			output := t.TempDir()
			p := start(t, "lynxctl", "run", script(t, "sleep.py", ""), "--config", scriptRunner(t, ""), "--output", output, "--verbose")
			p.says("started")
			for _, s := range signals {
				p.signal(s)
			}
			p.ends(130)
			batch, err := os.Readlink(filepath.Join(output, "latest"))
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("docker", "ps", "--all", "--quiet", "--filter", "label=io.tetryx.lynx.batch="+batch).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("containers still run: %v %s", err, out)
			}
			// The outputs so far are kept.
			logs, err := filepath.Glob(filepath.Join(output, "latest", "00000", "attempt-1", "log", "stdout.log"))
			if err != nil || len(logs) != 1 {
				t.Errorf("logs of the interrupted run: %v %v", logs, err)
			}
		})
	}
}

// TestNoEngine: where no engine answers, lynxctl says so and ends with 3.
func TestNoEngine(t *testing.T) {
	t.Parallel()
	p := start(t, "env", "DOCKER_HOST=unix:///nowhere.sock", filepath.Join(bin, "lynxctl"), "run", script(t, "ok.py", ""), "--output", t.TempDir())
	p.says("engine")
	p.ends(3)
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// programPath is one of ours, or anything on PATH.
func programPath(name string) string {
	if strings.HasPrefix(name, "lynx") {
		return filepath.Join(bin, name)
	}
	return name
}
