package shim_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// patience bounds every wait on another process: reaching it is a failure.
const patience = 60 * time.Second

// place is where a shim can run.
type place struct {
	name string
	init bool // as PID 1 of a new pid namespace
	uid  int  // the user of shim and job on the host
	attr syscall.SysProcAttr
	args []string // of the job binary's launch
}

// places returns every place that this test process may start a shim in: always
// as a child, and as PID 1 where the right to is there, as root or in a user
// namespace; at least one of those two is.
func places(t *testing.T) []place {
	t.Helper()
	const namespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC
	uid, gid := os.Getuid(), os.Getgid()
	root := uid == 0
	if root {
		// A user that nobody else has: limits on processes count per user.
		uid = 1_000_000 + os.Getpid()
		gid = uid
	}
	userns := place{
		name: "init in a user namespace", init: true, uid: uid,
		attr: syscall.SysProcAttr{
			Cloneflags:  namespaces | unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: gid, Size: 1}},
			Credential:  &syscall.Credential{Uid: 1000, Gid: 1000, NoSetGroups: true},
			AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN},
		},
		args: []string{"-proc"},
	}
	if !root {
		return []place{{name: "child", uid: uid}, userns}
	}
	user := []string{"-uid", strconv.Itoa(uid)}
	all := []place{
		{name: "child", uid: uid, args: user},
		{name: "init", init: true, uid: uid, attr: syscall.SysProcAttr{Cloneflags: namespaces}, args: append(user, "-proc")},
	}
	probe := exec.Command(jobPath, "launch", "-proc", "--", jobPath, "environ")
	probe.SysProcAttr = new(userns.attr)
	if probe.Run() == nil { // some container engines forbid it even to root
		all = append(all, userns)
	}
	return all
}

// everywhere runs a test in each place.
func everywhere(t *testing.T, test func(t *testing.T, p place)) {
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) { test(t, p) })
	}
}

// shimRun is one shim under test, with a scripted runner at its other end.
type shimRun struct {
	t      *testing.T
	place  place
	dir    string
	config shim.Config
	launch []string // further flags of launch
	runner *net.UnixListener
	cmd    *exec.Cmd
	ended  chan struct{}
}

// newRun prepares a shim for a command; the test may change config and launch
// before start.
func newRun(t *testing.T, p place, argv ...string) *shimRun {
	t.Helper()
	dir := sharedDir(t)
	logs := filepath.Join(dir, "log")
	must(t, os.Mkdir(logs, 0o755))
	must(t, os.Chown(logs, p.uid, -1))
	r := &shimRun{t: t, place: p, dir: dir, ended: make(chan struct{})}
	r.config = shim.Config{
		Argv: argv, Env: []string{"PATH=/usr/bin:/bin"}, Dir: dir,
		ControlSocket: filepath.Join(dir, "control.sock"),
		Stdout:        filepath.Join(logs, "stdout.log"), Stderr: filepath.Join(logs, "stderr.log"),
		LogHead: 1 << 20, LogTail: 1 << 20,
	}
	r.listen()
	return r
}

// sharedDir is a directory that other users can enter, of a short path.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lynx")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

func listenUnix(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	must(t, os.Chmod(path, 0o666))
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// listen is the runner's begin, or return.
func (r *shimRun) listen() { r.runner = listenUnix(r.t, r.config.ControlSocket) }

func (r *shimRun) start() {
	r.t.Helper()
	data, err := json.Marshal(r.config)
	must(r.t, err)
	path := filepath.Join(r.dir, "shim.json")
	must(r.t, os.WriteFile(path, data, 0o644))
	args := append([]string{"launch"}, r.place.args...)
	args = append(append(args, r.launch...), "--", shimPath, path)
	r.cmd = exec.Command(jobPath, args...)
	r.cmd.Env = []string{"OF_THE_IMAGE=1"}
	r.cmd.Stderr = os.Stderr
	r.cmd.SysProcAttr = new(r.place.attr)
	must(r.t, r.cmd.Start())
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait()
	}()
	r.t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.ended
	})
}

