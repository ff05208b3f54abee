package shim_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// A shim that is not a container's init would empty the host's own /tmp: it serves
// nobody, and touches nothing.
func TestServesOnlyAsInit(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "kept")
	must(t, os.WriteFile(kept, nil, 0o600))
	for _, p := range places(t) {
		if p.init {
			continue
		}
		r := newRun(t, p, "/bin/true")
		r.config.Serve = true
		r.start()
		c := r.accept()
		c.expect(shim.MessageHello)
		if report := c.expect(shim.MessageExit).Exit; !strings.Contains(report.SetupError, "not the init of a container") {
			t.Errorf("report %+v", report)
		}
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

// serving is a shim with a fork server whose jobs the test drives.
type serving struct {
	*shimRun
	*connection

	jobs *net.UnixListener
	// place is the one that jobs can write to besides their logs.
	place string
}

// startServing starts one, as PID 1; change may adjust its configuration. growth is
// how much memory the fork server keeps for each job.
func startServing(t *testing.T, growth int, change func(*shim.Config)) *serving {
	t.Helper()
	s := prepareServing(t, growth, change)
	s.start()
	s.connection = s.up()
	return s
}

func prepareServing(t *testing.T, growth int, change func(*shim.Config)) *serving {
	t.Helper()
	var p place
	for _, candidate := range places(t) {
		if candidate.init {
			p = candidate
			break
		}
	}
	// Not in a file system in memory, as /tmp may be: those count as the job's.
	t.Setenv("TMPDIR", "/var/tmp")
	s := &serving{shimRun: newRun(t, p)}
	s.place = filepath.Join(s.dir, "place")
	must(t, os.Mkdir(s.place, 0o755))
	socket := filepath.Join(s.dir, "drive.sock")
	s.jobs = listenUnix(t, socket)
	s.config.Argv = []string{jobPath, "serve", socket, fmt.Sprint(growth)}
	s.config.Serve = true
	if change != nil {
		change(&s.config)
	}
	s.launch = []string{"-place", s.place}
	return s
}

// next orders a job, and returns it when it runs. Its logs are new, as if the runner
// had taken the last one's away.
func (s *serving) next() *driven {
	t := s.shimRun.t
	t.Helper()
	for _, path := range []string{s.config.Stdout, s.config.Stderr} {
		_ = os.Remove(path)
	}
	s.send(shim.MessageJob)
	s.expect(shim.MessageJobStarted)
	must(t, s.jobs.SetDeadline(time.Now().Add(patience)))
	conn, err := s.jobs.Accept()
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	d := &driven{t: t, conn: conn, lines: bufio.NewReader(conn)}
	_, err = fmt.Sscanf(d.read(), "ready %d", &d.pid)
	must(t, err)
	return d
}

func (s *serving) report() shim.JobReport {
	s.shimRun.t.Helper()
	return *s.expect(shim.MessageJobEnded).Job
}

// Nothing of a job is there for the next: files, System V objects, output.
func TestServesJobsOneAfterAnother(t *testing.T) {
	s := startServing(t, 0, nil)
	for i := range 3 {
		d := s.next()
		d.want("list "+s.place, "0 []")
		d.want("segment", "0")
		d.do("write " + filepath.Join(s.place, "left"))
		d.do(fmt.Sprintf("print job-%d", i))
		d.tell(fmt.Sprintf("exit %d", i))
		report := s.report()
		if report.Odd != "" || report.Exit.Code != i || report.Exit.Signal != 0 || report.Exit.CPUMicros == 0 || report.Exit.MaxRSSBytes == 0 || report.Exit.WallMicros == 0 {
			t.Errorf("job %d: %+v", i, report)
		}
		if out, _ := s.logs(); out != fmt.Sprintf("job-%d\n", i) || report.Exit.Stdout.Written != int64(len(out)) {
			t.Errorf("job %d: stdout %q, %+v", i, out, report.Exit.Stdout)
		}
	}
}

// What is not as it was before the job is said, so that no other gets the container.
func TestServeTellsWhatIsOdd(t *testing.T) {
	for name, c := range map[string]struct {
		growth int
		deed   func(d *driven)
		odd    string
	}{
		"process left": {0, func(d *driven) { d.do("child session") }, "1 processes were left when the main process ended"},
		"limit":        {0, func(d *driven) { d.do("limit 100") }, "limits, priorities or processors"},
		"memory":       {64 << 20, func(*driven) {}, "the fork server has grown from"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServing(t, c.growth, nil)
			d := s.next()
			before := len(descendantsOf(t, s.cmd.Process.Pid))
			c.deed(d)
			d.tell("exit 0")
			report := s.report()
			if c.growth > 0 && report.Odd == "" { // it grows when the job has been reported
				s.next().tell("exit 0")
				report = s.report()
			}
			if !strings.Contains(report.Odd, c.odd) || report.Exit.Code != 0 || report.Exit.Signal != 0 {
				t.Errorf("report %+v, want %q", report, c.odd)
			}
			waitFor(t, "the end of what was left", func() bool { return len(descendantsOf(t, s.cmd.Process.Pid)) == before-1 })
		})
	}
}

