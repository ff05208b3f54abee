package runner

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
)

// slowDisk has whoever opens a file in the directory wait until go is closed. opened is
// closed when somebody does.
func slowDisk(t *testing.T, dir string, goOn <-chan struct{}) (opened <-chan struct{}) {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		t.Skipf("needs the right to watch files (fanotify, root): %v", err)
	}
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM|unix.FAN_EVENT_ON_CHILD, unix.AT_FDCWD, dir); err != nil {
		t.Fatal(err)
	}
	first, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer unix.Close(fd) // lets go of who still waits
		buf := make([]byte, 4096)
		n, err := unix.Read(fd, buf)
		if err != nil || n < unix.FAN_EVENT_METADATA_LEN {
			t.Errorf("events: %d bytes, %v", n, err)
			return
		}
		close(first)
		<-goOn
		file := binary.LittleEndian.Uint32(buf[16:])
		answer := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, file), unix.FAN_ALLOW)
		if _, err := unix.Write(fd, answer); err != nil {
			t.Error(err)
		}
		unix.Close(int(file))
	}()
	t.Cleanup(func() { <-done })
	return first
}

// A disk that does not take the reason for a kill does not keep the kill waiting.
func TestSlowDiskDelaysNoKill(t *testing.T) {
	b := newBench(t)
	b.pace.record = time.Millisecond
	goOn := make(chan struct{})
	begin := make(chan struct{})
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		<-begin
		p.publish(ctx, 1, "orbit.radius_km", 6000, "km")
		return untilKilled(ctx, p)
	}
	b.start()
	b.platform.submit(radiusBelow(assignment("job", 0)))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	causes := filepath.Join(b.cfg.StateDir, "causes")
	opened := slowDisk(t, causes, goOn)
	close(begin)
	<-opened
	select {
	case <-b.executor.handle("job-1").done:
	case <-time.After(patience):
		t.Error("the kill waits for the disk")
	}
	if _, err := os.Lstat(filepath.Join(causes, "job-1")); err == nil {
		t.Error("the reason is written: the disk was not slow")
	}
	close(goOn)
	if result := b.platform.result("job-1"); result.GetOutcome() != "early_termination" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	b.drain()
}
