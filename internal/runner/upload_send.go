package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

const (
	// putChunk is how many bytes go into one message of PutFiles.
	putChunk = 256 << 10
	// maxLost is how often a file may arrive damaged before it is left out.
	maxLost = 3
)

// sendFiles tries to send what the platform does not have of an attempt's files.
// It returns nil when it has all that it will ever have.
func (r *Runner) sendFiles(ctx context.Context, u *upload) error {
	u.moved = 0
	if !r.session.keepsFiles() {
		return fmt.Errorf("%w: the platform does not keep files any more", errNotSendable)
	}
	dir, err := openAttempt(u.report.GetResult().GetDirectory())
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if u.files == nil {
		files, problems, err := localFiles(ctx, dir, u.report.GetResult())
		if err != nil {
			return err
		}
		u.files = files
		for _, problem := range problems {
			u.log.Warn("a file is not sent", "error", problem)
		}
	}
	fit, left := fitting(u.files, r.session.maxAttemptBytes())
	for _, f := range left {
		u.leaveOut(f, errors.New("the platform does not keep so many bytes of an attempt"))
	}
	return r.session.with(ctx, func(session string) error {
		t := &transfer{r: r, u: u, dir: dir, session: session}
		return t.run(ctx, fit)
	})
}

// leaveOut says, once, that a file is not sent.
func (u *upload) leaveOut(f localFile, why error) {
	if !u.left[f.path] {
		u.left[f.path] = true
		u.log.Warn("a file is not sent; it stays on this host", "file", printable(f.path), "bytes", f.size, "error", why)
	}
}

// transfer is one try in one session.
type transfer struct {
	r       *Runner
	u       *upload
	dir     *os.Root
	session string

	// stream is nil until there is something to send; stalled ends it when
	// nothing moves for too long.
	stream  runnerv1.RunnerService_PutFilesClient
	stalled *time.Timer
	buffer  []byte
}

var errStalled = status.Error(codes.DeadlineExceeded, "the platform takes no more bytes")

func (t *transfer) run(ctx context.Context, files []localFile) error {
	has, err := t.list(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.stalled = time.AfterFunc(t.r.pace.stall, func() { cancel(errStalled) })
	defer t.stalled.Stop()
	if err = t.send(ctx, files, has); err == nil && t.stream != nil {
		t.progress()
		_, err = t.stream.CloseAndRecv()
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errStalled) {
		return cause
	}
	if status.Code(err) == codes.DataLoss {
		return t.damaged(ctx, files, err)
	}
	return err
}

// list asks what the platform has.
func (t *transfer) list(ctx context.Context) (map[string]*runnerv1.StoredFile, error) {
	ctx, cancel := context.WithTimeout(ctx, t.r.pace.call)
	defer cancel()
	response, err := t.r.deps.Platform.ListFiles(ctx, &runnerv1.ListFilesRequest{SessionId: t.session, Attempt: t.u.report.GetAttempt()})
	if err != nil {
		return nil, err
	}
	has := make(map[string]*runnerv1.StoredFile, len(response.GetFiles()))
	for _, f := range response.GetFiles() {
		has[f.GetPath()] = f
	}
	return has, nil
}

// send sends the files that are missing. A file that is not what it was is left
// out.
func (t *transfer) send(ctx context.Context, files []localFile, has map[string]*runnerv1.StoredFile) error {
	for _, f := range files {
		if has[f.path].GetComplete() || t.u.left[f.path] {
			continue
		}
		t.stalled.Stop() // the time that reading takes is ours
		file, err := openUnchanged(ctx, t.dir, f)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			t.u.leaveOut(f, err)
			continue
		}
		offset := has[f.path].GetStored()
		if offset < 0 || offset > f.size {
			offset = 0
		}
		err = t.file(ctx, f, file, offset)
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// file sends one file from an offset on.
func (t *transfer) file(ctx context.Context, f localFile, from io.ReaderAt, offset int64) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	header := &runnerv1.FileHeader{Path: f.path, Size: f.size, Sha256: f.sha256, Offset: offset}
	if err := t.message(&runnerv1.PutFilesRequest{Part: &runnerv1.PutFilesRequest_File{File: header}}); err != nil {
		return err
	}
	for offset < f.size {
		n, err := from.ReadAt(t.buffer[:min(putChunk, f.size-offset)], offset)
		if n == 0 {
			// It was whole a moment ago. The next try finds out what it is now.
			return status.Errorf(codes.Aborted, "%s ends at %d of %d bytes: %v", printable(f.path), offset, f.size, err)
		}
		if err := t.message(&runnerv1.PutFilesRequest{Part: &runnerv1.PutFilesRequest_Chunk{Chunk: t.buffer[:n]}}); err != nil {
			return err
		}
		offset += int64(n)
		t.u.moved += int64(n)
	}
	return nil
}

// open begins the stream, if it has not begun.
func (t *transfer) open(ctx context.Context) (err error) {
	if t.stream != nil {
		return nil
	}
	t.progress()
	if t.stream, err = t.r.deps.Platform.PutFiles(ctx); err != nil {
		return err
	}
	t.buffer = make([]byte, putChunk)
	open := &runnerv1.PutFilesOpen{SessionId: t.session, Attempt: t.u.report.GetAttempt()}
	return t.message(&runnerv1.PutFilesRequest{Part: &runnerv1.PutFilesRequest_Open{Open: open}})
}

// message sends a message, and returns the platform's own error where it has
// ended the stream.
func (t *transfer) message(m *runnerv1.PutFilesRequest) error {
	t.progress()
	err := t.stream.Send(m)
	if errors.Is(err, io.EOF) {
		_, err = t.stream.CloseAndRecv()
		if err == nil {
			err = status.Error(codes.Aborted, "the platform ended the stream before its end")
		}
	}
	return err
}

// progress gives the platform time for the next step.
func (t *transfer) progress() { t.stalled.Reset(t.r.pace.stall) }

// damaged finds out which file is not what was announced for the platform: the
// first that it does not have, since it takes them in order. The next try sends
// it anew, unless that has failed too often.
func (t *transfer) damaged(ctx context.Context, files []localFile, loss error) error {
	has, err := t.list(ctx)
	if err != nil {
		return err
	}
	for _, f := range files {
		if has[f.path].GetComplete() || t.u.left[f.path] {
			continue
		}
		if t.u.lost[f.path]++; t.u.lost[f.path] >= maxLost {
			t.u.leaveOut(f, loss)
		}
		break
	}
	return loss
}
