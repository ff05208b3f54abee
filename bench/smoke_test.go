//go:build engine

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSmoke measures every row that needs the engine, as little of it as can be, and
// looks at what is left. The figures mean nothing; a row that does not work is an error
// of run.
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
	names := strings.ReplaceAll(rowNames(), ",platform", "")
	args := "-root .. -reps 1 -jobs 2 -samples 400 -idle 100ms -slots 2 -many 2 -large 100 -rows " + names
	if err := run(t.Context(), strings.Fields(args), &out); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", out.String())
	if !strings.Contains(out.String(), "directories | 0 | 0 |") {
		t.Error("something is left")
	}
	if left, err := filepath.Glob(filepath.Join(short, "*")); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}
