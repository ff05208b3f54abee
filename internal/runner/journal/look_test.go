package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Whatever stage an attempt is at, and however damaged, it is needed.
func TestLook(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	at := func(id, where string) *runnerv1.ReportResultRequest {
		r := report(id, "completed")
		r.Result.Directory = where
		return r
	}
	if err := errors.Join(
		j.Begun(journal.Attempt{Assignment: &runnerv1.Assignment{AttemptId: "a-1"}, Directory: "b/00000/attempt-1", Device: 3, Inode: 4,
			ImageID: "sha256:1", Spec: &executor.Spec{RuntimeDir: "/run/x", Image: "sha256:2"}}),
		j.Put(at("b-1", "/out/b")), j.Put(at("c-1", "/out/c")), j.Accepted("c-1"), j.Put(at("d-1", "")), j.Reject(at("d-1", "/out/d")),
		j.Put(at("a-1", "/out/a")), // it is in hand as well, and that counts
		os.WriteFile(filepath.Join(dir, "attempts", "torn-1"), []byte(`{"dir`), 0o600),
		os.WriteFile(filepath.Join(dir, "outbox", "zeros-1"), make([]byte, 64), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	h, err := journal.Look(dir)
	if err != nil {
		t.Fatal(err)
	}
	if h.InstallationID != j.InstallationID() || len(h.InHand) != 2 || !h.InHand["a-1"] || !h.InHand["torn-1"] || len(h.Needed) != 6 {
		t.Errorf("%+v", h)
	}
	for id, want := range map[string]string{
		"a-1": "it is in the runner's hand", "torn-1": "it is in the runner's hand", "b-1": "its result is not delivered", "zeros-1": "its result is not delivered",
		"c-1": "its files are not sent", "d-1": "its result was put aside for a person",
	} {
		if h.Needed[id] != want {
			t.Errorf("%s: %q, want %q", id, h.Needed[id], want)
		}
	}
	slices.Sort(h.Directories)
	if !slices.Equal(h.Directories, []string{"/out/a", "/out/b", "/out/c", "/out/d", "b/00000/attempt-1"}) || !h.Inodes[journal.Inode{Device: 3, Inode: 4}] {
		t.Errorf("directories %q, %v", h.Directories, h.Inodes)
	}
	if !slices.Equal(h.RuntimeDirs, []string{"/run/x"}) || !slices.Equal(h.ImageIDs, []string{"sha256:1", "sha256:2"}) {
		t.Errorf("%q, %q", h.RuntimeDirs, h.ImageIDs)
	}
	if after := files(t, dir); len(after) != len(before) {
		t.Errorf("%v became %v", before, after)
	}
}

// One at a time has the state directory, and looking at it makes none.
func TestLock(t *testing.T) {
	dir := stateDir(t)
	if _, err := journal.Lock(dir); !errors.Is(err, journal.ErrNoState) {
		t.Errorf("where nothing is: %v", err)
	}
	if _, err := journal.Look(dir); !errors.Is(err, journal.ErrNoState) {
		t.Errorf("where nothing is: %v", err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("it was made")
	}
	j := open(t, dir)
	if _, err := journal.Lock(dir); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("beside a runner: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err := journal.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(dir); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a runner beside it: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "installation_id"), []byte("../../x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Look(dir); !errors.Is(err, journal.ErrNoState) {
		t.Errorf("with a strange id: %v", err)
	}
}
