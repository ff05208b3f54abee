//go:build engine

package e2e

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// member is a user of no name who may use the engine, and nothing else of root's:
// what adding a user to the group docker makes. A test run that is not root's is
// such a user itself.
type member struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

func newMember(t *testing.T) member {
	t.Helper()
	home, err := os.MkdirTemp("", "lx-member-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	m := member{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid()), home: home}
	if m.uid != 0 {
		return m
	}
	m.uid, m.gid = 64_042, 64_042
	socket := strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://")
	if socket == "" {
		socket = "/var/run/docker.sock"
	}
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	m.groups = []uint32{info.Sys().(*syscall.Stat_t).Gid}
	if err := os.Chown(home, int(m.uid), int(m.gid)); err != nil {
		t.Fatal(err)
	}
	return m
}

// run runs one of our programs as the member, in a directory that it can read.
func (m member) run(t *testing.T, name string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, name), args...)
	cmd.Dir = m.home
	cmd.Env = []string{"HOME=" + m.home, "PATH=/usr/bin:/bin", "TMPDIR=" + os.TempDir(), "DOCKER_HOST=" + os.Getenv("DOCKER_HOST")}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: m.uid, Gid: m.gid, Groups: m.groups}}
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s %s:\n%s", name, strings.Join(args, " "), errs.String())
		}
	})
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// file puts a file into the member's home, with a directory of the scenarios that
// it names.
func (m member) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(m.home, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMemberOfGroupDocker: a runner that is not root's checks its host, runs jobs
// as its own user, ends one that is out of time, owns what they left, and says what
// it can't do.
func TestMemberOfGroupDocker(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	work := filepath.Join(m.home, "work")
	if err := os.CopyFS(work, os.DirFS(filepath.Join(root, "tests/e2e/testdata/scenarios"))); err != nil {
		t.Fatal(err)
	}
	config := m.file(t, "runner.yaml", "basilisk_entrypoint: ok.py\nworking_directory: "+work+
		"\nimage: lynx-basilisk\noutput_root: out\nruntime_dir: r\nsandbox: {memory: 256Mi, pids: 600}\n")

	stdout, _, status := m.run(t, "lynx-runner", "check", "--config", config)
	for _, words := range []string{
		"only a runner that root starts has a user for each slot", "tried, and held: memory and swap, pids, CPU, file size, tmpfs",
		"our filter is in force", "sandbox.pids is 600: the default is 512",
	} {
		if !strings.Contains(stdout, words) {
			t.Errorf("check does not say %q:\n%s", words, stdout)
		}
	}
	if status != 0 {
		t.Errorf("check ends with status %d:\n%s", status, stdout)
	}

	for entrypoint, want := range map[string]struct {
		state  api.JobState
		status int
	}{"ok.py": {api.JobCompleted, 0}, "sleep.py": {api.JobTimeout, 1}} {
		study := m.file(t, entrypoint+".yaml", string(mustRead(t, script(t, entrypoint, "job_timeout_seconds: 3"))))
		output := filepath.Join(m.home, "results-"+entrypoint)
		stdout, _, status := m.run(t, "lynxctl", "run", study, "--json", "--config", config, "--output", output)
		var o outcome
		if err := json.Unmarshal([]byte(stdout), &o); err != nil {
			t.Fatalf("%s: %v", entrypoint, err)
		}
		r := o.run(t)
		if r.Status != want.state || status != want.status {
			t.Errorf("%s: %s, exit status %d, want %s and %d: %s", entrypoint, r.Status, status, want.state, want.status, message(r))
		}
		m.owns(t, output)
		var manifest struct {
			Relaxations []struct{ Setting, Value string }
		}
		if err := json.Unmarshal(file(t, r, "manifest.json"), &manifest); err != nil {
			t.Fatal(err)
		}
		if l := manifest.Relaxations; len(l) != 1 || l[0].Setting != "sandbox.pids" || l[0].Value != "600" {
			t.Errorf("the manifest's relaxations are %+v", l)
		}
		checkGone(t, r)
	}
}

// owns checks that everything in a directory is the member's.
func (m member) owns(t *testing.T, dir string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen++
		if st := info.Sys().(*syscall.Stat_t); st.Uid != m.uid || st.Gid != m.gid {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
		return nil
	})
	if err != nil || seen < 5 {
		t.Errorf("%d files in %s: %v", seen, dir, err)
	}
}
