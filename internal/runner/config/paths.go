package config

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tetryx/lynx-runner/executor"
)

// maxRuntimeDir is the longest runtime_dir: a unix socket's path has at most 107
// bytes, of which "/1a2b3c4d/1a2b3c4d/telemetry.sock" and some reserve go off.
const maxRuntimeDir = 107 - 48

// paths makes every path absolute and checks how they lie to each other.
func (r *resolver) paths() {
	c, d := r.cfg, r.doc
	needsCode := slices.Contains(c.Engines, EngineBasilisk)
	if !needsCode {
		c.WorkingDirectory = "" // an image has the program; the current directory is just any
	}
	for _, p := range []struct {
		path string
		to   *string
		from *string
	}{
		{"token_file", &c.TokenFile, d.TokenFile},
		{"working_directory", &c.WorkingDirectory, d.WorkingDirectory},
		{"output_root", &c.OutputRoot, d.OutputRoot},
		{"shim", &c.Shim, d.Shim},
		{"state_dir", &c.StateDir, d.StateDir},
		{"runtime_dir", &c.RuntimeDir, d.RuntimeDir},
		{"lock_dir", &c.LockDir, d.LockDir},
	} {
		set(p.to, p.from)
		if *p.to == "" {
			if p.path != "token_file" && (p.path != "working_directory" || needsCode) {
				r.errorf(p.path, "is empty; want a path")
			}
			continue
		}
		abs, err := filepath.Abs(*p.to)
		if err != nil {
			r.errorf(p.path, "%q cannot be made absolute: %v", *p.to, err)
			continue
		}
		if !utf8.ValidString(abs) {
			r.errorf(p.path, "%q is not valid UTF-8, so that no result could name it; choose another directory", abs)
		}
		*p.to = abs
	}
	if n := len(c.RuntimeDir); n > maxRuntimeDir {
		r.errorf("runtime_dir", "%q is %d bytes long; want at most %d, because the path of a unix socket below it is limited", c.RuntimeDir, n, maxRuntimeDir)
	}
	r.mounts()
	if c.WorkingDirectory != "" {
		r.exposed("working_directory", c.WorkingDirectory)
	}
	for _, m := range c.DataMounts {
		r.exposed("sandbox.data_mounts", m.Source)
	}
}

// exposed refuses a directory, which every job can read, that contains what only
// the runner or another job should.
func (r *resolver) exposed(path, dir string) {
	for _, in := range []struct{ name, path string }{
		{"output_root", r.cfg.OutputRoot}, {"state_dir", r.cfg.StateDir},
		{"runtime_dir", r.cfg.RuntimeDir}, {"token_file", r.cfg.TokenFile},
	} {
		if in.path != "" && within(dir, in.path) {
			r.errorf(path, "%q contains %s %q, which every job could then read; name a directory with nothing but your code, or move %s", dir, in.name, in.path, in.name)
		}
	}
}

// mounts checks the read-only data directories and keeps them.
func (r *resolver) mounts() {
	seen := map[string]bool{}
	for _, m := range r.doc.Sandbox.DataMounts {
		target := path.Clean(m.Target)
		switch {
		case !filepath.IsAbs(m.Source):
			r.errorf("sandbox.data_mounts", "source %q is not an absolute path", m.Source)
		case !path.IsAbs(m.Target) || target == "/":
			r.errorf("sandbox.data_mounts", "target %q is not an absolute path below /", m.Target)
		case within("/lynx", target):
			r.errorf("sandbox.data_mounts", "target %q lies below /lynx, which belongs to the runner", m.Target)
		case within("/proc", target) || within("/sys", target) || within("/dev", target) || target == "/tmp":
			r.errorf("sandbox.data_mounts", "target %q belongs to the system", m.Target)
		case seen[target]:
			r.errorf("sandbox.data_mounts", "target %q is named twice", m.Target)
		}
		seen[target] = true
		r.cfg.DataMounts = append(r.cfg.DataMounts, executor.Mount{Source: filepath.Clean(m.Source), Target: target})
	}
}

// within reports whether path is dir or lies below it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