// status waits for the shim's own end.
func (r *shimRun) status() int {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatal("the shim does not end")
	}
	return r.cmd.ProcessState.ExitCode()
}

// connection is one control connection, at the runner's end.
type connection struct {
	t     *testing.T
	conn  *net.UnixConn
	lines *bufio.Reader
}

// accept waits for the shim to dial.
func (r *shimRun) accept() *connection {
	r.t.Helper()
	must(r.t, r.runner.SetDeadline(time.Now().Add(patience)))
	conn, err := r.runner.AcceptUnix()
	must(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	must(r.t, conn.SetDeadline(time.Now().Add(patience)))
	return &connection{t: r.t, conn: conn, lines: shim.NewLineReader(conn)}
}

// expect reads the next message, which must be of that type.
func (c *connection) expect(kind string) shim.Message {
	c.t.Helper()
	m, err := shim.ReadMessage(c.lines)
	must(c.t, err)
	if m.Type != kind {
		c.t.Fatalf("message %q, want %q (%+v)", m.Type, kind, m.Exit)
	}
	return m
}

func (c *connection) send(kind string) {
	c.t.Helper()
	must(c.t, shim.WriteMessage(c.conn, shim.Message{Type: kind}))
}

// up waits until the job runs.
func (r *shimRun) up() *connection {
	r.t.Helper()
	c := r.accept()
	c.expect(shim.MessageHello)
	c.expect(shim.MessageStarted)
	return c
}

// finish takes the report, acknowledges it, and checks it against the status.
func (r *shimRun) finish(c *connection) shim.ExitReport {
	r.t.Helper()
	report := *c.expect(shim.MessageExit).Exit
	// The shim waits for it for a moment only, in which a busy host may not run us.
	if err := shim.WriteMessage(c.conn, shim.Message{Type: shim.MessageAck}); err != nil && !errors.Is(err, syscall.EPIPE) {
		r.t.Error(err)
	}
	if status := r.status(); status != report.Code {
		r.t.Errorf("exit status %d, reported %d", status, report.Code)
	}
	return report
}

// complete runs the whole life of a job.
func (r *shimRun) complete() shim.ExitReport {
	r.t.Helper()
	r.start()
	return r.finish(r.up())
}

func (r *shimRun) logs() (stdout, stderr string) {
	r.t.Helper()
	out, err := os.ReadFile(r.config.Stdout)
	must(r.t, err)
	errs, err := os.ReadFile(r.config.Stderr)
	must(r.t, err)
	return string(out), string(errs)
}

// driven is a job that does what the test says.
type driven struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
	pid   int // in the job's own pid namespace
}

// driveJob starts a shim with a driven job.
func driveJob(r *shimRun) (*connection, *driven) {
	r.t.Helper()
	socket := filepath.Join(r.dir, "drive.sock")
	l := listenUnix(r.t, socket)
	r.config.Argv = []string{jobPath, "drive", socket}
	r.start()
	c := r.up()
	must(r.t, l.SetDeadline(time.Now().Add(patience)))
	conn, err := l.Accept()
	must(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	d := &driven{t: r.t, conn: conn, lines: bufio.NewReader(conn)}
	_, err = fmt.Sscanf(d.read(), "ready %d", &d.pid)
	must(r.t, err)
	return c, d
}

func (d *driven) read() string {
	d.t.Helper()
	must(d.t, d.conn.SetDeadline(time.Now().Add(patience)))
	line, err := d.lines.ReadString('\n')
	must(d.t, err)
	return strings.TrimSpace(line)
}

func (d *driven) tell(command string) {
	d.t.Helper()
	_, err := fmt.Fprintln(d.conn, command)
	must(d.t, err)
}

// do has the job carry out a command and returns its answer.
func (d *driven) do(command string) string {
	d.t.Helper()
	d.tell(command)
	answer := d.read()
	if strings.HasPrefix(answer, "error:") {
		d.t.Fatalf("%s: %s", command, answer)
	}
	return answer
}

func (d *driven) want(command, answer string) {
	d.t.Helper()
	if got := d.do(command); got != answer {
		d.t.Fatalf("%s: %q, want %q", command, got, answer)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func gone(pid int) bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }
