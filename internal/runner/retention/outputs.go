package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// The layout below the output root.
var (
	batchForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	runForm     = regexp.MustCompile(`^[0-9]{5,20}$`)
	attemptForm = regexp.MustCompile(`^attempt-([0-9]{1,10})(\.[0-9]+\.[0-9]+)?$`)
)

const (
	manifestFile = "manifest.json"
	// manifestLimit is far more than a manifest of as many artifacts as a runner
	// takes stock of.
	manifestLimit = 64 << 20
	asidePrefix   = ".lynx-removed-"
)

// manifest is what is read of a manifest.json.
type manifest struct {
	Version int `json:"manifest_version"`
	Run     struct {
		BatchID  string `json:"batch_id"`
		RunIndex uint64 `json:"run_index"`
		Attempt  uint32 `json:"attempt"`
	} `json:"run"`
	AttemptID string `json:"attempt_id"`
	Runner    struct {
		ID string `json:"id"`
	} `json:"runner"`
	EndedAt time.Time `json:"ended_at"`
}

// outputs is the tree below an output root, as one runner sees it.
type outputs struct {
	root     *os.Root
	path     string
	runnerID string

	// found are the attempts that are this runner's.
	found []attemptDir
	// unfinished are the run directories in which a removal was interrupted.
	unfinished []string
	// foreign counts attempts that are not this runner's, or have no manifest.
	foreign int
}

// attemptDir is an attempt with its directory as it was when it was looked at.
type attemptDir struct {
	Attempt
	info fs.FileInfo
}

func openOutputs(path, runnerID string) (*outputs, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("output_root: %w", err)
	}
	return &outputs{root: root, path: path, runnerID: runnerID}, nil
}

func (o *outputs) close() { _ = o.root.Close() }

// asideName is what an attempt is called while it is being removed. It names the
// runner, because others may have attempts beside it.
func (o *outputs) asideName(attempt string) string { return asidePrefix + o.runnerID + "." + attempt }

func (o *outputs) isAside(name string) bool {
	attempt, ok := strings.CutPrefix(name, asidePrefix+o.runnerID+".")
	return ok && attemptForm.MatchString(attempt)
}

// scan finds what is this runner's. What can't be read is left alone.
func (o *outputs) scan(ctx context.Context) error {
	if _, err := list(o.root, 1); err != nil {
		return err
	}
	return o.each(ctx, o.root, batchForm, func(batch *os.Root, batchID string) error {
		return o.each(ctx, batch, runForm, func(run *os.Root, runDir string) error {
			entries, err := list(run, -1)
			if err != nil {
				return nil //nolint:nilerr // it is left alone
			}
			for _, e := range entries {
				switch rel := filepath.Join(batchID, runDir, e.Name()); {
				case o.isAside(e.Name()):
					o.unfinished = append(o.unfinished, rel)
				case attemptForm.MatchString(e.Name()):
					o.look(run, rel)
				}
			}
			return ctx.Err()
		})
	})
}

