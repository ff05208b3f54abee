package runner

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

const (
	// uploadStreams is how many attempts' files are sent at the same time.
	uploadStreams = 2
	// uploadTries is how often an upload may fail of something else than a platform
	// that is away or full.
	uploadTries = 30
)

// uploads sends the files of attempts whose results are acknowledged, where the
// platform keeps files. It takes nothing from the jobs' slots. What it has still
// to do is in the journal; the files themselves stay where they are for good.
type uploads struct {
	r *Runner

	mu      sync.Mutex
	pending map[string]*upload
	changed chan struct{} // closed and replaced at each change
	arrived int
	// Nothing is sent before until, because the platform is away or full.
	until time.Time
	wait  backoff
}

// upload is one attempt's.
type upload struct {
	report *runnerv1.ReportResultRequest
	log    *slog.Logger
	// number orders uploads by arrival; busy is set while one is under way, and
	// due is when the next try may be made.
	number int
	busy   bool
	due    time.Time
	wait   backoff
	tries  int

	// files is what there is to send; nil before the first try.
	files []localFile
	// left says of which files it was already said that they are left out.
	left map[string]bool
	// lost counts how often the platform found that a file is not what was
	// announced.
	lost map[string]int
	// moved is how many bytes the last try sent.
	moved int64
}

func newUploads(r *Runner) *uploads {
	return &uploads{r: r, pending: map[string]*upload{}, changed: make(chan struct{}), wait: r.pace.backoff()}
}

// load takes up what an earlier process left.
func (q *uploads) load() error {
	reports, rejected, err := q.r.journal.Uploads()
	if err != nil {
		return err
	}
	for _, name := range rejected {
		q.r.log.Error("the files of an attempt are not sent: what the journal says about it cannot be read; it was put aside",
			"attempt", name, "state_dir", q.r.cfg.StateDir)
	}
	for _, report := range reports {
		q.insert(report)
	}
	return nil
}

// put has the files of an attempt sent, whose result was just acknowledged, or
// forgets it where the platform keeps none. From then on the attempt is not in the
// outbox's part of the journal.
func (q *uploads) put(report *runnerv1.ReportResultRequest) error {
	id := report.GetAttempt().GetAttemptId()
	if !q.r.session.keepsFiles() || report.GetResult().GetDirectory() == "" {
		return q.r.journal.Forget(id)
	}
	err := q.r.journal.Accepted(id)
	q.insert(report)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it could not be written before, and that was said
	}
	return err
}

func (q *uploads) insert(report *runnerv1.ReportResultRequest) {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := report.GetAttempt().GetAttemptId()
	q.arrived++
	q.pending[id] = &upload{
		report: report, log: q.r.log.With("attempt", id), number: q.arrived, wait: q.r.pace.backoff(),
		left: map[string]bool{}, lost: map[string]int{},
	}
	q.signal()
}

// signal tells whoever waits that something changed; q.mu is held.
func (q *uploads) signal() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// drained waits until nothing is pending, or ctx ends, and returns how many
// attempts are left.
func (q *uploads) drained(ctx context.Context) int {
	for {
		q.mu.Lock()
		left, changed := len(q.pending), q.changed
		q.mu.Unlock()
		if left == 0 {
			return 0
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return left
		}
	}
}

// run sends what is pending until ctx ends.
func (q *uploads) run(ctx context.Context) {
	var streams sync.WaitGroup
	for range uploadStreams {
		streams.Go(func() {
			for u := q.next(ctx); u != nil; u = q.next(ctx) {
				q.settle(ctx, u, q.r.sendFiles(ctx, u))
			}
		})
	}
	streams.Wait()
}

// next waits for the next upload to try, and returns nil when ctx ends.
func (q *uploads) next(ctx context.Context) *upload {
	for ctx.Err() == nil {
		u, due, changed := q.pick(time.Now())
		if u != nil {
			return u
		}
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// pick takes the oldest upload that is due. If there is none it returns when to
// look again at the latest.
func (q *uploads) pick(now time.Time) (*upload, time.Time, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var first *upload
	soonest := now.Add(time.Hour)
	for _, u := range q.pending {
		due := u.due
		if due.Before(q.until) {
			due = q.until
		}
		switch {
		case u.busy:
		case due.After(now):
			if due.Before(soonest) {
				soonest = due
			}
		case first == nil || u.number < first.number:
			first = u
		}
	}
	if first != nil {
		first.busy = true
	}
	return first, soonest, q.changed
}

// settle does what follows from a try: the upload is over, or tried again later.
func (q *uploads) settle(ctx context.Context, u *upload, err error) {
	if err == nil || errors.Is(err, errNotSendable) || gaveUp(err) || q.failed(u, err) {
		q.finish(u, err)
		return
	}
	if ctx.Err() == nil {
		u.log.Warn("cannot send an attempt's files; trying again", "error", err)
	}
}

// failed has an upload tried again later, unless that has happened too often: then
// it stays with who tried it.
func (q *uploads) failed(u *upload, err error) (over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if away(err) || status.Code(err) == codes.ResourceExhausted {
		if u.moved > 0 { // It gets on, if in pieces.
			q.wait = q.r.pace.backoff()
		}
		q.until = time.Now().Add(q.wait.next())
	} else if u.tries++; u.tries >= uploadTries {
		return true
	} else {
		u.due = time.Now().Add(u.wait.next())
	}
	u.busy = false
	q.signal()
	return false
}

// finish forgets an upload that is over.
func (q *uploads) finish(u *upload, err error) {
	switch {
	case err == nil:
		u.log.Info("files delivered")
	case status.Code(err) == codes.Unimplemented:
		u.log.Info("the platform takes no files; they stay on this host", "directory", u.report.GetResult().GetDirectory())
	default:
		u.log.Error("an attempt's files are not sent; they stay on this host", "directory", u.report.GetResult().GetDirectory(), "error", err)
	}
	id := u.report.GetAttempt().GetAttemptId()
	if err := q.r.journal.Uploaded(id); err != nil {
		u.log.Error("a finished upload could not be removed from the journal", "error", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err == nil {
		q.wait = q.r.pace.backoff()
	}
	if q.pending[id] == u {
		delete(q.pending, id)
	}
	q.signal()
}

// gaveUp reports whether a platform will never take an attempt's files.
func gaveUp(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.PermissionDenied, codes.Unimplemented:
		return true
	}
	return runnerv1.ReasonOf(err) == runnerv1.ReasonStaleToken
}
