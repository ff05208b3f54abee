//go:build engine

package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVersions asks the installed programs which version they are.
func TestVersions(t *testing.T) {
	for _, name := range []string{"lynxctl", "lynx-server", "lynx-runner", "lynx-shim"} {
		out := must(t, nil, filepath.Join(prefix, "bin", name), "--version")
		if !strings.HasPrefix(out, name+" version ") || !strings.Contains(out, commit) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s says %q, not the commit %s", name, out, commit)
		}
	}
}

// tree is every file below dir, with its size, its mode and its time of change.
func tree(t *testing.T, dir string) string {
	t.Helper()
	return must(t, nil, "find", dir, "-type", "f", "-printf", "%P %s %m %T@\n")
}

// TestInstall installs twice, edits, installs again and uninstalls, in the place of
// a package.
func TestInstall(t *testing.T) {
	bin, dest := "BIN="+filepath.Join(filepath.Dir(prefix), "bin"), place(t)
	target := func(name string, variables ...string) string {
		t.Helper()
		out, err := makeTarget(dest, name, append([]string{bin, "DESTDIR=" + dest, "PREFIX=/opt/lynx", "SYSCONFDIR=/etc"}, variables...)...)
		if err != nil {
			t.Fatalf("make %s: %v\n%s", name, err, out)
		}
		return out
	}
	read := func(path string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dest, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	target("install")
	for path, want := range map[string]string{
		"opt/lynx/lib/systemd/system/lynx-server.service":       "ExecStart=/opt/lynx/bin/lynx-server --config /etc/lynx/lynx-server.yaml\n",
		"opt/lynx/lib/systemd/system/lynx-runner.service":       "ExecStart=/opt/lynx/bin/lynx-runner start --config /etc/lynx/lynx-runner.yaml\n",
		"opt/lynx/lib/systemd/system/lynx-runner-clean.service": "ExecStart=/opt/lynx/bin/lynx-runner clean --config /etc/lynx/lynx-runner.yaml\n",
		"opt/lynx/lib/systemd/system/lynx-runner-clean.timer":   "OnCalendar=daily\n",
		"etc/lynx/lynx-runner.yaml":                             "working_directory: /opt/lynx/share/lynx/scenarios/aerospace/python\n",
		"etc/lynx/lynx-server.yaml":                             "data: /var/lib/lynx\n",
		"opt/lynx/lib/sysusers.d/lynx.conf":                     "u lynx ",
		"opt/lynx/share/bash-completion/completions/lynxctl":    "lynxctl",
	} {
		if !strings.Contains(read(path), want) {
			t.Errorf("%s has no %q", path, want)
		}
	}

	before := tree(t, dest)
	if out := target("install"); strings.TrimSpace(out) != "" {
		t.Errorf("the second time it said %q", out)
	}
	if after := tree(t, dest); after != before {
		t.Errorf("the second time changed\n%s\ninto\n%s", before, after)
	}

	// Another version's files: an edited one stays, one that was not is replaced.
	edit := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dest, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	edit("etc/lynx/lynx-runner.yaml", "runner_id: mine\n")
	edit("etc/lynx/lynx-server.yaml", "# older\n")
	edit("opt/lynx/share/lynx/etc/lynx-server.yaml", "# older\n")
	out := target("install")
	if got := read("etc/lynx/lynx-runner.yaml"); got != "runner_id: mine\n" || !strings.Contains(out, "kept ") {
		t.Errorf("the edited file is now %q; said %q", got, out)
	}
	if !strings.Contains(read("etc/lynx/lynx-runner.yaml.new"), "working_directory: ") {
		t.Error("the new file is not beside the edited one")
	}
	if got := read("etc/lynx/lynx-server.yaml"); got == "# older\n" {
		t.Error("a file that nobody edited was not brought up to date")
	}

	target("uninstall")
	if left := must(t, nil, "find", dest, "-type", "f", "-printf", "%P\n"); left != "etc/lynx/lynx-runner.yaml\n" {
		t.Errorf("after uninstalling there is\n%s", left)
	}
}

// TestInstallRefuses shows what is wrong before anything is touched.
func TestInstallRefuses(t *testing.T) {
	dest := place(t)
	for variable, want := range map[string]string{
		"BIN=/no/such/place": "run 'make build' first",
		"PREFIX=relative":    "must be absolute paths",
		"PREFIX=/a|b":        "must be absolute paths",
	} {
		out, err := makeTarget(dest, "install", "DESTDIR="+dest, variable)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, %q", variable, err, out)
		}
	}
	if left := tree(t, dest); left != "" {
		t.Errorf("it left %s", left)
	}
}
