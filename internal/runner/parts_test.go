package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func digestOf(t *testing.T, d *treeDigest) string {
	t.Helper()
	sum, err := d.sum(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// The digest is of paths and contents, and of nothing else.
func TestTreeDigest(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		write(t, dir, "scenario.py", "print(1)\n")
		write(t, dir, "lib/helper.py", "x = 1\n")
		if err := os.Symlink("scenario.py", filepath.Join(dir, "main.py")); err != nil {
			t.Fatal(err)
		}
	}
	d := newTreeDigest(one)
	first := digestOf(t, d)
	if !strings.HasPrefix(first, "sha256:") || len(first) != 71 {
		t.Errorf("digest %q", first)
	}
	if other := digestOf(t, newTreeDigest(two)); other != first {
		t.Error("equal trees have different digests")
	}
	write(t, one, "lib/__pycache__/helper.pyc", "bytecode")
	write(t, one, ".git/HEAD", "ref")
	if err := os.Chtimes(filepath.Join(one, "scenario.py"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if again := digestOf(t, d); again != first {
		t.Error("bytecode, version control or times change the digest")
	}
	for name, change := range map[string]func(dir string){
		"content": func(dir string) { write(t, dir, "scenario.py", "print(1)  # changed\n") },
		"name":    func(dir string) { os.Rename(filepath.Join(dir, "scenario.py"), filepath.Join(dir, "other.py")) },
		"new":     func(dir string) { write(t, dir, "more.py", "") },
		"link": func(dir string) {
			os.Remove(filepath.Join(dir, "main.py"))
			os.Symlink("lib/helper.py", filepath.Join(dir, "main.py"))
		},
		"link to file": func(dir string) {
			os.Remove(filepath.Join(dir, "main.py"))
			write(t, dir, "main.py", "print(1)\n")
		},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(two)); err != nil {
			t.Fatal(err)
		}
		d := newTreeDigest(dir)
		if digestOf(t, d) != first {
			t.Fatal("a copy has another digest")
		}
		change(dir)
		if digestOf(t, d) == first {
			t.Errorf("%s: the digest did not change", name)
		}
	}
}

func TestTreeDigestIsBounded(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(maxTreeBytes+1), f.Close()); err != nil {
		t.Fatal(err)
	}
	if sum, err := newTreeDigest(dir).sum(t.Context()); err == nil {
		t.Errorf("a tree of more than a gibibyte has the digest %s", sum)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newTreeDigest(dir).sum(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "sub", "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	digestOf(t, newTreeDigest(filepath.Join(dir, "sub"))) // does not block
}

// The log's last line is read only of a regular file.
func TestLastLineOfStrangeLogs(t *testing.T) {
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(
		os.WriteFile(secret, []byte("root:x\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "plain"), []byte(strings.Repeat("a\n", tailBytes)+"end\n"), 0o600),
		os.Symlink(secret, filepath.Join(dir, "link")),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
		os.Mkdir(filepath.Join(dir, "dir"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"plain": "end", "link": "", "fifo": "", "dir": "", "none": ""} {
		if got := lastLineOf(dir, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := lastLineOf(filepath.Join(dir, "nowhere"), "x"); got != "" {
		t.Errorf("no directory: %q", got)
	}
}

func slotConfig(dir string, n int) *config.Config {
	return &config.Config{MaxConcurrentJobs: n, LockDir: dir, UIDs: config.UIDRange{First: 5000, Last: 5002}}
}

// Root runners of one host never give two jobs the same user.
func TestSlotUsers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	first, err := newSlots(slotConfig(dir, 2), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := newSlots(slotConfig(dir, 1), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	uids := map[int]bool{}
	for _, s := range append(first.acquire(t.Context()), second.acquire(t.Context())...) {
		uids[s.uid] = true
		if s.uid == 0 || s.gid != s.uid {
			t.Errorf("slot runs as %d:%d", s.uid, s.gid)
		}
	}
	if len(uids) != 3 {
		t.Errorf("users %v", uids)
	}
	if _, err := newSlots(slotConfig(dir, 1), 0, 0); err == nil || !strings.Contains(err.Error(), "widen it") {
		t.Errorf("a fourth user of three: %v", err)
	}
	first.close()
	third, err := newSlots(slotConfig(dir, 2), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	third.close()
	second.close()
}

func TestSlotsOfAnOrdinaryUser(t *testing.T) {
	s, err := newSlots(slotConfig(filepath.Join(t.TempDir(), "never made"), 2), 1000, 100)
	if err != nil {
		t.Fatal(err)
	}
	got := s.acquire(t.Context())
	if len(got) != 2 || got[0].uid != 1000 || got[0].gid != 100 {
		t.Errorf("slots %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if more := s.acquire(ctx); more != nil {
		t.Errorf("%d slots of an empty pool", len(more))
	}
	s.close()
}

func TestBackoff(t *testing.T) {
	b := backoff{min: time.Second, max: 10 * time.Second}
	for i, most := range []time.Duration{1, 2, 4, 8, 10, 10, 10} {
		most *= time.Second
		if d := b.next(); d < most/2 || d > most {
			t.Errorf("try %d waits %v, want %v to %v", i, d, most/2, most)
		}
	}
	for range 200 { // no overflow
		if d := b.next(); d < 5*time.Second || d > 10*time.Second {
			t.Fatalf("waits %v", d)
		}
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		if !g.pass(t.Context()) || g.set(false) {
			t.Error("a new gate is not open")
		}
		if !g.set(true) || g.set(true) {
			t.Error("shutting does not report the change")
		}
		passed := make(chan bool)
		go func() { passed <- g.pass(t.Context()) }()
		synctest.Wait()
		select {
		case <-passed:
			t.Fatal("passed a shut gate")
		default:
		}
		g.set(false)
		if !<-passed {
			t.Error("not let through")
		}
		g.set(true)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if g.pass(ctx) {
			t.Error("let through after the end")
		}
	})
}

// A report is never larger than a platform takes, and says what it leaves out.
func TestFit(t *testing.T) {
	result := &runnerv1.Result{}
	for i := range 40_000 {
		result.Artifacts = append(result.Artifacts, &runnerv1.Artifact{Name: fmt.Sprintf("%0100d", i), Sha256: strings.Repeat("a", 64)})
	}
	report := &runnerv1.ReportResultRequest{Result: result}
	fit(report)
	if n := proto.Size(report); n > maxReport+1000 || len(result.Artifacts) == 0 {
		t.Errorf("%d bytes with %d artifacts", n, len(result.Artifacts))
	}
	if len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0], "of 40000 artifacts") {
		t.Errorf("warnings %q", result.Warnings)
	}
	small := &runnerv1.ReportResultRequest{Result: &runnerv1.Result{Artifacts: []*runnerv1.Artifact{{Name: "a"}}}}
	if fit(small); len(small.Result.Artifacts) != 1 || small.Result.Warnings != nil {
		t.Errorf("changed %v", small)
	}
}

// Only the first reason counts, and none after the end.
func TestFirstCauseCounts(t *testing.T) {
	newOne := func() *job {
		j := &job{stopped: make(chan struct{})}
		j.startCtx, j.cancelStart = context.WithCancel(t.Context())
		return j
	}
	j := newOne()
	j.stop(cause{kind: causeTimeout})
	j.stop(cause{kind: causeCancel})
	if j.reason().kind != causeTimeout {
		t.Errorf("reason %v", j.reason().kind)
	}
	if j.startCtx.Err() != nil {
		t.Error("a timeout ends a start")
	}
	j.cancelStart()
	late := newOne()
	late.end()
	late.stop(cause{kind: causeCancel})
	if late.reason().kind != causeNone {
		t.Errorf("reason %v after the end", late.reason().kind)
	}
	late.cancelStart()
}
