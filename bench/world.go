package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"

	"github.com/tetryx/lynx-runner/api"
)

// image is what jobs and their peers run in.
const image = "lynx-basilisk"

// world is a platform that runs, and what it is made of.
type world struct {
	// root is the directory of the sources; dir is where everything else lies:
	// bin/, the programs; work/, the code of the benchmarks' jobs; out/, results.
	root, dir string
	client    *api.Client
	server    *process
	runners   int
	engine    *client.Client
	// before are the engine's volumes and networks at the beginning, watch the
	// containers and jobs the ids of the jobs since then.
	before []string
	watch  *watcher
	jobs   map[string]bool
}

// newWorld builds the programs and starts a platform.
func newWorld(ctx context.Context, root string) (_ *world, err error) {
	w := &world{jobs: map[string]bool{}}
	if w.root, err = filepath.Abs(root); err != nil {
		return nil, err
	}
	if w.dir, err = os.MkdirTemp("", "lynx-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	// Jobs have users of their own, who must get to their code.
	if err := os.Chmod(w.dir, 0o755); err != nil {
		return nil, err
	}
	if err := errors.Join(w.build(ctx), w.connect(ctx)); err != nil {
		return nil, err
	}
	socket := func(name string) string { return "unix://" + filepath.Join(w.dir, name) }
	w.server, err = start(w.path("server.log"), w.path("bin/lynx-server"), "--no-auth", "--data", w.path("data"),
		"--listen", socket("rest"), "--grpc-listen", socket("grpc"))
	if err != nil {
		return nil, err
	}
	if w.client, err = api.NewClient(socket("rest")); err != nil {
		return nil, err
	}
	return w, w.until(ctx, "the platform answers", func() bool {
		_, err := w.client.Health(ctx)
		return err == nil
	})
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// connect finds the engine, and begins to take note of what is there.
func (w *world) connect(ctx context.Context) (err error) {
	if w.engine, err = client.New(client.FromEnv); err != nil {
		return err
	}
	if w.before, err = w.stores(ctx); err != nil {
		return fmt.Errorf("no Docker engine answers: %w", err)
	}
	w.watch = watchContainers(ctx, w.engine, func(runner string) bool { return strings.HasPrefix(runner, runnerPrefix()) })
	return nil
}

// build makes the programs and the directory of the benchmarks' jobs, in which an
// empty file stands for each thing that the job can do.
func (w *world) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", w.path("bin")+"/", "./cmd/...", "./bench/job")
	cmd.Dir, cmd.Stderr = w.root, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := errors.Join(cmd.Run(), os.Mkdir(w.path("work"), 0o755)); err != nil {
		return fmt.Errorf("building the programs: %w", err)
	}
	for _, mode := range []string{"empty", "breach", "rash", "send", "ping"} {
		if err := os.WriteFile(filepath.Join(w.dir, "work", mode), nil, 0o644); err != nil {
			return err
		}
	}
	for _, script := range []string{"empty.py", "breach.py"} {
		text, err := os.ReadFile(filepath.Join(w.root, "bench/job", script))
		if err := errors.Join(err, os.WriteFile(filepath.Join(w.dir, "work", script), text, 0o644)); err != nil {
			return err
		}
	}
	return os.Rename(w.path("bin/job"), w.path("work/job"))
}

// close ends the platform and removes everything.
func (w *world) close() error {
	var err error
	if w.client != nil {
		w.client.Close()
	}
	if w.server != nil {
		err = w.server.stop()
	}
	if w.engine != nil {
		err = errors.Join(err, w.engine.Close())
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

// until waits for something that takes seconds at most.
func (w *world) until(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: not within 30 s", what)
		}
	}
	return nil
}

// runnerPrefix begins the ids of this benchmark's runners: another one may run on the
// same engine, where a runner removes what has its id and is not its own.
func runnerPrefix() string { return fmt.Sprintf("bench-%d-", os.Getpid()) }

func (w *world) runnerID() string {
	w.runners++
	return runnerPrefix() + strconv.Itoa(w.runners)
}

// runner starts a runner with that many slots; settings are lines of its
// configuration. The caller stops it.
func (w *world) runner(ctx context.Context, executor string, slots int, settings ...string) (*process, error) {
	id := w.runnerID()
	lines := append([]string{
		"runner_id: " + id, "server: unix://" + w.path("grpc"), "executor: " + executor,
		"output_root: " + w.path("out"), "state_dir: " + w.path("state-"+id), "runtime_dir: " + w.path("run-"+strconv.Itoa(w.runners)), // short, for the sockets
		"shim: " + w.path("bin/lynx-shim"), "max_concurrent_jobs: " + strconv.Itoa(slots), "image: " + image,
	}, settings...)
	config := w.path(id + ".yaml")
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return nil, err
	}
	p, err := start(w.path(id+".log"), w.path("bin/lynx-runner"), "start", "--config", config)
	if err != nil {
		return nil, err
	}
	err = w.until(ctx, "the runner is there", func() bool {
		r, err := w.client.Runner(ctx, id)
		return err == nil && r.Status == api.RunnerIdle
	})
	if err != nil {
		return nil, errors.Join(err, p.stop(), fmt.Errorf("its log: %s", p.tail()))
	}
	return p, nil
}

