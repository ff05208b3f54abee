package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What a killed process left in the directory for temporary files is removed by the
// next start, in whatever output directory; what is in use, or not known to be ours,
// stays.
func TestSweep(t *testing.T) {
	p := newPlace(t)
	mkdir := func(name string, mode os.FileMode) string {
		dir := filepath.Join(p.tmp, name)
		if err := os.Mkdir(dir, mode); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	killed, used, exposed, unmarked := mkdir("lynx-killed", 0o700), mkdir("lynx-used", 0o700), mkdir("lynx-exposed", 0o777), mkdir("lynx-unmarked", 0o700)
	for _, dir := range []string{killed, exposed} {
		f, err := own(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil { // as the process's end does
			t.Fatal(err)
		}
	}
	if err := os.Chmod(exposed, 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := own(used)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()

	local, err := startLocal(t.Context(), p.options)
	if err != nil {
		t.Fatal(err)
	}
	if err := sweep(); err != nil { // of another study, which leaves this one alone
		t.Error(err)
	}
	waitForRunner(t, local.Client())
	if err := local.Stop(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(p.tmp, "lynx-*"))
	if want := []string{exposed, unmarked, used}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left: %q, %v; want %q", left, err, want)
	}
}
