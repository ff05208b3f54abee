//go:build engine

package e2e

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// basiliskImage is the image under test; scripts/test.sh has the same variable.
func basiliskImage() string { return cmp.Or(os.Getenv("LYNX_IMAGE"), "lynx-basilisk") }

// sharing writes the file of a runner that allows isolation: batch.
func sharing(t *testing.T, work, extra string) string {
	t.Helper()
	return write(t, "runner.yaml", fmt.Sprintf(`
engines: [basilisk]
basilisk_entrypoint: ok.py
working_directory: %s
image: %s
sandbox: {memory: 256Mi, max_memory: 1Gi, allowed_images: [no-such-image], isolation: [job, batch]}
%s
`, filepath.Join(root, work), basiliskImage(), extra))
}

// requireRoot: only a root runner can keep the runs of a shared container apart.
func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test must be run by root")
	}
}

const scenarios = "tests/e2e/testdata/scenarios"

// TestOutcomesInSharedContainers: each way to end is told as with a container for
// each job.
func TestOutcomesInSharedContainers(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	for name, c := range endings {
		// What is preloaded counts to the memory of each run: where a child of it needs
		// more than there is, the kernel takes the larger of both.
		c.runner += "\npreload: [json]"
		t.Run(name, func(t *testing.T) {
			compute := strings.TrimPrefix(c.compute+", isolation: batch", ", ")
			o := lynxctlRun(t, script(t, c.entrypoint, compute), "--config", sharing(t, scenarios, c.runner))
			c.check(t, o)
		})
	}
}

// TestSharedEqualsJob: the tutorial's files, logs and telemetry are the same, by hash,
// in a container each, in shared ones and as processes, but for the ids and times in
// them. LYNX_EQUAL_RUNS is the number of runs of each. How fast each way is goes into
// the test's output.
func TestSharedEqualsJob(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	needVenv(t)
	runs, err := strconv.Atoi(cmp.Or(os.Getenv("LYNX_EQUAL_RUNS"), "10"))
	if err != nil {
		t.Fatal(err)
	}
	tutorial := string(mustRead(t, filepath.Join(root, "scenarios/aerospace/configs/basic_orbit_tutorial.yaml")))
	left := map[string][]map[string]string{}
	for _, way := range []struct {
		name, mode string
		args       []string
	}{
		{"job", "job", []string{"--config", sharing(t, "scenarios/aerospace/python", "reserve: {memory: 256Mi}")}},
		{"batch", "batch", []string{"--config", sharing(t, "scenarios/aerospace/python", "reserve: {memory: 256Mi}")}},
		{"process", "job", []string{"--executor", "process", "--output", openDir(t)}},
	} {
		study := write(t, "study.yaml", strings.Replace(tutorial, "compute:\n", "compute:\n  isolation: "+way.mode+"\n", 1))
		begin := time.Now()
		o := lynxctlRun(t, study, append(way.args, "--runs", strconv.Itoa(runs))...)
		t.Logf("%s: %.2f runs/s", way.name, float64(runs)/time.Since(begin).Seconds())
		if len(o.Runs) != runs {
			t.Fatalf("%s: %d runs", way.name, len(o.Runs))
		}
		for _, r := range o.Runs {
			want(t, r, api.JobCompleted, api.OutcomeCompleted)
			left[way.name] = append(left[way.name], hashes(t, r))
			checkIsolation(t, r, way.mode)
		}
	}
	for _, other := range []string{"batch", "process"} {
		for i, one := range left["job"] {
			if that := left[other][i]; !maps.Equal(one, that) {
				t.Errorf("run %d differs between job and %s:\n%v\n%v", i, other, one, that)
			}
		}
	}
}

// ids are what differs between two batches of the same study.
var ids = regexp.MustCompile(`"(job_id|batch_id|attempt_id|attempt)": "?[^",\n]*"?|"[a-z_]*(seconds|_ms)": [0-9.e-]+`)

