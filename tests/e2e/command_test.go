//go:build engine

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// landerSpeed is what the study watches.
const landerSpeed = "lander.descent_speed_m_s"

// buildLander builds the image of the scenario in Go, by its own script, and its
// program for this host.
func buildLander(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(openDir(t), "lander")
	for _, args := range [][]string{
		{filepath.Join(root, "scenarios/lander/build.sh")},
		{"env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", program, "./scenarios/lander/go"},
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
	return program
}

// landerStudy is the study of the repository with some of its text replaced.
func landerStudy(t *testing.T, file string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "scenarios/lander", file))
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range replace {
		if from, _, _ := strings.Cut(from, "→"); !strings.Contains(string(text), from) {
			t.Fatalf("%s has no %q", file, from)
		}
	}
	result := string(text)
	for _, pair := range replace {
		from, to, _ := strings.Cut(pair, "→")
		result = strings.ReplaceAll(result, from, to)
	}
	return write(t, file, result)
}

// TestCommand: a scenario in Go, in an image with nothing else, with one command
// and no configuration; and the same program as a process of this host, by the
// name that the runner's file has for it. The same seed gives the same bytes.
func TestCommand(t *testing.T) {
	t.Parallel()
	program := buildLander(t)
	const runs = "4"
	inDocker := lynxctlRun(t, landerStudy(t, "lander.yaml"), "--runs", runs)
	runner := strings.ReplaceAll(string(readRoot(t, "scenarios/lander/runner_process.yaml")), "bin/lander", program)
	asProcess := lynxctlRun(t, landerStudy(t, "lander_process.yaml"), "--runs", runs, "--config", write(t, "runner.yaml", runner), "--output", openDir(t))
	for _, o := range []outcome{inDocker, asProcess} {
		if o.exit != 0 || len(o.Runs) != 4 {
			t.Fatalf("exit status %d, %d runs", o.exit, len(o.Runs))
		}
	}
	for k, r := range inDocker.Runs {
		want(t, r, api.JobCompleted, api.OutcomeCompleted)
		m := r.Metrics
		if m["check.altitude_error_m"] > 1e-6 || m["check.speed_error_m_s"] > 1e-6 || m["top_speed_m_s"] < 60 || m["touchdown_speed_m_s"] > 30 {
			t.Errorf("run %d is no flight to the Moon: %v", k, m)
		}
		if last := r.TelemetryData[landerSpeed].Last; last == nil || *last != m["touchdown_speed_m_s"] {
			t.Errorf("run %d: the last sample of %+v is not the touchdown at %v m/s", k, r.TelemetryData[landerSpeed], m["touchdown_speed_m_s"])
		}
		if digest(t, r, "output/trajectory.csv") != digest(t, asProcess.Runs[k], "output/trajectory.csv") {
			t.Errorf("run %d: trajectory.csv differs between the executors", k)
		}
	}
}

// TestCommandEndsEarly: a condition on the program's telemetry kills it, in both
// executors; paced, a flight takes longer than the test.
func TestCommandEndsEarly(t *testing.T) {
	t.Parallel()
	program := buildLander(t)
	runner := write(t, "runner.yaml", "executor: process\ncommands: {lander: ["+program+", --pace, 200ms]}\n")
	for name, c := range map[string]struct {
		study string
		args  []string
	}{
		"docker":  {landerStudy(t, "lander.yaml", "[/lander]→[/lander, --pace, 200ms]", "threshold: 90→threshold: 33"), nil},
		"process": {landerStudy(t, "lander_process.yaml", "threshold: 90→threshold: 33"), []string{"--config", runner, "--output", openDir(t)}},
	} {
		t.Run(name, func(t *testing.T) {
			o := lynxctlRun(t, c.study, append(c.args, "--runs", "1")...)
			r := o.run(t)
			want(t, r, api.JobFailed, api.OutcomeEarlyTermination)
			if o.exit != 1 || !strings.Contains(message(r), "too_fast") || !strings.Contains(message(r), landerSpeed) {
				t.Errorf("exit status %d, %s", o.exit, message(r))
			}
			if _, err := os.Stat(filepath.Join(r.Directory, "output/summary.json")); err == nil {
				t.Error("the flight went on to its end")
			}
		})
	}
}

// TestAnyProgram: five lines of shell and awk, with no telemetry and no library,
// beside the study or in the command itself.
func TestAnyProgram(t *testing.T) {
	t.Parallel()
	const design = "monte_carlo: {runs: 2, seed: 1}\ndispersions: {x: {distribution: {type: uniform, min: 2, max: 3}, units: m}}\n" +
		"compute: {container: {image: \"lynx-base:bookworm\"}}\n"
	const program = `x=$(awk -F '[:,}]' '/"x": [0-9]/ {print $2; exit}' "$TETRYX_RUN_CONFIG")
awk -v x="$x" 'BEGIN {printf "{\"x\": %.17g, \"square\": %.17g}\n", x, x * x}' >"$TETRYX_OUTPUT_DIR/summary.json"
`
	indented := "      " + strings.ReplaceAll(strings.TrimSpace(program), "\n", "\n      ")
	for name, c := range map[string]struct{ simulation, file string }{
		"in the command":   {"simulation:\n  name: Inline\n  command:\n    - sh\n    - -ec\n    - |\n" + indented + "\n", ""},
		"beside the study": {"simulation: {name: Beside, command: [sh, square.sh]}\n", "square.sh"},
		"executable":       {"simulation: {name: Executable, command: [./square]}\n", "square"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "study.yaml"), []byte(c.simulation+design), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.file != "" {
				if err := os.WriteFile(filepath.Join(dir, c.file), []byte("#!/bin/sh -e\n"+program), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			o := lynxctlRun(t, filepath.Join(dir, "study.yaml"))
			if o.exit != 0 || len(o.Runs) != 2 {
				t.Fatalf("exit status %d, %d runs", o.exit, len(o.Runs))
			}
			for _, r := range o.Runs {
				if x := readRunConfig(t, r).Parameters["x"]; r.Metrics["x"] != x || r.Metrics["square"] != x*x {
					t.Errorf("run %d: %v of x = %v", r.RunIndex, r.Metrics, x)
				}
			}
		})
	}
}

// TestCommandsThatCannotRun: what a study's author is told.
func TestCommandsThatCannotRun(t *testing.T) {
	t.Parallel()
	const design = "monte_carlo: {runs: 1}\n"
	for name, c := range map[string]struct{ study, runner, says string }{
		"no such program": {
			"simulation: {name: x, command: [no-such-program]}\ncompute: {container: {image: \"lynx-base:bookworm\"}}\n", "",
			`simulation.command (no-such-program) must be a program in the image "lynx-base:bookworm"`,
		},
		"no such image": {"simulation: {name: x, command: [sim]}\ncompute: {container: {image: no-such-image}}\n", "", "Build or pull the image"},
		"an image that the file does not allow": {
			"simulation: {name: x, command: [sim]}\ncompute: {container: {image: somebody/elses}}\n", "engines: [command]\n", "allowed_images",
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{}
			if c.runner != "" {
				args = append(args, "--config", write(t, "runner.yaml", c.runner))
			}
			r := lynxctlRun(t, write(t, "study.yaml", c.study+design), args...).run(t)
			want(t, r, api.JobFailed, api.OutcomeInvalidJob)
			if !strings.Contains(message(r), c.says) {
				t.Errorf("%s\nwant %q", message(r), c.says)
			}
		})
	}
}

// readRoot reads a file of the repository.
func readRoot(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