// each visits the directories in dir whose names have a form.
func (o *outputs) each(ctx context.Context, dir *os.Root, form *regexp.Regexp, visit func(*os.Root, string) error) error {
	entries, err := list(dir, -1)
	if err != nil {
		return nil //nolint:nilerr // it is left alone
	}
	for _, e := range entries {
		if !e.IsDir() || !form.MatchString(e.Name()) {
			continue
		}
		sub, err := openDir(dir, e.Name())
		if err != nil {
			continue
		}
		if err := errors.Join(visit(sub, e.Name()), sub.Close(), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// look adds an attempt if it is this runner's.
func (o *outputs) look(run *os.Root, rel string) {
	name := filepath.Base(rel)
	info, err := run.Lstat(name)
	if err != nil || !info.IsDir() {
		return
	}
	dir, err := openSame(run, name, info)
	if err != nil {
		o.foreign++
		return
	}
	defer func() { _ = dir.Close() }()
	m, err := readManifest(dir)
	if err != nil || !m.fits(rel) || m.Runner.ID != o.runnerID {
		o.foreign++
		return
	}
	o.found = append(o.found, attemptDir{Attempt: Attempt{ID: m.AttemptID, Dir: rel, Ended: m.EndedAt}, info: info})
}

// readManifest reads an attempt's manifest: a regular file without another name.
func readManifest(dir *os.Root) (manifest, error) {
	f, err := dir.OpenFile(manifestFile, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return manifest{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return manifest{}, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || !info.Mode().IsRegular() || st.Nlink != 1 || info.Size() > manifestLimit {
		return manifest{}, errors.New("it is no file of a runner's")
	}
	var m manifest
	err = json.NewDecoder(io.LimitReader(f, manifestLimit)).Decode(&m)
	return m, err
}

// fits reports whether a manifest is that of the attempt at a place: one that was
// copied or moved is somebody's who wants to keep it.
func (m manifest) fits(rel string) bool {
	number := attemptForm.FindStringSubmatch(filepath.Base(rel))
	return m.Version >= 1 && m.AttemptID != "" && m.EndedAt.Year() > 2000 && number != nil &&
		filepath.Dir(rel) == filepath.Join(m.Run.BatchID, fmt.Sprintf("%05d", m.Run.RunIndex)) &&
		number[1] == fmt.Sprint(m.Run.Attempt)
}

// protect marks what is needed.
func (o *outputs) protect(held journal.Held, recent time.Time) {
	directories := map[string]bool{}
	for _, dir := range held.Directories {
		if rel, err := filepath.Rel(o.path, dir); filepath.IsAbs(dir) && err == nil {
			dir = rel
		}
		directories[filepath.Clean(dir)] = true
	}
	for i := range o.found {
		a := &o.found[i]
		switch {
		case held.Needed[a.ID] != "":
			a.Needed = held.Needed[a.ID]
		case directories[a.Dir] || held.Inodes[inodeOf(a.info)]:
			a.Needed = "the runner's state directory names it"
		case a.Ended.After(recent):
			a.Needed = "it has just ended, and a runner runs"
		}
	}
}

// measure finds out what those that are wanted take up.
func (o *outputs) measure(ctx context.Context, wanted func(Attempt) bool) error {
	for i := range o.found {
		a := &o.found[i]
		if !wanted(a.Attempt) {
			continue
		}
		err := o.in(filepath.Dir(a.Dir), func(run *os.Root) error {
			dir, err := openSame(run, filepath.Base(a.Dir), a.info)
			if err != nil {
				return nil //nolint:nilerr // it will be found out when it is removed
			}
			defer func() { _ = dir.Close() }()
			a.Bytes, err = measure(ctx, dir)
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// in visits a run's directory.
func (o *outputs) in(runDir string, visit func(run *os.Root) error) error {
	batch, err := openDir(o.root, filepath.Dir(runDir))
	if err != nil {
		return err
	}
	defer func() { _ = batch.Close() }()
	run, err := openDir(batch, filepath.Base(runDir))
	if err != nil {
		return err
	}
	defer func() { _ = run.Close() }()
	return visit(run)
}

// remove removes an attempt.
func (o *outputs) remove(ctx context.Context, a attemptDir) error {
	name := filepath.Base(a.Dir)
	err := o.in(filepath.Dir(a.Dir), func(run *os.Root) error {
		return remove(ctx, run, name, o.asideName(name), a.info)
	})
	return errors.Join(err, o.removeParents(a.Dir))
}

// finish ends a removal that was interrupted.
func (o *outputs) finish(ctx context.Context, rel string) error {
	err := o.in(filepath.Dir(rel), func(run *os.Root) error { return finish(ctx, run, filepath.Base(rel)) })
	return errors.Join(err, o.removeParents(rel))
}

// removeParents removes the directories of a run and of its batch if they are
// empty now, and the link "latest" if it then leads nowhere. A runner that is just
// about to put another attempt there makes them again.
func (o *outputs) removeParents(rel string) error {
	runDir := filepath.Dir(rel)
	batchID := filepath.Dir(runDir)
	batch, err := openDir(o.root, batchID)
	if err != nil {
		return ignore(err, unix.ENOENT)
	}
	err = removeDir(batch, filepath.Base(runDir))
	if err = errors.Join(err, batch.Close()); err == nil {
		err = removeDir(o.root, batchID)
	}
	if err != nil {
		return ignore(err, unix.ENOTEMPTY, unix.EEXIST, unix.ENOENT)
	}
	if to, err := o.root.Readlink(latestLink); err == nil && to == batchID {
		return ignore(o.root.Remove(latestLink), unix.ENOENT)
	}
	return nil
}

// latestLink is what the command line calls the newest batch.
const latestLink = "latest"

func ignore(err error, some ...syscall.Errno) error {
	for _, e := range some {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}
