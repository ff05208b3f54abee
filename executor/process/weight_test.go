package process

import (
	"os"
	"path/filepath"
	"testing"
)

// TestHurry: a group that is being killed has all the CPU time there is, and so has
// its parent until the kill is over.
func TestHurry(t *testing.T) {
	for name, c := range map[string]struct {
		v2                      bool
		quota, weight           string
		lifted, most, parentEnd string
	}{
		"version 1": {false, "cpu.cfs_quota_us", "cpu.shares", "-1", "262144", "256"},
		"version 2": {true, "cpu.max", "cpu.weight", "max", "10000", "10"},
	} {
		t.Run(name, func(t *testing.T) {
			g := group(t, c.v2, map[string]string{"cpu/" + c.quota: "", "cpu/" + c.weight: ""})
			writeLimits(t, g)
			parent := filepath.Join(filepath.Dir(g.Dirs["cpu"]), c.weight)
			if err := os.WriteFile(parent, []byte("1"), 0o644); err != nil {
				t.Fatal(err)
			}
			g.hurry()
			if got := g.read(t, "cpu", c.quota); got[:len(c.lifted)] != c.lifted {
				t.Errorf("the quota is %q, want %q", got, c.lifted)
			}
			if own, all := g.read(t, "cpu", c.weight), read(t, parent); own != c.most || all != c.most {
				t.Errorf("weights %q and %q, want %q", own, all, c.most)
			}
			g.calm()
			if all := read(t, parent); all[:len(c.parentEnd)] != c.parentEnd {
				t.Errorf("afterwards the parent's weight is %q, want %q", all, c.parentEnd)
			}
		})
	}
	(&cgroup{}).hurry() // without the controller there is nothing to do
	(&cgroup{}).calm()
}

// read reads a file; the ones here are not truncated by writing, as the kernel's are.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
