//go:build engine

package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/executortest/facts"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

const patience = time.Minute

// realSpec is a job of the test program with directories of its own.
func realSpec(t *testing.T, args ...string) executor.Spec {
	t.Helper()
	user := testUser()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	runtime, err := os.MkdirTemp("/tmp", "lx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(runtime) })
	if err := os.Chmod(runtime, 0o755); err != nil {
		t.Fatal(err)
	}
	s := executor.Spec{
		AttemptID: fmt.Sprintf("t-%d-%s-1", os.Getpid(), filepath.Base(runtime)), Argv: append([]string{jobPath}, args...),
		OutputDir: filepath.Join(dir, "output"), LogDir: filepath.Join(dir, "log"), RunConfig: filepath.Join(dir, "run_config.json"),
		RuntimeDir: runtime, User: user, Sandbox: executor.DefaultSandbox(), LogHead: 1 << 20, LogTail: 1 << 20,
		Env: []string{"TETRYX_OUTPUT_DIR=" + executor.ContainerOutput, "HOME=" + executor.ContainerHome, "TMPDIR=" + executor.HostTmp},
	}
	for _, d := range []string{s.OutputDir, s.LogDir} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(d, int(user.UID), int(user.GID)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// started starts an attempt and removes it at the test's end.
func started(t *testing.T, e *Executor, s executor.Spec) executor.Handle {
	t.Helper()
	h, err := e.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := h.Kill(ctx); err != nil {
			t.Error(err)
		}
		_, _ = h.Wait(ctx)
		if err := h.Remove(ctx); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func waited(t *testing.T, h executor.Handle) executor.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	x, err := h.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestJobIsItsUsers looks at a job from inside: its user, rights, limits and
// directories are those that it was given and no others.
func TestJobIsItsUsers(t *testing.T) {
	e := newTestExecutor(t, t.Name())
	s := realSpec(t, "facts", "own")
	h := started(t, e, s)
	if x := waited(t, h); x.Code != 0 || !x.Known {
		t.Fatalf("%+v", x)
	}
	f, err := facts.Read(filepath.Join(s.OutputDir, "facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	if f.UID != int(s.User.UID) || f.GID != int(s.User.GID) {
		t.Errorf("runs as %d:%d, want %d:%d", f.UID, f.GID, s.User.UID, s.User.GID)
	}
	for _, g := range f.Groups {
		if g != f.GID && os.Geteuid() == 0 {
			t.Errorf("is in group %d", g)
		}
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		if strings.Trim(f.Status[set], "0") != "" {
			t.Errorf("%s is %q", set, f.Status[set])
		}
	}
	if f.Status["NoNewPrivs"] != "1" {
		t.Errorf("NoNewPrivs is %q", f.Status["NoNewPrivs"])
	}
	for name, want := range map[string]uint64{
		"RLIMIT_CORE": 0, "RLIMIT_FSIZE": executor.DefaultFileBytes, "RLIMIT_NOFILE": executor.DefaultOpenFiles,
	} {
		if f.Limits[name] != want {
			t.Errorf("%s is %d, want %d", name, f.Limits[name], want)
		}
	}
	own := h.(*handle).Scratch
	for _, kv := range []string{"HOME=" + own.home(), "TMPDIR=" + own.tmp(), "TETRYX_OUTPUT_DIR=" + s.OutputDir} {
		if !strings.Contains(strings.Join(f.Env, "\n")+"\n", kv+"\n") {
			t.Errorf("the environment %q lacks %s", f.Env, kv)
		}
	}
	if info, err := os.Stat(own.home()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("HOME: %v, %v", info, err)
	}
}

// TestShimThatTheJobKills: with a cgroup not even that lets a process live.
func TestShimThatTheJobKills(t *testing.T) {
	e := newTestExecutor(t, t.Name())
	if e.groups == nil {
		t.Skip("this user can make no cgroups on this host; the documentation says that processes can be left then")
	}
	mark := "mark-" + filepath.Base(t.TempDir()) + t.Name()
	h := started(t, e, realSpec(t, "kill-shim", "--", mark))
	x := waited(t, h)
	if x.Known || !x.ExternalKill || len(x.Notes) == 0 {
		t.Errorf("%+v, want one that somebody else killed", x)
	}
	if left := marked(mark); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

func marked(mark string) (pids []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(mark)) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}

// TestJobThatWantsToBeTraced by its shim stops for ever, if nobody ends it.
func TestJobThatWantsToBeTraced(t *testing.T) {
	e := newTestExecutor(t, t.Name())
	if x := waited(t, started(t, e, realSpec(t, "trace-me"))); !x.Known || x.Signal != int(unix.SIGKILL) {
		t.Errorf("%+v, want one that was killed", x)
	}
}

// TestTelemetryOfOthers: a connection of another user's process to the job's port
// is closed, and nothing of it arrives at the runner.
func TestTelemetryOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("two users are needed, and only root can be both")
	}
	e := newTestExecutor(t, t.Name())
	s := realSpec(t, "sleep")
	s.Telemetry = true
	arrived := serve(t, s.RuntimeDir)
	h := started(t, e, s)
	target := targetOf(t, h.(*handle).shim.pid)
	// This process is root, and not the job's user.
	if answer := talk(t, target); answer != "" {
		t.Errorf("another user was answered %q", answer)
	}
	// The job's user is heard: a program of its, outside of the job.
	own := exec.Command(jobPath, "telemetry")
	own.Env = []string{"TETRYX_TELEMETRY_TARGET=" + target, "TETRYX_TELEMETRY_URL=http://" + target}
	own.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.User.UID, Gid: s.User.GID}}
	if out, err := own.CombinedOutput(); err != nil {
		t.Errorf("the job's own user: %v %s", err, out)
	}
	if got := <-arrived; !strings.HasPrefix(got, "ping") {
		t.Errorf("%q arrived first, want the own user's", got)
	}
}

// serve is the runner's socket: it answers with what it gets, which it tells.
func serve(t *testing.T, dir string) <-chan string {
	t.Helper()
	path := filepath.Join(dir, executor.TelemetrySocket)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	arrived := make(chan string, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 1024)
			if n, err := c.Read(buf); err == nil {
				arrived <- string(buf[:n])
				_, _ = c.Write(buf[:n])
			}
			_ = c.Close()
		}
	}()
	return arrived
}

