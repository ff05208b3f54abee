//go:build engine

package stand

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// Patience bounds every wait for what must happen; it takes seconds at most.
const Patience = 4 * time.Minute

// Stand is a platform and its runners.
type Stand struct {
	// Dir has everything that belongs to the stand, and is removed after the test:
	// rest.sock and grpc.sock, data/ of the platform, lock/ of all runners, and the
	// directories of the runners.
	Dir string
	// Programs is the directory of the programs under test.
	Programs string
	// Server is the platform; nil before it was started for the first time.
	Server *Program
	// Client speaks with the platform, once that was started.
	Client *api.Client

	programs []*Program
}

// New makes a stand in a fresh directory with this name in its own; without a
// directory of programs, they are expected in bin/ of the stand.
func New(t *testing.T, name, programs string) *Stand {
	t.Helper()
	dir, err := os.MkdirTemp("", "lx-"+name+"-") // short: sockets lie below
	Must(t, err)
	t.Cleanup(func() { Must(t, os.RemoveAll(dir)) })
	Must(t, os.Chmod(dir, 0o755)) // jobs have users of their own
	Must(t, os.Mkdir(filepath.Join(dir, "data"), 0o755))
	if programs == "" {
		programs = filepath.Join(dir, "bin")
	}
	return &Stand{Dir: dir, Programs: programs}
}

// Build builds packages of this module, named from its root, into a directory.
// The test's own lies two directories below the root.
func Build(dir string, packages ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-o", dir + "/"}, packages...)...)
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// Must fails the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// StartServer starts the platform, for the first time or again, and waits until it
// answers.
func (s *Stand) StartServer(t *testing.T) {
	t.Helper()
	if s.Server == nil {
		s.Server = s.program(t, "lynx-server", nil, "--listen", "unix://"+s.Dir+"/rest.sock",
			"--grpc-listen", "unix://"+s.Dir+"/grpc.sock", "--data", s.Dir+"/data")
	}
	s.Server.Start(t)
	s.Eventually(t, "the platform", func() error {
		if s.Client == nil {
			token, err := os.ReadFile(s.Dir + "/data/token")
			if err != nil {
				return err
			}
			s.Client, err = api.NewClient("unix://"+s.Dir+"/rest.sock", api.WithToken(strings.TrimSpace(string(token))))
			if err != nil {
				return err
			}
			t.Cleanup(s.Client.Close)
		}
		_, err := s.Client.Health(t.Context())
		return err
	})
}

// Eventually waits for something that nothing announces, as long as no program of
// the stand's has ended that nobody has ended.
func (s *Stand) Eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
		for _, p := range s.programs {
			if p.Gone() {
				t.Fatalf("%s has ended, before %s", p.Name, what)
			}
		}
	}
	t.Fatalf("waited in vain for %s: %v", what, err)
}

// Submit submits a study and returns the batch's id.
func (s *Stand) Submit(t *testing.T, study string) string {
	t.Helper()
	b, err := s.Client.Submit(t.Context(), []byte(study), api.YAML)
	if err != nil {
		t.Fatalf("submit: %+v\n%s", err, study)
	}
	return b.BatchID
}

// Results are the runs of a batch in order, as they are now.
func (s *Stand) Results(t *testing.T, batch string) (list []api.RunRow) {
	t.Helper()
	for row, err := range s.Client.AllBatchResults(t.Context(), batch) {
		Must(t, err)
		list = append(list, row)
	}
	return list
}

// Outcome is a run's outcome; empty if it has none yet.
func Outcome(r api.RunRow) api.Outcome {
	if r.Outcome == nil {
		return ""
	}
	return *r.Outcome
}

// Message is what is said about a run's end; empty if nothing is.
func Message(r api.RunRow) string {
	if r.ErrorMessage == nil {
		return ""
	}
	return *r.ErrorMessage
}
