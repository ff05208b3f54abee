//go:build engine

package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// bin is the directory of the programs under test, root that of the sources.
var bin, root string

func TestMain(m *testing.M) {
	code, err := tested(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// tested builds the programs into a directory that has all temporary files as well,
// runs f and looks for anything that is left.
func tested(f func() int) (code int, err error) {
	if root, err = filepath.Abs("../.."); err != nil {
		return 1, err
	}
	scratch, err := os.MkdirTemp("", "lx-e2e-") // short: sockets lie below
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	bin = filepath.Join(scratch, "bin")
	tmp := filepath.Join(scratch, "tmp")
	// Jobs' own users must get to both.
	if err := errors.Join(os.Chmod(scratch, 0o755), os.Mkdir(tmp, 0o755), os.Chmod(tmp, 0o777|os.ModeSticky),
		os.Setenv("TMPDIR", tmp)); err != nil {
		return 1, err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", bin+"/", "./cmd/...")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build: %w\n%s", err, out)
	}
	before, err := engineThings(scratch)
	if err != nil {
		return 1, err
	}
	code = f()
	after, err := engineThings(scratch)
	left := slices.DeleteFunc(after, func(thing string) bool { return slices.Contains(before, thing) })
	left = append(left, remains(scratch, tmp)...)
	if len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("the tests left something behind:\n%s", strings.Join(left, "\n")))
	}
	return code, err
}

// engineThings lists all volumes, and the containers that are ours: of runners with
// their sockets below scratch.
func engineThings(scratch string) ([]string, error) {
	out, err := exec.Command("sh", "-ec", `
		docker ps --all --filter label=io.tetryx.lynx.attempt --format 'container {{.Names}} of {{.Label "io.tetryx.lynx.runtime-dir"}}'
		docker volume ls --format 'volume {{.Name}}'
	`).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("what the engine has: %w: %s", err, out)
	}
	things := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
	return slices.DeleteFunc(things, func(thing string) bool {
		_, dir, isContainer := strings.Cut(thing, " of ")
		return isContainer && !strings.HasPrefix(dir, scratch+"/")
	}), nil
}

// unique makes a runner's id one that no other process that runs these tests has: by
// the id a runner knows its containers on the engine.
func unique(name string) string { return fmt.Sprintf("%s-%d", name, os.Getpid()) }

// remains lists the processes of the programs under test, by the files that they
// run, and what lies in the directory of temporary files.
func remains(scratch, tmp string) []string {
	var left []string
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if program, err := os.Readlink(link); err == nil && strings.HasPrefix(program, scratch) {
			left = append(left, "process "+strings.Split(link, "/")[2]+" "+program)
		}
	}
	entries, err := os.ReadDir(tmp)
	if err != nil {
		left = append(left, err.Error())
	}
	for _, e := range entries {
		left = append(left, "directory "+filepath.Join(tmp, e.Name()))
	}
	return left
}

// outcome is what `lynxctl run --json` told about a study.
type outcome struct {
	Batch api.Batch    `json:"batch"`
	Runs  []api.RunRow `json:"runs"`

	exit   int
	stderr string
}

// lynxctlRun runs a study file in a fresh output directory.
func lynxctlRun(t *testing.T, study string, args ...string) outcome {
	t.Helper()
	args = append([]string{"run", study, "--json", "--output", t.TempDir()}, args...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "lynxctl"), args...)
	cmd.Dir = root
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Fatal(err)
	}
	o := outcome{exit: cmd.ProcessState.ExitCode(), stderr: stderr.String()}
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), &o); err != nil {
			t.Fatalf("lynxctl printed no JSON: %v\n%s\n%s", err, stdout.String(), o.stderr)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("lynxctl %s: exit status %d, stderr:\n%s", strings.Join(args, " "), o.exit, o.stderr)
		}
	})
	return o
}

// run returns the row of a study's only run.
func (o outcome) run(t *testing.T) api.RunRow {
	t.Helper()
	if len(o.Runs) != 1 {
		t.Fatalf("%d runs, want 1; exit status %d, stderr:\n%s", len(o.Runs), o.exit, o.stderr)
	}
	return o.Runs[0]
}

// want checks how a run ended.
func want(t *testing.T, r api.RunRow, state api.JobState, outcome api.Outcome) {
	t.Helper()
	if r.Status != state || r.Outcome == nil || *r.Outcome != outcome {
		got := "none"
		if r.Outcome != nil {
			got = string(*r.Outcome)
		}
		t.Fatalf("run %d: %s, outcome %s, want %s, %s; message: %s", r.RunIndex, r.Status, got, state, outcome, message(r))
	}
}

func message(r api.RunRow) string {
	if r.ErrorMessage == nil {
		return ""
	}
	return *r.ErrorMessage
}

// file reads a file of a run's attempt.
func file(t *testing.T, r api.RunRow, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.Directory, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// runConfig is what the scenario was given.
type runConfig struct {
	Seed       uint64             `json:"seed"`
	RunIndex   int                `json:"run_index"`
	Parameters map[string]float64 `json:"parameters"`
}

func readRunConfig(t *testing.T, r api.RunRow) runConfig {
	t.Helper()
	var c runConfig
	if err := json.Unmarshal(file(t, r, "run_config.json"), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// trajectory reads output/trajectory.csv: time, position, velocity.
func trajectory(t *testing.T, r api.RunRow) []stateRow {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(file(t, r, "output/trajectory.csv"))).ReadAll()
	if err != nil || len(records) < 2 {
		t.Fatalf("trajectory.csv: %v, %d rows", err, len(records))
	}
	rows := make([]stateRow, 0, len(records)-1)
	for _, record := range records[1:] {
		var v [7]float64
		if len(record) != len(v) {
			t.Fatalf("trajectory.csv: %d columns, want time, position and velocity", len(record))
		}
		for i, cell := range record {
			if v[i], err = strconv.ParseFloat(cell, 64); err != nil {
				t.Fatal(err)
			}
		}
		rows = append(rows, stateRow{t: v[0], r: vec(v[1:4]), v: vec(v[4:7])})
	}
	return rows
}

// write puts a file below a fresh directory and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
