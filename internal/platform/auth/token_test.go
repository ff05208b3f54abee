package auth_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tetryx/lynx-runner/internal/platform/auth"
)

func TestTokensDiffer(t *testing.T) {
	a, b := auth.NewToken(), auth.NewToken()
	if a == b || len(a) < 40 || !strings.HasPrefix(a, "lynx_") {
		t.Errorf("tokens %q and %q", a, b)
	}
}

func TestLoadOrCreateKeepsTheToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	first, err := auth.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	second, err := auth.LoadOrCreate(path)
	if err != nil || second != first {
		t.Errorf("second start got %q, %v; want the first one's token", second, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left in the directory: %v, %v; want the token only", entries, err)
	}
}

func TestConcurrentFirstStartsAgree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	var wg sync.WaitGroup
	tokens := make([]string, 8)
	for i := range tokens {
		wg.Go(func() {
			token, err := auth.LoadOrCreate(path)
			if err != nil {
				t.Error(err)
			}
			tokens[i] = token
		})
	}
	wg.Wait()
	for _, token := range tokens {
		if token != tokens[0] {
			t.Fatalf("two starts disagree on the token")
		}
	}
}

func TestReadFileRefuses(t *testing.T) {
	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"readable by the group", "lynx_0123456789abcdef", 0o640, "chmod 600"},
		{"readable by all", "lynx_0123456789abcdef", 0o604, "chmod 600"},
		{"empty", "", 0o600, "16 or more"},
		{"short", "secret", 0o600, "16 or more"},
		{"two lines", "lynx_0123456789abcdef\nlynx_x", 0o600, "one line"},
		{"control character", "lynx_0123456789\x00abcdef", 0o600, "printable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil { // whatever the umask
				t.Fatal(err)
			}
			_, err := auth.ReadFile(path)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if c.content != "" && err != nil && strings.Contains(err.Error(), c.content) {
				t.Errorf("error %v holds the token", err)
			}
			if _, err := auth.LoadOrCreate(path); err == nil {
				t.Error("LoadOrCreate took a file that ReadFile refuses")
			}
		})
	}
}

func TestReadFileOfWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := auth.ReadFile(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v, want fs.ErrNotExist", err)
	}
	if _, err := auth.ReadFile(dir); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("directory: %v", err)
	}
	fifo := filepath.Join(dir, "fifo") // must not wait for a writer
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.ReadFile(fifo); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("fifo: %v", err)
	}
	if _, err := auth.LoadOrCreate(filepath.Join(dir, "no", "such", "dir")); err == nil {
		t.Error("a token in a directory that is not there")
	}
}
