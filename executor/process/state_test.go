package process

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

// recovering is an executor that starts nothing.
func recovering(t *testing.T) *Executor {
	t.Helper()
	e, err := New(Config{Shim: os.Args[0], Dir: t.TempDir(), NoCgroups: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func someState(t *testing.T) state {
	return state{
		AttemptID: "a-1", RuntimeDir: t.TempDir(), Scratch: scratch(filepath.Join(t.TempDir(), "s")),
		LogDir: t.TempDir(), Memory: 5, Boot: thisBoot(), Started: time.Now().Add(-time.Hour).Round(0),
	}
}

func (e *Executor) put(t *testing.T, attempt, name, text string) {
	t.Helper()
	if err := os.MkdirAll(e.dir(attempt), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.dir(attempt), name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// recovered wants one attempt, sees it to its end and removes it.
func recovered(t *testing.T, e *Executor) executor.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	hs, err := e.Recover(ctx)
	if err != nil || len(hs) != 1 || hs[0].AttemptID() != "a-1" {
		t.Fatalf("recovered %v, %v", hs, err)
	}
	x, err := hs[0].Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := hs[0].Kill(ctx); err != nil || !at.Equal(x.Ended) {
		t.Errorf("Kill: %v, %v, want %v", at, err, x.Ended)
	}
	if err := hs[0].Remove(ctx); err != nil {
		t.Error(err)
	}
	if hs, err = e.Recover(ctx); err != nil || len(hs) > 0 {
		t.Errorf("after Remove: %v, %v", hs, err)
	}
	if left, _ := os.ReadDir(e.cfg.Dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	return x
}

// Whatever happened to a state file, a runner starts, and says of the attempt that
// it knows nothing.
func TestDamagedState(t *testing.T) {
	good, err := json.Marshal(someState(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "cut": string(good[:len(good)/2]), "garbage": "\x00\x01\x02", "another type": `{"pid":"x"}`, "nothing in it": "{}",
		"another attempt's": strings.ReplaceAll(string(good), `"a-1"`, `"a-2"`), "negative pid": `{"attempt_id":"a-1","pid":-1,"runtime_dir":"/x","scratch":"/y"}`,
		"relative paths": `{"attempt_id":"a-1","pid":1,"runtime_dir":"x","scratch":"../.."}`,
	} {
		t.Run(name, func(t *testing.T) {
			e := recovering(t)
			e.put(t, "a-1", stateFile, text)
			if x := recovered(t, e); x.Known || x.ExternalKill || len(x.Notes) != 1 || !strings.Contains(x.Notes[0], "damaged") {
				t.Errorf("got %+v", x)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		e := recovering(t)
		e.put(t, "a-1", reportFile, "")
		if x := recovered(t, e); x.Known || len(x.Notes) != 1 {
			t.Errorf("got %+v", x)
		}
	})
}

// An attempt whose state can't be read may be running: it is not started again.
func TestStartOfDamaged(t *testing.T) {
	e := recovering(t)
	e.put(t, "a-1", stateFile, "{")
	spec := testSpec()
	spec.User.UID, spec.User.GID = uint32(max(os.Getuid(), 1)), uint32(max(os.Getgid(), 1))
	h, err := e.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := h.Wait(t.Context()); err != nil || x.Known {
		t.Errorf("%+v, %v", x, err)
	}
	recovered(t, e)
}

func TestStateIsWhatWasSaved(t *testing.T) {
	e := recovering(t)
	s := someState(t)
	s.PID, s.StartTime, s.UID = 12, 34, 56
	s.Cgroup = &group{cgroup.Group{V2: true, Dirs: map[string]string{"": "/x", "memory": "/x"}}}
	for range 2 { // over an older one
		if err := e.save(s); err != nil {
			t.Fatal(err)
		}
	}
	got, err := e.load("a-1")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(s)
	b, _ := json.Marshal(got)
	if string(a) != string(b) {
		t.Errorf("saved %s, loaded %s", a, b)
	}
	if _, err := e.load("a-2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of another attempt: %v", err)
	}
}

// bystander is a process of somebody else's that has the id of a state file.
func bystander(t *testing.T) (pid int, lives func() bool) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid, func() bool {
		pid, err := unix.Wait4(cmd.Process.Pid, nil, unix.WNOHANG, nil)
		return pid == 0 && err == nil
	}
}

// The id of a shim that is gone may be another process's by now.
func TestReusedPID(t *testing.T) {
	pid, lives := bystander(t)
	start, err := startTimeOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*state){
		"started at another time": func(s *state) { s.StartTime++ },
		"of another boot":         func(s *state) { s.Boot = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			e := recovering(t)
			s := someState(t)
			s.PID, s.StartTime = pid, start
			change(&s)
			if err := e.save(s); err != nil {
				t.Fatal(err)
			}
			if x := recovered(t, e); x.Known || !x.ExternalKill {
				t.Errorf("got %+v", x)
			}
			if !lives() {
				t.Fatal("the bystander was ended")
			}
		})
	}
}

// A shim that reported, and ended while no runner was there.
func TestReportOfAnEarlierTime(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		known bool
	}{
		"whole":   {`{"code":3,"cpu_micros":1000,"stdout":{"written":5,"dropped":0}}` + "\n", true},
		"cut":     {`{"code":3,"cpu_micros":1000`, false},
		"no end":  {`{"code":3}`, false},
		"empty":   {"", false},
		"garbage": {"\x00\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			e := recovering(t)
			s := someState(t)
			s.PID, s.StartTime = 1<<22-1, 1 // as good as surely nobody's
			if err := e.save(s); err != nil {
				t.Fatal(err)
			}
			e.put(t, "a-1", reportFile, c.text)
			x := recovered(t, e)
			if x.Known != c.known || c.known && (x.Code != 3 || x.Logs.Stdout.Written != 5) {
				t.Errorf("got %+v", x)
			}
			if x.Ended.Before(s.Started) || x.Ended.After(time.Now()) {
				t.Errorf("ended %v, started %v", x.Ended, s.Started)
			}
		})
	}
}

// An attempt that was prepared, and whose shim was never told what to do.
func TestNeverStarted(t *testing.T) {
	e := recovering(t)
	s := someState(t)
	if err := s.Scratch.make(os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	if err := e.save(s); err != nil {
		t.Fatal(err)
	}
	if x := recovered(t, e); x.Known || x.ExternalKill || len(x.Notes) != 1 {
		t.Errorf("got %+v", x)
	}
	if _, err := os.Stat(string(s.Scratch)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its HOME and TMPDIR are left: %v", err)
	}
}

func TestNewNeedsAShim(t *testing.T) {
	text := filepath.Join(t.TempDir(), "shim")
	if err := os.WriteFile(text, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []Config{
		{Shim: "/no/such/shim", Dir: "/x"}, {Shim: text, Dir: "/x"}, {Shim: os.Args[0], Dir: "relative"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

func TestClosedExecutor(t *testing.T) {
	pid, lives := bystander(t)
	start, err := startTimeOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	e := recovering(t)
	s := someState(t)
	s.PID, s.StartTime = pid, start // a shim, as far as anybody can tell
	if err := e.save(s); err != nil {
		t.Fatal(err)
	}
	hs, err := e.Recover(t.Context())
	if err != nil || len(hs) != 1 {
		t.Fatal(hs, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := hs[0].Wait(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("Wait: %v", err)
	}
	if !lives() {
		t.Error("closing the executor ended the attempt")
	}
}
