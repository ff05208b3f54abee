package shim

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// serve starts the fork server and has it run jobs until it ends or is killed, or
// the runner has been away for too long. The report is the fork server's.
//
// One job at a time: MessageJob, MessageJobStarted, MessageJobEnded. Between two
// the container is as it was when the fork server was ready: no process but these
// two, nothing in a place that a job can write to but its own directories, which
// are the runner's to exchange; see clean.go and fingerprint.go. What can't be made
// so is said in the report, and the runner ends the container. So it does where the
// job failed in another way than by an exit code; nothing is mended here.
func (s *supervisor) serve(score oomScore) ExitReport {
	if os.Getpid() != 1 {
		// Everything in memory that can be written to is emptied, and every process
		// but two counts as left: that must be a container's.
		return setupFailed(errors.New("serve: the shim is not the init of a container"))
	}
	if err := s.config.limit(); err != nil {
		return setupFailed(err)
	}
	begin := time.Now()
	fs, err := s.startForkServer(score)
	runtime.UnlockOSThread()
	s.spare.refill()
	if err != nil {
		return failedStart(err)
	}
	s.link.start()
	server := &jobServer{
		supervisor: s, fs: fs, children: reap(fs.pid),
		kill: killer{init: true, group: fs.pid, spare: s.spare},
	}
	report := server.run()
	if report.WallMicros == 0 {
		report.WallMicros = time.Since(begin).Microseconds()
	}
	server.kill.sweep(server.children.none)
	report.usage()
	return report
}

// failedStart is the report on a command that could not be started.
func failedStart(err error) ExitReport {
	if exec := (*execError)(nil); errors.As(err, &exec) {
		return ExitReport{Code: exec.code, ExecError: exec.reason}
	}
	return setupFailed(err)
}

// jobServer has a fork server run jobs.
type jobServer struct {
	*supervisor
	fs       *forkServer
	children *reaper
	kill     killer
	// was is the fingerprint of shim and fork server before the first job, and
	// resident the fork server's memory then.
	was      string
	resident int64
}

// run serves jobs until the fork server has ended.
func (s *jobServer) run() ExitReport {
	ready := s.fs.answers
	for {
		// No order is taken before the server is ready.
		orders := s.link.orders
		if s.was == "" {
			orders = nil
		}
		select {
		case sig := <-s.signals:
			if sig == unix.SIGTERM {
				s.kill.all()
			}
		case <-s.link.kills:
			s.kill.all()
		case <-s.link.lost:
			s.kill.all()
		case status := <-s.children.main:
			return s.ended(status)
		case a, ok := <-ready:
			if ok && a.Ready && s.was == "" && emptyPlaces() == nil {
				s.was, s.resident = fingerprint(os.Getpid(), s.fs.pid), resident(s.fs.pid)
			} else if ready = nil; ok {
				s.kill.all() // it says what nobody asked for
			}
		case <-orders:
			status, over := s.job()
			if over != nil {
				over.end(status)
				return *over
			}
		}
	}
}

// ended is the report on a fork server that ended while it had no job. One that
// never was ready could not be executed, as far as the job is concerned.
func (s *jobServer) ended(status unix.WaitStatus) (r ExitReport) {
	r.end(status)
	if s.was == "" && r.Signal == 0 {
		r.ExecError = fmt.Sprintf("the fork server ended with status %d before it was ready: %s", r.Code, s.fs.said())
	}
	return r
}

// job runs one job and reports it. Where the fork server ended, which ends the
// container, it returns how, with what is known of the logs.
func (s *jobServer) job() (unix.WaitStatus, *ExitReport) {
	report := JobReport{}
	status, over := s.attempt(&report)
	if over {
		return status, &report.Exit
	}
	if report.Odd == "" {
		report.Odd = s.restore()
	}
	report.Odd = bounded(report.Odd)
	report.Exit.SetupError = bounded(report.Exit.SetupError)
	s.link.tell(Message{Type: MessageJobEnded, Job: &report})
	return 0, nil
}

// attempt runs one job. over says that the fork server ended, with status.
func (s *jobServer) attempt(report *JobReport) (status unix.WaitStatus, over bool) {
	null, err := s.prepare()
	if err == nil {
		_ = null.Close()
		err = s.fs.order(s.stdout.writer, s.stderr.writer)
	}
	if err != nil {
		report.Exit, report.Odd = setupFailed(err), "the job could not be started"
		return 0, false
	}
	begin := time.Now()
	s.stdout.start()
	s.stderr.start()
	s.spare.refill()
	status, over = s.follow(report, begin)
	report.Exit.WallMicros = time.Since(begin).Microseconds()
	if left := s.leftover(); !over && left > 0 {
		report.Odd = fmt.Sprintf("%d processes were left when the main process ended", left)
		s.endLeftover()
	}
	if s.telemetry != nil && !s.telemetry.drain() && report.Odd == "" {
		report.Odd = "telemetry was still on its way a second after the job's end"
	}
	report.Exit.Stdout, report.Exit.Stderr = s.stdout.stop(), s.stderr.stop()
	return status, over
}

// follow waits for the end of the job's main process.
func (s *jobServer) follow(report *JobReport, begin time.Time) (status unix.WaitStatus, over bool) {
	var deadline <-chan time.Time
	if ms := s.config.KillAfterMillis; ms > 0 {
		deadline = time.After(time.Duration(ms)*time.Millisecond - time.Since(begin))
	}
	answers := s.fs.answers
	for {
		select {
		case <-s.signals:
		case <-s.link.kills:
			s.kill.all()
		case <-s.link.lost:
			s.kill.all()
		case <-deadline:
			report.Exit.DeadlineKill = true
			s.kill.all()
		case status := <-s.children.main:
			return status, true
		case a, ok := <-answers:
			switch {
			case !ok:
				answers = nil // it is about to end
			case a.PID > 0:
				s.link.tell(Message{Type: MessageJobStarted})
			case a.Status != nil:
				report.Exit.end(unix.WaitStatus(*a.Status))
				report.Exit.CPUMicros, report.Exit.MaxRSSBytes = max(a.CPUMicros, 0), max(a.MaxRSSBytes, 0)
				return 0, false
			}
		}
	}
}

// leftover counts the processes beside shim and fork server.
func (s *jobServer) leftover() int {
	n := 0
	for pid := range s.kill.processes() {
		if pid != 1 && pid != s.fs.pid {
			n++
		}
	}
	return n
}

// endLeftover kills them, so that what they write does not go on while the runner
// hears of it, which ends the container.
func (s *jobServer) endLeftover() {
	for pid := range s.kill.processes() {
		if pid != 1 && pid != s.fs.pid {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// restore makes the container fit for the next job, or says why it can't.
func (s *jobServer) restore() (odd string) {
	if err := emptyPlaces(); err != nil {
		return err.Error()
	}
	if err := removeIPC(); err != nil {
		return err.Error()
	}
	if now := fingerprint(os.Getpid(), s.fs.pid); now != s.was {
		return "the limits, priorities or processors of shim and fork server are not what they were"
	}
	if now := resident(s.fs.pid); now > s.resident+s.resident/4+maxGrowth {
		return fmt.Sprintf("the fork server has grown from %d to %d bytes", s.resident, now)
	}
	return ""
}

// maxGrowth is what a fork server may grow beside a quarter of its memory: the
// buffers of its own answers.
const maxGrowth = 16 << 20
