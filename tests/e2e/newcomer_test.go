//go:build engine

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// command runs one of ours in a directory to its end.
func command(t *testing.T, dir, name string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, name), args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s %s: exit status %d\n%s\n%s", name, strings.Join(args, " "), cmd.ProcessState.ExitCode(), out.String(), errs.String())
		}
	})
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestAStrangersStudy: a study and its scenario side by side, anywhere, run with
// one command and no configuration; the results lie beside them, and jobs see the
// code without the results.
func TestAStrangersStudy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"my_study.yaml": "simulation: {name: Mine, version: 1.0.0, entrypoint: my_sim.py}\n" +
			"monte_carlo: {runs: 2, sampling_method: random, seed: 1}\n" +
			"dispersions:\n  x: {distribution: {type: uniform, min: 1, max: 2}, units: m}\n",
		"my_sim.py": "import json, os\nfrom my_part import double\n" +
			"config = json.load(open(os.environ['TETRYX_RUN_CONFIG']))\n" +
			"json.dump({'twice': double(config['parameters']['x']), 'sees': len(os.listdir('.'))},\n" +
			"          open(os.path.join(os.environ['TETRYX_OUTPUT_DIR'], 'summary.json'), 'w'))\n",
		"my_part.py": "def double(x):\n    return 2 * x\n",
	} {
		// As a careful user's umask has it: the runner's users could not read these.
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time, the first one's results are there
		stdout, _, status := command(t, dir, "lynxctl", "run", "my_study.yaml", "--metrics", "twice,sees")
		if status != 0 || !strings.Contains(stdout, "2 completed") || !strings.Contains(stdout, "twice  sees") {
			t.Fatalf("status %d:\n%s", status, stdout)
		}
		summary, err := os.ReadFile(filepath.Join(dir, "lynx-output/latest/00000/attempt-1/output/summary.json"))
		if err != nil {
			t.Fatal(err)
		}
		var found struct{ Sees int }
		if err := json.Unmarshal(summary, &found); err != nil || found.Sees != 3 {
			t.Errorf("a job sees %d files, want the study's 3: %v", found.Sees, err)
		}
	}
}

// TestAReaderThatGoesAway: a pipe that is closed early ends nothing before its
// time and leaves nothing.
func TestAReaderThatGoesAway(t *testing.T) {
	t.Parallel()
	output := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `"$0" run "$1" --config "$2" --output "$3" 2>&1 | head -n 1`,
		filepath.Join(bin, "lynxctl"), script(t, "ok.py", ""), scriptRunner(t, ""), output)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(output, "latest/00000/attempt-1/manifest.json")); err != nil {
		t.Error(err)
	}
}

// TestCheck: the real engine and image pass; each trouble is named, with its own
// exit status.
func TestCheck(t *testing.T) {
	dir, err := os.MkdirTemp("", "lx-check-") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	common := []string{"check", "--json", "--config", scriptRunner(t, "runtime_dir: "+dir+"/run"),
		"--output-root", filepath.Join(dir, "out"), "--state-dir", filepath.Join(dir, "state")}
	for name, c := range map[string]struct {
		args   []string
		env    string
		status int
		level  string
		detail string
	}{
		"good":           {nil, "", 0, "ok", "no network, no capabilities"},
		"wrong Python":   {[]string{"--python-executable", "/usr/bin/python9"}, "", 1, "failed", "/usr/bin/python9"},
		"no Python":      {[]string{"--python-executable", "/bin/cat"}, "", 1, "failed", "python_executable"},
		"no image":       {[]string{"--image", "lynx-no-such-image"}, "", 1, "failed", "lynx-no-such-image"},
		"no scenario":    {[]string{"--basilisk-entrypoint", "nowhere.py"}, "", 1, "failed", "nowhere.py"},
		"no output root": {[]string{"--output-root", "/proc/nowhere"}, "", 1, "failed", "output_root"},
		"no engine":      {nil, "unix:///nowhere.sock", 3, "failed", "start Docker"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.env != "" {
				t.Setenv("DOCKER_HOST", c.env) // so these are not parallel
			}
			stdout, _, status := command(t, root, "lynx-runner", append(common, c.args...)...)
			var found struct {
				OK       bool
				Findings []struct{ Subject, Level, Detail string }
			}
			if err := json.Unmarshal([]byte(stdout), &found); err != nil || status != c.status || found.OK != (c.status == 0) {
				t.Fatalf("status %d, want %d; %v", status, c.status, err)
			}
			told := false
			for _, f := range found.Findings {
				told = told || f.Level == c.level && strings.Contains(f.Detail, c.detail)
			}
			if !told {
				t.Errorf("no finding %s: …%s…: %+v", c.level, c.detail, found.Findings)
			}
			if left, _ := os.ReadDir(filepath.Join(dir, "out")); len(left) > 0 {
				t.Errorf("left in the output root: %v", left)
			}
		})
	}
}
