package process

import (
	"path/filepath"
	"strconv"
	"sync"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
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

// urgency lets groups that are being killed have all the CPU time there is. The parent
// of all jobs has to outweigh its neighbours for that, from the first of several kills
// at once to the last; after it the jobs yield to their runner again. The zero urgency
// is ready.
type urgency struct {
	mu    sync.Mutex
	kills map[string]int // by parent
}

// begin hurries a group; end must follow. It is worth trying only.
func (u *urgency) begin(g *group) {
	if !g.Has("cpu") {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.kills == nil {
		u.kills = map[string]int{}
	}
	parent := filepath.Dir(g.Dirs["cpu"])
	u.kills[parent]++
	cgroup.Outweigh(parent)
	g.Hurry()
}

// end is the end of a kill.
func (u *urgency) end(g *group) {
	if !g.Has("cpu") {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	parent := filepath.Dir(g.Dirs["cpu"])
	if u.kills[parent]--; u.kills[parent] == 0 {
		delete(u.kills, parent)
		yield(parent)
	}
}

// yield makes all jobs together weigh less than the runner beside them: one job's
// share, whatever their number. It is worth trying only.
func yield(parent string) {
	shares := uint64(executor.CPUSharesPerCore)
	w := weights(&shares)
	_ = cgroup.Write(filepath.Join(parent, "cpu.shares"), w.v1)
	_ = cgroup.Write(filepath.Join(parent, "cpu.weight"), w.v2)
}
