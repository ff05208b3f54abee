package runner

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// commandBench is a runner without a working directory, of engine command.
func commandBench(t *testing.T, kind string) *bench {
	b := newBench(t)
	b.cfg.Executor, b.cfg.Engines, b.cfg.WorkingDirectory = kind, []string{config.EngineCommand}, ""
	b.cfg.Commands = map[string]config.Command{"lander": {Argv: []string{"/opt/lander", "-v"}, Image: "lander-image"}}
	b.cfg.AllowedImages = append(b.cfg.AllowedImages, "lander-image", "third")
	return b
}

// TestCommandJobs: what is launched in which image, and what is refused before
// anything is launched.
func TestCommandJobs(t *testing.T) {
	for name, c := range map[string]struct {
		executor   string
		simulation *runnerv1.Simulation
		image      string
		argv       []string
		runs       string // the reference that is resolved
		says       string
	}{
		"the study's command":          {config.ExecutorDocker, &runnerv1.Simulation{Type: "command", Command: []string{"sim", "$X"}}, "", []string{"sim", "$X"}, "lynx-basilisk", ""},
		"the study's image":            {config.ExecutorDocker, &runnerv1.Simulation{Type: "command", Command: []string{"sim"}}, "third", []string{"sim"}, "third", ""},
		"the runner's command":         {config.ExecutorDocker, &runnerv1.Simulation{Type: "lander"}, "", []string{"/opt/lander", "-v"}, "lander-image", ""},
		"the same in another image":    {config.ExecutorDocker, &runnerv1.Simulation{Type: "lander"}, "third", []string{"/opt/lander", "-v"}, "third", ""},
		"the runner's in a process":    {config.ExecutorProcess, &runnerv1.Simulation{Type: "lander"}, "", []string{"/opt/lander", "-v"}, "lander-image", ""},
		"the study's in a process":     {config.ExecutorProcess, &runnerv1.Simulation{Type: "lander", Command: []string{"sim"}}, "", nil, "", "is not taken"},
		"an image that is forbidden":   {config.ExecutorDocker, &runnerv1.Simulation{Type: "command", Command: []string{"sim"}}, "evil", nil, "", `"evil" is not allowed`},
		"nothing to run":               {config.ExecutorDocker, &runnerv1.Simulation{Type: "command"}, "", nil, "", "write simulation.command"},
		"a Python file without Python": {config.ExecutorDocker, &runnerv1.Simulation{Type: "command", Entrypoint: "x.py"}, "", nil, "", "simulation.entrypoint"},
	} {
		t.Run(name, func(t *testing.T) {
			b := commandBench(t, c.executor)
			var spec executor.Spec
			b.executor.script = func(_ context.Context, p *program) executor.Exit { spec = p.spec; return exited(0) }
			a := assignment("job", 0)
			a.Simulation = c.simulation
			a.Compute.Image = c.image
			result := runOne(t, b, a)
			if c.says != "" {
				if result.GetOutcome() != "invalid_job" || !strings.Contains(result.GetErrorMessage(), c.says) || spec.AttemptID != "" {
					t.Fatalf("%s: %s; launched %q", result.GetOutcome(), result.GetErrorMessage(), spec.Argv)
				}
				return
			}
			if result.GetOutcome() != "completed" || len(result.GetWarnings()) > 0 {
				t.Fatalf("%s: %s; warnings %q", result.GetOutcome(), result.GetErrorMessage(), result.GetWarnings())
			}
			if !slices.Equal(spec.Argv, c.argv) || spec.Image != "sha256:"+c.runs || spec.WorkDir != "" {
				t.Errorf("runs %q in %s, working directory %q; want %q in %s", spec.Argv, spec.Image, spec.WorkDir, c.argv, c.runs)
			}
			m := readManifest(t, result)
			if got := m["image"].(map[string]any)["reference"]; got != c.runs {
				t.Errorf("the manifest names the image %v, want %s", got, c.runs)
			}
			if engine := m["runner"].(map[string]any)["engine"]; engine != "command" {
				t.Errorf("the manifest names the engine %v", engine)
			}
		})
	}
}

// TestAProgramThatIsNotThere: the message names the setting that is wrong.
func TestAProgramThatIsNotThere(t *testing.T) {
	for simulationType, want := range map[string]string{
		"command": `simulation.command (sim) must be a program in the image "lynx-basilisk"`,
		"lander":  `commands.lander (/opt/lander) must be a program in the image "lander-image"`,
	} {
		b := commandBench(t, config.ExecutorDocker)
		b.executor.script = func(context.Context, *program) executor.Exit {
			return executor.Exit{Known: true, Code: 127, ExecError: "no such file"}
		}
		a := assignment("job", 0)
		a.Simulation = &runnerv1.Simulation{Type: simulationType}
		if simulationType == "command" {
			a.Simulation.Command = []string{"sim"}
		}
		if result := runOne(t, b, a); result.GetOutcome() != "invalid_job" || !strings.Contains(result.GetErrorMessage(), want) {
			t.Errorf("%s: %s, want %s", result.GetOutcome(), result.GetErrorMessage(), want)
		}
	}
}
