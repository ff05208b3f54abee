// Package executortest is the suite that every executor must pass:
//
//	executortest.Run(t, executortest.Harness{New: …, Job: …, User: …})
//
// It holds an executor to the contract of the package executor with a small
// static program (job/) that ends, or does not end, in every way that matters:
// by an exit code, a signal, an error of its own making, for want of memory, at
// a deadline, never; alone, with children that outlive it, with children that
// hold its output open; obeying and fighting. Whether processes are gone is
// looked at from outside, in /proc.
//
// What only isolation can give (files.go and isolation.go say which) is tried
// from inside by the same program, for executors whose harness says Container.
package executortest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/executor"
)

// Harness is an executor under test.
type Harness struct {
	// New makes an executor for a runner id. A test may have several, one after
	// another and at the same time, of one id or of several.
	New func(t *testing.T, runnerID string) executor.Executor
	// Image is an image id for Spec.Image; empty if the executor has none.
	Image string
	// Job is the path of the test program (see BuildJob) as a job sees it.
	Job string
	// User is whom jobs run as.
	User specs.User
	// Container says that a job has a file tree, a network and a process table of
	// its own, at the paths of executor.Container….
	Container bool
	// Limits says that memory and process limits are enforced.
	Limits bool
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	cases := map[string]func(*testing.T, *bench){}
	for _, group := range []map[string]func(*testing.T, *bench){endings, kills, recoveries, files} {
		for name, f := range group {
			cases[name] = f
		}
	}
	if h.Limits {
		add(cases, limits)
	}
	if h.Container {
		add(cases, isolation)
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) { f(t, newBench(t, h)) })
	}
}

func add(to, from map[string]func(*testing.T, *bench)) {
	for name, f := range from {
		to[name] = f
	}
}

// patience bounds every wait of the suite. It is no measure of anything: an
// executor that passes needs a hundredth of it.
const patience = 60 * time.Second

// bench is what one case works with: a runner id of its own, and an executor.
type bench struct {
	Harness
	t      *testing.T
	runner string
	exec   executor.Executor
}

var serial atomic.Int64

// unique returns a name that no other test on this machine uses.
func unique(prefix string) string {
	return fmt.Sprintf("%s-%d-%d", prefix, os.Getpid(), serial.Add(1))
}

func newBench(t *testing.T, h Harness) *bench {
	b := &bench{Harness: h, t: t, runner: unique("runner")}
	t.Cleanup(b.nothingLeft)
	b.exec = b.another()
	return b
}

// another makes one more executor of the same runner.
func (b *bench) another() executor.Executor {
	e := b.New(b.t, b.runner)
	b.t.Cleanup(func() { _ = e.Close() })
	return e
}

// nothingLeft removes what the case left on purpose, with an executor of its own,
// as a restarted runner would, and then wants nothing to be left.
func (b *bench) nothingLeft() {
	e := b.New(b.t, b.runner)
	defer e.Close() //nolint:errcheck // the test is over
	for _, h := range b.recover(e) {
		b.end(h)
	}
	if left := b.recover(e); len(left) > 0 {
		b.t.Errorf("%d attempts are left after each was removed", len(left))
	}
}

func (b *bench) recover(e executor.Executor) []executor.Handle {
	b.t.Helper()
	ctx, cancel := deadline()
	defer cancel()
	hs, err := e.Recover(ctx)
	if err != nil {
		b.t.Errorf("Recover: %v", err)
	}
	return hs
}

// end kills and removes an attempt.
func (b *bench) end(h executor.Handle) {
	ctx, cancel := deadline()
	defer cancel()
	if _, err := h.Kill(ctx); err != nil {
		b.t.Errorf("Kill of %s: %v", h.AttemptID(), err)
	}
	if _, err := h.Wait(ctx); err != nil {
		b.t.Errorf("Wait for %s: %v", h.AttemptID(), err)
	}
	if err := h.Remove(ctx); err != nil {
		b.t.Errorf("Remove of %s: %v", h.AttemptID(), err)
	}
}

// deadline is a context of the suite's patience, which, unlike t.Context, lasts
// through the cleanup.
func deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// attempt is a specification with the directories that it names.
type attempt struct {
	executor.Spec
	mark string
}

