package shim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Main does all that the shim does, with the configuration at configPath, and
// returns the status to exit with: the job's own exit code, 128 + the signal that
// ended it, or one of the Exit constants. It changes the whole process and can't
// be called twice. The main goroutine must be locked to the main thread (by
// runtime.LockOSThread in an init function), because the kernel kills the job
// with the thread that started it.
func Main(configPath string) (exitCode int) {
	score := openOOMScore()
	signals, err := harden()
	if err != nil {
		return complain(err)
	}
	config, err := loadConfig(configPath)
	if config.ControlSocket == "" && err != nil {
		return complain(err)
	}
	spare := new(reserve)
	link := newLink(config.ControlSocket, spare)
	link.patience = time.Duration(config.RunnerLossMillis) * time.Millisecond
	if config.ControlSocket != "" {
		go link.run(context.Background())
		link.connect(connectLimit)
	}
	var report ExitReport
	kept := config.reportFile()
	if err != nil {
		report = setupFailed(err)
	} else {
		s := supervisor{config: config, signals: signals, spare: spare, link: link}
		if config.Serve {
			report = s.serve(score)
		} else {
			report = s.supervise(score)
		}
	}
	report.ExecError, report.SetupError = bounded(report.ExecError), bounded(report.SetupError)
	keep(kept, report)
	link.exit(report, ackLimit)
	return report.Code
}

func setupFailed(err error) ExitReport {
	return ExitReport{Code: ExitSetup, SetupError: err.Error()}
}

// complain says on standard error why the shim can't do anything, where it knows
// nobody else to say it to.
func complain(err error) int {
	fmt.Fprintln(os.Stderr, "lynx-shim:", err)
	return ExitSetup
}

func bounded(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// supervisor is one job.
type supervisor struct {
	config  Config
	signals <-chan os.Signal
	spare   *reserve
	link    *link

	stdout, stderr *pump
	telemetry      *forwarder // nil if the job has none
}

// supervise prepares, starts and watches the job, and returns how it ended.
func (s *supervisor) supervise(score oomScore) ExitReport {
	null, err := s.prepare()
	if err == nil {
		err = s.config.limit()
	}
	if err != nil {
		return setupFailed(err)
	}
	var pid int
	begin := time.Now()
	s.spare.refill()
	stdio := [3]uintptr{null.Fd(), s.stdout.writer.Fd(), s.stderr.writer.Fd()}
	score.during(func() {
		err = s.spare.with(func() (err error) {
			pid, err = startJob(s.config, s.environment(), stdio[:]...)
			return err
		})
	})
	runtime.UnlockOSThread()
	_ = null.Close()
	s.spare.refill()
	s.stdout.start()
	s.stderr.start()
	if err != nil {
		return s.failed(err)
	}
	s.link.start()
	report := s.watch(pid, begin)
	// The runner looks when it has the report: there may be space again by then.
	full := DiskFull(filepath.Dir(s.config.Stdout))
	if s.telemetry != nil {
		s.telemetry.drain()
	}
	report.Stdout, report.Stderr = s.stdout.stop(), s.stderr.stop()
	report.Stdout.Full = report.Stdout.Full || full
	return report
}

// full is what is left on a disk on which a job that writes a little can fail.
const full = 256 << 10

// DiskFull reports whether a directory's disk has no space left, for the logs and, on the
// same disk, the outputs of a job. A disk that can't be asked is not called full.
func DiskFull(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Bavail*uint64(cmp.Or(st.Frsize, st.Bsize)) < full
}

// prepare opens what the job and its shim need later.
func (s *supervisor) prepare() (null *os.File, err error) {
	c := s.config
	if s.stdout, err = newPump(c.Stdout, c.LogHead, c.LogTail); err != nil {
		return nil, err
	}
	if s.stderr, err = newPump(c.Stderr, c.LogHead, c.LogTail); err != nil {
		return nil, err
	}
	if c.TelemetryListen != "" {
		if s.telemetry, err = listen(c.TelemetryListen, c.TelemetrySocket, s.spare); err != nil {
			return nil, err
		}
		s.telemetry.checkPeers = c.CheckPeers
		go s.telemetry.run()
	}
	if null, err = os.Open(os.DevNull); err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return null, nil
}

func (s *supervisor) environment() []string {
	if s.telemetry == nil {
		return s.config.environment("")
	}
	return s.config.environment(s.telemetry.target())
}

// failed is the report on a job that could not be started.
func (s *supervisor) failed(err error) ExitReport {
	report := setupFailed(err)
	if exec := (*execError)(nil); errors.As(err, &exec) {
		report = ExitReport{Code: exec.code, ExecError: exec.reason}
	}
	report.Stdout, report.Stderr = s.stdout.stop(), s.stderr.stop()
	return report
}

// forwarded are the signals that the job gets when the shim does.
var forwarded = map[os.Signal]bool{
	unix.SIGTERM: true, unix.SIGINT: true, unix.SIGHUP: true,
	unix.SIGQUIT: true, unix.SIGUSR1: true, unix.SIGUSR2: true,
}

// watch waits for the main process's end, and ends what it left.
func (s *supervisor) watch(pid int, begin time.Time) (report ExitReport) {
	children := reap(pid)
	kill := killer{init: os.Getpid() == 1, group: pid, spare: s.spare}
	var deadline <-chan time.Time
	if ms := s.config.KillAfterMillis; ms > 0 {
		deadline = time.After(time.Duration(ms)*time.Millisecond - time.Since(begin))
	}
	overdue := false
	for {
		select {
		case sig := <-s.signals:
			if forwarded[sig] {
				report.Forwarded = int(sig.(unix.Signal))
				_ = unix.Kill(-pid, sig.(unix.Signal))
			}
		case <-s.link.kills:
			kill.all()
		case <-s.link.lost:
			kill.all()
		case <-deadline:
			overdue = true
			kill.all()
		case status := <-children.main:
			report.WallMicros = time.Since(begin).Microseconds()
			report.end(status)
			report.DeadlineKill = overdue && report.Signal == int(unix.SIGKILL)
			kill.sweep(children.none)
			report.usage()
			return report
		}
	}
}