// targetOf reads the port from the environment of the shim's child.
func targetOf(t *testing.T, shimPID int) string {
	t.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", shimPID, shimPID))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		env, err := os.ReadFile("/proc/" + strings.TrimSpace(string(children)) + "/environ")
		if err != nil {
			t.Fatal(err)
		}
		for kv := range strings.SplitSeq(string(env), "\x00") {
			if target, ok := strings.CutPrefix(kv, "TETRYX_TELEMETRY_TARGET="); ok {
				return target
			}
		}
	}
	t.Fatal("the job has no telemetry")
	return ""
}

// talk says something to an address and returns the answer.
func talk(t *testing.T, target string) string {
	t.Helper()
	c, err := net.Dial("tcp", target)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("intruder\n"))
	answer, _ := io.ReadAll(c)
	return string(answer)
}

// TestRunnerThatDiesWhileItStarts: before the shim is told what to do there is no
// job, and the next runner finds the attempt.
func TestRunnerThatDiesWhileItStarts(t *testing.T) {
	e := newTestExecutor(t, t.Name())
	defer e.Close()
	s := realSpec(t, "sleep", "--", "mark-of-"+t.Name())
	h := e.newHandle(state{
		AttemptID: s.AttemptID, RuntimeDir: s.RuntimeDir, Scratch: newScratch(e.cfg.Scratch), Cgroup: e.groups.attempt(s.AttemptID), Boot: thisBoot(),
	})
	if err := e.prepare(h, s); err != nil {
		t.Fatal(err)
	}
	tell, err := e.fork(h, s)
	if err != nil {
		t.Fatal(err)
	}
	// All that a killed process leaves to the kernel.
	if err := tell.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.shim.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _ = h.shim.reap()
	_ = h.control.Close()
	next := newTestExecutor(t, t.Name())
	defer next.Close()
	hs, err := next.Recover(t.Context())
	if err != nil || len(hs) != 1 {
		t.Fatalf("recovered %v, %v", hs, err)
	}
	if x := waited(t, hs[0]); x.Known {
		t.Errorf("%+v", x)
	}
	if err := hs[0].Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if left := marked("mark-of-" + t.Name()); len(left) > 0 {
		t.Errorf("the job was started: %v", left)
	}
}

// TestRealVersion2 ends a tree in a cgroup of version 2, where the host has that
// mounted, if only beside version 1.
func TestRealVersion2(t *testing.T) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	point := ""
	for _, m := range parseMounts(info) {
		if m.v2 {
			point = m.point
		}
	}
	if point == "" || os.Geteuid() != 0 {
		t.Skip("no cgroup file system of version 2 that this user can change is mounted here")
	}
	g := &group{cgroup.Group{V2: true, Dirs: map[string]string{"": filepath.Join(point, groupParent, fmt.Sprintf("test-%d-v2", os.Getpid()))}}}
	if err := g.create(executor.DefaultSandbox()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "read go; setsid sleep 1000 & setsid sleep 1000 & wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := g.add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if pids, err := g.Processes(); err != nil || len(pids) >= 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the tree does not grow")
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if found, err := g.empty(ctx); !found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	<-ended
	if err := g.remove(ctx); err != nil {
		t.Error(err)
	}
}
