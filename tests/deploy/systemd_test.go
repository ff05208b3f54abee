//go:build engine

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unit is a unit's settings, in the order of the file.
type unit map[string][]string

// readUnit reads an installed unit.
func readUnit(t *testing.T, name string) unit {
	t.Helper()
	data, err := os.ReadFile(unitFile(name))
	if err != nil {
		t.Fatal(err)
	}
	u := unit{}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			u[key] = append(u[key], value)
		}
	}
	return u
}

func unitFile(name string) string { return filepath.Join(prefix, "lib/systemd/system", name) }

func (u unit) one(t *testing.T, key string) string {
	t.Helper()
	if len(u[key]) != 1 {
		t.Fatalf("the unit has %d of %s", len(u[key]), key)
	}
	return u[key][0]
}

// nobody is the user id that stands for one that systemd-sysusers would make.
const nobody = "64321"

// argv is the unit's command line, as systemd would start it: with its user, its
// capabilities and without a way to other rights.
func (u unit) argv(t *testing.T) []string {
	t.Helper()
	argv := []string{"setpriv"}
	if u.one(t, "NoNewPrivileges") == "yes" {
		argv = append(argv, "--no-new-privs")
	}
	set := "-all"
	for _, name := range strings.Fields(u.one(t, "CapabilityBoundingSet")) {
		set += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	argv = append(argv, "--bounding-set="+set)
	if len(u["User"]) > 0 {
		argv = append(argv, "--reuid="+nobody, "--regid="+nobody, "--clear-groups")
	}
	return append(argv, strings.Fields(u.one(t, "ExecStart"))...)
}

// directory makes what StateDirectory or RuntimeDirectory ask for, but below dir.
func (u unit) directory(t *testing.T, key, dir string) string {
	t.Helper()
	path := filepath.Join(dir, u.one(t, key))
	must(t, nil, "install", "-d", "-m", u.one(t, key+"Mode"), path)
	if len(u["User"]) > 0 {
		must(t, nil, "chown", nobody+":"+nobody, path)
	}
	return path
}

// TestUnitsVerify lets systemd read the units.
func TestUnitsVerify(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd is not installed on this host, so it can't be asked")
	}
	for _, name := range []string{"lynx-server.service", "lynx-runner.service", "lynx-runner-clean.service", "lynx-runner-clean.timer"} {
		if out, err := say(t, nil, "systemd-analyze", "verify", "--man=no", unitFile(name)); err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestUnitsRun starts both programs as their units say, as far as that goes
// without systemd, runs a study through them, and stops them while a job runs,
// which they finish.
func TestUnitsRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the units' users and capabilities can only be given by root")
	}
	dir := place(t)
	server, runner := readUnit(t, "lynx-server.service"), readUnit(t, "lynx-runner.service")
	data := server.directory(t, "StateDirectory", dir)
	// What a drop-in would set: other places, so that a real installation on this
	// host is not touched.
	sockets := filepath.Join(dir, "sockets")
	must(t, nil, "install", "-d", "-o", nobody, sockets)
	path := "PATH=" + os.Getenv("PATH")
	client := []string{"LYNXCTL_SERVER=unix://" + sockets + "/rest", "LYNXCTL_TOKEN_FILE=" + data + "/token"}
	platform := serve(t, []string{path, "LYNX_SERVER_DATA=" + data,
		"LYNX_SERVER_LISTEN=unix://" + sockets + "/rest", "LYNX_SERVER_GRPC_LISTEN=unix://" + sockets + "/grpc"},
		server.argv(t)...)
	ctl := func(args ...string) (string, error) {
		return say(t, client, filepath.Join(prefix, "bin/lynxctl"), args...)
	}
	eventually(t, "the platform answers", func() bool { _, err := ctl("runners"); return err == nil })

	environ := []string{path, "LYNX_RUNNER_SERVER=unix://" + sockets + "/grpc", "LYNX_RUNNER_TOKEN_FILE=" + data + "/token",
		"LYNX_RUNNER_RUNNER_ID=deploy-test", "LYNX_RUNNER_OUTPUT_ROOT=" + filepath.Join(dir, "out"),
		"LYNX_RUNNER_STATE_DIR=" + runner.directory(t, "StateDirectory", dir),
		"LYNX_RUNNER_RUNTIME_DIR=" + runner.directory(t, "RuntimeDirectory", filepath.Join(dir, "run"))}
	argv := runner.argv(t)
	for _, executor := range []string{"docker", "process"} {
		check := append([]string{"env", "LYNX_RUNNER_EXECUTOR=" + executor}, argv...)
		check[len(check)-3] = "check" // start --config FILE
		if executor == "process" {
			check = append(check, "--python-executable", "/usr/bin/python3")
		}
		out := must(t, environ, check[0], check[1:]...)
		if strings.Contains(out, "failed") {
			t.Errorf("%s:\n%s", executor, out)
		}
	}

	worker := serve(t, environ, argv...)
	if out, err := ctl("submit", filepath.Join(prefix, "share/lynx/scenarios/aerospace/configs/basic_orbit_tutorial.yaml"), "--runs", "2", "--watch"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := ctl("submit", filepath.Join(prefix, "share/lynx/scenarios/aerospace/configs/basic_orbit_tutorial.yaml"), "--runs", "1"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	eventually(t, "the job is claimed", func() bool {
		out, err := ctl("jobs", "last")
		return err == nil && !strings.Contains(out, "Pending")
	})
	worker.stop() // with the first SIGTERM of a stop or restart
	if out, err := ctl("jobs", "last"); err != nil || !strings.Contains(out, "Completed") {
		t.Errorf("the runner did not finish its job: %v\n%s", err, out)
	}
	platform.stop()
}
