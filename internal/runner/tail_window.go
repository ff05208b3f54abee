package runner

import (
	"context"
	"os"
	"sync"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/telemetry"
)

// window is what others than the job's own goroutine may see of a running job. It
// opens when the job starts, is over when it writes no more, and shuts when its
// paths lead nowhere any more; what was opened through it stays.
type window struct {
	// opened is closed when the window opens, over when the job writes no more or
	// will never start.
	opened, over chan struct{}

	mu sync.Mutex
	// shut is set while there is nothing to be opened.
	shut   bool
	dir    string // of the logs
	server *telemetry.Server
	final  executor.Logs

	// head and tail are the bounds of a log; they are set before opened is closed.
	head, tail int64
}

func newWindow() *window {
	return &window{opened: make(chan struct{}), over: make(chan struct{}), shut: true}
}

// open shows a job that has started.
func (w *window) open(rec *record, server *telemetry.Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut, w.dir, w.server = false, rec.paths.log, server
	w.head, w.tail = rec.spec.LogHead, rec.spec.LogTail
	close(w.opened)
}

// finish says that the job's logs and samples are whole now.
func (w *window) finish(logs executor.Logs) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.final = logs
	close(w.over)
}

// close shuts the window.
func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut = true
}

func (w *window) finished() bool {
	select {
	case <-w.over:
		return true
	default:
		return false
	}
}

// dropped is how much was cut out of a finished log.
func (w *window) dropped(stream string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stream == "stderr" {
		return w.final.Stderr.Dropped
	}
	return w.final.Stdout.Dropped
}

// wait waits until the job has started or is over.
func (w *window) wait(ctx context.Context) error {
	select {
	case <-w.opened:
		return nil
	case <-w.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// logs opens the directory of the logs, when the job has started; nil if there is
// none to be seen.
func (w *window) logs(ctx context.Context) (*os.Root, error) {
	if err := w.wait(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		return nil, nil
	}
	return os.OpenRoot(w.dir)
}

// telemetry opens the job's samples, when it has started; nil if there are none to
// be seen.
func (w *window) telemetry(ctx context.Context) (*telemetry.Follower, error) {
	if err := w.wait(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		return nil, nil
	}
	return w.server.Follower()
}
