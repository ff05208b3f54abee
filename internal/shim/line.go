package shim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxLine bounds a line on the control connection, its newline included. The
// longest message is an exit report, whose texts are bounded by maxReason.
const MaxLine = 16 << 10

// maxReason bounds the texts in an exit report, in bytes; JSON escaping makes at
// most six of one, so that a report always fits in MaxLine.
const maxReason = 1 << 10

// ErrGarbage says that what came over a control connection is no message. The
// connection can't be used further.
var ErrGarbage = errors.New("not a control message")

// NewLineReader returns a reader of a control connection for ReadMessage.
func NewLineReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, MaxLine) }

// ReadMessage reads one message. r must come from NewLineReader. A line that is
// too long, no JSON object or an impossible message is an error that wraps
// ErrGarbage; any other error is the connection's. A message of an unknown type
// is returned as it is, for the caller to skip: a shim outlives the runner that
// started it, so the two ends may be of different versions.
func ReadMessage(r *bufio.Reader) (Message, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return Message{}, fmt.Errorf("%w: a line of more than %d bytes", ErrGarbage, MaxLine)
	}
	if err != nil {
		return Message{}, err
	}
	var m Message
	if err := json.Unmarshal(line, &m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrGarbage, err)
	}
	if err := m.check(); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrGarbage, err)
	}
	return m, nil
}

// ReadReport reads the report that a shim kept in a file (Config.ReportFD). What
// was not written whole, or no shim writes, is an error that wraps ErrGarbage.
func ReadReport(data []byte) (ExitReport, error) {
	line, whole := bytes.CutSuffix(data, []byte("\n"))
	if !whole {
		return ExitReport{}, fmt.Errorf("%w: a report without its end", ErrGarbage)
	}
	var r *ExitReport
	if err := json.Unmarshal(line, &r); err != nil {
		return ExitReport{}, fmt.Errorf("%w: %w", ErrGarbage, err)
	}
	if r == nil {
		return ExitReport{}, fmt.Errorf("%w: an empty report", ErrGarbage)
	}
	if err := r.check(); err != nil {
		return ExitReport{}, fmt.Errorf("%w: %w", ErrGarbage, err)
	}
	return *r, nil
}

// WriteMessage writes one message as one line, in one Write.
func WriteMessage(w io.Writer, m Message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode control message: %w", err)
	}
	if len(line) >= MaxLine {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrGarbage, len(line)+1, MaxLine)
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write control message: %w", err)
	}
	return nil
}

// check refuses what no shim sends.
func (m Message) check() error {
	switch {
	case m.Type == "":
		return errors.New("no type")
	case m.Type == MessageExit && m.Exit == nil, m.Type == MessageJobEnded && m.Job == nil:
		return errors.New("an exit without a report")
	case m.Job != nil:
		return m.Job.Exit.check()
	case m.Exit != nil:
		return m.Exit.check()
	}
	return nil
}

func (r *ExitReport) check() error {
	switch {
	case r.Code < 0 || r.Code > 255:
		return fmt.Errorf("exit code %d", r.Code)
	case r.Signal < 0 || r.Signal > 64:
		return fmt.Errorf("signal %d", r.Signal)
	case min(r.CPUMicros, r.MaxRSSBytes, r.WallMicros) < 0:
		return errors.New("negative usage")
	case !r.Stdout.valid() || !r.Stderr.valid():
		return errors.New("impossible log sizes")
	}
	return nil
}

func (r LogReport) valid() bool { return r.Dropped >= 0 && r.Dropped <= r.Written }
