//go:build engine

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSmoke measures every row that needs the engine, as little as possible, and
// looks at the table and at what is left. The figures mean nothing.
func TestSmoke(t *testing.T) {
	tmp := t.TempDir()
	// The directory of the world lies in TMPDIR; a short one, for the sockets.
	short, err := os.MkdirTemp("", "lx-b-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	if err := os.Chmod(short, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", short)
	t.Setenv("GOTMPDIR", tmp)
	var out bytes.Buffer
	args := "-root .. -reps 1 -jobs 2 -samples 400 -idle 100ms -rows slot,tutorial,telemetry,breach,idle"
	if err := run(t.Context(), strings.Fields(args), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"slot time", "tutorial", "telemetry through", "breach to dead, docker", "breach to dead, process", "idle runner", "idle platform"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q", want)
		}
	}
	if n := strings.Count(out.String(), "\n| "); n != 10+1 {
		t.Errorf("%d lines in\n%s", n, out.String())
	}
	if left, err := filepath.Glob(filepath.Join(short, "*")); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}
