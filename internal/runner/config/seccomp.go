package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// seccomp settles the filter.
func (r *resolver) seccomp() {
	const path = "sandbox.seccomp"
	s := &r.cfg.Sandbox
	set(&s.Seccomp, r.doc.Sandbox.Seccomp)
	switch s.Seccomp {
	case SeccompDefault, SeccompEngine:
		return
	case "", "unconfined", "none":
		r.errorf(path, "%q is no filter; want default, engine, or the path of a profile", s.Seccomp)
		return
	}
	abs, err := filepath.Abs(s.Seccomp)
	if err == nil {
		s.Seccomp = abs
		s.Profile, err = readSeccomp(abs)
	}
	if err != nil {
		r.errorf(path, "%v; want default, engine, or the path of a profile: the object linux.seccomp of the OCI runtime specification, in JSON", err)
	}
}

// maxSeccomp bounds a profile's file. The engine's own has 15 kB.
const maxSeccomp = 1 << 20

// readSeccomp reads a profile, and nothing that is not a regular file.
func readSeccomp(path string) (*specs.LinuxSeccomp, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file (%v)", path, info.Mode())
	case info.Size() > maxSeccomp:
		return nil, fmt.Errorf("%s has %d bytes, more than a profile could", path, info.Size())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSeccomp))
	if err != nil {
		return nil, err
	}
	p, err := parseSeccomp(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// filterActions are what an engine can do about a call. SCMP_ACT_NOTIFY asks a
// program that there is not.
var filterActions = []specs.LinuxSeccompAction{
	specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActTrace, specs.ActAllow, specs.ActLog,
}

// parseSeccomp decodes a profile strictly: an engine ignores a key that it does
// not know, and with it a rule.
func parseSeccomp(data []byte) (*specs.LinuxSeccomp, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var p specs.LinuxSeccomp
	if err := decoder.Decode(&p); err != nil {
		return nil, fmt.Errorf("no seccomp profile of the OCI runtime specification: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the profile")
	}
	if !slices.Contains(filterActions, p.DefaultAction) {
		return nil, fmt.Errorf("defaultAction is %q; want one of %v", p.DefaultAction, filterActions)
	}
	if p.ListenerPath != "" || p.ListenerMetadata != "" {
		return nil, errors.New("a listener can't be had")
	}
	for i, rule := range p.Syscalls {
		switch {
		case len(rule.Names) == 0 || slices.Contains(rule.Names, ""):
			return nil, fmt.Errorf("syscalls[%d] names no call", i)
		case !slices.Contains(filterActions, rule.Action):
			return nil, fmt.Errorf("syscalls[%d]: action is %q; want one of %v", i, rule.Action, filterActions)
		}
	}
	return &p, nil
}
