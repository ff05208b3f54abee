package retention

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A job did what it could to its directories: all of that goes, and nothing else.
func TestHostileTree(t *testing.T) {
	s := newStand(t)
	s.cfg.Retention.OutputAge = ptr(day)
	outside := t.TempDir()
	s.must(os.WriteFile(filepath.Join(outside, "precious"), []byte("x"), 0o600), os.Chmod(outside, 0o555))
	t.Cleanup(func() { _ = os.Chmod(outside, 0o755) })
	s.attempt("b", 0, 1, 90, 1)
	out := filepath.Join(s.dir("b", 0, 1), "output")
	s.must(
		os.Symlink(outside, filepath.Join(out, "link")), os.Symlink("..", filepath.Join(out, "up")), os.Symlink("loop", filepath.Join(out, "loop")),
		os.Link(filepath.Join(outside, "precious"), filepath.Join(out, "hard")),
		unix.Mkfifo(filepath.Join(out, "fifo"), 0o600), os.WriteFile(filepath.Join(out, "\xff\n\x1b[31m -rf"), nil, 0),
		os.WriteFile(filepath.Join(out, asidePrefix+"lab-1.attempt-1"), nil, 0o600),
		os.Mkdir(filepath.Join(out, asidePrefix+"lab-1.attempt-2"), 0o600),
		os.MkdirAll(filepath.Join(out, "closed", "inner", "most"), 0o700),
	)
	for i := range 3000 {
		s.must(os.WriteFile(filepath.Join(out, "closed", strconv.Itoa(i)), nil, 0o600))
	}
	deep(t, out, 3000)
	if os.Geteuid() == 0 {
		s.must(filepath.WalkDir(out, func(path string, _ os.DirEntry, err error) error {
			if len(path) > 1000 {
				return filepath.SkipDir
			}
			return errors.Join(err, os.Lchown(path, 61234, 61234))
		}))
	}
	s.must(os.Chmod(filepath.Join(out, "closed", "inner"), 0), os.Chmod(filepath.Join(out, "closed"), 0o100), os.Chmod(out, os.ModeSticky|0o500))

	if r := s.clean(false); len(r.Items) != 1 {
		t.Errorf("%+v", r)
	}
	if got := tree(t, s.cfg.OutputRoot); len(got) != 1 {
		t.Errorf("left %q", got)
	}
	info, err := os.Stat(outside)
	data, readErr := os.ReadFile(filepath.Join(outside, "precious"))
	s.must(err, readErr)
	if string(data) != "x" || info.Mode().Perm() != 0o555 {
		t.Errorf("outside there is %q, mode %v", data, info.Mode())
	}
}

