package runner

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/engine"
)

const (
	// sharedJobs is how many jobs a container serves: a new one costs a second or
	// two, as much as six of the tutorial's.
	sharedJobs = 1000
	// sharedIdle is how long a container waits for another job: longer than a
	// platform takes to hand the next one out, and no longer.
	sharedIdle = 10 * time.Second
)

// shareContainer completes a specification whose batch asks for isolation: batch.
func (j *job) shareContainer(rec *record, command engine.Command) error {
	if !j.shared() {
		return nil
	}
	if len(command.Server) == 0 {
		return invalid("compute.isolation: batch needs an engine whose jobs a fork server can run, and engine %s has none; leave it out, or write simulation.type: basilisk", rec.engine)
	}
	if rec.digest == "" {
		// Else nobody could tell when the code is another.
		return invalid("compute.isolation: batch needs a working directory whose digest can be known (working_directory in the runner's configuration)")
	}
	rec.spec.Shared = &executor.Shared{Server: command.Server, Code: rec.digest, MaxJobs: sharedJobs, Idle: sharedIdle}
	return rec.paths.follow()
}

// shared says whether the attempt shares a container with others of its batch.
func (j *job) shared() bool { return j.a.GetCompute().GetIsolation() == config.IsolationBatch }

// follow keeps hold of the job's directories, which are elsewhere while it runs in
// a shared container.
func (p *paths) follow() error {
	for _, path := range []*string{&p.output, &p.log} {
		f, err := os.OpenFile(*path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return fmt.Errorf("attempt directory: %w", err)
		}
		p.moving = append(p.moving, f)
		*path = ownPath(f)
	}
	return nil
}

// manifestIsolation says what the job had for itself.
type manifestIsolation struct {
	// Mode is compute.isolation.
	Mode string `json:"mode"`
	// ExitReportedBy is who alone says how the job ended; empty where the engine
	// confirms it.
	ExitReportedBy string `json:"exit_reported_by,omitempty"`
}

func (j *job) isolation() manifestIsolation {
	if j.shared() {
		return manifestIsolation{Mode: config.IsolationBatch, ExitReportedBy: "shim"}
	}
	return manifestIsolation{Mode: config.IsolationJob}
}
