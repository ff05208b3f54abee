//go:build engine

package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/executor/docker/dockertest"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// usersPerSite is how many users a site's jobs have.
const usersPerSite = 16

// The job's halves: so many lines and samples each.
const (
	lines   = 200
	samples = 20
)

var (
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
	if err := stand.Build(programs, "./cmd/lynx-server", "./cmd/lynx-runner", "./cmd/lynx-shim", "./cmd/lynxctl", "./tests/faults/job"); err != nil {
		return 1, err
	}
	image = dockertest.Image{Name: fmt.Sprintf("lynx-test-faults:%d", os.Getpid()), Files: map[string]string{"/job": programs + "/job"}}
	if _, err := image.Load(context.Background()); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, image.Remove(context.Background())) }()
	return m.Run(), nil
}

const runnerFile = `
engines: [command]
image: %s
max_concurrent_jobs: 2
reserve: {disk: 1Mi}
sandbox:
  uid_range: %s
  cpu: 1
  memory: 64Mi
  timeout: 10m
  grace: 1s
  pids: 64
  tmpfs: {tmp: 4Mi, home: 4Mi, shm: 4Mi}
  output: {total: 32Mi, per_file: 32Mi, files: 500, depth: 32}
`

// site is a platform and a runner, with what a cell can break.
type site struct {
	*stand.Stand

	runner *stand.Runner
	users  stand.Users
	// proxy is between the runner and its engine.
	proxy *stand.EngineProxy
	// grpc is the socket that the runner finds its platform at.
	grpc string
	// engine is the socket of the engine behind the proxy.
	engine string
	// platform is between the runner and its platform; nil if nothing is.
	platform *stand.PlatformProxy
	// letGo ends what the proxy holds back.
	letGo func()
	// daemon is that engine where it is the site's own; else nil.
	daemon *stand.Engine
	// commit is how often the site's disk commits its journal, in seconds, where it
	// is one that crashes.
	commit int
}

// newSite makes a site that has not been started.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		Stand: stand.New(t, "faults", programs), engine: stand.EngineSocket(),
		users: stand.NewUsers(t, usersPerSite),
	}
	s.grpc = s.Dir + "/grpc.sock"
	return s
}

// up starts everything.
func (s *site) up(t *testing.T) {
	t.Helper()
	s.proxy = stand.NewEngineProxy(t, s.Dir+"/docker.sock", s.engine)
	s.StartServer(t)
	s.runner = s.NewRunner(t, s.setup(filepath.Base(s.Dir)))
	s.runner.Start(t)
	s.runner.Ready(t)
}

// setup is how a runner of the site is made.
func (s *site) setup(id string) stand.Setup {
	return stand.Setup{ID: id, GRPC: s.grpc, Engine: s.Dir + "/docker.sock", Settings: fmt.Sprintf(runnerFile, image.Name, s.users)}
}

// submit submits a study of so many runs of the job and returns the batch's id.
func (s *site) submit(t *testing.T, runs, code int) string {
	t.Helper()
	return s.Submit(t, fmt.Sprintf(`
simulation: {name: Faults, version: 1.0.0, type: command, command: [/job, '%d', '%d', '%d']}
monte_carlo: {runs: %d, sampling_method: random, seed: 1}
`, code, lines, samples, runs))
}

// ready are the attempts of a batch whose job has run, by their directories.
func (s *site) ready(batch string) []string {
	found, _ := filepath.Glob(filepath.Join(s.Dir, "output", batch, "*", "attempt-*", "output", "ready"))
	for i, f := range found {
		found[i] = filepath.Dir(filepath.Dir(f))
	}
	slices.Sort(found)
	return found
}

// waitReady waits until so many attempts of a batch have run to their middle.
func (s *site) waitReady(t *testing.T, batch string, n int) {
	t.Helper()
	s.Eventually(t, "the job", func() error {
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
		stand.Must(t, os.WriteFile(filepath.Join(dir, "output", "go"), nil, 0o644))
	}
}

// finish lets every job of a batch go on, those that are run again too, until the
// batch is complete, and returns its results.
func (s *site) finish(t *testing.T, batch string) []api.RunRow {
	t.Helper()
	released := map[string]bool{}
	s.Eventually(t, "the end of the batch", func() error {
		for _, dir := range s.ready(batch) {
			if !released[dir] {
				released[dir] = true
				if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
					_ = os.WriteFile(filepath.Join(dir, "output", "go"), nil, 0o644) // one that ended meanwhile has no use for it
				}
			}
		}
		b, err := s.Client.Batch(t.Context(), batch)
		if err == nil && b.Batch.CompletedAt == nil {
			err = fmt.Errorf("it is %s", b.Batch.Status)
		}
		return err
	})
	return s.Results(t, batch)
}
