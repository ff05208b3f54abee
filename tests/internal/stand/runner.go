//go:build engine

package stand

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// Runner is a runner of a stand's.
type Runner struct {
	*Program

	ID string
	// Dir has output/, state/ and run/, and the runner's file.
	Dir string

	stand  *Stand
	engine string
}

// Setup is how a runner differs from others.
type Setup struct {
	// ID must be another for each runner that there is on this host.
	ID string
	// Sub is its directory below the stand's; that of the stand if empty.
	Sub string
	// GRPC is the socket that it finds its platform at; that of the platform if empty.
	GRPC string
	// Engine is the socket of its engine; that of the environment if empty.
	Engine string
	// Settings are the lines of its file that do not name a file of the stand's.
	Settings string
}

// NewRunner makes a runner that has not been started.
func (s *Stand) NewRunner(t *testing.T, c Setup) *Runner {
	t.Helper()
	if c.GRPC == "" {
		c.GRPC = filepath.Join(s.Dir, "grpc.sock")
	}
	var env []string
	if c.Engine != "" {
		env = []string{"DOCKER_HOST=unix://" + c.Engine}
	}
	dir := filepath.Join(s.Dir, c.Sub)
	Must(t, os.MkdirAll(filepath.Join(dir, "output"), 0o755))
	file := filepath.Join(dir, "runner.yaml")
	text := fmt.Sprintf(`
runner_id: %s
server: unix://%s
token_file: %s/data/token
output_root: %[4]s/output
state_dir: %[4]s/state
runtime_dir: %[4]s/run
lock_dir: %[3]s/lock
shim: %[5]s/lynx-shim
`, c.ID, c.GRPC, s.Dir, dir, s.Programs)
	Must(t, os.WriteFile(file, []byte(text+strings.TrimPrefix(c.Settings, "\n")), 0o600))
	return &Runner{Program: s.program(t, "lynx-runner", env, "start", "--config", file), ID: c.ID, Dir: dir, stand: s, engine: c.Engine}
}

// Ready waits until the runner has looked for what an earlier one left, and takes
// jobs.
func (r *Runner) Ready(t *testing.T) {
	t.Helper()
	r.stand.Eventually(t, "the runner", func() error {
		got, err := r.stand.Client.Runner(t.Context(), r.ID)
		// It sends its first heartbeat when it has looked.
		if err == nil && (got.Status != api.RunnerIdle || got.Paused != "" || !got.LastHeartbeatAt.After(got.RegisteredAt)) {
			err = fmt.Errorf("it is %s: %s", got.Status, got.Paused)
		}
		return err
	})
}

// PausedFor waits until the platform tells that the runner takes no jobs, with such
// a word in its reason; with an empty word, that it takes jobs.
func (r *Runner) PausedFor(t *testing.T, word string) {
	t.Helper()
	r.stand.Eventually(t, "the runner's pause to be "+word, func() error {
		got, err := r.stand.Client.Runner(t.Context(), r.ID)
		if err == nil && ((got.Paused == "") != (word == "") || !strings.Contains(got.Paused, word)) {
			err = fmt.Errorf("it says %q", got.Paused)
		}
		return err
	})
}

// Leftovers are what the runner should have removed, now that it has ended: its
// containers, and in its directories what is there only while an attempt is, sockets
// and what has not been delivered.
func (r *Runner) Leftovers(t *testing.T) (found []string) {
	t.Helper()
	label := "label=io.tetryx.lynx.runner=" + r.ID
	if ids := strings.Fields(Docker(t, r.engine, "ps", "--all", "--quiet", "--filter", label)); len(ids) > 0 {
		for _, id := range ids {
			found = append(found, "container "+Docker(t, r.engine, "inspect", "--format", "{{.Name}} {{.State.Status}}", id))
		}
		Docker(t, r.engine, append([]string{"rm", "--force"}, ids...)...)
	}
	for _, f := range slices.Concat(Below(filepath.Join(r.Dir, "run")), r.Undelivered()) {
		found = append(found, "file "+f)
	}
	return found
}

// Undelivered are the files that the runner keeps until it has reported an attempt
// and has sent what it left.
func (r *Runner) Undelivered() (found []string) {
	for _, dir := range []string{"state/outbox", "state/rejected", "state/causes", "state/uploads"} {
		for _, f := range Below(filepath.Join(r.Dir, dir)) {
			found = append(found, filepath.Join(r.Dir, dir, f))
		}
	}
	return found
}
