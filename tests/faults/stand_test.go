//go:build engine

package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/executor/docker/dockertest"
)

// firstUID begins the users of the jobs: a range that no other runner uses. Each
// stand has uidsPerStand of them.
const (
	firstUID     = 1_710_000_000
	uidsPerStand = 16
)

// patience bounds every wait for what must happen.
const patience = 4 * time.Minute

// The job's halves: so many lines and samples each.
const (
	lines   = 200
	samples = 20
)

var (
	stands atomic.Int64
	// programs is the directory of the programs under test; image runs the job.
	programs string
	image    dockertest.Image
)

func TestMain(m *testing.M) {
	code, err := prepared(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fault tests:", err)
		code = 1
	}
	os.Exit(code)
}

// prepared builds what is tested and the job's image, and runs the tests.
func prepared(m *testing.M) (code int, err error) {
	if programs, err = os.MkdirTemp("", "lx-faults-bin-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(programs)) }()
	if err := os.Chmod(programs, 0o755); err != nil {
		return 1, err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", programs+"/",
		"./cmd/lynx-server", "./cmd/lynx-runner", "./cmd/lynx-shim", "./cmd/lynxctl", "./tests/faults/job")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build: %w\n%s", err, out)
	}
	image = dockertest.Image{Name: fmt.Sprintf("lynx-test-faults:%d", os.Getpid()), Files: map[string]string{"/job": programs + "/job"}}
	if _, err := image.Load(context.Background()); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, image.Remove(context.Background())) }()
	return m.Run(), nil
}

const runnerFile = `
runner_id: %[2]s
server: unix://%[6]s
token_file: %[1]s/data/token
engines: [command]
image: %[4]s
output_root: %[1]s/output
state_dir: %[1]s/state
runtime_dir: %[1]s/run
lock_dir: %[1]s/lock
shim: %[5]s/lynx-shim
max_concurrent_jobs: 2
reserve: {disk: 1Mi}
sandbox:
  uid_range: %[3]s
  cpu: 1
  memory: 64Mi
  timeout: 10m
  grace: 1s
  pids: 64
  tmpfs: {tmp: 4Mi, home: 4Mi, shm: 4Mi}
  output: {total: 32Mi, per_file: 32Mi, files: 500, depth: 32}
`

// stand is a platform and a runner, each a process of its own.
type stand struct {
	dir, runnerID string
	first         int // of the jobs' user ids
	client        *api.Client
	server        *exec.Cmd
	runner        *exec.Cmd
	// proxy is between the runner and its engine.
	proxy *engineProxy
	// grpc is the socket that the runner finds its platform at.
	grpc string
	// engine is the address of the engine behind the proxy.
	engine string
	// platform is between the runner and its platform; nil if nothing is.
	platform *platformProxy
	// daemon is that engine where it is the stand's own; else nil.
	daemon *daemon
}

// newStand makes a stand that has not been started.
func newStand(t *testing.T) *stand {
	t.Helper()
	dir, err := os.MkdirTemp("", "lx-faults-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	s := &stand{
		dir: dir, runnerID: filepath.Base(dir), grpc: dir + "/grpc.sock", engine: "/var/run/docker.sock",
		first: firstUID + uidsPerStand*int(stands.Add(1)),
	}
	if host, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		s.engine = host
	}
	for _, sub := range []string{"data", "output"} {
		must(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	return s
}

// up starts everything.
func (s *stand) up(t *testing.T) {
	t.Helper()
	s.proxy = newEngineProxy(t, s.dir+"/docker.sock", s.engine)
	s.startServer(t)
	s.startRunner(t)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a program of the stand's. What it logs is shown if the test fails.
func (s *stand) start(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	cmd := exec.Command(filepath.Join(programs, name), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = s.dir, log, log, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	must(t, log.Close())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s: %v\n%s", name, cmd.ProcessState, text[max(0, len(text)-20_000):])
		}
	})
	return cmd
}

func (s *stand) startServer(t *testing.T) {
	t.Helper()
	s.server = s.start(t, nil, "lynx-server", "--listen", "unix://"+s.dir+"/rest.sock",
		"--grpc-listen", "unix://"+s.dir+"/grpc.sock", "--data", s.dir+"/data")
	s.eventually(t, "the platform", func() error {
		token, err := os.ReadFile(s.dir + "/data/token")
		if err != nil {
			return err
		}
		if s.client == nil {
			s.client, err = api.NewClient("unix://"+s.dir+"/rest.sock", api.WithToken(strings.TrimSpace(string(token))))
			if err != nil {
				return err
			}
			t.Cleanup(s.client.Close)
		}
		_, err = s.client.Health(t.Context())
		return err
	})
}

