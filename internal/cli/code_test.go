package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree makes files with their names as content.
func tree(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// listTree lists a tree's files and links.
func listTree(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func TestCopyCode(t *testing.T) {
	from, into := t.TempDir(), filepath.Join(t.TempDir(), "work")
	tree(t, from, "study.yaml", "sim.py", "lib/deep/part.py", "run.sh",
		".git/config", ".env", "lib/__pycache__/part.pyc", "lynx-output/b1/00000/attempt-1/output/x", "old/.lynx/state", "old/b0/y")
	for _, err := range []error{
		os.Chmod(filepath.Join(from, "run.sh"), 0o700),
		os.Symlink("sim.py", filepath.Join(from, "link.py")),
		os.Symlink("/etc/passwd", filepath.Join(from, "outside")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("unix", filepath.Join(from, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := CopyCode(from, into, filepath.Join(from, "lynx-output")); err != nil {
		t.Fatal(err)
	}
	want := []string{"lib/deep/part.py", "link.py", "outside", "run.sh", "sim.py", "study.yaml"}
	if diff := cmp.Diff(want, listTree(t, into)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, mode := range map[string]fs.FileMode{"sim.py": 0o644, "run.sh": 0o755, "lib/deep": fs.ModeDir | 0o755} {
		info, err := os.Lstat(filepath.Join(into, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, mode)
		}
	}
	if data, err := os.ReadFile(filepath.Join(into, "lib/deep/part.py")); string(data) != "lib/deep/part.py" {
		t.Errorf("content %q, %v", data, err)
	}
	if target, err := os.Readlink(filepath.Join(into, "outside")); target != "/etc/passwd" {
		t.Errorf("a link became %q, %v", target, err)
	}
}

// TestCopyCodeIsForCode: what is too much for a program is refused with advice,
// early.
func TestCopyCodeIsForCode(t *testing.T) {
	for name, fill := range map[string]func(dir string) error{
		"many files": func(dir string) error {
			for i := range maxCodeFiles + 1 {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		"large files": func(dir string) error {
			for _, name := range []string{"a", "b", "c"} {
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
					return err
				}
				if err := os.Truncate(filepath.Join(dir, name), maxCodeBytes/2); err != nil {
					return err
				}
			}
			return nil
		},
		"a file that is endless": func(dir string) error {
			if err := os.WriteFile(filepath.Join(dir, "a"), nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(filepath.Join(dir, "a"), 1<<40)
		},
	} {
		t.Run(name, func(t *testing.T) {
			from, into := t.TempDir(), filepath.Join(t.TempDir(), "work")
			if err := fill(from); err != nil {
				t.Fatal(err)
			}
			err := CopyCode(from, into, "")
			var tooMuch *TooMuchError
			if !errors.As(err, &tooMuch) || !strings.Contains(err.Error(), "--working-directory") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestCopyCodeOfNothing(t *testing.T) {
	if err := CopyCode(filepath.Join(t.TempDir(), "no"), filepath.Join(t.TempDir(), "work"), ""); err == nil || !strings.Contains(err.Error(), "the study's directory") {
		t.Errorf("error %v", err)
	}
}
