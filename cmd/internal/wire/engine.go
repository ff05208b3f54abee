package wire

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/docker"
	"github.com/tetryx/lynx-runner/executor/process"
	"github.com/tetryx/lynx-runner/internal/runner"
	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// Describe says what is known of an executor's engine before any job has run.
func Describe(exec executor.Executor) runner.Engine {
	switch e := exec.(type) {
	case *docker.Executor:
		return describeDocker(e, e.Engine())
	case *process.Executor:
		return runner.Engine{Executor: e, Warnings: e.Warnings()}
	}
	return runner.Engine{Executor: exec}
}

func describeDocker(exec executor.Executor, i docker.EngineInfo) runner.Engine {
	e := runner.Engine{Executor: exec, Unenforced: i.Unenforced, Warnings: i.Warnings, Runtimes: i.Runtimes, GPUs: i.GPUs}
	fact := func(subject, format string, args ...any) {
		e.Facts = append(e.Facts, runner.Finding{Subject: subject, Level: runner.LevelOK, Detail: fmt.Sprintf(format, args...)})
	}
	fact("engine", "API %s on kernel %s (%s); security options: %s", i.APIVersion, i.Kernel, i.Architecture, strings.Join(i.Security, ", "))
	fact("cgroups", "version %s, driver %s", i.CgroupVersion, i.CgroupDriver)
	fact("runtimes", "%s; the default is %s", strings.Join(i.Runtimes, ", "), i.DefaultRuntime)
	if i.LiveRestore {
		fact("live-restore", "on: jobs go on when the engine is restarted")
	} else {
		fact("live-restore", "off: a restart of the engine ends the jobs that run, and they are run again; \"live-restore\": true in its daemon.json keeps them")
	}
	if i.GPUs {
		fact("gpus", "the engine can give GPUs to containers")
	} else {
		fact("gpus", "the engine can't give GPUs to containers: there is neither the runtime nvidia nor a CDI device")
	}
	return e
}

// refuse says what of the configuration the engine would ignore without a word.
func refuse(cfg *config.Config, e runner.Engine) error {
	var reasons, limits []string
	for _, u := range runner.Refused(cfg, e.Unenforced) {
		limits = append(limits, u.Limit)
		if !slices.Contains(reasons, u.Reason) {
			reasons = append(reasons, u.Reason)
		}
	}
	if len(reasons) > 0 {
		return fmt.Errorf("the engine would ignore limits that the configuration promises: %s; mend that, or accept it with sandbox.unenforced: [%s] in the runner's file, if every job is trusted not to need them",
			strings.Join(reasons, "; "), strings.Join(limits, ", "))
	}
	// A name with a dot is containerd's, which the engine does not list.
	if r := cfg.Sandbox.Runtime; r != "" && e.Runtimes != nil && !strings.Contains(r, ".") && !slices.Contains(e.Runtimes, r) {
		return fmt.Errorf("sandbox.runtime: the engine has no runtime %q; it has %s: install it and name it in the engine's daemon.json", r, strings.Join(e.Runtimes, ", "))
	}
	return nil
}