// hashes are those of a run's artifacts and logs, less its ids, and of its telemetry.
func hashes(t *testing.T, r api.RunRow) map[string]string {
	t.Helper()
	found := map[string]string{}
	add := func(name string, data []byte) { found[name] = fmt.Sprintf("%x", sha256.Sum256(data)) }
	for _, pattern := range []string{"output/*", "log/*"} {
		paths, err := filepath.Glob(filepath.Join(r.Directory, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name := filepath.Base(path)
			data := file(t, r, filepath.Join(filepath.Dir(pattern), name))
			if name == "summary.json" {
				data = ids.ReplaceAll(data, nil)
			}
			add(name, data)
		}
	}
	telemetry, err := json.Marshal(r.TelemetryData)
	if err != nil {
		t.Fatal(err)
	}
	add("telemetry", telemetry)
	if len(found) != 6 || len(r.TelemetryData) != 6 {
		t.Fatalf("run %d left %q and telemetry of %d variables", r.RunIndex, slices.Collect(maps.Keys(found)), len(r.TelemetryData))
	}
	return found
}

// checkIsolation looks at what the manifest says of it.
func checkIsolation(t *testing.T, r api.RunRow, mode string) {
	t.Helper()
	var m struct {
		Isolation struct {
			Mode           string `json:"mode"`
			ExitReportedBy string `json:"exit_reported_by"`
		} `json:"isolation"`
	}
	if err := json.Unmarshal(file(t, r, "manifest.json"), &m); err != nil {
		t.Fatal(err)
	}
	if by := m.Isolation.ExitReportedBy; m.Isolation.Mode != mode || (by == "shim") != (mode == "batch") {
		t.Errorf("run %d: the manifest says %+v, want mode %s", r.RunIndex, m.Isolation, mode)
	}
}

// TestSharedRunsHarmNoLaterRun: each run of a batch looks for a trace of the ones
// before it, and then does something that could leave one; run after run in one
// slot. neighbour.py has the deeds in their order.
func TestSharedRunsHarmNoLaterRun(t *testing.T) {
	requireRoot(t)
	completed, failed := api.OutcomeCompleted, api.OutcomeNonzeroExit
	deeds := []struct {
		name    string
		outcome api.Outcome
		// replaced says that the next run must find another container.
		replaced bool
	}{
		{"interpreter", completed, false},
		{"process", completed, true},
		{"places", completed, false},
		{"link", completed, false},
		{"thread", completed, false},
		{"fail", failed, false},
		{"crash", api.OutcomeSignaled, true},
		{"priority", completed, true},
		{"server", api.OutcomeSignaled, true},
		{"memory", api.OutcomeOutOfMemory, true},
		{"nothing", completed, false},
		{"nothing", completed, false},
	}
	study := write(t, "study.yaml", fmt.Sprintf(`
simulation: {name: Neighbours, version: 1.0.0, entrypoint: neighbour.py}
monte_carlo: {runs: %d, sampling_method: random, seed: 1}
dispersions:
  x: {distribution: {type: constant, value: 1}, units: none}
compute: {isolation: batch, container: {memory_request: 768Mi}}
`, len(deeds)))
	o := lynxctlRun(t, study, "--config", sharing(t, scenarios, "max_concurrent_jobs: 1\npreload: [json, random]"))
	if len(o.Runs) != len(deeds) {
		t.Fatalf("%d runs", len(o.Runs))
	}
	draws := map[float64]bool{}
	server := 0
	for i, d := range deeds {
		r := o.Runs[i]
		if r.Outcome == nil || *r.Outcome != d.outcome {
			t.Errorf("%s: outcome %v, want %s: %s", d.name, r.Outcome, d.outcome, message(r))
		}
		var seen struct {
			Traces, Escapes []string
			Server          int
			Random          float64
		}
		if err := json.Unmarshal(file(t, r, "output/seen.json"), &seen); err != nil {
			t.Fatal(err)
		}
		if len(seen.Traces)+len(seen.Escapes) > 0 {
			t.Errorf("%s: found traces of other runs %q, reached %q", d.name, seen.Traces, seen.Escapes)
		}
		if draws[seen.Random] {
			t.Errorf("%s draws the same random number as another run", d.name)
		}
		draws[seen.Random] = true
		if i > 0 && (seen.Server != server) != deeds[i-1].replaced {
			t.Errorf("after %s the container is another one: %v, want %v", deeds[i-1].name, seen.Server != server, deeds[i-1].replaced)
		}
		server = seen.Server
		if got, want := string(file(t, r, "log/stdout.log")), fmt.Sprintf("run %d\n", i); got != want {
			t.Errorf("%s: stdout.log is %q, want %q", d.name, got, want)
		}
		checkGone(t, r)
	}
	if linked := o.Runs[3]; string(file(t, linked, "output/linked")) != "of the run that made it" {
		t.Error("a linked file changed after its run")
	}
}

// TestSharedEarlyTermination: a breach ends the container in time, with the same
// words as otherwise.
func TestSharedEarlyTermination(t *testing.T) {
	requireRoot(t)
	study, err := os.ReadFile(filepath.Join(root, "scenarios/aerospace/configs/early_stop_7000_f180.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	messages := map[string]string{}
	for _, mode := range []string{"job", "batch"} {
		text := strings.Replace(string(study), "compute:\n", "compute:\n  isolation: "+mode+"\n", 1)
		o := lynxctlRun(t, write(t, "study.yaml", text), "--runs", "1", "--config", sharing(t, "scenarios/aerospace/python", ""))
		r := o.run(t)
		want(t, r, api.JobFailed, api.OutcomeEarlyTermination)
		messages[mode] = message(r)
		checkGone(t, r)
	}
	if messages["job"] != messages["batch"] {
		t.Errorf("with a container each: %s\nin a shared one: %s", messages["job"], messages["batch"])
	}
}

// TestSharedRefused: who does not allow it, or can't, says so.
func TestSharedRefused(t *testing.T) {
	o := lynxctlRun(t, script(t, "ok.py", "isolation: batch"), "--config", scriptRunner(t, ""))
	r := o.run(t)
	want(t, r, api.JobFailed, api.OutcomeInvalidJob)
	if !strings.Contains(message(r), "sandbox.isolation") {
		t.Errorf("message: %s", message(r))
	}
}

// TestSharedPreload: what can't be preloaded is told in the words of its error.
func TestSharedPreload(t *testing.T) {
	requireRoot(t)
	for preload, says := range map[string]string{
		"no_such_module": "cannot preload no_such_module",
		"leaves_thread":  "leave 1 threads running: stays",
	} {
		o := lynxctlRun(t, script(t, "ok.py", "isolation: batch"), "--config", sharing(t, scenarios, "preload: ["+preload+"]"))
		r := o.run(t)
		want(t, r, api.JobFailed, api.OutcomeInvalidJob)
		if !strings.Contains(message(r), says) {
			t.Errorf("preload %s: %s", preload, message(r))
		}
	}
}

// TestSharedAfterACrash: a killed runner's shared container is ended by its next
// start, at the latest, with the run in it, which is run again; what that had
// written is where it belongs, and nothing else is left.
func TestSharedAfterACrash(t *testing.T) {
	requireRoot(t)
	const total = 3
	text := string(mustRead(t, runsOf(t, "slow.py", total)))
	study := write(t, "study.yaml", strings.Replace(text, "compute: {}", "compute: {isolation: batch}", 1))
	output := t.TempDir()
	p := start(t, "lynxctl", "run", study, "--config", sharing(t, scenarios, "max_concurrent_jobs: 1\npreload: [json]"), "--output", output, "--verbose")
	p.says("job ended")
	p.says("job started")
	p.signal(syscall.SIGKILL)
	p.ends(-1)
	out, err := exec.CommandContext(t.Context(), programPath("lynxctl"), "run", "--resume", output, "--json").Output()
	var o outcome
	if err == nil {
		err = json.Unmarshal(out, &o)
	}
	if err != nil || len(o.Runs) != total {
		t.Fatalf("%v: %s", err, out)
	}
	for _, r := range o.Runs {
		want(t, r, api.JobCompleted, api.OutcomeCompleted)
		checkGone(t, r)
	}
	attempts, _ := filepath.Glob(filepath.Join(output, "latest", "*", "attempt-*"))
	logs, _ := filepath.Glob(filepath.Join(output, "latest", "*", "attempt-*", "log", "stdout.log"))
	if len(attempts) != total+1 || len(logs) != total+1 {
		t.Errorf("%d attempts, %d logs; want %d of each", len(attempts), len(logs), total+1)
	}
	if left, _ := filepath.Glob(filepath.Join(output, ".lynx-shared*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
