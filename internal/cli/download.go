package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/tetryx/lynx-runner/api"
)

const (
	// downloads is how many files are on their way at a time.
	downloads = 4
	// partSuffix is the end of the name of a file that is not whole yet.
	partSuffix = ".lynx-part"
)

// fetcher downloads artifacts of a batch to <dir>/<run index>/<name>. Names come
// from jobs: nothing is written outside of dir.
type fetcher struct {
	s    *session
	root *os.Root

	mu            sync.Mutex
	files, there  int
	bytes         int64
	missing       int
	where         string // of the first file that the platform does not keep
	failed        int
	failure       error // the first
	cancelOnFatal context.CancelCauseFunc
}

// file is one artifact of one run.
type file struct {
	run api.RunRow
	api.Artifact
}

// download fetches every artifact of a batch into a directory, which is there. A
// file that is in it already, whole and right, is left as it is, so that a download
// that was interrupted goes on.
func (s *session) download(ctx context.Context, batch, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return exit(ExitUsage, fmt.Errorf("--download: %w", err))
	}
	defer func() { _ = root.Close() }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &fetcher{s: s, root: root, cancelOnFatal: cancel}
	wanted := make(chan file)
	var workers sync.WaitGroup
	for range downloads {
		workers.Go(func() {
			for one := range wanted {
				f.fetch(ctx, one)
			}
		})
	}
	err = f.each(ctx, batch, wanted)
	close(wanted)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return errors.Join(err, f.report(dir))
}

// each hands out every artifact of a batch.
func (f *fetcher) each(ctx context.Context, batch string, wanted chan<- file) error {
	for row, err := range f.s.client.AllBatchResults(ctx, batch) {
		if err != nil {
			return err
		}
		for _, a := range row.Artifacts {
			if a.URL == "" {
				f.lacks(row)
				continue
			}
			select {
			case wanted <- file{row, a}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

func (f *fetcher) lacks(row api.RunRow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.missing++; f.where == "" {
		f.where = fmt.Sprintf("runner %s, %s", escape(deref(row.AssignedRunner)), escape(row.Directory))
	}
}

// fetch downloads one file and counts what came of it.
func (f *fetcher) fetch(ctx context.Context, one file) {
	n, err := f.copy(ctx, one)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil && n < 0:
		f.there++
	case err == nil:
		f.files++
		f.bytes += n
	case errors.Is(err, api.ErrUnreachable), ctx.Err() != nil:
		f.cancelOnFatal(err)
	default:
		if f.failed++; f.failure == nil {
			f.failure = fmt.Errorf("run %d, %s: %w", one.run.RunIndex, escape(one.Name), escaped(err))
		}
	}
}

// copy downloads one file unless it is there, for which it returns -1.
func (f *fetcher) copy(ctx context.Context, one file) (int64, error) {
	if !fs.ValidPath(one.Name) || strings.HasSuffix(one.Name, partSuffix) {
		return 0, errors.New("a file of this name is not downloaded")
	}
	name := filepath.FromSlash(path.Join(fmt.Sprintf("%05d", one.run.RunIndex), one.Name))
	if f.has(name, one.Artifact) {
		return -1, nil
	}
	if err := f.root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return 0, err
	}
	from, err := f.s.client.Download(ctx, one.run.JobID, one.Name, one.run.Attempt)
	if err != nil {
		return 0, err
	}
	defer func() { _ = from.Close() }()
	to, err := f.root.OpenFile(name+partSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err == nil {
		err = f.root.Rename(name+partSuffix, name)
	}
	if err != nil {
		return 0, errors.Join(err, f.root.Remove(name+partSuffix))
	}
	return n, nil
}

// has reports whether a file is there, whole and right.
func (f *fetcher) has(name string, a api.Artifact) bool {
	info, err := f.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() != a.Size {
		return false
	}
	file, err := f.root.Open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == a.SHA256
}

// report says what was downloaded, and is an error where not everything was.
func (f *fetcher) report(dir string) error {
	there := ""
	if f.there > 0 {
		there = fmt.Sprintf("; %d were there already", f.there)
	}
	fmt.Fprintf(f.s.Stderr, "downloaded %s, %s, to %s%s\n", counted(f.files, "file"), bytesText(f.bytes), escape(dir), there)
	var missing, failed error
	if f.missing > 0 {
		missing = exit(ExitFailed, fmt.Errorf("the platform does not have %s (yet); the first is on %s", counted(f.missing, "file"), f.where))
	}
	if f.failed > 0 {
		failed = exit(ExitFailed, fmt.Errorf("%s could not be downloaded; the first: %w", counted(f.failed, "file"), f.failure))
	}
	return errors.Join(missing, failed)
}
