package config

import (
	"fmt"
	"math"
)

// Value returns the effective value at a dotted path of Paths, as it could stand
// in a file: a string, a number, a bool, or a list or map of such. nil means that
// there is none. It is made for listings, also as JSON.
func (c *Config) Value(path string) any { return c.values()[path] }

// values is the inverse of resolve.
func (c *Config) values() map[string]any {
	v := map[string]any{
		"runner_id": c.RunnerID, "server": c.Server, "token_file": text(c.TokenFile), "executor": c.Executor, "engines": c.Engines, "commands": c.commandValues(),
		"capabilities": map[string]any{
			"cpu_cores": c.Capabilities.CPUCores, "memory_gb": math.Round(c.Capabilities.MemoryGB*100) / 100,
			"gpu_available": c.Capabilities.GPUAvailable, "supported_simulation_types": c.Capabilities.SimulationTypes,
		},
		"preload":           c.Preload,
		"python_executable": c.PythonExecutable, "basilisk_entrypoint": text(c.BasiliskEntrypoint),
		"working_directory": text(c.WorkingDirectory), "output_root": c.OutputRoot, "sandbox.output_owner": nil,
		"sandbox.uid_range": fmt.Sprintf("%d-%d", c.UIDs.First, c.UIDs.Last), "max_concurrent_jobs": c.MaxConcurrentJobs,
		"max_concurrent_starts": c.MaxStarts,
		"image":                 c.Image, "sandbox.allowed_images": c.AllowedImages, "sandbox.pull_policy": c.PullPolicy,
		"shim": c.Shim, "state_dir": c.StateDir, "runtime_dir": c.RuntimeDir, "lock_dir": c.LockDir,
		"sandbox.data_mounts": nil, "environment": nil,
		"on_runner_loss": c.OnRunnerLoss, "on_runner_loss_for": c.OnRunnerLossFor.String(),
		"gpus": c.GPUs.value(), "reserve.disk": c.Reserve.Disk.String(), "reserve.memory": show(size(c.Reserve.MemoryBytes)),
	}
	if c.OutputOwner.Set {
		v["sandbox.output_owner"] = fmt.Sprintf("%d:%d", c.OutputOwner.UID, c.OutputOwner.GID)
	}
	if len(c.DataMounts) > 0 {
		v["sandbox.data_mounts"] = c.DataMounts
	}
	if len(c.Environment) > 0 {
		v["environment"] = c.Environment
	}
	c.Limits.values(v)
	c.Sandbox.values(v)
	c.Retention.values(v)
	return v
}

func (l Limits) values(v map[string]any) {
	for path, value := range map[string]any{
		"cpu": float64(l.CPUMillis) / 1000, "max_cpu": float64(l.MaxCPUMillis) / 1000,
		"memory": show(size(l.MemoryBytes)), "max_memory": show(size(l.MaxMemoryBytes)),
		"timeout": l.Timeout.String(), "max_timeout": l.MaxTimeout.String(), "grace": l.Grace.String(),
		"pids":      l.Pids,
		"tmpfs.tmp": show(size(l.TmpBytes)), "tmpfs.home": show(size(l.HomeBytes)), "tmpfs.shm": show(size(l.ShmBytes)),
		"output.total": show(size(l.Output.TotalBytes)), "output.per_file": show(size(l.Output.FileBytes)),
		"output.files": l.Output.Files, "output.depth": l.Output.Depth,
		"log_head": show(size(l.LogHead)), "log_tail": show(size(l.LogTail)),
	} {
		v["sandbox."+path] = value
	}
}

func (s Sandbox) values(v map[string]any) {
	var rlimits []map[string]any
	for _, l := range s.Rlimits {
		rlimits = append(rlimits, map[string]any{"type": l.Type, "soft": rlimitValue(l.Soft).value(), "hard": rlimitValue(l.Hard).value()})
	}
	for path, value := range map[string]any{
		"seccomp": s.Seccomp, "network": s.Network, "runtime": text(s.Runtime), "rlimits": rlimits,
		"capabilities": list(s.Capabilities), "devices": list(s.Devices), "unenforced": list(s.Unenforced),
		"isolation": s.Isolation,
	} {
		v["sandbox."+path] = value
	}
}

// list is nil for an empty list, which stands for none.
func list(l []string) any {
	if len(l) == 0 {
		return nil
	}
	return l
}

// text is nil for an empty text, which stands for none.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}
