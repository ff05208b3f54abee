package artifact

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSweep(t *testing.T) {
	outside := secret(t)
	dir := tree(t, map[string]string{"stdout.log": "out", "own.log": "x", "d/inner": "x", "one": "x"})
	must(t, os.Symlink(outside, filepath.Join(dir, "stderr.log")))
	must(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "dirlink")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "two")))
	must(t, os.Chmod(filepath.Join(dir, "d"), 0o500))
	socket(t, filepath.Join(dir, "socket"))
	warnings := Sweep(dir)
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if !info.Mode().IsRegular() || links(info) != 1 {
			t.Errorf("%s is left", e.Name())
		}
	}
	for _, name := range []string{"stdout.log", "own.log"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != "the secret" {
		t.Errorf("the file outside: %q, %v", text, err)
	}
	all := strings.Join(warnings, "\n")
	for _, word := range []string{"stderr.log", "dirlink", "a symbolic link", "a FIFO", "a socket", "a directory", "several links"} {
		if !strings.Contains(all, word) {
			t.Errorf("no warning says %q: %s", word, all)
		}
	}
	if again := Sweep(dir); again != nil {
		t.Errorf("once more: %q", again)
	}
}

// However much a job leaves, there are few warnings.
func TestSweepOfMuch(t *testing.T) {
	dir := t.TempDir()
	for i := range 500 {
		must(t, os.Symlink("nowhere", filepath.Join(dir, fmt.Sprintf("link%d\n", i))))
	}
	warnings := Sweep(dir)
	if len(warnings) != maxSwept+1 || !strings.Contains(warnings[maxSwept], "490 more") {
		t.Errorf("%d warnings, the last: %q", len(warnings), warnings[len(warnings)-1])
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("%d entries are left", len(entries))
	}
}

func TestSweepOfNothing(t *testing.T) {
	if got := Sweep(filepath.Join(t.TempDir(), "none")); got != nil {
		t.Errorf("%q", got)
	}
}
