//go:build engine

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// script writes the study of one run of a test scenario.
func script(t *testing.T, entrypoint, compute string) string {
	t.Helper()
	return write(t, "study.yaml", fmt.Sprintf(`
simulation: {name: Outcome, version: 1.0.0, entrypoint: %s}
monte_carlo: {runs: 1, sampling_method: random, seed: 1}
dispersions:
  x: {distribution: {type: constant, value: 21}, units: none}
compute: {%s}
`, entrypoint, compute))
}

// scriptRunner writes the runner's file for the test scenarios.
func scriptRunner(t *testing.T, extra string) string {
	t.Helper()
	return write(t, "runner.yaml", fmt.Sprintf(`
engines: [basilisk]
basilisk_entrypoint: ok.py
working_directory: %s
image: lynx-basilisk
sandbox: {memory: 256Mi, allowed_images: [no-such-image]}
%s
`, filepath.Join(root, "tests/e2e/testdata/scenarios"), extra))
}

// ending is a way for a run to end: the scenario and settings that bring it about,
// and what is to be seen of it.
type ending struct {
	entrypoint, compute, runner string

	state   api.JobState
	outcome api.Outcome
	// say are words of the message.
	says   []string
	stdout string
	stderr string
	warns  string
}

var endings = map[string]ending{
	"completed": {entrypoint: "ok.py", state: api.JobCompleted, outcome: api.OutcomeCompleted},
	"exit 3": {
		entrypoint: "exit3.py", state: api.JobFailed, outcome: api.OutcomeNonzeroExit,
		says:   []string{"3", "the propellant tank is empty"},
		stdout: "this went to stdout\n", stderr: "the propellant tank is empty\n",
	},
	"signal": {
		entrypoint: "abort.py", state: api.JobFailed, outcome: api.OutcomeSignaled, says: []string{"SIGABRT"},
	},
	"out of memory": {
		entrypoint: "memory.py", state: api.JobFailed, outcome: api.OutcomeOutOfMemory,
		says: []string{"256", "memory_request"},
	},
	"out of memory in a child only": {
		entrypoint: "memory_child.py", state: api.JobCompleted, outcome: api.OutcomeCompleted,
		stdout: "the child ended with -9\n", warns: "memory",
	},
	"timeout": {
		entrypoint: "sleep.py", compute: "job_timeout_seconds: 3", state: api.JobTimeout, outcome: api.OutcomeTimeout,
		says: []string{"3", "job_timeout_seconds"}, stdout: "sleeping\n",
	},
	"image that is not there": {
		entrypoint: "ok.py", compute: "container: {image: no-such-image}",
		state: api.JobFailed, outcome: api.OutcomeInvalidJob, says: []string{"no-such-image"},
	},
	"image that is not allowed": {
		entrypoint: "ok.py", compute: "container: {image: somebody/elses}",
		state: api.JobFailed, outcome: api.OutcomeInvalidJob, says: []string{"somebody/elses", "sandbox.allowed_images"},
	},
	"entrypoint that is not there": {
		entrypoint: "missing.py", state: api.JobFailed, outcome: api.OutcomeInvalidJob, says: []string{"missing.py"},
	},
	"interpreter that is not there": {
		entrypoint: "ok.py", runner: "python_executable: /usr/bin/python9",
		state: api.JobFailed, outcome: api.OutcomeInvalidJob, says: []string{"/usr/bin/python9", "python_executable"},
	},
}

// TestOutcomes: each way to end is a job result with the right state, the right
// outcome, and a message that tells a person what to do.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			o := lynxctlRun(t, script(t, c.entrypoint, c.compute), "--config", scriptRunner(t, c.runner))
			c.check(t, o)
		})
	}
}

// check looks at the only run of a study.
func (c ending) check(t *testing.T, o outcome) {
	t.Helper()
	r := o.run(t)
	want(t, r, c.state, c.outcome)
	if wantExit := map[bool]int{true: 0, false: 1}[c.state == api.JobCompleted]; o.exit != wantExit {
		t.Errorf("exit status %d, want %d", o.exit, wantExit)
	}
	for _, word := range c.says {
		if !strings.Contains(message(r), word) {
			t.Errorf("the message does not say %q: %s", word, message(r))
		}
	}
	if c.stdout != "" && string(file(t, r, "log/stdout.log")) != c.stdout {
		t.Errorf("stdout.log is %q", file(t, r, "log/stdout.log"))
	}
	if c.stderr != "" && string(file(t, r, "log/stderr.log")) != c.stderr {
		t.Errorf("stderr.log is %q", file(t, r, "log/stderr.log"))
	}
	if !strings.Contains(strings.Join(r.Warnings, "\n"), c.warns) {
		t.Errorf("warnings %q do not mention %q", r.Warnings, c.warns)
	}
	checkGone(t, r)
}