// deep nests directories far deeper than a path can say.
func deep(t *testing.T, dir string, levels int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for range levels {
		if err != nil {
			t.Fatal(err)
		}
		if err = unix.Mkdirat(fd, "deeper", 0o700); err != nil {
			t.Fatal(err)
		}
		var next int
		next, err = unix.Openat(fd, "deeper", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
}

// What takes the place of an attempt after it was looked at stays, and so does what
// a link in the place of a run or a batch leads to.
func TestSwappedAfterTheLook(t *testing.T) {
	for name, swap := range map[string]func(s *stand, other string) error{
		"attempt by link": func(s *stand, other string) error {
			return errors.Join(os.Rename(s.dir("b", 0, 1), s.dir("b", 0, 9)), os.Symlink(other, s.dir("b", 0, 1)))
		},
		"attempt by another": func(s *stand, other string) error {
			return errors.Join(os.Rename(s.dir("b", 0, 1), s.dir("b", 0, 9)), os.Rename(other, s.dir("b", 0, 1)))
		},
		"run by link": func(s *stand, other string) error {
			run := filepath.Dir(s.dir("b", 0, 1))
			return errors.Join(os.Rename(run, run+".x"), os.Symlink(filepath.Dir(other), run))
		},
		"batch by link": func(s *stand, other string) error {
			batch := filepath.Join(s.cfg.OutputRoot, "b")
			return errors.Join(os.Rename(batch, batch+".x"), os.Symlink("c", batch))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			s.attempt("b", 0, 1, 90, 1)
			o, err := openOutputs(s.cfg.OutputRoot, s.cfg.RunnerID)
			s.must(err)
			defer o.close()
			s.must(o.scan(t.Context()))
			s.attempt("c", 0, 1, 1, 3)
			s.must(swap(s, s.dir("c", 0, 1)))
			before := tree(t, s.cfg.OutputRoot)
			if len(o.found) != 1 {
				t.Fatalf("found %+v", o.found)
			}
			if err := o.remove(t.Context(), o.found[0]); err == nil {
				t.Error("no error")
			}
			if after := tree(t, s.cfg.OutputRoot); !slices.Equal(before, after) {
				t.Errorf("%q became %q", before, after)
			}
		})
	}
}

// Links in the layout are not part of it.
func TestLinksAreNotFollowed(t *testing.T) {
	s := newStand(t)
	s.cfg.Retention.OutputAge = ptr(day)
	elsewhere := newStand(t)
	elsewhere.attempt("b", 0, 1, 90, 1)
	s.must(os.Symlink(filepath.Join(elsewhere.cfg.OutputRoot, "b"), filepath.Join(s.cfg.OutputRoot, "b")),
		os.MkdirAll(filepath.Join(s.cfg.OutputRoot, "c", "00000"), 0o755), os.Symlink(elsewhere.dir("b", 0, 1), s.dir("c", 0, 1)))
	if r := s.clean(false); len(r.Items) > 0 || !has(filepath.Join(elsewhere.dir("b", 0, 1), manifestFile)) {
		t.Errorf("%+v", r)
	}
}

// A file with many names counts once: a job could otherwise drive out the results
// of others.
func TestLinksCountOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := os.Link(file, filepath.Join(dir, strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if n, err := measure(t.Context(), root); err != nil || n < 1<<20 || n > 3<<19 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// A removal that was interrupted leaves nothing that looks whole, and is finished
// by the next one.
func TestInterrupted(t *testing.T) {
	s := newStand(t)
	s.cfg.Retention.OutputAge = ptr(day)
	s.attempt("b", 0, 1, 90, 1)
	o, err := openOutputs(s.cfg.OutputRoot, s.cfg.RunnerID)
	s.must(err)
	defer o.close()
	s.must(o.scan(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.remove(ctx, o.found[0]); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if has(s.dir("b", 0, 1)) || len(tree(t, s.cfg.OutputRoot)) < 4 {
		t.Errorf("it is half removed as %q", tree(t, s.cfg.OutputRoot))
	}
	// Another runner's is its own affair.
	s.cfg.RunnerID = "lab-2"
	if r := s.clean(false); len(r.Items) > 0 {
		t.Errorf("%+v", r)
	}
	s.cfg.RunnerID = "lab-1"
	if r := s.clean(false); len(r.Items) != 1 || len(tree(t, s.cfg.OutputRoot)) != 1 {
		t.Errorf("%+v; left %q", r, tree(t, s.cfg.OutputRoot))
	}
}

// What somebody has mounted in an attempt is never entered.
func TestMountsAreNotEntered(t *testing.T) {
	s := newStand(t)
	s.cfg.Retention.OutputAge = ptr(day)
	s.attempt("b", 0, 1, 90, 1)
	precious := t.TempDir()
	s.must(os.WriteFile(filepath.Join(precious, "file"), nil, 0o600))
	at := filepath.Join(s.dir("b", 0, 1), "output", "mounted")
	s.must(os.Mkdir(at, 0o755))
	if err := unix.Mount(precious, at, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		mounted, err := filepath.Glob(filepath.Join(filepath.Dir(s.dir("b", 0, 1)), asidePrefix+"*", "*", "mounted"))
		if err != nil || len(mounted) != 1 {
			t.Fatalf("mounted at %q, %v", mounted, err)
		}
		if err := unix.Unmount(mounted[0], unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	r, err := s.try(false)
	s.must(err)
	if len(r.Items) != 1 || !strings.Contains(r.Items[0].Error, "busy") || r.Failed() != 1 || r.Bytes() != 0 {
		t.Errorf("%+v", r)
	}
	if !has(filepath.Join(precious, "file")) {
		t.Error("what was mounted is gone")
	}
}
