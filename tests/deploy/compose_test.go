//go:build engine

package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// compose is a project of deploy/compose that was given a directory and names of
// its own.
type compose struct {
	command []string
	environ []string
	dir     string
}

// newCompose builds the image and prepares a project, of which nothing stays.
func newCompose(t *testing.T) *compose {
	t.Helper()
	c := &compose{dir: place(t)}
	name := fmt.Sprintf("lxdep%d", os.Getpid())
	file := filepath.Join(root, "deploy/compose/compose.yaml")
	switch {
	case exec.Command("docker", "compose", "version").Run() == nil:
		c.command = []string{"docker", "compose"}
	case exec.Command("docker-compose", "version").Run() == nil:
		c.command, file = []string{"docker-compose"}, olderFile(t, file)
	default:
		t.Skip("this host has neither docker compose nor docker-compose")
	}
	c.command = append(c.command, "--project-name", name, "--file", file)
	image := name + ":test"
	c.environ = []string{"LYNX_IMAGE=" + image, "LYNX_DIR=" + c.dir, "LYNX_PORT=0", "LYNX_RUNNER_ID=" + name}
	must(t, nil, filepath.Join(root, "deploy/compose/build.sh"), image)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := c.run("logs", "--no-color")
			t.Log(out)
		}
		for _, last := range [][]string{{"kill"}, {"down", "--volumes", "--remove-orphans"}} {
			if out, err := c.run(last...); err != nil {
				t.Errorf("%v: %v\n%s", last, err, out)
			}
		}
		if out, err := exec.Command("docker", "image", "rm", image).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	return c
}

// olderFile is the file for docker-compose 1, as its head says.
func olderFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, newer := range []string{"    cgroup: host\n", "name: lynx\n"} {
		if !bytes.Contains(data, []byte(newer)) {
			t.Fatalf("%s has no line %q", file, newer)
		}
		data = bytes.Replace(data, []byte(newer), nil, 1)
	}
	older := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(older, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return older
}

// run works also when the test has ended.
func (c *compose) run(args ...string) (string, error) {
	args = append(c.command[1:len(c.command):len(c.command)], args...)
	cmd := exec.Command(c.command[0], args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), c.environ...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *compose) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.run(args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// TestCompose brings platform and runner up in containers, lets the runner check
// that jobs can run, and runs a study with a client of the host.
func TestCompose(t *testing.T) {
	c := newCompose(t)
	c.must(t, "up", "--detach", "server")
	address := c.must(t, "port", "server", "5969")
	environ := []string{"LYNXCTL_SERVER=http://" + strings.TrimSpace(address), "LYNXCTL_TOKEN_FILE=" + c.dir + "/platform/token"}
	ctl := func(args ...string) (string, error) {
		return say(t, environ, filepath.Join(prefix, "bin/lynxctl"), args...)
	}
	eventually(t, "the platform answers", func() bool { _, err := ctl("runners"); return err == nil })

	checked := c.must(t, "run", "--rm", "runner", "check", "--config", "/etc/lynx/lynx-runner.yaml")
	t.Log(checked)
	if strings.Contains(checked, "failed ") || !strings.Contains(checked, "answers and takes the token") {
		t.Errorf("check says\n%s", checked)
	}

	c.must(t, "up", "--detach", "runner")
	study := filepath.Join(prefix, "share/lynx/scenarios/aerospace/configs/basic_orbit_tutorial.yaml")
	if out, err := ctl("submit", study, "--runs", "2", "--watch"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := ctl("results", "last", "--format", "json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, row := range rows(t, out) {
		if row.Usage.PeakMemoryBytes == 0 {
			t.Errorf("run %d: the runner did not see what it used: %+v", row.RunIndex, row.Usage)
		}
		if _, err := os.Stat(filepath.Join(row.Directory, "output/trajectory.csv")); err != nil {
			t.Error(err)
		}
	}
}

// rows are the runs of `lynxctl results --format json`.
func rows(t *testing.T, text string) []api.RunRow {
	t.Helper()
	var results struct {
		Runs []api.RunRow `json:"runs"`
	}
	if err := json.Unmarshal([]byte(text), &results); err != nil || len(results.Runs) != 2 {
		t.Fatalf("%v, %d runs, of\n%s", err, len(results.Runs), text)
	}
	return results.Runs
}
