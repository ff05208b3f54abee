package runner

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// Engine is an executor with what is known of the engine behind it before any job
// has run.
type Engine struct {
	executor.Executor
	// Facts are what the engine says of itself, for people.
	Facts []Finding
	// Unenforced are the limits that it accepts and ignores.
	Unenforced []executor.Unenforced
	// Warnings are sentences on what else it lacks.
	Warnings []string
	// GPUs says that it can give GPUs to containers.
	GPUs bool
	// Runtimes are the names of its OCI runtimes; nil where it has none.
	Runtimes []string
}

// Refused are the limits that the engine ignores and that the configuration
// promises all the same: with any of them a runner does not start.
func Refused(cfg *config.Config, ignored []executor.Unenforced) []executor.Unenforced {
	return slices.DeleteFunc(slices.Clone(ignored), func(u executor.Unenforced) bool { return slices.Contains(cfg.Sandbox.Unenforced, u.Limit) })
}

// isProcess says that jobs are programs of this host: there is no engine then, and
// no image.
func (c *checker) isProcess() bool { return c.cfg.Executor == config.ExecutorProcess }

// executorSubject is what findings on the executor are about.
func (c *checker) executorSubject() string {
	if c.isProcess() {
		return "executor"
	}
	return "engine"
}

// engine connects to the engine and tells what it says of itself.
func (c *checker) engine(ctx context.Context) executor.Executor {
	engine, err := c.deps.Connect(ctx)
	if err != nil {
		c.out.Unreachable = errors.Is(err, executor.ErrUnavailable)
		c.add(c.executorSubject(), LevelFailed, "%v", err)
		skipped := []string{"image", "job"}
		if c.isProcess() {
			skipped = skipped[1:]
		}
		for _, subject := range skipped {
			c.add(subject, LevelSkipped, "not tried, because of the above")
		}
		return nil
	}
	if c.isProcess() {
		c.add("executor", LevelOK, "jobs are processes of this host")
	} else {
		c.add("engine", LevelOK, "%s answers", engine.Version())
	}
	c.out.Findings = append(c.out.Findings, engine.Facts...)
	refused := Refused(c.cfg, engine.Unenforced)
	for _, u := range engine.Unenforced {
		if slices.Contains(refused, u) {
			c.add("limits", LevelFailed, "%s; a runner does not start like this, unless sandbox.unenforced names %s", u.Reason, u.Limit)
		} else {
			c.add("limits", LevelWarning, "%s (accepted by sandbox.unenforced)", u.Reason)
		}
	}
	if !c.cfg.GPUs.None() && !engine.GPUs && !c.isProcess() {
		c.add("gpus", LevelFailed, "the configuration offers GPUs (gpus, or gpu_available in capabilities), and the engine can't give them to containers: install the NVIDIA Container Toolkit, or offer none")
	}
	for _, w := range engine.Warnings {
		c.add("limits", LevelWarning, "%s", w)
	}
	return engine
}

// relaxed names what confines jobs less than the defaults do.
func (c *checker) relaxed() {
	for _, r := range c.cfg.Relaxations {
		c.add("relaxed", LevelWarning, "%s", r)
	}
}

// images checks the default image, and the others that a study may ask for.
func (c *checker) images(ctx context.Context, exec executor.Executor) (id string) {
	if c.isProcess() {
		return ""
	}
	id, err := exec.Resolve(ctx, c.cfg.Image)
	if err != nil {
		c.out.Unreachable = c.out.Unreachable || errors.Is(err, executor.ErrUnavailable)
		c.add("image", LevelFailed, "%v", err)
	} else {
		c.add("image", LevelOK, "%s is %s", c.cfg.Image, id)
	}
	for _, other := range c.cfg.AllowedImages {
		if other == c.cfg.Image || executor.IsImagePattern(other) {
			continue
		}
		if _, otherErr := exec.Resolve(ctx, other); otherErr != nil {
			c.add("image", LevelWarning, "%v", otherErr)
		}
	}
	return id
}

// container says what a runner that is itself in a container needs. root is the
// root directory, but in tests.
func (c *checker) container(root string) {
	if !inContainer(root) || c.isProcess() {
		return
	}
	paths := strings.Join([]string{c.cfg.OutputRoot, c.cfg.RuntimeDir, c.cfg.WorkingDirectory, c.cfg.Shim}, ", ")
	if !hostProcesses(root) {
		c.add("container", LevelFailed, "this runner is in a container and does not see the host's processes, so that it can neither tell its jobs' shims from others nor end a job at once: start its container with the host's process ids (docker run --pid=host; in a compose file, pid: host)")
		return
	}
	c.add("container", LevelOK, "this runner is in a container with the host's process ids; the engine looks for %s on the host: each must be mounted into this container under the same path", paths)
}