// benchJobs are the settings of a runner whose jobs are the benchmarks' own.
func (w *world) benchJobs(executor string) []string {
	program := "/lynx/work/job"
	if executor == "process" {
		program = w.path("work/job")
	}
	return []string{"working_directory: " + w.path("work"), "python_executable: " + program}
}

// run submits a study, waits until it is over, and returns its runs and how long
// that took. Every run must have ended as wanted.
func (w *world) run(ctx context.Context, study string, want api.Outcome) ([]api.RunRow, time.Duration, error) {
	began := time.Now()
	batch, err := w.client.Submit(ctx, []byte(study), api.YAML)
	if err != nil {
		return nil, 0, err
	}
	if _, err := w.wait(ctx, batch.BatchID); err != nil {
		return nil, 0, err
	}
	took := time.Since(began)
	runs, err := w.results(ctx, batch.BatchID, want)
	return runs, took, err
}

// results are the runs of a batch that is over.
func (w *world) results(ctx context.Context, batch string, want api.Outcome) ([]api.RunRow, error) {
	var runs []api.RunRow
	for r, err := range w.client.AllBatchResults(ctx, batch) {
		if err != nil {
			return nil, err
		}
		if r.Outcome == nil || *r.Outcome != want {
			return nil, fmt.Errorf("run %d is %s, not %s: %s", r.RunIndex, r.Status, want, message(r))
		}
		runs = append(runs, r)
		w.jobs[r.JobID] = true
	}
	return runs, nil
}

// wait waits until a batch is over.
func (w *world) wait(ctx context.Context, batch string) (status *api.BatchStatus, err error) {
	for status = (&api.BatchStatus{}); !status.Batch.Status.Terminal(); {
		if status, err = w.client.WaitBatch(ctx, batch, status.Revision, time.Minute); err != nil {
			return nil, err
		}
	}
	return status, nil
}

func message(r api.RunRow) string {
	if r.ErrorMessage == nil {
		return "no message"
	}
	return *r.ErrorMessage
}

// process is a program that was started, with a log.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
	err   error
}

func start(log, name string, args ...string) (*process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	p := &process{cmd: exec.Command(name, args...), log: log, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	// A session of its own, as a service has, of which the kernel may make a group that
	// shares the CPU (sched(7), autogroup). An interrupt of the terminal is for the
	// benchmark, which stops this one.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop ends a program in order, or else by two signals, which make a runner kill
// its jobs.
func (p *process) stop() error {
	for _, patience := range []time.Duration{20 * time.Second, time.Minute} {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
			if p.err != nil {
				return fmt.Errorf("%s: %w: %s", filepath.Base(p.cmd.Path), p.err, p.tail())
			}
			return nil
		case <-time.After(patience):
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("%s did not stop: %s", filepath.Base(p.cmd.Path), p.tail())
}

// tail is the end of the log.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}
