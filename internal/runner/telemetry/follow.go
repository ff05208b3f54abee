package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

const (
	// followInterval is how often a follower looks whether the log has grown.
	followInterval = 100 * time.Millisecond
	// maxBehind is how many bytes of the log a follower may be behind with what
	// is new, before it passes over them.
	maxBehind = 4 << 20
	// maxFollowed is about how many bytes of the log are handed over at once; one
	// record may be larger.
	maxFollowed = 64 << 10
)

// Follower reads an attempt's samples while the server takes more, for somebody
// who watches. It reads the log behind the writer, so that it sees each sample
// that is kept once and in order, and neither the intake nor the writer knows of
// it.
type Follower struct {
	server  *Server
	file    *os.File
	records *logReader
	limit   *limitedFile
	// history is the size of the log when the follower was made. What is older
	// is never passed over.
	history int64
	dropped uint64
}

// Follower opens the log for reading from its beginning. Its caller closes it.
func (s *Server) Follower() (*Follower, error) {
	f, err := os.OpenFile(s.cfg.LogPath, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the telemetry log: %w", err)
	}
	limited := &limitedFile{file: f}
	return &Follower{server: s, file: f, limit: limited, records: newLogReader(limited), history: s.in.size()}, nil
}

// Close closes the log.
func (f *Follower) Close() error { return f.file.Close() }

// Follow hands all samples to send, in order: those that there are at once, then
// what comes, at most a tenth of a second later. It returns nil when the server
// is finished and everything was handed over, or else the error of send or ctx.
// While send is slow, samples that are newer than the follower may be passed over;
// dropped is how many were, in all.
func (f *Follower) Follow(ctx context.Context, send func(samples []*telemetryv1.Sample, dropped uint64) error) error {
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		last := f.server.over()
		f.limit.end = f.server.in.size()
		for f.records.good < f.limit.end {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f.step(send); err != nil {
				return err
			}
			f.limit.end = max(f.limit.end, f.server.in.size())
		}
		if last {
			return nil
		}
		select {
		case <-tick.C:
		case <-f.server.written:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// step hands over the next records, after passing over what is too much.
func (f *Follower) step(send func([]*telemetryv1.Sample, uint64) error) error {
	if f.records.good >= f.history && f.limit.end-f.records.good > maxBehind {
		if err := f.pass(f.limit.end - maxFollowed); err != nil {
			return err
		}
	}
	before, began := f.dropped, f.records.good
	var samples []*telemetryv1.Sample
	for f.records.good < f.limit.end && f.records.good-began < maxFollowed {
		payload, err := f.batch()
		if err != nil {
			return err
		}
		if payload == nil {
			continue
		}
		b, err := decodeBatch(payload)
		if err != nil {
			return err
		}
		samples = append(samples, b.GetSamples()...)
	}
	if len(samples) == 0 && f.dropped == before {
		return nil
	}
	return send(samples, f.dropped)
}

// pass counts the samples of the records that begin before offset.
func (f *Follower) pass(offset int64) error {
	for f.records.good < offset {
		payload, err := f.batch()
		if err != nil {
			return err
		}
		f.dropped += countSamples(payload)
	}
	return nil
}

// batch reads one record; nil if it is no batch. There is one: the caller looks.
func (f *Follower) batch() ([]byte, error) {
	kind, payload, err := f.records.next()
	if err != nil {
		return nil, fmt.Errorf("reading the telemetry log: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	if kind != recordBatch {
		return nil, nil
	}
	return payload, nil
}

// samplesField is the number of StreamRequest.samples.
var samplesField = (&telemetryv1.StreamRequest{}).ProtoReflect().Descriptor().Fields().ByName("samples").Number()

// countSamples counts the samples of an encoded batch without decoding them.
func countSamples(batch []byte) (n uint64) {
	for len(batch) > 0 {
		number, _, size := protowire.ConsumeField(batch)
		if size < 0 {
			return n
		}
		if number == samplesField {
			n++
		}
		batch = batch[size:]
	}
	return n
}

// limitedFile reads a file up to an end that moves.
type limitedFile struct {
	file    *os.File
	at, end int64
}

// Read implements io.Reader.
func (l *limitedFile) Read(p []byte) (int, error) {
	n, err := l.file.ReadAt(p[:max(0, min(int64(len(p)), l.end-l.at))], l.at)
	l.at += int64(n)
	if n > 0 {
		return n, nil
	}
	if err == nil {
		err = io.EOF
	}
	return 0, err
}

// over reports whether everything that came is written.
func (s *Server) over() bool {
	select {
	case <-s.written:
		return true
	default:
		return false
	}
}

// size is that of the log, in whole records.
func (in *intake) size() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.logSize
}
