package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tetryx/lynx-runner/internal/runner/artifact"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// localFile is a file of an attempt as it was when the attempt ended.
type localFile struct {
	path   string // below the attempt's directory, with forward slashes
	size   int64
	sha256 string
}

// ownFiles are what an attempt has beside its artifacts, the more telling ones
// first. Not every attempt has all of them.
var ownFiles = []string{manifestFile, runConfigFile, logDir + "/stderr.log", logDir + "/stdout.log", parquetFile}

// errNotSendable says that there is nothing that could be sent.
var errNotSendable = errors.New("the attempt's files cannot be sent")

// errFileChanged says that a file is not what it was when the attempt ended.
var errFileChanged = errors.New("it is not what it was when the attempt ended")

// openAttempt opens the directory of an ended attempt. Above its last three names,
// batch, run and attempt, is the output root; nothing below that may be a link,
// because its owner need not be trusted with the runner's rights.
func openAttempt(dir string) (*os.Root, error) {
	output := filepath.Dir(filepath.Dir(filepath.Dir(dir)))
	below, err := filepath.Rel(output, dir)
	if err != nil || !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("%w: %q is not the directory of an attempt", errNotSendable, dir)
	}
	root, err := os.OpenRoot(output)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSendable, err)
	}
	defer func() { _ = root.Close() }()
	attempt, err := artifact.OpenDir(root, filepath.ToSlash(below))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errNotSendable, dir, err)
	}
	return attempt, nil
}

// localFiles lists what there is to send of an attempt, in the order of sending:
// the files that the runner's side wrote, as they are now, and the artifacts as
// they were collected.
func localFiles(ctx context.Context, dir *os.Root, result *runnerv1.Result) (list []localFile, problems []error, err error) {
	for _, name := range ownFiles {
		f, err := digest(ctx, dir, name)
		switch {
		case err == nil:
			list = append(list, f)
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case !errors.Is(err, fs.ErrNotExist):
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	for _, a := range result.GetArtifacts() {
		list = append(list, localFile{path: outputDir + "/" + a.GetName(), size: a.GetSize(), sha256: a.GetSha256()})
	}
	return list, problems, nil
}

// digest reads a file whole.
func digest(ctx context.Context, dir *os.Root, name string) (localFile, error) {
	f, err := artifact.Open(dir, name)
	if err != nil {
		return localFile{}, err
	}
	defer f.Close()
	size, sum, err := artifact.Digest(ctx, f)
	return localFile{path: name, size: size, sha256: sum}, err
}

// openUnchanged opens a file that is what it was; errFileChanged if it is not.
func openUnchanged(ctx context.Context, dir *os.Root, want localFile) (*os.File, error) {
	f, err := artifact.Open(dir, want.path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != want.size {
		err = errFileChanged
	}
	if err == nil {
		var sum string
		if _, sum, err = artifact.Digest(ctx, f); err == nil && sum != want.sha256 {
			err = errFileChanged
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// fitting chooses the files that a platform takes that keeps no more than so many
// bytes of an attempt (0 is no bound): in order, each that still fits.
func fitting(files []localFile, bound int64) (fit, left []localFile) {
	room := bound
	for _, f := range files {
		if bound > 0 && f.size > room {
			left = append(left, f)
			continue
		}
		room -= f.size
		fit = append(fit, f)
	}
	return fit, left
}
