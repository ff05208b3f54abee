package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim/control"
)

const (
	// startedWithin is how long Start waits for the shim's word that the job runs.
	// It takes milliseconds; where it is exceeded Start returns all the same, and
	// Wait will tell.
	startedWithin = 5 * time.Second
	// toldWithin bounds the handing over of the configuration, which the shim reads
	// at once.
	toldWithin = 10 * time.Second
)

// Start implements executor.Executor.
func (e *Executor) Start(ctx context.Context, spec executor.Spec) (executor.Handle, error) {
	if err := e.validate(spec); err != nil {
		return nil, err
	}
	return e.once(ctx, spec.AttemptID, func() (*handle, error) { return e.launch(ctx, spec) })
}

// once makes an attempt's handle, or returns the one that was or is being made.
func (e *Executor) once(ctx context.Context, attempt string, newOne func() (*handle, error)) (executor.Handle, error) {
	h, err := e.attempts.Once(ctx, attempt, newOne)
	if err != nil {
		return nil, err // not a nil *handle, which is no nil Handle
	}
	return h, nil
}

// launch starts an attempt, or takes up the one that is there.
func (e *Executor) launch(ctx context.Context, spec executor.Spec) (*handle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := e.load(spec.AttemptID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errDamaged):
		return e.attachDamaged(spec.AttemptID, err), nil
	case err != nil:
		return nil, fmt.Errorf("state of the attempt: %w", err)
	case s.PID != 0:
		return e.attach(s), nil
	default:
		// It never ran: nothing is lost, and this Start may have other paths.
		if err := e.discard(e.attach(s)); err != nil {
			return nil, err
		}
	}
	return e.run(ctx, spec)
}

// killAfter is when the shim kills the job by itself; 0 is never.
func killAfter(spec executor.Spec) time.Duration {
	if spec.Timeout <= 0 {
		return 0
	}
	return spec.Timeout + spec.Grace
}

// run starts an attempt. Whatever fails, nothing is left.
func (e *Executor) run(ctx context.Context, spec executor.Spec) (_ *handle, err error) {
	h := e.newHandle(state{
		AttemptID: spec.AttemptID, RuntimeDir: spec.RuntimeDir, Scratch: newScratch(e.cfg.Scratch),
		Cgroup: e.groups.attempt(spec.AttemptID),
		LogDir: spec.LogDir, LogHead: spec.LogHead, LogTail: spec.LogTail, UID: spec.User.UID,
		Memory: *spec.Sandbox.Resources.Memory.Limit, KillAfter: killAfter(spec).Milliseconds(),
		Boot: thisBoot(),
	})
	following := false
	defer func() {
		if err == nil {
			return
		}
		h.killed.Store(true)
		if !following {
			e.wg.Go(func() { h.follow(e.live) })
		}
		if e := e.discard(h); e != nil {
			err = errors.Join(err, fmt.Errorf("after that: %w", e))
		}
	}()
	if err := e.prepare(h, spec); err != nil {
		return nil, err
	}
	if err := e.spawn(h, spec); err != nil {
		return nil, err
	}
	following = true
	e.wg.Go(func() { h.follow(e.live) })
	return h, h.untilStarted(ctx)
}

// prepare makes what the shim needs, and before that writes down what is made.
func (e *Executor) prepare(h *handle, spec executor.Spec) (err error) {
	if err := reachable(spec); err != nil {
		return err
	}
	if err := e.save(h.state); err != nil {
		return err
	}
	if err := h.Scratch.make(int(spec.User.UID), int(spec.User.GID)); err != nil {
		return err
	}
	if h.control, err = control.Listen(filepath.Join(spec.RuntimeDir, controlSocket), e.log); err != nil {
		return err
	}
	if h.Cgroup != nil {
		return h.Cgroup.create(spec.Sandbox)
	}
	return nil
}

