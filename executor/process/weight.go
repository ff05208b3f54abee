package process

import (
	"path/filepath"
	"strconv"

	"github.com/tetryx/lynx-runner/executor"
)

// weight is how much CPU time a cgroup gets beside its busy neighbours, in the
// terms of both versions.
type weight struct{ v1, v2 string }

// weights translates shares (2 to 262144, by default 1024) to those of version 2
// (1 to 10000, by default 100) as OCI runtimes do. nil is the kernel's default.
func weights(shares *uint64) weight {
	if shares == nil {
		return weight{"1024", "100"}
	}
	s := min(max(*shares, 2), 262144)
	return weight{strconv.FormatUint(s, 10), strconv.FormatUint(1+(s-2)*9999/262142, 10)}
}

// hurry gives a group that is being killed all the CPU time that there is: a process
// has to run to end, and beside busy neighbours one with the weight and the quota of
// a job takes long to. Of its parent, yield undoes that. It is worth trying only.
func (g *cgroup) hurry() {
	if !g.has("cpu") {
		return
	}
	most := uint64(262144)
	w := weights(&most)
	for _, dir := range []string{g.Dirs["cpu"], filepath.Dir(g.Dirs["cpu"])} {
		_ = write(filepath.Join(dir, "cpu.shares"), w.v1)
		_ = write(filepath.Join(dir, "cpu.weight"), w.v2)
	}
	_ = write(g.file("cpu", "cpu.cfs_quota_us"), "-1")
	_ = write(g.file("cpu", "cpu.max"), "max")
}

// calm undoes what hurry did to the parent.
func (g *cgroup) calm() {
	if g.has("cpu") {
		yield(filepath.Dir(g.Dirs["cpu"]))
	}
}

// yield makes all jobs together weigh less than the runner beside them: one job's
// share, whatever their number. It is worth trying only.
func yield(parent string) {
	shares := uint64(executor.CPUSharesPerCore)
	w := weights(&shares)
	_ = write(filepath.Join(parent, "cpu.shares"), w.v1)
	_ = write(filepath.Join(parent, "cpu.weight"), w.v2)
}
