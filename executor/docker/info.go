package docker

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/system"
	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
)

// EngineInfo is what New found out about the engine.
type EngineInfo struct {
	// Version is the engine's, APIVersion the one agreed on.
	Version, APIVersion string
	// Architecture and Kernel are those of the engine's host.
	Architecture, Kernel string
	// CgroupVersion is "1" or "2"; CgroupDriver "cgroupfs", "systemd" or "none".
	CgroupVersion, CgroupDriver string
	// Security lists the engine's security options: "seccomp", "apparmor",
	// "rootless", "userns", …
	Security []string
	// Runtimes are the names of the OCI runtimes, of which DefaultRuntime is used
	// where none is named.
	Runtimes       []string
	DefaultRuntime string
	// LiveRestore says that containers go on when the engine is restarted.
	LiveRestore bool
	// GPUs says that the engine knows a way to give GPUs to containers.
	GPUs bool
	CPUs int
	// MemoryBytes is the memory of the engine's host.
	MemoryBytes int64
	// Unenforced are the limits that this engine accepts and ignores.
	Unenforced []executor.Unenforced
	// Warnings are sentences on what else it lacks.
	Warnings []string
}

// Remapped says that user 0 in a container is not user 0 of the host: the engine
// runs rootless, or remaps users.
func (i EngineInfo) Remapped() bool {
	return slices.Contains(i.Security, "rootless") || slices.Contains(i.Security, "userns")
}

func (i EngineInfo) log(log *slog.Logger) {
	log.Info("docker engine", "version", i.Version, "api", i.APIVersion, "cgroup", i.CgroupVersion,
		"cgroup_driver", i.CgroupDriver, "security", i.Security, "runtimes", i.Runtimes)
	for _, u := range i.Unenforced {
		log.Warn(u.Reason)
	}
	for _, w := range i.Warnings {
		log.Warn(w)
	}
}

func (e *engine) info(ctx context.Context) (EngineInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	res, err := e.api.Info(ctx, infoOptions)
	if err != nil {
		return EngineInfo{}, e.failed(ctx, "read the engine's info", err)
	}
	return newEngineInfo(res.Info, e.api.ClientVersion(), hasSwap()), nil
}

// hasSwap says whether this host, which is the engine's, has swap.
func hasSwap() bool {
	var info unix.Sysinfo_t
	return unix.Sysinfo(&info) != nil || info.Totalswap > 0
}

func newEngineInfo(s system.Info, apiVersion string, swap bool) EngineInfo {
	info := EngineInfo{
		Version: s.ServerVersion, APIVersion: apiVersion,
		Architecture: s.Architecture, Kernel: s.KernelVersion,
		CgroupVersion: s.CgroupVersion, CgroupDriver: s.CgroupDriver,
		Runtimes: slices.Sorted(maps.Keys(s.Runtimes)), DefaultRuntime: s.DefaultRuntime, LiveRestore: s.LiveRestoreEnabled,
		CPUs: s.NCPU, MemoryBytes: s.MemTotal,
	}
	for _, o := range s.SecurityOptions {
		name, _, _ := strings.Cut(strings.TrimPrefix(o, "name="), ",")
		info.Security = append(info.Security, name)
	}
	_, nvidia := s.Runtimes["nvidia"]
	info.GPUs = nvidia || slices.ContainsFunc(s.DiscoveredDevices, func(d system.DeviceInfo) bool { return strings.Contains(d.ID, "/gpu=") })
	info.Unenforced = unenforced(s, info, swap)
	if !slices.Contains(info.Security, "seccomp") {
		info.Warnings = append(info.Warnings, "the engine was built without seccomp: containers can't start with a system call filter")
	}
	return info
}

// unenforced finds out what of its limits a job could ignore. Where there is no
// swap, nothing needs to limit it.
func unenforced(s system.Info, info EngineInfo, swap bool) []executor.Unenforced {
	if slices.Contains(info.Security, "rootless") && (s.CgroupVersion != "2" || s.CgroupDriver == "none") {
		// Such an engine accepts every limit and ignores it, whatever its flags say.
		const reason = "the engine runs rootless without cgroup v2 and systemd, and ignores memory, CPU and process limits: " +
			"boot with cgroup v2 and delegate its controllers to the user (Delegate=cpu cpuset memory pids for user@.service), and run the engine as a service of that user"
		return []executor.Unenforced{{Limit: "memory", Reason: reason}, {Limit: "pids", Reason: reason}, {Limit: "cpu", Reason: reason}}
	}
	var list []executor.Unenforced
	add := func(when bool, limit, reason string) {
		if when {
			list = append(list, executor.Unenforced{Limit: limit, Reason: reason})
		}
	}
	add(!s.MemoryLimit, "memory", "the engine can't limit memory, and a job can use all of the host's: enable the memory controller (boot with cgroup_enable=memory, or delegate it to a rootless engine)")
	add(s.MemoryLimit && !s.SwapLimit && swap, "swap", "the engine can't limit swap, and a job can use the host's beside its memory limit: boot with swapaccount=1, or switch swap off (swapoff -a)")
	add(!s.PidsLimit, "pids", "the engine can't limit the number of processes, and a job can use up the host's: enable the pids controller, or delegate it to a rootless engine")
	add(!s.CPUCfsQuota, "cpu", "the engine can't limit CPU time, and a job can use every CPU: use a kernel with CFS bandwidth control, or delegate the cpu controller to a rootless engine")
	return list
}
