package runner

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// smallDisk mounts a file system of that size.
func smallDisk(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size="+size); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for block := bytes.Repeat([]byte("x"), 4096); ; {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}

// A job that fills the disk of the results is reported, with what could not be
// written and where, and no half manifest beside it.
func TestResultsOnAFullDisk(t *testing.T) {
	b := newBench(t)
	smallDisk(t, b.cfg.OutputRoot, "256k")
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		p.publish(ctx, 1, "orbit.radius_km", 7000, "km")
		fill(t, filepath.Join(p.spec.OutputDir, "data"))
		return exited(0)
	}
	result := runOne(t, b, assignment("job", 0))
	said := strings.Join(append(result.GetWarnings(), result.GetErrorMessage()), "\n")
	if result.GetOutcome() != "infrastructure" || !strings.Contains(said, "no space left") || strings.Contains(said, "/proc/") {
		t.Errorf("%s: %s", result.GetOutcome(), said)
	}
	if info, err := os.Stat(filepath.Join(attemptDir(b, 0), "manifest.json")); err == nil && info.Size() == 0 {
		t.Error("an empty manifest is left")
	} else if err == nil {
		readManifest(t, result)
	}
	if len(result.GetArtifacts()) != 1 {
		t.Errorf("artifacts %v", result.GetArtifacts())
	}
}

// What is to be written on a disk that is full for a moment waits for space.
func TestResultsOnADiskFullForAMoment(t *testing.T) {
	b := newBench(t)
	smallDisk(t, b.cfg.OutputRoot, "512k")
	b.pace.space = patience
	data := filepath.Join(attemptDir(b, 0), "output", "data")
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		p.publish(ctx, 1, "orbit.radius_km", 7000, "km")
		fill(t, data)
		return exited(0)
	}
	b.start()
	b.platform.submit(assignment("job", 0))
	b.paused("output_root has no space left")
	if err := os.Remove(data); err != nil {
		t.Error(err)
	}
	result := b.platform.result("job-1")
	if result.GetOutcome() != "completed" || len(result.GetWarnings()) > 0 {
		t.Errorf("%s: %s, warnings %q", result.GetOutcome(), result.GetErrorMessage(), result.GetWarnings())
	}
	readManifest(t, result)
	if _, err := os.Stat(filepath.Join(attemptDir(b, 0), "telemetry.parquet")); err != nil {
		t.Error(err)
	}
	b.drain()
}

// A runner that is stopped while it waits for space does not tell a verdict without the
// telemetry that it rests on: the attempt is run again.
func TestStoppedOnAFullDisk(t *testing.T) {
	b := newBench(t)
	smallDisk(t, b.cfg.OutputRoot, "512k")
	b.pace.space, b.pace.stop = patience, 50*time.Millisecond
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		p.publish(ctx, 1, "orbit.radius_km", 7000, "km")
		fill(t, filepath.Join(p.spec.OutputDir, "data"))
		p.publish(ctx, 2, "orbit.radius_km", 6000, "km")
		return untilKilled(ctx, p)
	}
	b.start()
	b.platform.submit(radiusBelow(assignment("job", 0)))
	b.paused("output_root has no space left")
	b.stop()
	result := b.platform.result("job-1")
	if result.GetOutcome() != "infrastructure" || !strings.Contains(result.GetErrorMessage(), "runner_shutdown") || result.GetBreach() != nil {
		t.Errorf("%s: %s, warnings %q", result.GetOutcome(), result.GetErrorMessage(), result.GetWarnings())
	}
}

// A full disk of the runner's own state keeps no result back.
func TestStateOnAFullDisk(t *testing.T) {
	b := newBench(t)
	smallDisk(t, b.cfg.StateDir, "64k")
	b.start()
	b.platform.await("a heartbeat", func() bool { return len(b.platform.heartbeats) > 0 })
	fill(t, filepath.Join(b.cfg.StateDir, "data"))
	b.platform.submit(assignment("job", 0))
	if result := b.platform.result("job-1"); result.GetOutcome() != "completed" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	b.drain()
}

// The results are their owner's, up to the output root.
func TestOutputOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only a root runner can give files away")
	}
	b := newBench(t)
	b.cfg.OutputOwner = config.Owner{UID: 4242, GID: 4343, Set: true}
	b.executor.script = func(_ context.Context, p *program) executor.Exit {
		p.write("x", "y")
		return exited(0)
	}
	result := runOne(t, b, assignment("job", 0))
	for _, name := range append(files(t, result.GetDirectory()), ".", "..", "../..", "output", "log") {
		if uid, gid, err := ownerOf(filepath.Join(result.GetDirectory(), name)); err != nil || uid != 4242 || gid != 4343 {
			t.Errorf("%s belongs to %d:%d (%v)", name, uid, gid, err)
		}
	}
	if len(result.GetWarnings()) > 0 {
		t.Errorf("warnings %q", result.GetWarnings())
	}
}
