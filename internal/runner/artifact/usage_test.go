package artifact

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUsageCountsWithoutFollowing(t *testing.T) {
	one := tree(t, map[string]string{"a": strings.Repeat("x", 5000), "d/b": "12345"})
	two := tree(t, map[string]string{"c": "123"})
	must(t, os.Symlink(secret(t), filepath.Join(one, "link")))
	must(t, os.Symlink("/usr", filepath.Join(one, "usr")))
	must(t, unix.Mkfifo(filepath.Join(one, "fifo"), 0o600))
	must(t, os.Truncate(filepath.Join(two, "c"), 1<<40))
	u, err := Usage(t.Context(), DefaultLimits(), one, two)
	must(t, err)
	if u.Bytes != 5005+1<<40 || u.Largest != 1<<40 || u.Files != 3 || u.Entries != 7 || u.Truncated || u.Unreadable != 0 {
		t.Errorf("%+v", u)
	}
	if u.Allocated <= 0 || u.Allocated > 1<<20 {
		t.Errorf("%d bytes are allocated", u.Allocated)
	}
}

func TestUsageIsBounded(t *testing.T) {
	limits := Limits{Files: 3, Depth: 2}
	cases := []struct {
		name      string
		files     map[string]string
		truncated bool
		entries   int
	}{
		{"as many as allowed", map[string]string{"a": "", "b": "", "c": "", "d": "", "e": "", "f": "", "g": ""}, false, 7},
		{"one more", map[string]string{"a": "", "b": "", "c": "", "d": "", "e": "", "f": "", "g": "", "h": ""}, true, 7},
		{"as deep as allowed", map[string]string{"a/b/c": ""}, false, 3},
		{"one deeper", map[string]string{"a/b/c/d": ""}, true, 3},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			u, err := Usage(t.Context(), limits, tree(t, tc.files))
			must(t, err)
			if u.Truncated != tc.truncated || u.Entries != tc.entries {
				t.Errorf("%+v", u)
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	if _, err := Usage(t.Context(), DefaultLimits(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Usage(ctx, DefaultLimits(), tree(t, map[string]string{"a": ""})); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context gives %v", err)
	}
}

// A file that vanishes under a running job's hands is no trouble.
func TestUsageWhileTheTreeChanges(t *testing.T) {
	dir := tree(t, map[string]string{"d/a": "", "e": "12"})
	var u Use
	w := walker{
		entries: 10, sorted: true,
		visit:      func(e entry) (bool, error) { u.add(e.info); return true, nil },
		problem:    func(_ string, err error) { must(t, ignoreMissing(err)) },
		beforeOpen: func(string) { must(t, os.RemoveAll(filepath.Join(dir, "d"))) },
	}
	must(t, w.top(dir))
	if u.Bytes != 2 || u.Entries != 2 {
		t.Errorf("%+v", u)
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
