package host

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// gpus makes so many devices.
func gpus(n int) []GPU {
	var list []GPU
	for i := range n {
		list = append(list, GPU{Index: i, UUID: fmt.Sprintf("GPU-%08x-0000-0000-0000-000000000000", i), Model: "Test"})
	}
	return list
}

func take(t testing.TB, p *GPUPool, n int) []string {
	t.Helper()
	ids, ok, err := p.Take(n)
	if err != nil || !ok || len(ids) != n {
		t.Fatalf("Take(%d): %v, %v, %v", n, ids, ok, err)
	}
	return ids
}

func refuse(t testing.TB, p *GPUPool, n int) {
	t.Helper()
	if ids, ok, err := p.Take(n); ok || err != nil || ids != nil {
		t.Fatalf("Take(%d): %v, %v, %v", n, ids, ok, err)
	}
}

// Two runners of a host that offer the same GPUs never give one of them to two
// jobs, and take all that a job needs or none.
func TestPoolsShare(t *testing.T) {
	dir := t.TempDir()
	one, two := NewGPUPool(dir, gpus(4), 4), NewGPUPool(dir, gpus(4), 4)
	a := take(t, one, 3)
	refuse(t, two, 2)
	if n := two.Free(); n != 1 {
		t.Errorf("%d are free, want 1", n)
	}
	b := take(t, two, 1)
	if slices.Contains(a, b[0]) {
		t.Errorf("%s was given twice", b[0])
	}
	one.Give(a)
	if one.Free() != 3 || two.Free() != 3 {
		t.Errorf("free are %d and %d, want 3", one.Free(), two.Free())
	}
	take(t, two, 3)
	two.Close()
	take(t, one, 4)
}

// A number bounds what a runner holds, not which.
func TestPoolOfSome(t *testing.T) {
	dir := t.TempDir()
	one, two := NewGPUPool(dir, gpus(2), 1), NewGPUPool(dir, gpus(2), 1)
	if one.Size() != 1 || one.Free() != 1 {
		t.Errorf("size %d, free %d", one.Size(), one.Free())
	}
	a := take(t, one, 1)
	refuse(t, one, 1)
	if b := take(t, two, 1); a[0] == b[0] {
		t.Error("given twice")
	}
	if p := NewGPUPool(dir, nil, 3); p.Size() != 0 || p.Free() != 0 {
		t.Errorf("no GPUs: size %d, free %d", p.Size(), p.Free())
	}
}

// A directory that cannot be written to is an error, not a GPU in use.
func TestPoolWithoutLocks(t *testing.T) {
	p := NewGPUPool(filepath.Join(t.TempDir(), "missing"), gpus(1), 1)
	if _, ok, err := p.Take(1); ok || err == nil || !strings.Contains(err.Error(), "lock_dir: ") {
		t.Errorf("%v, %v", ok, err)
	}
	if p.Free() != 0 {
		t.Error("it can be locked all the same")
	}
}

// Whatever runners do, in whatever order: no GPU has two owners, and nothing is
// lost.
func TestPoolProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "gpus")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		const n = 5
		pools := []*GPUPool{NewGPUPool(dir, gpus(n), 3), NewGPUPool(dir, gpus(n), n), NewGPUPool(dir, gpus(n)[1:], n)}
		owned := make([][][]string, len(pools))
		owner := map[string]int{}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				i, want := rapid.IntRange(0, len(pools)-1).Draw(t, "pool"), rapid.IntRange(1, n).Draw(t, "n")
				free := pools[i].Free()
				ids, ok, err := pools[i].Take(want)
				if err != nil || ok != (want <= free) {
					t.Fatalf("Take(%d) of %d free: %v, %v", want, free, ok, err)
				}
				if ok {
					owned[i] = append(owned[i], ids)
				}
				for _, id := range ids {
					if other, taken := owner[id]; taken {
						t.Fatalf("pool %d got %s, which pool %d has", i, id, other)
					}
					owner[id] = i
				}
			},
			"give": func(t *rapid.T) {
				i := rapid.IntRange(0, len(pools)-1).Draw(t, "pool")
				if len(owned[i]) == 0 {
					t.Skip("nothing to give")
				}
				k := rapid.IntRange(0, len(owned[i])-1).Draw(t, "which")
				pools[i].Give(owned[i][k])
				for _, id := range owned[i][k] {
					delete(owner, id)
				}
				owned[i] = slices.Delete(owned[i], k, k+1)
			},
		})
		for _, p := range pools {
			p.Close()
		}
		if free := pools[1].Free(); free != n {
			t.Fatalf("%d are free in the end", free)
		}
	})
}

func TestChooseGPUs(t *testing.T) {
	all := gpus(3)
	got, err := ChooseGPUs(all, []string{"2", all[0].UUID})
	if err != nil || !slices.Equal(got, []GPU{all[0], all[2]}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, names := range [][]string{{"3"}, {"GPU-x"}, {"0", all[0].UUID}} {
		if _, err := ChooseGPUs(all, names); err == nil || !strings.Contains(err.Error(), "gpus: ") {
			t.Errorf("%v: %v", names, err)
		}
	}
	if err := FewerGPUs(nil, 2); !strings.Contains(err.Error(), "2 are to be offered") || !strings.Contains(err.Error(), "driver") {
		t.Error(err)
	}
	if err := FewerGPUs(all, 4); !strings.Contains(err.Error(), all[2].UUID) {
		t.Error(err)
	}
}

// The end of a process gives its GPUs back, however it ended: this starts itself
// as the runner that is killed.
func TestKilledRunnerGivesBack(t *testing.T) {
	const dirVariable = "TEST_HOST_LOCK_DIR"
	if dir := os.Getenv(dirVariable); dir != "" {
		take(t, NewGPUPool(dir, gpus(2), 2), 2)
		fmt.Println("\ntaken")
		select {}
	}
	dir := t.TempDir()
	other := exec.Command(os.Args[0], "-test.run", "^TestKilledRunnerGivesBack$")
	other.Env = append(os.Environ(), dirVariable+"="+dir)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "taken" {
	}
	p := NewGPUPool(dir, gpus(2), 2)
	refuse(t, p, 1)
	if err := other.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = other.Wait()
	take(t, p, 2)
}
