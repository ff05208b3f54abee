package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
)

// The largest weights, and no quota, of both versions.
const (
	mostShares, mostWeight = "262144", "10000"
	noQuotaV1, noQuotaV2   = "-1", "max"
)

// Hurry gives a group that is being killed all the CPU time that there is: each thread
// of it has to run to end, and beside busy neighbours one with the weight and the
// quota of a job takes long to. It does what this runner may, and is not to be undone:
// the group dies.
func (g *Group) Hurry() {
	if !g.Has("cpu") {
		return
	}
	dir := g.Dirs["cpu"]
	Outweigh(dir)
	_ = Write(filepath.Join(dir, "cpu.cfs_quota_us"), noQuotaV1)
	_ = Write(filepath.Join(dir, "cpu.max"), noQuotaV2)
}

// Outweigh makes the group in a directory weigh more than any beside it.
func Outweigh(dir string) {
	_ = Write(filepath.Join(dir, "cpu.shares"), mostShares)
	_ = Write(filepath.Join(dir, "cpu.weight"), mostWeight)
}

// mostHurried bounds what HurryProcesses costs; what a job has beyond makes do with
// the weight.
const mostHurried = 64

// HurryProcesses is HurryProcess of what lives in the group.
func (g *Group) HurryProcesses() {
	pids, _ := g.Processes()
	for _, pid := range pids[:min(len(pids), mostHurried)] {
		HurryProcess(pid)
	}
}

// HurryProcess lets a killed process die before what else runs here or, where that is
// not this runner's to say, before its neighbours in its group. Each of its threads
// has to run for that.
func HurryProcess(pid int) {
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = goFirst(id)
		}
	}
}
