package shared

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/executor"
)

// engine is a scripted executor that can serve: each job does what work says.
type engine struct {
	t    *testing.T
	work func(c *served, job int) *executor.ServedEnd

	mu         sync.Mutex
	containers []*served
	plain      []string // attempts that got a container of their own
	left       []executor.Handle
	closed     bool
	startErr   error
}

func (e *engine) Name() string    { return "docker" }
func (e *engine) Version() string { return "docker 99" }
func (e *engine) Resolve(context.Context, string) (string, error) {
	return "sha256:x", nil
}

func (e *engine) Start(_ context.Context, spec executor.Spec) (executor.Handle, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.startErr != nil {
		return nil, e.startErr
	}
	if !spec.Serve {
		e.plain = append(e.plain, spec.AttemptID)
		return &served{spec: spec}, nil
	}
	c := newServed(e, spec)
	e.containers = append(e.containers, c)
	return c, nil
}

func (e *engine) Recover(context.Context) ([]executor.Handle, error) { return e.left, nil }

func (e *engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, c := range e.containers {
		c.end(executor.Exit{}) // Wait fails in a real one
	}
	return nil
}

// live are the containers that run.
func (e *engine) live() (list []*served) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		select {
		case <-c.gone:
		default:
			list = append(list, c)
		}
	}
	return list
}

// served is a container that serves.
type served struct {
	e    *engine
	spec executor.Spec
	news chan executor.ServedNews
	lost chan struct{}
	gone chan struct{}

	mu      sync.Mutex
	jobs    int
	oom     int64
	exit    executor.Exit
	removed bool
	runErr  error
}

func newServed(e *engine, spec executor.Spec) *served {
	return &served{e: e, spec: spec, news: make(chan executor.ServedNews), lost: make(chan struct{}), gone: make(chan struct{})}
}

func (c *served) AttemptID() string                  { return c.spec.AttemptID }
func (c *served) Started() time.Time                 { return time.Time{} }
func (c *served) Served() <-chan executor.ServedNews { return c.news }
func (c *served) Lost() <-chan struct{}              { return c.lost }

func (c *served) OOMKills() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.oom
}

func (c *served) Run() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runErr != nil {
		return c.runErr
	}
	c.jobs++
	job := c.jobs
	go func() {
		if !c.say(executor.ServedNews{}) {
			return
		}
		if end := c.e.work(c, job); end != nil {
			c.say(executor.ServedNews{Ended: end})
		}
	}()
	return nil
}

func (c *served) say(n executor.ServedNews) bool {
	select {
	case c.news <- n:
		return true
	case <-c.gone:
		return false
	}
}

func (c *served) end(x executor.Exit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.gone:
	default:
		x.Ended = time.Now()
		c.exit = x
		close(c.gone)
	}
}

func (c *served) Wait(ctx context.Context) (executor.Exit, error) {
	select {
	case <-c.gone:
		return c.exit, nil
	case <-ctx.Done():
		return executor.Exit{}, ctx.Err()
	}
}

func (c *served) Kill(context.Context) (time.Time, error) {
	c.end(executor.Exit{Notes: []string{"killed"}})
	return c.exit.Ended, nil
}

func (c *served) Remove(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.gone:
	default:
		return errors.New("it has not ended")
	}
	c.removed = true
	return nil
}

// bench is an Executor before a scripted engine, and the runner's directories.
type bench struct {
	t    *testing.T
	e    *engine
	x    *Executor
	dir  string
	jobs int
}

// patience bounds what has to happen.
const patience = 30 * time.Second

func newBench(t *testing.T, work func(c *served, job int) *executor.ServedEnd) *bench {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, e: &engine{t: t, work: work}, dir: dir}
	b.x = New(b.e, Config{Dir: filepath.Join(dir, "shared")})
	t.Cleanup(func() {
		if err := b.x.Close(); err != nil {
			t.Error(err)
		}
		b.clean()
	})
	return b
}

// clean checks that nothing is left beside the attempts' own directories.
func (b *bench) clean() {
	b.t.Helper()
	for _, pattern := range []string{"shared", "shared/*", "run/shared*"} {
		if left, _ := filepath.Glob(filepath.Join(b.dir, pattern)); len(left) > 0 {
			b.t.Errorf("left behind: %q", left)
		}
	}
	for _, c := range b.e.containers {
		if !c.removed {
			b.t.Errorf("container %s was not removed", c.spec.AttemptID)
		}
		if _, err := os.Stat(c.spec.RuntimeDir); err == nil {
			b.t.Errorf("left behind: %s", c.spec.RuntimeDir)
		}
	}
}

// spec makes the directories of another attempt.
func (b *bench) spec(change ...func(*executor.Spec)) executor.Spec {
	b.t.Helper()
	b.jobs++
	id := fmt.Sprintf("job-%d", b.jobs)
	dir, run := filepath.Join(b.dir, id), filepath.Join(b.dir, "run", id)
	s := executor.Spec{
		AttemptID: id, JobID: id, BatchID: "batch", Image: "sha256:x",
		Argv:      []string{"python", "/lynx/work/s.py", "-v"},
		Env:       []string{"PATH=/bin", "TETRYX_OUTPUT_DIR=/lynx/output", "TETRYX_RUN_CONFIG=/lynx/run_config.json"},
		OutputDir: filepath.Join(dir, "output"), LogDir: filepath.Join(dir, "log"), RunConfig: filepath.Join(dir, "run_config.json"),
		RuntimeDir: run, User: specs.User{UID: 7, GID: 7}, Sandbox: executor.DefaultSandbox(), Telemetry: true,
		Shared: &executor.Shared{Server: []string{"python", "-m", "server", "--"}, Code: "sha256:c", MaxJobs: 100, Idle: time.Hour},
	}
	for _, f := range change {
		f(&s)
	}
	err := errors.Join(os.MkdirAll(s.OutputDir, 0o750), os.Mkdir(s.LogDir, 0o750), os.Mkdir(run, 0o755),
		os.WriteFile(s.RunConfig, []byte(id), 0o644), os.WriteFile(filepath.Join(run, executor.TelemetrySocket), []byte(id), 0o666))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// run runs a job to its end and returns how it ended, and in which container.
func (b *bench) run(spec executor.Spec) (executor.Exit, *served) {
	b.t.Helper()
	h := b.start(spec)
	c := h.(*handle).c.inner.(*served)
	x, err := h.Wait(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := h.Remove(b.t.Context()); err != nil {
		b.t.Error(err)
	}
	return x, c
}

func (b *bench) start(spec executor.Spec) executor.Handle {
	b.t.Helper()
	h, err := b.x.Start(b.t.Context(), spec)
	if err != nil {
		b.t.Fatal(err)
	}
	return h
}

// ended waits for a container's end.
func (b *bench) ended(c *served) {
	b.t.Helper()
	select {
	case <-c.gone:
	case <-time.After(patience):
		b.t.Fatal("the container does not end")
	}
}

// code is the end of a job with an exit code, and nothing odd.
func code(n int) *executor.ServedEnd {
	return &executor.ServedEnd{Exit: executor.Exit{Known: true, Code: n, Usage: executor.Usage{CPU: time.Second}}}
}

func completes(*served, int) *executor.ServedEnd { return code(0) }
