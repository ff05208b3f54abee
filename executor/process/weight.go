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

// yield makes all jobs together weigh less than the runner beside them: one job's
// share, whatever their number. It is worth trying only.
func yield(parent string) {
	shares := uint64(executor.CPUSharesPerCore)
	w := weights(&shares)
	_ = write(filepath.Join(parent, "cpu.shares"), w.v1)
	_ = write(filepath.Join(parent, "cpu.weight"), w.v2)
}