// attempt makes the specification of a run of the test program.
func (b *bench) attempt(args ...string) *attempt {
	b.t.Helper()
	id := unique("test")
	a := &attempt{mark: "mark-" + id}
	dir := b.t.TempDir()
	a.Spec = executor.Spec{
		AttemptID: id + "-1", JobID: id, BatchID: "batch-" + id, Image: b.Image,
		Argv:      append(append([]string{b.Job}, args...), "--", a.mark),
		OutputDir: filepath.Join(dir, "output"), LogDir: filepath.Join(dir, "log"),
		RunConfig: filepath.Join(dir, "run_config.json"),
		User:      b.User, Sandbox: executor.DefaultSandbox(),
		Timeout: time.Hour, Grace: 10 * time.Second, LogHead: 1 << 20, LogTail: 1 << 20,
	}
	a.RuntimeDir = shortDir(b.t)
	for _, d := range []string{a.OutputDir, a.LogDir} {
		b.own(os.Mkdir(d, 0o755), d)
	}
	b.own(os.WriteFile(a.RunConfig, []byte(`{"run_id":"0"}`), 0o644), "")
	// The parents of a job's directories let it through; t.TempDir's don't.
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	a.Env = []string{
		"TETRYX_OUTPUT_DIR=" + b.in(a.OutputDir, executor.ContainerOutput),
		"TETRYX_RUN_CONFIG=" + b.in(a.RunConfig, executor.ContainerRunConfig),
		"PATH=/usr/bin:/bin", "LANG=C.UTF-8",
	}
	return a
}

// in is a path as the job sees it.
func (b *bench) in(host, container string) string {
	if b.Container {
		return container
	}
	return host
}

// own gives a directory to the job's user, where this process may.
func (b *bench) own(err error, dir string) {
	b.t.Helper()
	if err == nil && dir != "" && os.Geteuid() == 0 {
		err = os.Chown(dir, int(b.User.UID), int(b.User.GID))
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// shortDir makes a directory whose sockets' paths are short.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "lx")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.Name() != executor.TelemetrySocket {
				t.Errorf("the executor left %s in the runtime directory", e.Name())
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// start starts an attempt with the case's executor.
func (b *bench) start(a *attempt) executor.Handle {
	b.t.Helper()
	ctx, cancel := deadline()
	defer cancel()
	h, err := b.exec.Start(ctx, a.Spec)
	if err != nil {
		b.t.Fatalf("Start: %v", err)
	}
	// The directories go after the attempt.
	b.t.Cleanup(func() { b.removeIfThere(a) })
	return h
}

// removeIfThere ends an attempt that the case has not removed, before its
// directories are deleted.
func (b *bench) removeIfThere(a *attempt) {
	e := b.New(b.t, b.runner)
	defer e.Close() //nolint:errcheck // the test is over
	for _, h := range b.recover(e) {
		if h.AttemptID() == a.AttemptID {
			b.end(h)
		}
	}
}

func (b *bench) wait(h executor.Handle) executor.Exit {
	b.t.Helper()
	ctx, cancel := deadline()
	defer cancel()
	x, err := h.Wait(ctx)
	if err != nil {
		b.t.Fatalf("Wait: %v", err)
	}
	b.t.Logf("exit: %+v", x)
	return x
}

// run starts an attempt and waits for its end.
func (b *bench) run(a *attempt) executor.Exit {
	b.t.Helper()
	return b.wait(b.start(a))
}

func (b *bench) kill(h executor.Handle) time.Time {
	b.t.Helper()
	ctx, cancel := deadline()
	defer cancel()
	at, err := h.Kill(ctx)
	if err != nil {
		b.t.Fatalf("Kill: %v", err)
	}
	return at
}

// until polls for something that another process does.
func (b *bench) until(what string, done func() bool) {
	b.t.Helper()
	end := time.Now().Add(patience)
	for !done() {
		if time.Now().After(end) {
			b.t.Fatalf("still waiting for: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// ready waits until the job says that it has come to its point.
func (b *bench) ready(a *attempt) {
	b.t.Helper()
	b.until("the job's file ready", func() bool { return exists(filepath.Join(a.OutputDir, "ready")) })
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// processes are the pids of the attempt's processes, whatever namespace they are
// in, found by the mark on their command line.
func (a *attempt) processes() []string {
	var pids []string
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range lines {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), a.mark) {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	return pids
}

// log reads a log file.
func (b *bench) log(a *attempt, name string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.LogDir, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// BuildJob builds the test program into a directory and returns its path. It is
// static and the same for the same source.
func BuildJob(dir string) (string, error) { return build(dir, "job", "./executor/executortest/job") }

// BuildShim builds the shim into a directory and returns its path.
func BuildShim(dir string) (string, error) { return build(dir, "lynx-shim", "./cmd/lynx-shim") }

func build(dir, name, pkg string) (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	path := filepath.Join(dir, name)
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path, pkg)
	c.Dir = strings.TrimSpace(string(root))
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return path, os.Chmod(path, 0o755)
}
