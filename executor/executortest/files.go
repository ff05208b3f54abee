package executortest

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/executortest/facts"
)

// files are about what a job leaves on disk, and its telemetry port.
var files = map[string]func(*testing.T, *bench){
	"logs are complete":                        logsComplete,
	"logs are kept when the job is killed":     logsOfKilled,
	"logs beyond the cap keep head and tail":   logsCapped,
	"outputs are there, and their owner's":     outputs,
	"the telemetry port":                       telemetryPort,
	"no telemetry port where none is asked":    noTelemetryPort,
	"the current directory is the work":        workDir,
	"nobody but the shim is heard as the shim": forgedReport,
}

// looker is an attempt of the program that finds facts: outside of a container
// only those of the job itself, because the others try the whole host.
func (b *bench) looker() *attempt {
	if b.Container {
		return b.attempt("facts")
	}
	return b.attempt("facts", "own")
}

// facts runs the program that tries what it can do.
func (b *bench) facts(a *attempt) facts.Facts {
	b.t.Helper()
	if x := b.run(a); x.Code != 0 || !x.Known {
		b.t.Fatalf("got %+v, stderr: %s", x, b.log(a, "stderr.log"))
	}
	f, err := facts.Read(filepath.Join(a.OutputDir, "facts.json"))
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}

func logsComplete(t *testing.T, b *bench) {
	const n = 2000
	a := b.attempt("echo", itoa(n))
	x := b.run(a)
	for name, prefix := range map[string]string{"stdout.log": "out ", "stderr.log": "err "} {
		lines := strings.Split(strings.TrimSuffix(b.log(a, name), "\n"), "\n")
		if len(lines) != n || lines[0] != prefix+"0" || lines[n-1] != prefix+itoa(n-1) {
			t.Errorf("%s has %d lines from %q to %q, want %d", name, len(lines), lines[0], lines[len(lines)-1], n)
		}
	}
	if x.Logs.Stdout.Dropped != 0 || x.Logs.Stdout.Written != int64(len(b.log(a, "stdout.log"))) {
		t.Errorf("counts: %+v", x.Logs)
	}
}

func logsOfKilled(t *testing.T, b *bench) {
	a := b.attempt("hold-pipe", "forever")
	h := b.start(a)
	b.ready(a)
	b.until("the log", func() bool { return strings.Contains(b.log(a, "stdout.log"), "before the end") })
	b.kill(h)
	b.wait(h)
	if got := b.log(a, "stdout.log"); got != "before the end\n" {
		t.Errorf("stdout.log holds %q", got)
	}
}

func logsCapped(t *testing.T, b *bench) {
	const total, head, tail = 1 << 20, 64 << 10, 64 << 10
	a := b.attempt("spam", itoa(total))
	a.LogHead, a.LogTail = head, tail
	x := b.run(a)
	got := b.log(a, "stdout.log")
	first, last := "0 ", itoa(total/64-1)+" "
	if !strings.HasPrefix(got, first) || !strings.HasPrefix(got[len(got)-64:], last) {
		t.Errorf("the log begins %q and ends %q", got[:20], got[len(got)-64:])
	}
	if len(got) > head+tail+4096 {
		t.Errorf("the log has %d bytes, the cap is %d", len(got), head+tail)
	}
	if s := x.Logs.Stdout; s.Written != total || s.Dropped == 0 || s.Written-s.Dropped > head+tail {
		t.Errorf("counts: %+v, want %d written", s, total)
	}
}

func outputs(t *testing.T, b *bench) {
	a := b.attempt("write", "one.txt", "deep/er/two.txt")
	b.run(a)
	for _, name := range []string{"one.txt", "deep/er/two.txt"} {
		got, err := os.ReadFile(filepath.Join(a.OutputDir, name))
		if err != nil || string(got) != name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	uid, gid := owner(t, filepath.Join(a.OutputDir, "deep"))
	if uid != b.User.UID || gid != b.User.GID {
		t.Errorf("the outputs are %d:%d's, want %d:%d", uid, gid, b.User.UID, b.User.GID)
	}
}

// echoServer serves a telemetry socket that answers each line with itself.
func echoServer(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, executor.TelemetrySocket)
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close() //nolint:errcheck // the peer is gone
				if line, err := bufio.NewReader(c).ReadString('\n'); err == nil {
					_, _ = c.Write([]byte(line))
				}
			}()
		}
	}()
}

func telemetryPort(t *testing.T, b *bench) {
	a := b.attempt("telemetry")
	a.Telemetry = true
	echoServer(t, a.RuntimeDir)
	if x := b.run(a); x.Code != 0 || !x.Known {
		t.Errorf("got %+v: %s", x, b.log(a, "stderr.log"))
	}
}

func noTelemetryPort(t *testing.T, b *bench) {
	a := b.attempt("telemetry")
	if x := b.run(a); x.Code == 0 {
		t.Errorf("got %+v, although nothing serves telemetry", x)
	}
}

func workDir(t *testing.T, b *bench) {
	a := b.looker()
	a.WorkDir = t.TempDir()
	if err := os.Chmod(a.WorkDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, want := b.facts(a).Dir, b.in(a.WorkDir, executor.ContainerWork); got != want {
		t.Errorf("the job's directory is %s, want %s", got, want)
	}
}

// forgedReport has a job claim, at the runner's own socket, that it ended well.
func forgedReport(t *testing.T, b *bench) {
	a := b.attempt()
	a.Argv = []string{b.Job, "forge-report", b.in(a.RuntimeDir, executor.ContainerRuntime), "--", a.mark}
	if x := b.run(a); x.Code != 5 || !x.Known {
		t.Errorf("got %+v, want code 5", x)
	}
	if got := b.log(a, "stdout.log"); !strings.Contains(got, "dial:") && !strings.Contains(got, "read: 0") {
		t.Errorf("the job was answered: %s", got)
	}
}
