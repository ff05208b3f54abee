package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// script is a peer's, in bench/peers.
func (w *world) script(ctx context.Context, name string, environ []string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, w.root+"/bench/peers/"+name, args...)
	cmd.Env = append(os.Environ(), environ...)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return time.Since(began), nil
}

// engineVersion is the engine's, for the table's head.
func engineVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").Output()
	if err != nil {
		return "no Docker engine"
	}
	return "Docker " + strings.TrimSpace(string(out))
}
