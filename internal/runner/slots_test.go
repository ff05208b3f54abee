package runner

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tetryx/lynx-runner/internal/runner/host"
)

// Users of jobs that go on are locked again, first of all, and count as slots; more
// of them than there should be go when they are given back, and a user that another
// runner has is none.
func TestKeptSlots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	s, err := newSlots(slotConfig(dir, 2), 0, 0, 5002)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.kept) != 1 || s.kept[0].uid != 5002 || s.kept[0].extra || len(s.free) != 1 {
		t.Fatalf("kept %+v, %d free", s.kept, len(s.free))
	}
	other, err := newSlots(slotConfig(dir, 1), 0, 0, 5002)
	if err != nil || !other.kept[0].extra || len(other.free) != 1 {
		t.Fatalf("a user that is taken: %+v, %v", other, err)
	}
	other.release(other.kept...)
	if len(other.free) != 1 {
		t.Errorf("%d slots, want 1", len(other.free))
	}
	other.close()
	s.release(s.kept...)
	if len(s.free) != 2 {
		t.Errorf("%d free, want 2", len(s.free))
	}
	s.close()

	s, err = newSlots(slotConfig(dir, 1), 0, 0, 5000, 5001)
	if err != nil || len(s.kept) != 2 || len(s.free) != 0 {
		t.Fatalf("two jobs and one slot: %+v, %v", s, err)
	}
	s.release(s.kept[0])
	if len(s.free) != 0 {
		t.Error("a slot beyond the configuration stays")
	}
	if f, err := host.Lock(dir, "uid-5000"); err != nil {
		t.Errorf("its user is not free: %v", err)
	} else {
		f.Close()
	}
	s.release(s.kept[1])
	if len(s.free) != 1 {
		t.Errorf("%d free, want 1", len(s.free))
	}
	s.close()
}

// A user that processes run as is nobody's to take, locked or not.
func TestUsersOfProcesses(t *testing.T) {
	if !usersOfProcesses("/proc")[os.Getuid()] {
		t.Error("this process has no user")
	}
	next := 5000
	one, err := lockUID(t.TempDir(), &next, 5002, map[int]bool{5000: true})
	if err != nil || one.uid != 5001 {
		t.Fatalf("%+v, %v", one, err)
	}
	one.lock.Close()
}
