package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// host is what the defaults depend on.
type host struct {
	root       bool
	uid        int
	name       string
	executable string
	cpus       int
	memory     int64
	home       string
	stateHome  string // XDG_STATE_HOME
	runtimeDir string // XDG_RUNTIME_DIR
	tmp        string
	venv       string // the interpreter that `make venv` made; empty if there is none
}

// venvPython is where `make venv` puts an interpreter with Basilisk, below the
// directory of the sources.
const venvPython = ".cache/basilisk-venv/bin/python3"

// findVenv finds that interpreter below the first directory that has it; "" if none
// has. The program itself lies in bin/ of the sources, wherever it is started.
func findVenv(dirs ...string) string {
	for _, dir := range dirs {
		if path, err := filepath.Abs(filepath.Join(dir, venvPython)); err == nil && unix.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	return ""
}

func thisHost(environ []string) (host, error) {
	h := host{uid: os.Geteuid(), root: os.Geteuid() == 0, cpus: runtime.NumCPU(), tmp: "/tmp"}
	name, err := os.Hostname()
	if err != nil {
		return host{}, fmt.Errorf("host name: %w", err)
	}
	h.name = name
	if h.executable, err = os.Executable(); err != nil {
		return host{}, fmt.Errorf("path of this program: %w", err)
	}
	h.venv = findVenv(".", filepath.Join(filepath.Dir(h.executable), ".."))
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return host{}, fmt.Errorf("memory of this host: %w", err)
	}
	h.memory = int64(info.Totalram) * int64(info.Unit)
	for _, entry := range environ {
		switch key, value, _ := strings.Cut(entry, "="); key {
		case "HOME":
			h.home = value
		case "XDG_STATE_HOME":
			h.stateHome = value
		case "XDG_RUNTIME_DIR":
			h.runtimeDir = value
		}
	}
	return h, nil
}

// runnerID makes a valid id of the host's name.
func (h host) runnerID() string {
	id := strings.Trim(notInID.ReplaceAllString(h.name, "-"), "-._")
	if id == "" {
		return "lynx-runner"
	}
	return id[:min(len(id), 63)]
}

var (
	notInID = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)
	validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
)

// stateDir, runtime and locks are the default directories: the system's for
// root, the XDG ones for anybody else.
func (h host) stateDir() string {
	switch {
	case h.root:
		return "/var/lib/lynx-runner"
	case h.stateHome != "":
		return filepath.Join(h.stateHome, "lynx-runner")
	case h.home != "":
		return filepath.Join(h.home, ".local", "state", "lynx-runner")
	}
	return h.private("state")
}

func (h host) runtime() string {
	switch {
	case h.root:
		return "/run/lynx-runner"
	case h.runtimeDir != "":
		return filepath.Join(h.runtimeDir, "lynx-runner")
	}
	return h.private("run")
}

func (h host) locks() string {
	if h.root {
		return "/run/lock/lynx-runner"
	}
	return filepath.Join(h.runtime(), "lock")
}

func (h host) private(name string) string {
	return filepath.Join(h.tmp, fmt.Sprintf("lynx-runner-%d", h.uid), name)
}
