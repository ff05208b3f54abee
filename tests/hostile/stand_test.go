//go:build engine

package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/executor/docker/dockertest"
)

// The users of the jobs: a range that no other runner uses.
const firstUID, lastUID = 1_700_000_000, 1_700_000_063

// Limits of the runner, small so that they are soon met.
const (
	memoryLimit = 128 << 20
	totalLimit  = 64 << 20
	fileLimit   = 32 << 20
	logLimit    = 2 << 20 // head and tail
)

// patience bounds every wait; what is waited for takes seconds.
const patience = 3 * time.Minute

const runnerFile = `
runner_id: %[2]s
server: unix://%[1]s/grpc.sock
token_file: %[1]s/data/token
engines: [basilisk]
image: lynx-test-hostile:plain
working_directory: %[1]s/work
basilisk_entrypoint: who
python_executable: /hostile
output_root: %[1]s/output
state_dir: %[1]s/state
runtime_dir: %[1]s/run
lock_dir: %[1]s/lock
shim: %[1]s/bin/lynx-shim
max_concurrent_jobs: 4
sandbox:
  allowed_images: [%[4]s]
  uid_range: %[3]s
  cpu: 1
  max_cpu: 2
  memory: 128Mi
  max_memory: 256Mi
  timeout: 100s
  max_timeout: 120s
  grace: 1s
  pids: 128
  rlimits: [{type: RLIMIT_NOFILE, hard: 1024}]
  tmpfs: {tmp: 256Mi, home: 4Mi, shm: 8Mi}
  output: {total: 64Mi, per_file: 32Mi, files: 500, depth: 32}
  log_head: 1Mi
  log_tail: 1Mi
`

// stand is a platform and a runner, each a process of its own, and the images
// that jobs run in.
type stand struct {
	dir, runnerID  string
	client         *api.Client
	server, runner *exec.Cmd
	events         *exec.Cmd
	containers     *bytes.Buffer
}

func newStand(t *testing.T) *stand {
	t.Helper()
	dir, err := os.MkdirTemp("", "lx-hostile-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	s := &stand{dir: dir, runnerID: filepath.Base(dir), containers: &bytes.Buffer{}}
	s.build(t)
	s.furnish(t)
	s.watchContainers(t)
	s.startServer(t)
	s.startRunner(t)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build makes the programs under test, the job, and its images.
func (s *stand) build(t *testing.T) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", s.dir+"/bin/",
		"./cmd/lynx-server", "./cmd/lynx-runner", "./cmd/lynx-shim", "./tests/hostile/job")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, image := range images(s.dir + "/bin/job") {
		_, err := image.Load(t.Context())
		must(t, err)
		t.Cleanup(func() { must(t, image.Remove(context.WithoutCancel(t.Context()))) })
	}
}

