package runner

import (
	"context"
	_ "embed" // for the program
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
)

//go:embed check_limits.py
var limitsProgram string

// The limits of the job that tries limits: small, so that it is quick and hurts
// nobody where they do not hold.
const (
	triedMemory   = 64 << 20
	triedPids     = 64
	triedCPUMilli = 300
)

// tried is what check_limits.py prints: of each limit whether it held, and how that
// showed.
type tried struct {
	Memory, Pids, CPU, Tmp, FileSize probe
	// Label is AppArmor's or SELinux's of the job's process, empty where the host has
	// none; UserMap is /proc/self/uid_map.
	Label, UserMap probe
	// Refused are the calls that only our system call filter refuses.
	Refused probe
}

// limits lets a job go against its limits, and tells which of them hold.
func (c *checker) limits(ctx context.Context, exec executor.Executor, image string, s *slot) {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	sandbox := c.cfg.JobSandbox(triedCPUMilli, triedMemory).WithPids(triedPids)
	expected, err := json.Marshal(map[string]int64{"memory": triedMemory, "pids": triedPids, "cpu_millis": triedCPUMilli, "tmp": sandbox.TmpBytes, "file": c.cfg.Limits.Output.FileBytes})
	if err != nil {
		c.add("limits", LevelWarning, "%v", err)
		return
	}
	var found tried
	if err := c.run(ctx, exec, trial{program: limitsProgram, args: []string{string(expected)}, image: image, sandbox: sandbox, slot: s}, &found); err != nil {
		c.add("limits", LevelWarning, "nothing can be said about what is enforced: %v", err)
		return
	}
	c.held(found)
	if !c.isProcess() {
		c.walls(found)
	}
}

// held says which limits a job could not get past.
func (c *checker) held(found tried) {
	type limit struct {
		name string
		probe
	}
	all := []limit{{"memory and swap", found.Memory}, {"pids", found.Pids}, {"CPU", found.CPU}, {"file size", found.FileSize}}
	if !c.isProcess() { // which has no tmpfs
		all = append(all, limit{"tmpfs", found.Tmp})
	}
	var hold []string
	for _, l := range all {
		if l.OK {
			hold = append(hold, l.name)
			continue
		}
		level := LevelFailed
		if c.isProcess() || c.accepted(l.name) {
			level = LevelWarning // said before, or accepted
		}
		c.add("limits", level, "the limit on %s does not hold: %s", l.name, l.text())
	}
	if len(hold) > 0 {
		c.add("limits", LevelOK, "tried, and held: %s", strings.Join(hold, ", "))
	}
}

// accepted says that the owner knows that a limit may not hold.
func (c *checker) accepted(name string) bool {
	for _, limit := range c.cfg.Sandbox.Unenforced {
		if strings.Contains(strings.ToLower(name), limit) {
			return true
		}
	}
	return false
}

// walls says what else stands between a job and the host.
func (c *checker) walls(found tried) {
	var refused map[string]bool
	var label, users string
	if err := errors.Join(json.Unmarshal(found.Refused.Value, &refused), json.Unmarshal(found.Label.Value, &label), json.Unmarshal(found.UserMap.Value, &users)); err != nil {
		c.add("sandbox", LevelWarning, "nothing can be said about filters and labels: %v", err)
		return
	}
	var passed []string
	for call, no := range refused {
		if !no {
			passed = append(passed, call)
		}
	}
	switch s := c.cfg.Sandbox; {
	case s.Seccomp == config.SeccompEngine:
		c.add("seccomp", LevelOK, "the engine's own filter is in force")
	case s.Profile != nil:
		c.add("seccomp", LevelOK, "the filter is that of %s", s.Seccomp)
	case len(passed) > 0 && s.Runtime != "":
		c.add("seccomp", LevelWarning, "runtime %s lets through %s, which our filter refuses: it has a filter of its own, or none", s.Runtime, strings.Join(passed, ", "))
	case len(passed) > 0:
		c.add("seccomp", LevelFailed, "our filter is not in force: it lets through %s; the engine does not do what it is asked", strings.Join(passed, ", "))
	default:
		c.add("seccomp", LevelOK, "our filter is in force: tried calls were refused")
	}
	c.add("labels", LevelOK, "%s", labelText(label))
	c.add("users", LevelOK, "%s", userMapText(users))
}

// labelText says what a process's security label means.
func labelText(label string) string {
	switch {
	case label == "":
		return "neither AppArmor nor SELinux confines containers on this host"
	case strings.Count(label, ":") >= 3:
		return "SELinux confines a job as " + label
	case label == "unconfined":
		return "the host has AppArmor, and no profile of it confines a job; the engine's default is docker-default"
	}
	return "AppArmor confines a job with the profile " + label
}

// userMapText says what /proc/self/uid_map means.
func userMapText(users string) string {
	var inside, outside, count int64
	if n, err := fmt.Sscan(users, &inside, &outside, &count); err != nil || n != 3 {
		return "the user ids of containers are not known"
	}
	if inside == 0 && outside == 0 {
		return "user ids in a container are those of the host (no user namespace)"
	}
	return fmt.Sprintf("user 0 of a container is user %d outside (user namespace)", outside)
}
