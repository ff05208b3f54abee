//go:build engine

package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
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
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// repository is the name of the jobs' images, which only this process has.
var repository = fmt.Sprintf("lynx-test-hostile-%d", os.Getpid())

// Limits of the runner, small so that they are soon met.
const (
	memoryLimit = 128 << 20
	totalLimit  = 64 << 20
	fileLimit   = 32 << 20
	logLimit    = 2 << 20 // head and tail
)

const runnerFile = `
engines: [basilisk]
image: %s:plain
working_directory: %s/work
basilisk_entrypoint: who
python_executable: /hostile
max_concurrent_jobs: 4
sandbox:
  allowed_images: [%s]
  uid_range: %s
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

// site is a platform and a runner, and the images that jobs run in.
type site struct {
	*stand.Stand

	runner     *stand.Runner
	users      stand.Users // the jobs'
	events     *exec.Cmd
	containers *bytes.Buffer
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Stand: stand.New(t, "hostile", ""), users: stand.NewUsers(t, 64), containers: &bytes.Buffer{}}
	s.build(t)
	s.furnish(t)
	var names []string
	for _, image := range images("") {
		names = append(names, image.Name)
	}
	s.runner = s.NewRunner(t, stand.Setup{ID: filepath.Base(s.Dir), Settings: fmt.Sprintf(runnerFile, repository, s.Dir, strings.Join(names, ", "), s.users)})
	s.watchContainers(t)
	s.StartServer(t)
	s.runner.Start(t)
	s.runner.Ready(t)
	return s
}

// build makes the programs under test, the job, and its images.
func (s *site) build(t *testing.T) {
	t.Helper()
	stand.Must(t, stand.Build(s.Programs, "./cmd/lynx-server", "./cmd/lynx-runner", "./cmd/lynx-shim", "./tests/hostile/job"))
	for _, image := range images(filepath.Join(s.Programs, "job")) {
		_, err := image.Load(t.Context())
		stand.Must(t, err)
		t.Cleanup(func() { stand.Must(t, image.Remove(context.WithoutCancel(t.Context()))) })
	}
}

// furnish makes the working directory, with a scenario for each attack, and
// something to be had outside of it.
func (s *site) furnish(t *testing.T) {
	t.Helper()
	for _, sub := range []string{"work", "work/sub", "secret", "output", "output/neighbour"} {
		stand.Must(t, os.Mkdir(filepath.Join(s.Dir, sub), 0o755))
	}
	for _, a := range attacks {
		stand.Must(t, os.WriteFile(filepath.Join(s.Dir, "work", a.program()), []byte(a.name+"\n"), 0o644))
	}
	for _, name := range []string{"who", "cpu_hog", "cpu_neighbour", "sub/who"} {
		stand.Must(t, os.WriteFile(filepath.Join(s.Dir, "work", name), []byte(name+"\n"), 0o644))
	}
	stand.Must(t, os.Symlink("../secret/key", filepath.Join(s.Dir, "work", "escape")))
	stand.Must(t, os.Symlink("/hostile", filepath.Join(s.Dir, "work", "absolute")))
	stand.Must(t, os.WriteFile(filepath.Join(s.Dir, "secret", "key"), []byte("secret\n"), 0o600))
	stand.Must(t, os.WriteFile(filepath.Join(s.Dir, "output", "neighbour", "result"), []byte("another job's\n"), 0o644))
}

// watchContainers notes the id of every container that the runner makes.
func (s *site) watchContainers(t *testing.T) {
	t.Helper()
	s.events = exec.Command("docker", "events", "--filter", "label=io.tetryx.lynx.runner="+s.runner.ID,
		"--filter", "event=create", "--format", "{{.Actor.ID}}")
	s.events.Stdout = s.containers
	stand.Must(t, s.events.Start())
	t.Cleanup(func() {
		if s.events.ProcessState == nil {
			s.stopWatching()
		}
	})
}

func (s *site) stopWatching() {
	_ = s.events.Process.Signal(syscall.SIGTERM)
	_ = s.events.Wait()
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
func (s *site) wait(t *testing.T, batch string) ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), stand.Patience)
	defer cancel()
	var revision uint64
	for {
		b, err := s.Client.WaitBatch(ctx, batch, revision, 20*time.Second)
		stand.Must(t, err)
		if b.Batch.CompletedAt != nil {
			break
		}
		revision = b.Revision
	}
	for row, err := range s.Client.AllBatchResults(ctx, batch) {
		stand.Must(t, err)
		r, err := s.Client.JobResult(ctx, row.JobID)
		stand.Must(t, err)
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
	stand.Must(t, err)
	var m manifest
	stand.Must(t, json.Unmarshal(data, &m))
	return m
}

// files are the paths in the attempt's directory with their information.
func (e ended) files(t *testing.T) map[string]fs.FileInfo {
	t.Helper()
	all := map[string]fs.FileInfo{}
	stand.Must(t, filepath.WalkDir(e.Directory, func(path string, d fs.DirEntry, err error) error {
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
func (s *site) post(t *testing.T, body []byte) (int, string) {
	t.Helper()
	token, err := os.ReadFile(s.Dir + "/data/token")
	stand.Must(t, err)
	client := http.Client{Transport: stand.UnixTransport(s.Dir + "/rest.sock")}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/jobs", bytes.NewReader(body))
	stand.Must(t, err)
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
		return dockertest.Image{Name: repository + ":" + name, Files: map[string]string{"/hostile": program}, Config: config}
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
