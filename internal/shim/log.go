package shim

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A log on disk, in a way that is whole whenever the shim may be killed: the
// first LogHead bytes go through to the log itself at once. What comes after goes
// to two segments beside it in turn, each of up to LogTail bytes after a header
// with its number, so that together they always have the last LogTail bytes. At
// the end the shim appends those to the log, after a line that says how much was
// cut, and removes the segments; where the shim was killed, FinishLog does the
// same. All three files are opened before the job starts and never again by name.

const (
	segmentSuffixA = ".tail-a"
	segmentSuffixB = ".tail-b"
	// segmentHeader is the first line of a segment; its argument counts them from
	// 1. It is segmentHeaderLen bytes.
	segmentHeader    = "lynx log tail %017d\n"
	segmentHeaderLen = 32
	// cutLine stands where bytes are missing.
	cutLine = "\n[lynx: %d bytes cut here]\n"
	// backlogMax is how much of a stream waits in memory for space on a full disk. It
	// is the job's memory.
	backlogMax = 256 << 10
)

// cappedLog writes one stream. It is not for concurrent use.
type cappedLog struct {
	path             string
	headMax, tailMax int64

	head     *os.File
	headLen  int64
	segments [2]segment // empty files where tailMax is 0
	current  int
	written  int64 // everything that the job wrote
	// backlog is what found no space, and full says that something ever did not.
	backlog []byte
	full    bool
}

// segment is a piece of the tail; number 0 is an unused one.
type segment struct {
	file   *os.File
	number int64
	length int64
}

// openLog creates a log and its segments. Nothing may be at their paths yet:
// whatever is there is not ours.
func openLog(path string, head, tail int64) (*cappedLog, error) {
	l := &cappedLog{path: path, headMax: head, tailMax: tail, current: 1}
	for _, f := range []struct {
		to     **os.File
		suffix string
	}{{&l.head, ""}, {&l.segments[0].file, segmentSuffixA}, {&l.segments[1].file, segmentSuffixB}} {
		flags := os.O_RDWR | os.O_CREATE | os.O_EXCL | unix.O_NOFOLLOW
		file, err := os.OpenFile(path+f.suffix, flags, 0o644)
		if err != nil {
			return nil, fmt.Errorf("log file: %w", err)
		}
		*f.to = file
	}
	return l, nil
}

// write takes what the job wrote. It never fails: what finds no space on a full disk
// waits for the next write, up to a bound; the rest of it, and what can't be stored for
// another reason (the limit on files, which is the job's too), is counted as dropped,
// and the job goes on.
func (l *cappedLog) write(p []byte) {
	l.written += int64(len(p))
	if len(l.backlog) > 0 {
		p = append(l.backlog, p...)
	}
	p = l.store(p)
	l.full = l.full || len(p) > 0
	l.backlog = append([]byte(nil), p[:min(len(p), backlogMax)]...)
}

// store writes to head and tail, and returns what found no space.
func (l *cappedLog) store(p []byte) (left []byte) {
	if room := l.headMax - l.headLen; room > 0 {
		n := min(int64(len(p)), room)
		stored, err := l.head.Write(p[:n])
		l.headLen += int64(stored)
		if noSpace(err) {
			return p[stored:]
		}
		p = p[n:]
	}
	for len(p) > 0 && l.tailMax > 0 {
		s := &l.segments[l.current]
		if s.number == 0 || s.length == l.tailMax {
			var err error
			if s, err = l.next(); noSpace(err) {
				return p
			} else if err != nil {
				return nil
			}
		}
		n := min(int64(len(p)), l.tailMax-s.length)
		stored, err := s.file.WriteAt(p[:n], segmentHeaderLen+s.length)
		s.length += int64(stored)
		if noSpace(err) {
			return p[stored:]
		}
		p = p[n:]
	}
	return nil
}

// noSpace reports whether an error says that a disk is full, or the user's share of it.
func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// next makes the older segment the current one, empty. If that fails all stays as it
// was.
func (l *cappedLog) next() (*segment, error) {
	number, index := l.segments[l.current].number+1, 1-l.current
	s := &l.segments[index]
	s.number, s.length = 0, 0
	if err := s.file.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(io.NewOffsetWriter(s.file, 0), segmentHeader, number); err != nil {
		return nil, err
	}
	s.number, l.current = number, index
	return s, nil
}

// close puts the log together, removes the segments and closes everything.
func (l *cappedLog) close() LogReport {
	l.write(nil) // what waits for space
	kept, err := l.assemble()
	_ = l.head.Close()
	for i, suffix := range []string{segmentSuffixA, segmentSuffixB} {
		_ = l.segments[i].file.Close()
		if err == nil {
			_ = os.Remove(l.path + suffix)
		}
	}
	return LogReport{Written: l.written, Dropped: l.written - kept, Full: l.full}
}

// assemble appends the tail to the head and returns how many of the written
// bytes are in the log then.
func (l *cappedLog) assemble() (kept int64, err error) {
	cur, old := l.segments[l.current], l.segments[1-l.current]
	fromCur := cur.length
	fromOld := min(old.length, l.tailMax-fromCur)
	if cut := l.written - l.headLen - fromOld - fromCur; cut > 0 {
		if _, err := fmt.Fprintf(l.head, cutLine, cut); err != nil {
			return l.headLen, fmt.Errorf("finish log: %w", err)
		}
	}
	kept = l.headLen
	for _, piece := range []struct {
		of *os.File
		at int64
		n  int64
	}{{old.file, old.length - fromOld, fromOld}, {cur.file, 0, fromCur}} {
		if piece.n == 0 {
			continue
		}
		n, err := io.Copy(l.head, io.NewSectionReader(piece.of, segmentHeaderLen+piece.at, piece.n))
		kept += n
		if err != nil {
			return kept, fmt.Errorf("finish log: %w", err)
		}
	}
	return kept, nil
}
