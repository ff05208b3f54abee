package docker

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/system"
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
	// Runtimes are the names of the OCI runtimes.
	Runtimes []string
	CPUs     int
	// MemoryBytes is the memory of the engine's host.
	MemoryBytes int64
	// Warnings are sentences on limits that this engine does not enforce.
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
	return newEngineInfo(res.Info, e.api.ClientVersion()), nil
}

func newEngineInfo(s system.Info, apiVersion string) EngineInfo {
	info := EngineInfo{
		Version: s.ServerVersion, APIVersion: apiVersion,
		Architecture: s.Architecture, Kernel: s.KernelVersion,
		CgroupVersion: s.CgroupVersion, CgroupDriver: s.CgroupDriver,
		Runtimes: slices.Sorted(maps.Keys(s.Runtimes)),
		CPUs:     s.NCPU, MemoryBytes: s.MemTotal,
	}
	for _, o := range s.SecurityOptions {
		name, _, _ := strings.Cut(strings.TrimPrefix(o, "name="), ",")
		info.Security = append(info.Security, name)
	}
	info.Warnings = limitWarnings(s, info)
	return info
}

// limitWarnings says in sentences what a job could do that its limits forbid.
func limitWarnings(s system.Info, info EngineInfo) []string {
	var w []string
	warn := func(when bool, text string) {
		if when {
			w = append(w, text)
		}
	}
	if slices.Contains(info.Security, "rootless") && (s.CgroupVersion != "2" || s.CgroupDriver == "none") {
		// Such an engine accepts every limit and ignores it, whatever the flags
		// below say.
		return append(w, "the engine runs rootless without cgroup v2 and systemd: it ignores memory, CPU and process limits; "+
			"delegate cgroup v2 controllers to the user (see the engine's documentation on rootless mode)")
	}
	warn(!s.MemoryLimit, "the engine can't limit memory: a job can use all of the host's")
	warn(s.MemoryLimit && !s.SwapLimit, "the engine can't limit swap: a job can use swap beside its memory limit; boot with swapaccount=1, or switch swap off")
	warn(!s.PidsLimit, "the engine can't limit the number of processes: a job can use up the host's")
	warn(!s.CPUCfsQuota, "the engine can't limit CPU time: a job can use all CPUs")
	warn(!slices.Contains(info.Security, "seccomp"), "the engine was built without seccomp: containers can't start with the default profile")
	return w
}
