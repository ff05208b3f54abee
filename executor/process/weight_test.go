package process

import (
	"os"
	"path/filepath"
	"testing"
)

// TestUrgency: a group that is being killed has all the CPU time there is, and so has
// its parent until the last of several kills is over.
func TestUrgency(t *testing.T) {
	for name, c := range map[string]struct {
		v2                      bool
		quota, weight           string
		lifted, most, parentEnd string
	}{
		"version 1": {false, "cpu.cfs_quota_us", "cpu.shares", "-1", "262144", "256"},
		"version 2": {true, "cpu.max", "cpu.weight", "max", "10000", "10"},
	} {
		t.Run(name, func(t *testing.T) {
			g := made(t, c.v2, map[string]string{"cpu/" + c.quota: "", "cpu/" + c.weight: ""})
			writeLimits(t, g)
			parent := filepath.Join(filepath.Dir(g.Dirs["cpu"]), c.weight)
			if err := os.WriteFile(parent, []byte("1"), 0o644); err != nil {
				t.Fatal(err)
			}
			var u urgency
			u.begin(g)
			if got := g.read(t, "cpu", c.quota); got[:len(c.lifted)] != c.lifted {
				t.Errorf("the quota is %q, want %q", got, c.lifted)
			}
			if own := g.read(t, "cpu", c.weight); own != c.most {
				t.Errorf("the weight is %q, want %q", own, c.most)
			}
			u.begin(g)
			u.end(g)
			if all := read(t, parent); all != c.most {
				t.Errorf("in the second kill, after the first, the parent's weight is %q, want %q", all, c.most)
			}
			u.end(g)
			if all := read(t, parent); all[:len(c.parentEnd)] != c.parentEnd {
				t.Errorf("afterwards the parent's weight is %q, want %q", all, c.parentEnd)
			}
		})
	}
	var u urgency
	u.begin(&group{}) // without the controller there is nothing to do
	u.end(&group{})
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
