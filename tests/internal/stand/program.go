//go:build engine

package stand

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Program is a program under test, which can be started more than once.
type Program struct {
	// Name is that of its file.
	Name string
	// Log has what every one of its processes logged, one after the other.
	Log string

	dir       string
	argv, env []string
	cmd       *exec.Cmd // the last one; nil before the first
}

// program makes a program that has not been started. What it logged is shown if the
// test fails.
func (s *Stand) program(t *testing.T, name string, env []string, args ...string) *Program {
	t.Helper()
	p := &Program{
		Name: name, dir: s.Dir, Log: filepath.Join(s.Dir, fmt.Sprintf("%s.%d.log", name, len(s.programs))),
		argv: append([]string{filepath.Join(s.Programs, name)}, args...), env: append(os.Environ(), env...),
	}
	s.programs = append(s.programs, p)
	t.Cleanup(func() {
		if p.Up() {
			// A second signal ends what a first one only asks to end, if it is not one
			// with the first. What waits for an engine that is away waits for ever.
			for _, sig := range []syscall.Signal{syscall.SIGCONT, syscall.SIGTERM, syscall.SIGTERM} {
				_ = p.cmd.Process.Signal(sig)
			}
			late := time.AfterFunc(Patience, func() { _ = p.cmd.Process.Kill() })
			_ = p.cmd.Wait()
			late.Stop()
		}
		if t.Failed() {
			text := p.Says()
			t.Logf("%s:\n%s", name, text[max(0, len(text)-20_000):])
		}
	})
	return p
}

// Start starts the program. It is killed if the test is.
func (p *Program) Start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	Must(t, err)
	p.cmd = exec.Command(p.argv[0], p.argv[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = p.dir, log, log, p.env
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	Must(t, p.cmd.Start())
	Must(t, log.Close())
}

// Pid is the id of the program's last process.
func (p *Program) Pid() int { return p.cmd.Process.Pid }

// Up reports whether the program was started and not ended by Kill, Stop or Wait.
func (p *Program) Up() bool { return p.cmd != nil && p.cmd.ProcessState == nil }

// Gone reports whether the program has ended although nobody has ended it.
func (p *Program) Gone() bool { return p.Up() && gone(p.Pid()) }

// Signal sends the program a signal.
func (p *Program) Signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	Must(t, p.cmd.Process.Signal(sig))
}

// Wait waits for the program's end, and returns an error if it was not in order.
func (p *Program) Wait() error {
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// Kill ends the program by SIGKILL.
func (p *Program) Kill(t *testing.T) {
	t.Helper()
	p.Signal(t, syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// Stop ends the program by SIGTERM, which must be an end in order.
func (p *Program) Stop(t *testing.T) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

// Says is what the program has logged, all its processes together.
func (p *Program) Says() string {
	text, _ := os.ReadFile(p.Log) // there is none before the first start
	return string(text)
}

// gone reports whether a child of this process has ended.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
