package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner"
	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// lynxRunner runs the program with an environment of the test's.
func lynxRunner(t *testing.T, environ []string, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	root := command(&program{stdout: &out, stderr: &out, gentle: t.Context(), environ: environ})
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

func configFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runner.yaml")
	if err := os.WriteFile(path, []byte("image: from-file\nsandbox: {memory: 512Mi}\nenvironment: {A: <b>}\nworking_directory: /srv/work\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConfig tells every setting, its effective value and where that came from.
func TestConfig(t *testing.T) {
	file := configFile(t)
	environ := []string{"LYNX_RUNNER_SANDBOX_PIDS=99", "LYNX_RUNNER_SERVER=env:1"}
	out, err := lynxRunner(t, environ, "config", "--config", file, "--server", "flag:2")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			t.Fatalf("line %q", line)
		}
		rows[fields[0]] = []string{fields[1], strings.Join(fields[2:], " ")}
	}
	if len(rows) != len(config.Paths()) {
		t.Errorf("%d settings, want %d", len(rows), len(config.Paths()))
	}
	for path, want := range map[string][2]string{
		"image": {file, "from-file"}, "sandbox.memory": {file, "512Mi"}, "sandbox.pids": {"LYNX_RUNNER_SANDBOX_PIDS", "99"},
		"server": {"--server", "flag:2"}, "sandbox.pull_policy": {"default", "never"}, "token_file": {"default", "-"}, "engines": {"default", "basilisk"},
	} {
		if got := rows[path]; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func TestConfigAsJSON(t *testing.T) {
	file := configFile(t)
	// The file is named by the environment this time.
	out, err := lynxRunner(t, []string{config.EnvConfig + "=" + file}, "config", "--json", "--image", "from-flag")
	if err != nil {
		t.Fatal(err)
	}
	var list []setting
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	var order []string
	got := map[string]setting{}
	for _, s := range list {
		order = append(order, s.Path)
		got[s.Path] = s
	}
	if strings.Join(order, " ") != strings.Join(config.Paths(), " ") {
		t.Errorf("settings %v", order)
	}
	if s := got["image"]; s.Value != "from-flag" || s.Origin != "flag" || s.Name != "--image" {
		t.Errorf("image %+v", s)
	}
	if s := got["environment"]; s.Origin != "file" || s.Name != file || s.Value.(map[string]any)["A"] != "<b>" {
		t.Errorf("environment %+v", s)
	}
	if s := got["sandbox.pids"]; s.Value != 512.0 || s.Origin != "default" || s.Name != "" {
		t.Errorf("sandbox.pids %+v", s)
	}
}

// TestEveryFlagIsASetting: a flag that the configuration does not know would be
// an error only when it is used.
func TestEveryFlagIsASetting(t *testing.T) {
	paths := map[string]bool{}
	for _, path := range config.Paths() {
		paths[strings.NewReplacer(".", "-", "_", "-").Replace(path)] = true
	}
	for name := range settingFlags {
		if !paths[name] {
			t.Errorf("--%s sets nothing", name)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	file := configFile(t)
	for name, tc := range map[string]struct {
		environ []string
		args    []string
		says    string
	}{
		"unknown command":  {nil, []string{"strat"}, "unknown command"},
		"unknown flag":     {nil, []string{"check", "--imgae", "x"}, "unknown flag"},
		"argument":         {nil, []string{"start", "now"}, "unknown command"},
		"no such file":     {nil, []string{"start", "--config", "/nowhere"}, "/nowhere"},
		"unknown variable": {[]string{"LYNX_RUNNER_IMGAE=x"}, []string{"config", "--config", file}, "LYNX_RUNNER_IMAGE"},
		"bad value":        {nil, []string{"check", "--config", file, "--max-concurrent-jobs", "none"}, "max_concurrent_jobs"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := lynxRunner(t, tc.environ, tc.args...)
			if status(err) != exitUsage || err == nil || !strings.Contains(err.Error(), tc.says) || out != "" {
				t.Errorf("status %d, %v, printed %q; want %q", status(err), err, out, tc.says)
			}
		})
	}
}

func TestExitStatus(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("no such flag"), exitUsage},
		{failure{errors.New("the disk is full")}, exitFailed},
		{fmt.Errorf("start: %w", executor.ErrUnavailable), exitUnreachable},
		{failure{fmt.Errorf("run: %w", executor.ErrUnavailable)}, exitUnreachable},
		{failure{errors.Join(context.Canceled, nil)}, exitInterrupted},
		{silent(exitFailed), exitFailed},
	} {
		if got := status(tc.err); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.err, got, tc.want)
		}
	}
}

func TestFindings(t *testing.T) {
	ok := runner.Finding{Subject: "engine", Level: runner.LevelOK, Detail: "docker 99 answers"}
	warning := runner.Finding{Subject: "limits", Level: runner.LevelWarning, Detail: "no memory limit"}
	failed := runner.Finding{Subject: "image", Level: runner.LevelFailed, Detail: "build it"}
	for name, tc := range map[string]struct {
		found runner.Checked
		want  int
	}{
		"good":        {runner.Checked{Findings: []runner.Finding{ok, warning}}, 0},
		"failed":      {runner.Checked{Findings: []runner.Finding{ok, failed}}, exitFailed},
		"unreachable": {runner.Checked{Findings: []runner.Finding{failed}, Unreachable: true}, exitUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			var text, object bytes.Buffer
			errs := []error{printFindings(&text, &tc.found, false), printFindings(&object, &tc.found, true)}
			for _, err := range errs {
				if status(err) != tc.want {
					t.Errorf("status %d, want %d", status(err), tc.want)
				}
			}
			var got struct {
				OK          bool
				Unreachable bool
				Findings    []runner.Finding
			}
			if err := json.Unmarshal(object.Bytes(), &got); err != nil || got.OK != (tc.want == 0) || got.Unreachable != tc.found.Unreachable || len(got.Findings) != len(tc.found.Findings) {
				t.Errorf("%v: %s", err, object.String())
			}
			for _, f := range tc.found.Findings {
				if !strings.Contains(text.String(), f.Detail) {
					t.Errorf("no %q in:\n%s", f.Detail, text.String())
				}
			}
		})
	}
}
