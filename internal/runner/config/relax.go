package config

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/executor"
)

// Relaxation is one way in which this configuration confines jobs less than the
// defaults do. Every manifest has the list.
type Relaxation struct {
	// Setting is the dotted path: sandbox.network.
	Setting string `json:"setting"`
	// Value is what it says, for people.
	Value string `json:"value"`
	// Meaning is a sentence on what a job can do so, without its full stop.
	Meaning string `json:"meaning"`
}

// String is the relaxation in one line.
func (r Relaxation) String() string { return r.Setting + " is " + r.Value + ": " + r.Meaning }

// relaxations compares with the defaults.
func (r *resolver) relaxations() {
	c := r.cfg
	relax := func(when bool, setting, value, meaning string) {
		if when {
			c.Relaxations = append(c.Relaxations, Relaxation{Setting: setting, Value: value, Meaning: meaning})
		}
	}
	s := c.Sandbox
	relax(c.Executor == ExecutorProcess, "executor", c.Executor,
		"jobs are programs of this host: they are limited and ended, and not isolated from it")
	relax(s.Seccomp == SeccompEngine, "sandbox.seccomp", s.Seccomp,
		"the engine's own system call filter is in force, which lets through more than ours, such as io_uring and ptrace")
	relax(s.Profile != nil, "sandbox.seccomp", s.Seccomp, "this system call filter is in force, and not ours")
	relax(len(s.Capabilities) > 0, "sandbox.capabilities", strings.Join(s.Capabilities, ", "), "containers have these capabilities, where they should have none")
	relax(len(s.Devices) > 0, "sandbox.devices", strings.Join(s.Devices, ", "), "jobs read, write and drive these devices of the host")
	relax(s.Network != NetworkNone, "sandbox.network", s.Network, "jobs reach the other containers of this network, and whatever it lets them reach beyond")
	relax(s.Runtime != "", "sandbox.runtime", s.Runtime, "this runtime runs the containers, and not the engine's default; what it enforces is its own affair")
	relax(len(s.Unenforced) > 0, "sandbox.unenforced", strings.Join(s.Unenforced, ", "), "these limits may not hold: the runner starts where the engine ignores them")
	relax(slices.Contains(s.Isolation, IsolationBatch), "sandbox.isolation", strings.Join(s.Isolation, ", "), "the runs of a study that asks for it share containers, one after another, and are kept apart by less than a container each")
	patterns := slices.DeleteFunc(slices.Clone(c.AllowedImages), func(i string) bool { return !executor.IsImagePattern(i) })
	relax(len(patterns) > 0, "sandbox.allowed_images", strings.Join(patterns, ", "), "studies may ask for any image whose name matches")
	relax(c.PullPolicy != PullNever, "sandbox.pull_policy", c.PullPolicy, "images that a study asks for are fetched from their registries")
	var sources []string
	for _, m := range c.DataMounts {
		sources = append(sources, m.Source)
	}
	relax(len(sources) > 0, "sandbox.data_mounts", strings.Join(sources, ", "), "every job can read these directories of the host")
	r.relaxedRlimits(relax)
	r.raised(relax)
}

// relaxedRlimits names limits above their defaults, and those that have none: what
// the engine would give instead may be less.
func (r *resolver) relaxedRlimits(relax func(bool, string, string, string)) {
	def := defaultRlimits()
	for _, l := range r.cfg.Sandbox.Rlimits {
		i := slices.IndexFunc(def, func(o specs.POSIXRlimit) bool { return o.Type == l.Type })
		value := l.Type + " " + rlimitText(l.Hard)
		if i < 0 {
			relax(true, "sandbox.rlimits", value, "this is in place of what the engine gives, which may be less")
		} else {
			relax(l.Hard > def[i].Hard, "sandbox.rlimits", value, "the default is "+rlimitText(def[i].Hard))
		}
	}
}

func rlimitText(n uint64) string { return fmt.Sprint(rlimitValue(n).value()) }

// raised names limits that are wider than by default.
func (r *resolver) raised(relax func(bool, string, string, string)) {
	l, def := r.cfg.Limits, defaultLimits(r.host)
	share := r.host.memory / int64(max(r.cfg.MaxConcurrentJobs, 1))
	for _, limit := range []struct {
		name     string
		now, def any
		raised   bool
	}{
		{"max_cpu", cores(l.MaxCPUMillis), cores(def.MaxCPUMillis), l.MaxCPUMillis > def.MaxCPUMillis},
		{"max_memory", size(l.MaxMemoryBytes), size(share), l.MaxMemoryBytes > share},
		{"max_timeout", duration(l.MaxTimeout), duration(def.MaxTimeout), l.MaxTimeout > def.MaxTimeout},
		{"pids", l.Pids, def.Pids, l.Pids > def.Pids},
		{"tmpfs.tmp", size(l.TmpBytes), size(def.TmpBytes), l.TmpBytes > def.TmpBytes},
		{"tmpfs.home", size(l.HomeBytes), size(def.HomeBytes), l.HomeBytes > def.HomeBytes},
		{"tmpfs.shm", size(l.ShmBytes), size(def.ShmBytes), l.ShmBytes > def.ShmBytes},
		{"output.total", size(l.Output.TotalBytes), size(def.Output.TotalBytes), l.Output.TotalBytes > def.Output.TotalBytes},
		{"output.per_file", size(l.Output.FileBytes), size(def.Output.FileBytes), l.Output.FileBytes > def.Output.FileBytes},
		{"output.files", l.Output.Files, def.Output.Files, l.Output.Files > def.Output.Files},
		{"output.depth", l.Output.Depth, def.Output.Depth, l.Output.Depth > def.Output.Depth},
		{"log_head", size(l.LogHead), size(def.LogHead), l.LogHead > def.LogHead},
		{"log_tail", size(l.LogTail), size(def.LogTail), l.LogTail > def.LogTail},
	} {
		relax(limit.raised, "sandbox."+limit.name, show(limit.now), "the default is "+show(limit.def))
	}
}
