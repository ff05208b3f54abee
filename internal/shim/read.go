package shim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// LogReader reads one stream's log while the shim writes it, and to its end when
// it is finished, from the first byte on. Where the job prints faster than
// somebody reads, what the cap has cut meanwhile is passed over: the offsets tell.
// They are true as long as the job leaves its log alone and no full disk cut it.
//
// The files are the job's to tamper with: only regular files with one link are
// opened, directly below the given directory, and what is read is bounded by the
// cap whatever is in them. It is not for concurrent use.
type LogReader struct {
	dir              *os.Root
	name             string
	headMax, tailMax int64

	head     *os.File
	segments [2]*os.File
	// pos is the offset of the next byte, in all that the job printed.
	pos int64
	// finished is set when the shim writes no more; dropped is what it cut.
	finished bool
	dropped  int64
}

// NewLogReader reads the log of that name in dir, which stays the caller's. head
// and tail are the LogHead and LogTail that the shim was given. The log need not
// be there yet.
func NewLogReader(dir *os.Root, name string, head, tail int64) *LogReader {
	return &LogReader{dir: dir, name: name, headMax: max(head, 0), tailMax: max(tail, 0)}
}

// Close closes what was opened.
func (r *LogReader) Close() {
	for _, f := range []*os.File{r.head, r.segments[0], r.segments[1]} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// Finish says that the log is put together, by the shim or by FinishLog, and that
// dropped bytes were cut out of its middle. What Next returns from now on, until
// it returns nothing, is all that there is.
func (r *LogReader) Finish(dropped int64) { r.finished, r.dropped = true, max(dropped, 0) }

// Next reads the next bytes into p and returns how many, and the offset of the
// first. None, without an error, means that there are no more for now, or, after
// Finish, that there are no more. A log that is not there is empty.
func (r *LogReader) Next(p []byte) (offset int64, n int, err error) {
	if err := r.open(&r.head, ""); err != nil || r.head == nil {
		return r.pos, 0, err
	}
	switch {
	case r.pos < r.headMax:
		return r.take(r.head, r.pos, p[:min(int64(len(p)), r.headMax-r.pos)])
	case r.finished:
		return r.nextOfEnd(p)
	case r.tailMax == 0:
		return r.pos, 0, nil
	}
	return r.nextOfTail(p)
}

// open opens a file of the log, once it is there.
func (r *LogReader) open(f **os.File, suffix string) error {
	if *f != nil {
		return nil
	}
	opened, err := openToRead(r.dir, r.name+suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	*f = opened
	return nil
}

// take reads what is at a place in a file, as the bytes at pos.
func (r *LogReader) take(f *os.File, at int64, p []byte) (offset int64, n int, err error) {
	offset = r.pos
	n, err = f.ReadAt(p, at)
	r.pos += int64(n)
	if n > 0 || errors.Is(err, io.EOF) {
		err = nil
	}
	return offset, n, err
}

// nextOfTail reads on in the segments that the shim writes in turn.
func (r *LogReader) nextOfTail(p []byte) (offset int64, n int, err error) {
	var numbers [2]int64
	for i, suffix := range []string{segmentSuffixA, segmentSuffixB} {
		if err := r.open(&r.segments[i], suffix); err != nil {
			return r.pos, 0, err
		}
		numbers[i] = r.number(i)
	}
	wanted, at := 1+(r.pos-r.headMax)/r.tailMax, (r.pos-r.headMax)%r.tailMax
	for i, number := range numbers {
		if number != wanted {
			continue
		}
		before := r.pos
		offset, n, err = r.take(r.segments[i], segmentHeaderLen+at, p[:min(int64(len(p)), r.tailMax-at)])
		if r.number(i) == number {
			return offset, n, err
		}
		r.pos = before // the shim has begun it anew meanwhile
		return r.pos, 0, nil
	}
	// What is wanted was cut, or is not written yet.
	if next := nextNumber(numbers, wanted); next > 0 {
		r.pos = r.headMax + (next-1)*r.tailMax
		return r.nextOfTail(p)
	}
	return r.pos, 0, nil
}

// nextNumber is the lowest number above wanted; 0 if there is none.
func nextNumber(numbers [2]int64, wanted int64) (next int64) {
	for _, number := range numbers {
		if number > wanted && (next == 0 || number < next) {
			next = number
		}
	}
	return next
}

// number is that of a segment as it is now; 0 for none.
func (r *LogReader) number(i int) int64 {
	if r.segments[i] == nil {
		return 0
	}
	header := make([]byte, segmentHeaderLen)
	if _, err := r.segments[i].ReadAt(header, 0); err != nil {
		return 0
	}
	return segmentNumber(header, r.tailMax)
}

// nextOfEnd reads what the finished log has behind the head.
func (r *LogReader) nextOfEnd(p []byte) (offset int64, n int, err error) {
	at, length := r.pos, int64(0)
	if r.dropped > 0 {
		length = int64(len(fmt.Sprintf(cutLine, r.dropped)))
		first := r.headMax + r.dropped
		if first < r.headMax { // no real log
			return r.pos, 0, nil
		}
		r.pos = max(r.pos, first)
		at = r.headMax + length + r.pos - first
	}
	room := r.headMax + length + r.tailMax - at
	return r.take(r.head, at, p[:max(0, min(int64(len(p)), room))])
}

// segmentNumber reads a segment's header; 0 if it is none.
func segmentNumber(header []byte, tail int64) (number int64) {
	_, _ = fmt.Sscanf(string(header), segmentHeader, &number)
	// Far beyond any real job, and no more than can be counted in bytes.
	most := min(1<<40, math.MaxInt64/4/max(tail, 1))
	if number < 1 || number > most || string(header) != fmt.Sprintf(segmentHeader, number) {
		return 0
	}
	return number
}

// openToRead opens a file of the job's directory as openRegular does, but only to
// read it.
func openToRead(root *os.Root, name string) (*os.File, error) {
	return openOwn(root, name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW)
}
