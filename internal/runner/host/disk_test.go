package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What was short has to have a quarter more than the reserve before it counts as
// enough, so that a file system at the edge does not come and go.
func TestDiskHysteresis(t *testing.T) {
	const gib = 1 << 30
	free := map[string]int64{"/out": 0, "/state": 50 * gib}
	d := &Disk{
		Dirs:    []DiskDir{{"output_root", "/out"}, {"state_dir", "/state"}},
		Reserve: func(total int64) int64 { return total / 50 }, // 2 GiB
		Space:   func(dir string) (Space, error) { return Space{Free: free[dir], Total: 100 * gib}, nil },
	}
	for i, step := range []struct {
		out   int64
		short bool
	}{
		{50 * gib, false}, {2 * gib, false}, {2*gib - 1, true}, {2 * gib, true}, {2*gib + gib/2 - 1, true}, {2*gib + gib/2, false},
		{2 * gib, false}, {0, true}, {100 * gib, false},
	} {
		free["/out"] = step.out
		said, err := d.Check()
		if err != nil || (said != "") != step.short {
			t.Errorf("step %d: %q, %v", i, said, err)
		}
		if step.short && (!strings.Contains(said, "output_root (/out)") || !strings.Contains(said, "reserve is 2.0 GiB (reserve.disk)") || !strings.Contains(said, "from 2.5 GiB on")) {
			t.Errorf("step %d: %q", i, said)
		}
	}
	free["/state"] = gib
	if said, err := d.Check(); err != nil || !strings.Contains(said, "state_dir (/state)") || !strings.Contains(said, "only 1.0 GiB") {
		t.Errorf("%q, %v", said, err)
	}
	d.Space = func(string) (Space, error) { return Space{}, errors.New("gone") }
	if _, err := d.Check(); err == nil {
		t.Error("no error")
	}
}

// A file system smaller than its own reserve asks for all of it, not for more.
func TestSmallDisk(t *testing.T) {
	free := int64(90)
	d := &Disk{
		Dirs: []DiskDir{{"output_root", "/out"}}, Reserve: func(int64) int64 { return 95 },
		Space: func(string) (Space, error) { return Space{Free: free, Total: 100}, nil },
	}
	if said, _ := d.Check(); !strings.Contains(said, "only 90 bytes") {
		t.Errorf("%q", said)
	}
	free = 100
	if said, _ := d.Check(); said != "" {
		t.Errorf("%q with all of it free", said)
	}
}

func TestSpaceOf(t *testing.T) {
	s, err := SpaceOf(t.TempDir())
	if err != nil || s.Free <= 0 || s.Total < s.Free {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := SpaceOf(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error of a directory that is not there")
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1536: "1.5 KiB", 2 << 20: "2.0 MiB", 1023 << 30: "1023.0 GiB", 3 << 40: "3.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

// The runner's score is lowered, once, and never raised.
func TestProtect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "oom_score_adj")
	for before, want := range map[string]string{"0\n": "-500", "200\n": "-500", "-500\n": "-500\n", "-1000\n": "-1000\n"} {
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		ok, err := protect(path)
		after, readErr := os.ReadFile(path)
		if err != nil || readErr != nil || !ok || string(after) != want {
			t.Errorf("%q became %q, want %q; %v, %v", before, after, want, err, readErr)
		}
	}
	if _, err := protect(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error without the file")
	}
}
