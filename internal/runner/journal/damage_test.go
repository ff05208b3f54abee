package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// An installation id names directories, so nothing else is taken for one; and it
// is not silently replaced, because the platform knows the runner by it.
func TestDamagedInstallationID(t *testing.T) {
	for _, text := range []string{"", "short", "../../../../etc/cron.d/0123456789", strings.Repeat("g", 32), strings.Repeat("a", 33)} {
		dir := stateDir(t)
		path := filepath.Join(dir, "installation_id")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := journal.Open(dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%q: error %v", text, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		open(t, dir) // also proves that the failed one let go of the lock
	}
}

// Whatever lies in the outbox, the runner starts, and delivers the rest.
func TestStrangeEntriesArePutAside(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	outbox := filepath.Join(dir, "outbox")
	if err := errors.Join(
		j.Put(report("good-1", "completed")),
		os.Mkdir(filepath.Join(outbox, "directory"), 0o700),
		os.Symlink("nowhere", filepath.Join(outbox, "link")),
		os.WriteFile(filepath.Join(outbox, "empty"), nil, 0o600),
		os.WriteFile(filepath.Join(outbox, "zeros"), make([]byte, 512), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	got, rejected, err := j.Pending()
	if err != nil || len(got) != 1 || !slices.Equal(rejected, []string{"directory", "empty", "link", "zeros"}) {
		t.Errorf("%d results, rejected %q, error %v", len(got), rejected, err)
	}
	if _, rejected, err := j.Pending(); err != nil || len(rejected) > 0 {
		t.Errorf("rejected again %q, error %v", rejected, err)
	}
}

// A result of which a crash left only the beginning is never sent.
func TestTornResultIsNeverSent(t *testing.T) {
	whole, err := protojson.Marshal(report("a-1", "completed"))
	if err != nil {
		t.Fatal(err)
	}
	dir := stateDir(t)
	j := open(t, dir)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, len(whole)-1).Draw(rt, "bytes")
		if err := os.WriteFile(filepath.Join(dir, "outbox", "a-1"), whole[:n], 0o600); err != nil {
			rt.Fatal(err)
		}
		got, rejected, err := j.Pending()
		if err != nil || len(got) > 0 || !slices.Equal(rejected, []string{"a-1"}) {
			rt.Fatalf("%d of %d bytes: %v, rejected %q, error %v", n, len(whole), got, rejected, err)
		}
	})
}

// A newer runner's fields do not make an older one lose a result.
func TestUnknownFieldsAreKeptOut(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	text := `{"attempt":{"attempt_id":"a-1"},"result":{"outcome":"completed","of_a_later_version":[1]}}`
	if err := os.WriteFile(filepath.Join(dir, "outbox", "a-1"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, rejected, err := j.Pending(); err != nil || len(got) != 1 || got[0].GetResult().GetOutcome() != "completed" {
		t.Errorf("%v, rejected %q, error %v", got, rejected, err)
	}
}

// What is there already must be nobody else's to change.
func TestMakePrivate(t *testing.T) {
	base := t.TempDir()
	made := filepath.Join(base, "a", "b")
	if err := journal.MakePrivate(made); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for mode, ok := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o775: false, 0o707: false, os.ModeSticky | 0o777: false} {
		if err := os.Chmod(made, mode); err != nil {
			t.Fatal(err)
		}
		if err := journal.MakePrivate(made); (err == nil) != ok {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := journal.MakePrivate(file); err == nil {
		t.Error("a file is taken for a directory")
	}
	// The root directory is root's, and everybody else's to complain about.
	foreign := "/"
	if os.Geteuid() == 0 {
		foreign = filepath.Join(base, "foreign")
		if err := errors.Join(os.Mkdir(foreign, 0o755), os.Chown(foreign, 4242, 4242)); err != nil {
			t.Fatal(err)
		}
	}
	if err := journal.MakePrivate(foreign); err == nil || !strings.Contains(err.Error(), "belongs to user") {
		t.Errorf("somebody else's directory: %v", err)
	}
}

// The state directory's parts are looked at as well: a link in the place of the
// outbox would have the runner put strange files aside.
func TestOpenRefusesStrangeParts(t *testing.T) {
	for _, sub := range []string{"", "outbox", "causes", "rejected"} {
		dir := stateDir(t)
		open(t, dir).Close()
		if err := os.Chmod(filepath.Join(dir, sub), 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := journal.Open(dir); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
			t.Errorf("%q is open to everybody: %v", sub, err)
		}
	}
}

// A write that fails leaves what was there, and nothing half-made.
func TestFailedWrites(t *testing.T) {
	for name, breakIt := range map[string]func(t *testing.T, dir string){
		"no directory": func(t *testing.T, dir string) {
			for _, sub := range []string{"outbox", "causes"} {
				if err := os.RemoveAll(filepath.Join(dir, sub)); err != nil {
					t.Fatal(err)
				}
			}
		},
		"the name is taken by a directory": func(t *testing.T, dir string) {
			for _, sub := range []string{"outbox", "causes"} {
				if err := os.MkdirAll(filepath.Join(dir, sub, "new-1", "x"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			j := open(t, dir)
			breakIt(t, dir)
			if err := j.Put(report("new-1", "completed")); err == nil {
				t.Error("Put succeeds")
			}
			if err := j.RecordCause("new-1", journal.Cause{Kind: "timeout"}); err == nil {
				t.Error("RecordCause succeeds")
			}
			noTemporaryFiles(t, dir)
		})
	}
}

func noTemporaryFiles(t *testing.T, dir string) {
	t.Helper()
	for _, sub := range []string{"", "outbox", "causes"} {
		if left, _ := filepath.Glob(filepath.Join(dir, sub, ".tmp-*")); len(left) > 0 {
			t.Errorf("left %q", left)
		}
	}
}

// On a full disk, results that are there stay, a result that does not fit is
// refused as a whole, and when there is room again it goes in.
func TestFullDisk(t *testing.T) {
	dir := stateDir(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k,mode=700"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	first, large := report("a-1", "completed"), report("b-1", "completed")
	large.Result.ErrorMessage = strings.Repeat("x", 256<<10)
	if err := j.Put(first); err != nil {
		t.Fatal(err)
	}
	if err := j.Put(large); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Put on a full disk: %v", err)
	}
	replacement := report("a-1", "timeout")
	replacement.Result.ErrorMessage = large.GetResult().GetErrorMessage()
	if err := j.Put(replacement); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Put of a replacement on a full disk: %v", err)
	}
	noTemporaryFiles(t, dir)
	got, rejected, err := j.Pending()
	if err != nil || len(rejected) > 0 || len(got) != 1 || !proto.Equal(got[0], first) {
		t.Errorf("%v, rejected %q, error %v", got, rejected, err)
	}
	if err := errors.Join(j.Forget("a-1"), j.Put(report("b-1", "completed"))); err != nil {
		t.Error(err)
	}
}
