package wire

import (
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/docker"
	"github.com/tetryx/lynx-runner/internal/runner"
	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// Where an engine would ignore a promised limit there is no runner, unless its
// owner gave that limit up.
func TestRefuse(t *testing.T) {
	memory, swap := executor.Unenforced{Limit: "memory", Reason: "no controller"}, executor.Unenforced{Limit: "swap", Reason: "no swapaccount"}
	pids := executor.Unenforced{Limit: "pids", Reason: "no controller"}
	for name, tc := range map[string]struct {
		engine  runner.Engine
		sandbox config.Sandbox
		says    []string // none: there is one
	}{
		"all hold":         {},
		"one does not":     {engine: runner.Engine{Unenforced: []executor.Unenforced{swap}}, says: []string{"no swapaccount", "sandbox.unenforced: [swap]"}},
		"for one reason":   {engine: runner.Engine{Unenforced: []executor.Unenforced{memory, pids}}, says: []string{"promises: no controller; mend", "[memory, pids]"}},
		"one is given up":  {engine: runner.Engine{Unenforced: []executor.Unenforced{memory, swap}}, sandbox: config.Sandbox{Unenforced: []string{"swap"}}, says: []string{"[memory]"}},
		"all are given up": {engine: runner.Engine{Unenforced: []executor.Unenforced{memory, swap}}, sandbox: config.Sandbox{Unenforced: []string{"swap", "memory"}}},
		"only a warning":   {engine: runner.Engine{Warnings: []string{"memory is limited for each process"}}},
		"a runtime":        {engine: runner.Engine{Runtimes: []string{"runc", "runsc"}}, sandbox: config.Sandbox{Runtime: "runsc"}},
		"no such runtime":  {engine: runner.Engine{Runtimes: []string{"runc"}}, sandbox: config.Sandbox{Runtime: "runsc"}, says: []string{`no runtime "runsc"`, "daemon.json"}},
		"containerd's":     {engine: runner.Engine{Runtimes: []string{"runc"}}, sandbox: config.Sandbox{Runtime: "io.containerd.runsc.v1"}},
	} {
		err := refuse(&config.Config{Sandbox: tc.sandbox}, tc.engine)
		if (err == nil) != (len(tc.says) == 0) {
			t.Errorf("%s: %v", name, err)
		}
		for _, words := range tc.says {
			if err != nil && !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want %q", name, err, words)
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	for name, tc := range map[string]struct {
		info docker.EngineInfo
		says []string
	}{
		"an old engine": {
			docker.EngineInfo{APIVersion: "1.41", CgroupVersion: "1", CgroupDriver: "cgroupfs", Runtimes: []string{"runc"}, DefaultRuntime: "runc", Security: []string{"seccomp"}},
			[]string{"API 1.41", "version 1, driver cgroupfs", "runc; the default is runc", "off: a restart", "can't give GPUs", "security options: seccomp"},
		},
		"a new one": {
			docker.EngineInfo{APIVersion: "1.52", CgroupVersion: "2", CgroupDriver: "systemd", Runtimes: []string{"nvidia", "runc"}, DefaultRuntime: "runc", LiveRestore: true, GPUs: true},
			[]string{"version 2, driver systemd", "nvidia, runc; the default", "on: jobs go on", "can give GPUs"},
		},
	} {
		var all strings.Builder
		for _, f := range describeDocker(nil, tc.info).Facts {
			if f.Level != runner.LevelOK {
				t.Errorf("%s: %+v", name, f)
			}
			all.WriteString(f.Detail + "\n")
		}
		for _, words := range tc.says {
			if !strings.Contains(all.String(), words) {
				t.Errorf("%s: no %q in:\n%s", name, words, all.String())
			}
		}
	}
}
