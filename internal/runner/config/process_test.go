package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFindVenv: what `make venv` made is found from the sources' directory and, by
// the place of the program, from any other.
func TestFindVenv(t *testing.T) {
	sources, elsewhere := t.TempDir(), t.TempDir()
	bin := filepath.Join(sources, "bin")
	if got := findVenv(elsewhere, filepath.Join(bin, "..")); got != "" {
		t.Errorf("found %s where there is none", got)
	}
	python := filepath.Join(sources, venvPython)
	if err := os.MkdirAll(filepath.Dir(python), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(python, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dirs := range [][]string{{sources, elsewhere}, {elsewhere, filepath.Join(bin, "..")}} {
		if got := findVenv(dirs...); got != python {
			t.Errorf("%v: found %q, want %q", dirs, got, python)
		}
	}
}

// The interpreter of processes is one of the host, by default that of `make venv`
// where that was run.
func TestPythonOfProcesses(t *testing.T) {
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	with := testHost
	with.venv = "/repo/.cache/basilisk-venv/bin/python3"
	for _, c := range []struct {
		name   string
		host   host
		python string // as configured
		exec   string
		want   string
	}{
		{"default", with, "", "process", with.venv},
		{"default, nothing made", testHost, "", "process", "/usr/bin/python3"},
		{"absolute", with, "/opt/python", "process", "/opt/python"},
		{"relative", with, "venv/bin/python", "process", filepath.Join(cwd, "venv/bin/python")},
		{"looked up in PATH", with, "python3", "process", "python3"},
		{"docker's default", with, "", "docker", "/usr/bin/python3"},
		{"a path in the image", with, "bin/python", "docker", "bin/python"},
	} {
		flags := map[string]string{"executor": c.exec}
		if c.python != "" {
			flags["python-executable"] = c.python
		}
		got, err := load(nil, "", []string{"LYNX_RUNNER_WORKING_DIRECTORY=/srv/work"}, flags, c.host)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got.PythonExecutable != c.want || got.Executor != c.exec {
			t.Errorf("%s: %s with executor %s, want %s", c.name, got.PythonExecutable, got.Executor, c.want)
		}
	}
}

// The files that we ship are valid, and the process executor's is its own.
func TestProcessConfigFile(t *testing.T) {
	t.Chdir("../../..")
	c, err := load(nil, "configs/lynx-runner-process.yaml", nil, nil, testHost)
	if err != nil {
		t.Fatal(err)
	}
	cwd, _ := os.Getwd()
	if c.Executor != ExecutorProcess || c.PythonExecutable != filepath.Join(cwd, venvPython) {
		t.Errorf("executor %s, python %s", c.Executor, c.PythonExecutable)
	}
}
