package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

// stat writes a cgroup's memory.stat in one piece.
func stat(t *testing.T, dir, text string) {
	t.Helper()
	temp := filepath.Join(t.TempDir(), "stat")
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, filepath.Join(dir, "memory.stat")); err != nil {
		t.Fatal(err)
	}
}

// The place of a container is free when the kernel has let go of its memory: of its
// processes', of its tmpfs', or of all with the cgroup.
func TestVacate(t *testing.T) {
	for name, tc := range map[string]struct {
		before string
		after  func(t *testing.T, dir string)
	}{
		"version 1, of its processes": {"cache 5\nrss 9999999\nshmem 0\n", func(t *testing.T, dir string) {
			stat(t, dir, "cache 99999999\nrss 8192\nshmem 0\n")
		}},
		"version 2, in a tmpfs": {"anon 0\nfile 9999999\nshmem 9999999\n", func(t *testing.T, dir string) {
			stat(t, dir, "anon 0\nfile 99999999\nshmem 0\n")
		}},
		"with the cgroup": {"anon 9999999\n", func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cgroup")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			stat(t, dir, tc.before)
			h := (&Executor{}).newHandle("id", "a-1", "")
			h.cgroup = cgroup.Group{Dirs: map[string]string{"memory": dir}}
			looked := make(chan struct{})
			go func() {
				defer close(looked)
				h.vacate()
			}()
			select {
			case <-h.Vacated():
				t.Fatalf("vacated with %q", tc.before)
			case <-time.After(3 * lastLook):
			}
			tc.after(t, dir)
			<-h.Vacated()
			<-looked
		})
	}
}

// Where the memory is not to be seen, or stays, the end of the attempt decides, which
// is not vacate's to tell.
func TestVacateWithoutMemory(t *testing.T) {
	dir := t.TempDir()
	stat(t, dir, fmt.Sprintf("anon %d\n", freed+1))
	for name, g := range map[string]cgroup.Group{
		"no cgroup":         {},
		"memory that stays": {Dirs: map[string]string{"memory": dir}},
		"no file":           {Dirs: map[string]string{"memory": "/dev/null"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := (&Executor{}).newHandle("id", "a-1", "")
			h.cgroup = g
			close(h.done)
			h.vacate()
			select {
			case <-h.Vacated():
				t.Error("vacated")
			default:
			}
		})
	}
}

// An attempt whose memory is not to be seen has vacated when its end is known, and an
// image whose id is known is looked at once, whatever starts from it.
func TestVacatedWithTheRecord(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	e := d.executor()
	for _, attempt := range []string{"job-1", "job-2"} {
		spec := testSpec(t)
		spec.AttemptID = attempt
		h := mustStart(t, e, spec)
		select {
		case <-h.Vacated():
			t.Fatalf("%s: vacated, and it runs", attempt)
		default:
		}
		d.release(attempt)
		mustWait(t, h)
		<-h.Vacated()
		if err := h.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	looks := 0
	for _, call := range d.calls {
		if strings.HasPrefix(call, "GET /images/") {
			looks++
		}
	}
	if looks != 1 {
		t.Errorf("%d looks at one image", looks)
	}
}
