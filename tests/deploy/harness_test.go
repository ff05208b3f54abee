//go:build engine

package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// root is the directory of the sources; prefix is where the programs were
// installed, below a directory that the engine sees, too; commit is what they were
// built from, or empty outside of a repository.
var root, prefix, commit string

func TestMain(m *testing.M) {
	code, err := installed(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// installed runs f where everything is installed below a fresh directory.
func installed(f func() int) (code int, err error) {
	if root, err = filepath.Abs("../.."); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "lx-dep-") // short: sockets lie below
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Programs of other users must get to what is installed.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	prefix = filepath.Join(dir, "usr")
	hash, _ := exec.Command("git", "-C", root, "rev-parse", "--short=12", "HEAD").Output()
	commit = strings.TrimSpace(string(hash))
	if out, err := makeTarget(dir, "build"); err != nil {
		return 1, fmt.Errorf("make build: %w\n%s", err, out)
	}
	if out, err := makeTarget(dir, "install"); err != nil {
		return 1, fmt.Errorf("make install: %w\n%s", err, out)
	}
	return f(), nil
}

// makeTarget runs make for an installation below dir, and returns what it said.
func makeTarget(dir, target string, variables ...string) (string, error) {
	cmd := exec.Command("make", append([]string{"--no-print-directory", target, "BIN=" + filepath.Join(dir, "bin"),
		"PREFIX=" + filepath.Join(dir, "usr"), "SYSCONFDIR=" + filepath.Join(dir, "etc")}, variables...)...)
	cmd.Dir = root
	// Not what the make that runs this test was told.
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=0")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// place is a fresh directory with a short path, that others can enter.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lx-dep-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// say runs a command and returns what it printed.
func say(t *testing.T, environ []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), environ...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must is say, of a command that has to succeed.
func must(t *testing.T, environ []string, name string, args ...string) string {
	t.Helper()
	out, err := say(t, environ, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// service is a program that was started, with its log.
type service struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   bytes.Buffer
	ended chan struct{}
	err   error
}

// serve starts a program until the test ends.
func serve(t *testing.T, environ []string, argv ...string) *service {
	t.Helper()
	s := &service{t: t, cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	s.cmd.Env = environ
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.Dir = "/"
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		// Twice: in order, and at once.
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(30 * time.Second):
			_ = s.cmd.Process.Kill()
			<-s.ended
		}
		if t.Failed() {
			t.Logf("%s:\n%s", argv[0], s.log.String())
		}
	})
	return s
}

// stop sends SIGTERM and waits for the end, which must be one in order.
func (s *service) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.ended:
		if s.err != nil {
			s.t.Fatalf("%s: %v", s.cmd.Path, s.err)
		}
	case <-time.After(2 * time.Minute):
		s.t.Fatalf("%s does not stop", s.cmd.Path)
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
