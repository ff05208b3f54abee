package shim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// FinishLog puts the log at path together where the shim was killed before it
// could, as it would have done, and removes the segments. head and tail are the
// LogHead and LogTail that the shim was given. It may be called again, and on a
// log that the shim has finished: then it changes nothing and only counts.
//
// The files are the job's to tamper with: call it only when no process of the
// attempt lives. Only regular files with one link are touched, below path's
// directory. The counts are what the files say: where a full disk cut the log,
// the job changed it, or tail is 0, they may be too low. An error that wraps fs.ErrNotExist says that
// there is no log.
func FinishLog(path string, head, tail int64) (LogReport, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return LogReport{}, fmt.Errorf("finish log: %w", err)
	}
	defer root.Close() //nolint:errcheck // a directory, nothing to lose
	name := filepath.Base(path)
	file, err := openRegular(root, name)
	if err != nil {
		return LogReport{}, fmt.Errorf("finish log: %w", err)
	}
	defer file.Close()
	l := &cappedLog{path: path, headMax: head, tailMax: tail, head: file}
	report, err := l.recover(root, name)
	if err != nil {
		return report, fmt.Errorf("finish log %s: %w", path, err)
	}
	for _, suffix := range []string{segmentSuffixA, segmentSuffixB} {
		if err := root.Remove(name + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return report, fmt.Errorf("finish log: %w", err)
		}
	}
	return report, nil
}

// KeptReport reads the report that the shim kept in a file of the job's directory
// (Config.Report). As with FinishLog, the file is the job's to
// tamper with: what is none, or no report, is an error.
func KeptReport(path string) (ExitReport, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return ExitReport{}, fmt.Errorf("kept report: %w", err)
	}
	defer root.Close() //nolint:errcheck // a directory, nothing to lose
	name := filepath.Base(path)
	f, err := openOwn(root, name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW)
	if err != nil {
		return ExitReport{}, fmt.Errorf("kept report: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxLine))
	if err != nil {
		return ExitReport{}, fmt.Errorf("kept report: %w", err)
	}
	return ReadReport(data)
}

// recover finds out from the files how far the shim had got, and does the rest.
func (l *cappedLog) recover(root *os.Root, name string) (LogReport, error) {
	info, err := l.head.Stat()
	if err != nil {
		return LogReport{}, err
	}
	for i, suffix := range []string{segmentSuffixA, segmentSuffixB} {
		l.segments[i] = readSegment(root, name+suffix, l.tailMax)
		if f := l.segments[i].file; f != nil {
			defer f.Close()
		}
	}
	if l.segments[1].number > l.segments[0].number {
		l.current = 1
	}
	newest := l.segments[l.current]
	if newest.number == 0 {
		return l.count(info.Size()), nil
	}
	if l.segments[1-l.current].number != newest.number-1 {
		l.segments[1-l.current] = segment{}
	}
	// Segments are begun when the head is full, so what is longer than that is a
	// tail that the shim was about to append.
	l.headLen = min(info.Size(), l.headMax)
	if err := l.head.Truncate(l.headLen); err != nil {
		return LogReport{}, err
	}
	if _, err := l.head.Seek(l.headLen, 0); err != nil {
		return LogReport{}, err
	}
	l.written = l.headLen + (newest.number-1)*l.tailMax + newest.length
	kept, err := l.assemble()
	return LogReport{Written: l.written, Dropped: l.written - kept}, err
}

// count counts a finished log of that size, by the line that says what was cut.
func (l *cappedLog) count(size int64) LogReport {
	text := make([]byte, len(cutLine)+20)
	n, _ := l.head.ReadAt(text, l.headMax)
	var cut int64
	_, _ = fmt.Sscanf(string(text[:n]), cutLine, &cut)
	line := fmt.Sprintf(cutLine, cut)
	if cut < 1 || cut > math.MaxInt64-size || !strings.HasPrefix(string(text[:n]), line) {
		return LogReport{Written: size}
	}
	return LogReport{Written: size - int64(len(line)) + cut, Dropped: cut}
}

// readSegment opens a segment; one that is missing, unused or no segment at all
// has number 0.
func readSegment(root *os.Root, name string, tail int64) segment {
	f, err := openRegular(root, name)
	if err != nil {
		return segment{}
	}
	header := make([]byte, segmentHeaderLen)
	var number int64
	if _, err := f.ReadAt(header, 0); err == nil {
		number = segmentNumber(header, tail)
	}
	info, err := f.Stat()
	if err != nil || number == 0 {
		return segment{file: f}
	}
	return segment{file: f, number: number, length: min(info.Size()-segmentHeaderLen, tail)}
}

// openRegular opens a file of the job's directory for reading and writing, if it
// is a regular one with one link: no link, no FIFO that would block, no other
// name of something that is not the job's.
func openRegular(root *os.Root, name string) (*os.File, error) {
	return openOwn(root, name, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW)
}

func openOwn(root *os.Root, name string, flags int) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file (%s)", name, before.Mode().Type())
	}
	f, err := root.OpenFile(name, flags, 0)
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	info, err := f.Stat()
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &stat)
	}
	if err == nil && (!os.SameFile(before, info) || stat.Nlink != 1) {
		err = fmt.Errorf("%s is not the job's own file", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