// spawn starts the shim, puts it where it belongs, writes it down, and only then
// tells it what to do. A shim that is not told, because this process has ended,
// ends as well.
func (e *Executor) spawn(h *handle, spec executor.Spec) (err error) {
	config, err := shimConfig(spec, h.Scratch, h.Cgroup.has("memory"), h.Cgroup.has("pids"))
	if err != nil {
		return err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("shim configuration: %w", err)
	}
	tell, err := e.fork(h, spec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tell.Close()) }()
	h.control.Expect(h.shim.pid)
	if h.StartTime, err = startTimeOf(h.shim.pid); err != nil {
		return fmt.Errorf("the shim: %w", err)
	}
	offer(h.shim.pid, spec.Sandbox.OOMScoreAdj)
	if h.Cgroup != nil {
		if err := h.Cgroup.add(h.shim.pid); err != nil {
			return err
		}
	}
	h.PID, h.state.Started = h.shim.pid, time.Now().Round(0)
	if err := e.save(h.state); err != nil {
		return err
	}
	if err := tell.SetWriteDeadline(time.Now().Add(toldWithin)); err != nil {
		return fmt.Errorf("shim configuration: %w", err)
	}
	if _, err := tell.Write(text); err != nil {
		return fmt.Errorf("shim configuration: %w", err)
	}
	return nil
}

// fork starts the shim's process in a session of its own and with the job's user.
// What is written to the returned file is its configuration.
func (e *Executor) fork(h *handle, spec executor.Spec) (tell *os.File, err error) {
	files, tell, err := e.shimFiles(spec)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	pidfd := -1
	attr := &syscall.ProcAttr{Dir: "/", Env: shimEnv(), Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	if e.uid == 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: spec.User.UID, Gid: spec.User.GID}
	}
	pid, err := forkPlain(e.cfg.Shim, []string{e.cfg.Shim, "-"}, attr)
	if errors.Is(err, unix.EACCES) {
		err = fmt.Errorf("%w; user %d must be able to enter every directory on the way to it", err, spec.User.UID)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", e.cfg.Shim, err), tell.Close())
	}
	if h.shim, err = holdShim(pid, pidfd); err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
		return nil, errors.Join(err, tell.Close())
	}
	return tell, nil
}

// forkPlain is syscall.ForkExec of a process that does not inherit the precedence that
// this one has on busy cores.
func forkPlain(path string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	forked := make(chan struct{})
	go func() {
		defer close(forked)
		// For good: a thread that nobody else gets ends with its goroutine.
		runtime.LockOSThread()
		if a, err := unix.SchedGetAttr(0, 0); err == nil {
			a.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
			_ = unix.SchedSetAttr(0, a, 0)
		}
		pid, err = syscall.ForkExec(path, argv, attr)
	}()
	<-forked
	return pid, err
}

// shimFiles are the files that the shim is started with, in the order of their
// descriptors.
func (e *Executor) shimFiles(spec executor.Spec) (files []*os.File, tell *os.File, err error) {
	in, tell, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("shim configuration: %w", err)
	}
	files = []*os.File{in}
	for _, f := range []struct {
		path string
		flag int
	}{
		{os.DevNull, os.O_WRONLY}, {os.DevNull, os.O_WRONLY}, {spec.RuntimeDir, os.O_RDONLY | unix.O_DIRECTORY},
		{filepath.Join(e.dir(spec.AttemptID), reportFile), os.O_WRONLY | os.O_CREATE | os.O_TRUNC},
	} {
		file, err := os.OpenFile(f.path, f.flag, 0o600)
		if err != nil {
			return files, nil, errors.Join(fmt.Errorf("start the shim: %w", err), tell.Close())
		}
		files = append(files, file)
	}
	return files, tell, nil
}

// shimEnv keeps the runner's own environment from the shim.
func shimEnv() []string { return []string{"GOTRACEBACK=none"} }

// offer gives a job to the kernel where memory is short, in its runner's place,
// whose protection it has inherited. Where that may not be, nothing is lost but
// the order: the shim makes its job go first in any case.
func offer(pid, adj int) {
	path := filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj")
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && now < adj {
		_ = os.WriteFile(path, []byte(strconv.Itoa(adj)), 0)
	}
}

// untilStarted waits for the shim's word that the job's main process runs, or
// that it never will. Only the caller's impatience is an error.
func (h *handle) untilStarted(ctx context.Context) error {
	t := time.NewTimer(startedWithin)
	defer t.Stop()
	select {
	case <-h.control.Started():
	case <-h.control.Exited():
	case <-h.gone:
	case <-h.done:
	case <-t.C:
		h.exec.log.Warn("the shim has not said that the job runs", "attempt", h.AttemptID(), "after", startedWithin)
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// discard ends and removes an attempt that must not stay, without the caller's
// context, which may be what ended.
func (e *Executor) discard(h *handle) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.live), e.cfg.KillTimeout)
	defer cancel()
	if _, err := h.Kill(ctx); err != nil {
		return err
	}
	if _, err := h.Wait(ctx); err != nil {
		return err
	}
	return h.Remove(ctx)
}