// furnish makes the working directory, with a scenario for each attack, and
// something to be had outside of it.
func (s *stand) furnish(t *testing.T) {
	t.Helper()
	for _, sub := range []string{"work", "work/sub", "data", "secret", "output", "output/neighbour"} {
		must(t, os.Mkdir(filepath.Join(s.dir, sub), 0o755))
	}
	for _, a := range attacks {
		must(t, os.WriteFile(filepath.Join(s.dir, "work", a.program()), []byte(a.name+"\n"), 0o644))
	}
	for _, name := range []string{"who", "cpu_hog", "cpu_neighbour", "sub/who"} {
		must(t, os.WriteFile(filepath.Join(s.dir, "work", name), []byte(name+"\n"), 0o644))
	}
	must(t, os.Symlink("../secret/key", filepath.Join(s.dir, "work", "escape")))
	must(t, os.Symlink("/hostile", filepath.Join(s.dir, "work", "absolute")))
	must(t, os.WriteFile(filepath.Join(s.dir, "secret", "key"), []byte("secret\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(s.dir, "output", "neighbour", "result"), []byte("another job's\n"), 0o644))
}

// watchContainers notes the id of every container that the runner makes.
func (s *stand) watchContainers(t *testing.T) {
	t.Helper()
	s.events = exec.Command("docker", "events", "--filter", "label=io.tetryx.lynx.runner="+s.runnerID,
		"--filter", "event=create", "--format", "{{.Actor.ID}}")
	s.events.Stdout = s.containers
	must(t, s.events.Start())
	t.Cleanup(func() {
		if s.events.ProcessState == nil {
			s.stopWatching()
		}
	})
}

func (s *stand) stopWatching() {
	_ = s.events.Process.Signal(syscall.SIGTERM)
	_ = s.events.Wait()
}

// start runs a program of the stand's. What it logs is shown if the test fails.
func (s *stand) start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	must(t, err)
	cmd := exec.Command(filepath.Join(s.dir, "bin", name), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
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
	s.server = s.start(t, "lynx-server", "--listen", "unix://"+s.dir+"/rest.sock",
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
	var names []string
	for _, image := range images("") {
		names = append(names, image.Name)
	}
	path := filepath.Join(s.dir, "runner.yaml")
	text := fmt.Sprintf(runnerFile, s.dir, s.runnerID, fmt.Sprintf("%d-%d", firstUID, lastUID), strings.Join(names, ", "))
	must(t, os.WriteFile(path, []byte(text), 0o600))
	s.runner = s.start(t, "lynx-runner", "start", "--config", path)
	s.eventually(t, "the runner", func() error {
		r, err := s.client.Runner(t.Context(), s.runnerID)
		if err == nil && r.Status != api.RunnerIdle {
			err = fmt.Errorf("it is %s", r.Status)
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
			if cmd != nil && gone(cmd.Process.Pid) {
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

// stop ends runner and platform in order.
func (s *stand) stop(t *testing.T) {
	t.Helper()
	for _, cmd := range []*exec.Cmd{s.runner, s.server} {
		must(t, cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", filepath.Base(cmd.Path), err)
		}
	}
	s.stopWatching()
}

// submit submits a study and returns the batch's id.
func (s *stand) submit(t *testing.T, study string) string {
	t.Helper()
	b, err := s.client.Submit(t.Context(), []byte(study), "application/yaml")
	if err != nil {
		var p *api.Problem
		if errors.As(err, &p) {
			t.Fatalf("submit: %+v\n%s", p, study)
		}
		t.Fatalf("submit: %v\n%s", err, study)
	}
	return b.BatchID
}

// study is one run of an attack.
func study(entrypoint, compute, more string) string {
	return fmt.Sprintf(`
simulation: {name: Hostile, version: 1.0.0, entrypoint: %s}
monte_carlo: {runs: 1, sampling_method: random, seed: 1}
compute: {%s}
%s`, entrypoint, compute, more)
}

// wait waits for the end of a batch of one run and returns its result.
func (s *stand) wait(t *testing.T, batch string) ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var revision uint64
	for {
		b, err := s.client.WaitBatch(ctx, batch, revision, 20*time.Second)
		must(t, err)
		if b.Batch.CompletedAt != nil {
			break
		}
		revision = b.Revision
	}
	for row, err := range s.client.AllBatchResults(ctx, batch) {
		must(t, err)
		r, err := s.client.JobResult(ctx, row.JobID)
		must(t, err)
		return newEnded(t, r)
	}
	t.Fatalf("batch %s has no run", batch)
	return ended{}
}

// ended is a job that came to its end.
type ended struct {
	*api.JobResult

	message        string
	done, refused  []string
	reports        []string
	stdout, stderr string
}

// newEnded reads what the job reported about itself. Its logs may be anything.
func newEnded(t *testing.T, r *api.JobResult) ended {
	t.Helper()
	e := ended{JobResult: r}
	if r.ErrorMessage != nil {
		e.message = *r.ErrorMessage
	}
	e.stdout, e.stderr = readLog(r.Directory, "stdout.log"), readLog(r.Directory, "stderr.log")
	lines := bufio.NewScanner(strings.NewReader(e.stdout))
	lines.Buffer(nil, logLimit+4096)
	for lines.Scan() {
		line := lines.Text()
		if what, ok := strings.CutPrefix(line, "done "); ok {
			e.done = append(e.done, what)
		} else if what, ok := strings.CutPrefix(line, "refused "); ok {
			what, _, _ = strings.Cut(what, ": ")
			e.refused = append(e.refused, what)
		} else {
			e.reports = append(e.reports, line)
		}
	}
	return e
}

func readLog(dir, name string) string {
	path := filepath.Join(dir, "log", name)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) > 2*logLimit {
		return ""
	}
	return string(data)
}

// manifest is what the runner wrote down about the attempt.
type manifest struct {
	AttemptID string `json:"attempt_id"`
	Image     struct {
		ID string `json:"id"`
	} `json:"image"`
	Result struct {
		Outcome api.Outcome `json:"outcome"`
	} `json:"result"`
}

func (e ended) manifest(t *testing.T) manifest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(e.Directory, "manifest.json"))
	must(t, err)
	var m manifest
	must(t, json.Unmarshal(data, &m))
	return m
}

// files are the paths in the attempt's directory with their information.
func (e ended) files(t *testing.T) map[string]fs.FileInfo {
	t.Helper()
	all := map[string]fs.FileInfo{}
	must(t, filepath.WalkDir(e.Directory, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(e.Directory, path)
		if err != nil {
			return err
		}
		all[rel], err = d.Info()
		return err
	}))
	return all
}

// post sends a submission as it is and returns the answer's status.
func (s *stand) post(t *testing.T, body []byte) (int, string) {
	t.Helper()
	token, err := os.ReadFile(s.dir + "/data/token")
	must(t, err)
	client := http.Client{Transport: unixTransport(s.dir + "/rest.sock")}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/jobs", bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/yaml")
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	var text bytes.Buffer
	_, _ = text.ReadFrom(res.Body)
	return res.StatusCode, text.String()
}

// images are the plain one and those that try something by themselves.
func images(program string) []dockertest.Image {
	image := func(name string, config map[string]any) dockertest.Image {
		return dockertest.Image{Name: "lynx-test-hostile:" + name, Files: map[string]string{"/hostile": program}, Config: config}
	}
	suid := image("setuid", nil)
	suid.Files["/root-shell"] = program
	suid.Modes = map[string]int64{"/root-shell": 0o6755}
	return []dockertest.Image{
		image("plain", nil), suid,
		image("volume", map[string]any{"Volumes": map[string]any{"/data": struct{}{}, "/lynx/output": struct{}{}, "/tmp": struct{}{}}}),
		image("volume-system", map[string]any{"Volumes": map[string]any{"/proc/sys": struct{}{}}}),
		image("volume-output", map[string]any{"Volumes": map[string]any{"/lynx/output/deep": struct{}{}}}),
		image("healthcheck", map[string]any{"Healthcheck": map[string]any{"Test": []string{"CMD", "/hostile", "memory_bomb"}, "Interval": 1_000_000, "Timeout": 1_000_000_000}}),
		image("entrypoint", map[string]any{"Entrypoint": []string{"/hostile", "memory_bomb"}, "Cmd": []string{"--evil"}, "StopSignal": "SIGKILL"}),
		image("workdir", map[string]any{"WorkingDir": "/../../evil/\x1b[31m"}),
		image("user", map[string]any{"User": "0:0"}),
		image("user-name", map[string]any{"User": "nobody:nogroup"}),
		image("onbuild", map[string]any{"OnBuild": []string{"RUN /hostile memory_bomb", "USER root"}}),
		image("env", map[string]any{"Env": []string{
			"LD_PRELOAD=/evil.so", "EVIL=1", "GODEBUG=gctrace=1,inittrace=1", "GOTRACEBACK=crash", "GOGC=1", "GOMEMLIMIT=1", "GOMAXPROCS=1",
			"PATH=/evil", "TETRYX_OUTPUT_DIR=/evil", "HOME=/evil", "PYTHONSTARTUP=/evil.py", "BASH_ENV=/evil.sh", "http_proxy=http://evil",
			"NVIDIA_VISIBLE_DEVICES=all", "\x1b[31m=x", "NEW\nLINE=x",
		}}),
		image("labels", map[string]any{
			"Labels":       map[string]string{"io.tetryx.lynx.runner": "somebody", "io.tetryx.lynx.attempt": "x", "org.testcontainers": "true"},
			"ExposedPorts": map[string]any{"80/tcp": struct{}{}, "50051/tcp": struct{}{}},
		}),
	}
}