func (s *stand) startRunner(t *testing.T) {
	t.Helper()
	path := filepath.Join(s.dir, "runner.yaml")
	uids := fmt.Sprintf("%d-%d", s.first, s.first+uidsPerStand-1)
	must(t, os.WriteFile(path, fmt.Appendf(nil, runnerFile, s.dir, s.runnerID, uids, image.Name, programs, s.grpc), 0o600))
	s.runner = s.start(t, []string{"DOCKER_HOST=unix://" + s.dir + "/docker.sock"}, "lynx-runner", "start", "--config", path)
	s.eventually(t, "the runner", func() error {
		r, err := s.client.Runner(t.Context(), s.runnerID)
		// It sends its first heartbeat when it has looked for what an earlier one left.
		if err == nil && (r.Status != api.RunnerIdle || r.Paused != "" || !r.LastHeartbeatAt.After(r.RegisteredAt)) {
			err = fmt.Errorf("it is %s: %s", r.Status, r.Paused)
		}
		return err
	})
}

// eventually waits for something that nothing announces.
func (s *stand) eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
		for _, cmd := range []*exec.Cmd{s.server, s.runner} {
			if cmd != nil && cmd.ProcessState == nil && gone(cmd.Process.Pid) {
				t.Fatalf("%s has ended, before %s", filepath.Base(cmd.Path), what)
			}
		}
	}
	t.Fatalf("waited in vain for %s: %v", what, err)
}

// gone reports whether a child of this process has ended.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// kill ends a program of the stand's by SIGKILL.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
}

// submit submits a study of so many runs of the job and returns the batch's id.
func (s *stand) submit(t *testing.T, runs, code int) string {
	t.Helper()
	study := fmt.Sprintf(`
simulation: {name: Faults, version: 1.0.0, type: command, command: [/job, '%d', '%d', '%d']}
monte_carlo: {runs: %d, sampling_method: random, seed: 1}
`, code, lines, samples, runs)
	b, err := s.client.Submit(t.Context(), []byte(study), "application/yaml")
	if err != nil {
		t.Fatalf("submit: %v\n%s", err, study)
	}
	return b.BatchID
}

// ready are the attempts of a batch whose job has run, by their directories.
func (s *stand) ready(batch string) []string {
	found, _ := filepath.Glob(filepath.Join(s.dir, "output", batch, "*", "attempt-*", "output", "ready"))
	for i, f := range found {
		found[i] = filepath.Dir(filepath.Dir(f))
	}
	slices.Sort(found)
	return found
}

// waitReady waits until so many attempts of a batch have run to their middle.
func (s *stand) waitReady(t *testing.T, batch string, n int) {
	t.Helper()
	s.eventually(t, "the job", func() error {
		if got := len(s.ready(batch)); got < n {
			return fmt.Errorf("%d run, want %d", got, n)
		}
		return nil
	})
}

// release lets the jobs of these attempts go on.
func release(t *testing.T, attempts ...string) {
	t.Helper()
	for _, dir := range attempts {
		must(t, os.WriteFile(filepath.Join(dir, "output", "go"), nil, 0o644))
	}
}

// finish lets every job of a batch go on, those that are run again too, until the
// batch is complete, and returns its results.
func (s *stand) finish(t *testing.T, batch string) []api.RunRow {
	t.Helper()
	released := map[string]bool{}
	s.eventually(t, "the end of the batch", func() error {
		for _, dir := range s.ready(batch) {
			if !released[dir] {
				released[dir] = true
				if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
					_ = os.WriteFile(filepath.Join(dir, "output", "go"), nil, 0o644) // one that ended meanwhile has no use for it
				}
			}
		}
		b, err := s.client.Batch(t.Context(), batch)
		if err == nil && b.Batch.CompletedAt == nil {
			err = fmt.Errorf("it is %s", b.Batch.Status)
		}
		return err
	})
	return s.results(t, batch)
}

func (s *stand) results(t *testing.T, batch string) (list []api.RunRow) {
	t.Helper()
	for row, err := range s.client.AllBatchResults(t.Context(), batch) {
		must(t, err)
		list = append(list, row)
	}
	return list
}

// pausedFor waits until the platform tells that the runner takes no jobs, with
// such a word in its reason; with an empty word, that it takes jobs.
func (s *stand) pausedFor(t *testing.T, word string) {
	t.Helper()
	s.eventually(t, "the runner's pause to be "+word, func() error {
		r, err := s.client.Runner(t.Context(), s.runnerID)
		if err == nil && ((r.Paused == "") != (word == "") || !strings.Contains(r.Paused, word)) {
			err = fmt.Errorf("it says %q", r.Paused)
		}
		return err
	})
}
