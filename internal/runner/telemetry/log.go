package telemetry

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"syscall"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// The log is a magic number and then records:
//
//	length uint32, CRC-32C uint32, kind uint8, payload
//
// Integers are little-endian; length and checksum are of kind and payload. A
// record that is cut short, or whose checksum is wrong, ends the log: everything
// from there on was being written when the machine or the runner died.
const (
	logMagic     = "LYNXTLM1"
	recordHeader = 8
	maxRecord    = maxMessage + 4096
)

// The kinds of records.
const (
	// recordAttempt is the first: the attempt's id.
	recordAttempt = 'A'
	// recordBatch is an encoded StreamRequest, as far as it was kept. Its
	// sequence is 0 for a sample that came by Publish.
	recordBatch = 'B'
	// recordCounters is an encoded counters, which replaces the one before.
	recordCounters = 'C'
	// recordVerdict is the sample that ended the job, and its arrival.
	recordVerdict = 'V'
)

// errTorn ends the reading of a log that does not end cleanly.
var errTorn = errors.New("the log ends in the middle of a record")

// errNotALog keeps other people's files from being taken for torn logs.
var errNotALog = errors.New("the file is not a telemetry log")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends a record to dst.
func appendRecord(dst []byte, kind byte, payload []byte) []byte {
	sum := crc32.Update(crc32.Checksum([]byte{kind}, castagnoli), castagnoli, payload)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(1+len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(append(dst, kind), payload...)
}

// recordSize is the size of a record in the log.
func recordSize(payload int) int64 { return int64(recordHeader + 1 + payload) }

// logReader reads records in order.
type logReader struct {
	r   *bufio.Reader
	buf []byte
	// good is the offset behind the last whole record.
	good int64
}

func newLogReader(r io.Reader) *logReader {
	return &logReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the next record, whose payload is valid until the next call. It
// returns io.EOF at a clean end, errTorn at any other, and else the reader's own
// error.
func (l *logReader) next() (kind byte, payload []byte, err error) {
	if l.good == 0 {
		magic := make([]byte, len(logMagic))
		if _, err := io.ReadFull(l.r, magic); err != nil {
			return 0, nil, tornUnlessEmpty(err)
		}
		if string(magic) != logMagic {
			return 0, nil, errNotALog
		}
		l.good = int64(len(logMagic))
	}
	var header [recordHeader]byte
	if _, err := io.ReadFull(l.r, header[:]); err != nil {
		return 0, nil, tornUnlessEmpty(err)
	}
	length := binary.LittleEndian.Uint32(header[:])
	if length == 0 || length > maxRecord {
		return 0, nil, errTorn
	}
	if cap(l.buf) < int(length) {
		l.buf = make([]byte, length)
	}
	body := l.buf[:length]
	if _, err := io.ReadFull(l.r, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = errTorn
		}
		return 0, nil, tornUnlessEmpty(err)
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(header[4:]) {
		return 0, nil, errTorn
	}
	l.good += int64(recordHeader) + int64(length)
	return body[0], body[1:], nil
}

// tornUnlessEmpty turns a read that was cut short into errTorn.
func tornUnlessEmpty(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// replay reads a whole log into t and returns the offset of its valid part. A
// torn end is no error. A record that is whole but not understood is: it was
// written by another version, and nothing may be cut off because of that.
func replay(r io.Reader, t *tally) (good int64, err error) {
	l := newLogReader(r)
	for {
		kind, payload, err := l.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			return l.good, nil
		}
		if err != nil {
			return l.good, err
		}
		if err := t.record(kind, payload); err != nil {
			return l.good, fmt.Errorf("record before offset %d: %w", l.good, err)
		}
	}
}

// logFile is the part of os.File that the writer needs.
type logFile interface {
	io.Writer
	Truncate(size int64) error
	Close() error
}

// openLog opens or creates the log of an attempt, reads what it holds into t,
// and cuts off a torn end. It returns the file, ready for appending, its size,
// and how many bytes were cut.
func openLog(path, attemptID string, t *tally) (f *os.File, size, cut int64, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("opening the telemetry log: %w", err)
	}
	if size, cut, err = resumeLog(f, attemptID, t); err != nil {
		_ = f.Close()
		return nil, 0, 0, fmt.Errorf("taking up the telemetry log %s: %w", path, err)
	}
	return f, size, cut, nil
}

// resumeLog is openLog for an open file.
func resumeLog(f *os.File, attemptID string, t *tally) (size, cut int64, err error) {
	size, err = replay(f, t)
	if err != nil {
		return 0, 0, err
	}
	switch t.attemptID {
	case attemptID:
	case "":
		size = 0
	default:
		return 0, 0, fmt.Errorf("it belongs to attempt %q, not to %q", t.attemptID, attemptID)
	}
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	if cut = info.Size() - size; cut > 0 {
		if err := f.Truncate(size); err != nil {
			return 0, 0, fmt.Errorf("cutting off its torn end: %w", err)
		}
	}
	if size == 0 {
		head := appendRecord([]byte(logMagic), recordAttempt, []byte(attemptID))
		if _, err := f.Write(head); err != nil {
			return 0, 0, err
		}
		size = int64(len(head))
	}
	return size, cut, nil
}

// decodeBatch decodes a recordBatch.
func decodeBatch(payload []byte) (*telemetryv1.StreamRequest, error) {
	var b telemetryv1.StreamRequest
	if err := proto.Unmarshal(payload, &b); err != nil {
		return nil, fmt.Errorf("decoding a batch: %w", err)
	}
	return &b, nil
}