// However a job is killed, everything is: the shim reports, with what the job has
// printed, and ends.
func TestServeEndsWithItsServer(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*shim.Config)
		kill   func(s *serving, d *driven)
	}{
		"kill by the runner": {nil, func(s *serving, _ *driven) { s.send(shim.MessageKill) }},
		"deadline":           {func(c *shim.Config) { c.KillAfterMillis = 1000 }, func(*serving, *driven) {}},
		"runner gone": {func(c *shim.Config) { c.RunnerLossMillis = 100 }, func(s *serving, _ *driven) {
			s.send(shim.MessageHello) // it was let in, and is missed
			_, _ = s.runner.Close(), s.conn.Close()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServing(t, 0, c.change)
			d := s.next()
			d.do("child session")
			d.do("print last")
			processes := descendantsOf(t, s.cmd.Process.Pid)
			c.kill(s, d)
			if name == "runner gone" {
				s.status()
			} else if report := s.finishServing(); report.Signal != int(unix.SIGKILL) || report.DeadlineKill != (name == "deadline") {
				t.Errorf("report %+v", report)
			}
			if out, _ := s.logs(); out != "last\n" {
				t.Errorf("stdout %q", out)
			}
			for _, pid := range processes {
				if !gone(pid) {
					t.Errorf("process %d is left", pid)
				}
			}
		})
	}
}

// finishServing takes the report on the fork server, and waits for the shim's end.
func (s *serving) finishServing() shim.ExitReport {
	s.shimRun.t.Helper()
	report := *s.expect(shim.MessageExit).Exit
	s.send(shim.MessageAck)
	s.status()
	return report
}

// A crash is the job's own affair.
func TestServeReportsASignal(t *testing.T) {
	s := startServing(t, 0, nil)
	s.next()
	must(t, unix.Kill(s.hostPID(), unix.SIGKILL))
	if report := s.report(); report.Exit.Signal != int(unix.SIGKILL) || report.Odd != "" {
		t.Errorf("report %+v", report)
	}
}

// hostPID is the job's process, which is younger than the fork server.
func (s *serving) hostPID() int {
	pids := descendantsOf(s.shimRun.t, s.cmd.Process.Pid)
	if len(pids) != 2 {
		s.shimRun.t.Fatalf("%d processes below the shim, want fork server and job", len(pids))
	}
	return max(pids[0], pids[1])
}

// A fork server that does not get as far as being ready has the last word.
func TestServeTellsWhyItCannot(t *testing.T) {
	s := prepareServing(t, 0, func(c *shim.Config) { c.Argv[2] = "/nowhere/lynx" })
	s.start()
	s.connection = s.up()
	report := s.finishServing()
	if want := "ended with status 2 before it was ready: cannot preload lynx"; !strings.Contains(report.ExecError, want) {
		t.Errorf("report %+v, want %q", report, want)
	}
}
