package journal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func attempt(id string) journal.Attempt {
	limit := int64(1 << 30)
	return journal.Attempt{
		Assignment: &runnerv1.Assignment{AttemptId: id, Attempt: 1, Token: &runnerv1.Token{Epoch: 1 << 60, Counter: 2}, Seed: 1<<64 - 1},
		Claimed:    time.Unix(1000, 5).UTC(), UID: 1_600_000_000, GID: 1_600_000_000, Directory: "b/00000/attempt-1", Device: 1, Inode: 1 << 63,
		Spec: &executor.Spec{
			AttemptID: id, Argv: []string{"a"}, Env: []string{"PASSWORD=secret"}, RuntimeDir: "/run/x", Timeout: time.Hour, GPUs: []string{"GPU-1"},
			Sandbox: executor.Sandbox{
				Resources: specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}, Seccomp: &specs.LinuxSeccomp{DefaultAction: "x"},
			},
		},
		Engine: "basilisk", Entrypoint: "s.py", Program: "p", Image: "i", ImageID: "sha256:1", CodeDigest: "sha256:2", Warnings: []string{"w"},
	}
}

// What another process reads is what this one wrote, less the environment and the
// filter; the last that was written counts.
func TestAttemptsAreRead(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	early := attempt("a")
	early.Spec = nil
	for _, a := range []journal.Attempt{early, attempt("a"), attempt("b")} {
		if err := j.Begun(a); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Ended("b"); err != nil {
		t.Fatal(err)
	}
	j.Close()
	found, settled, rejected, err := open(t, dir).Attempts()
	want := attempt("a")
	want.Spec.Env, want.Spec.Sandbox.Seccomp = nil, nil
	if diff := cmp.Diff([]journal.Attempt{want}, found, protocmp.Transform(), cmpopts.IgnoreFields(journal.Attempt{}, "Age")); diff != "" || len(settled)+len(rejected) > 0 || err != nil {
		t.Errorf("settled %v, rejected %v, %v; (-want +got)\n%s", settled, rejected, err, diff)
	}
	text, err := os.ReadFile(filepath.Join(dir, "attempts", "a"))
	if err != nil || strings.Contains(string(text), "secret") {
		t.Errorf("the file: %s, %v", text, err)
	}
}

// An attempt that has a result is not to be taken up, wherever the result is.
func TestAttemptsWithResults(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	for _, id := range []string{"open", "reported", "sent"} {
		if err := j.Begun(attempt(id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"reported", "sent"} {
		if err := j.Put(report(id, "completed")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "outbox", "sent"), filepath.Join(dir, "uploads", "sent")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"open", "reported", "nobody"} {
		if err := j.RecordCause(id, journal.Cause{Kind: "timeout"}); err != nil {
			t.Fatal(err)
		}
	}
	found, settled, _, err := j.Attempts()
	if err != nil || len(found) != 1 || found[0].Assignment.GetAttemptId() != "open" || len(settled) != 2 {
		t.Errorf("open %v, settled %v, %v", found, settled, err)
	}
	if err := j.ForgetCauses(); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"open": true, "reported": true, "nobody": false} {
		if _, kept, err := j.CauseOf(id); kept != want || err != nil {
			t.Errorf("the cause of %s is kept: %v, %v", id, kept, err)
		}
	}
	for _, id := range []string{"open", "reported", "sent"} {
		if err := j.Forget(id); err != nil {
			t.Fatal(err)
		}
	}
	if found, settled, _, err := j.Attempts(); err != nil || len(found)+len(settled) > 0 {
		t.Errorf("after Forget: %v, %v, %v", found, settled, err)
	}
}

// What a crash of the host left of a file is removed and named, and so is what is
// another attempt's. It is nothing for a person to look at.
func TestDamagedAttempts(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	if err := j.Begun(attempt("good")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "attempts", "good"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"empty": nil, "half": whole[:len(whole)/2], "renamed": whole} {
		if err := os.WriteFile(filepath.Join(dir, "attempts", name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, _, torn, err := j.Attempts()
	if err != nil || len(found) != 1 || len(torn) != 3 {
		t.Errorf("found %d, torn %q, %v", len(found), torn, err)
	}
	if again, _, torn, err := j.Attempts(); err != nil || len(again) != 1 || len(torn) > 0 {
		t.Errorf("the second time: %d, %q, %v", len(again), torn, err)
	}
	if kept, err := os.ReadDir(filepath.Join(dir, "rejected")); err != nil || len(kept) > 0 {
		t.Errorf("put aside: %v, %v", kept, err)
	}
	if err := j.Begun(attempt("../x")); err == nil {
		t.Error("an attempt was written to a path")
	}
}

// An attempt knows whether its host was started again since.
func TestHostRestarted(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	path := filepath.Join(dir, "attempts", "a")
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	for was, want := range map[string]bool{
		strings.TrimSpace(string(boot)):        false,
		"00000000-0000-0000-0000-000000000000": true,
		"":                                     false, // written where that cannot be known
	} {
		if err := j.Begun(attempt("a")); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.Replace(string(text), strings.TrimSpace(string(boot)), was, 1))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		found, _, _, err := j.Attempts()
		if err != nil || len(found) != 1 || found[0].HostRestarted != want {
			t.Errorf("written in boot %q: %v, %v", was, found, err)
		}
		if age := found[0].Age; (age < 0) != want || age > time.Minute {
			t.Errorf("written in boot %q, %v ago", was, age)
		}
	}
}

func TestLastAlive(t *testing.T) {
	j := open(t, stateDir(t))
	if at := j.LastAlive(); !at.IsZero() {
		t.Errorf("nobody lived at %v", at)
	}
	for _, at := range []time.Time{time.Now().Add(-time.Hour), time.Now()} {
		if err := j.Alive(at); err != nil {
			t.Fatal(err)
		}
		// The first makes the file, and says now.
		if err := j.Alive(at); err != nil || !j.LastAlive().Equal(at) {
			t.Errorf("last alive %v, want %v (%v)", j.LastAlive(), at, err)
		}
	}
}
