package telemetry

import (
	"fmt"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/internal/runner/watchdog"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// intake takes what clients send: it orders, judges, admits and queues it. Every
// method but waitForSpace and waitForWrite returns without waiting for anything but
// the mutex, under which nothing blocks either.
//
// Sequence numbers are taken as a high-water mark: a batch with a number at or
// below it is a duplicate, a batch that leaves numbers out is taken and the gap
// counted. A client that resends everything unacknowledged, in order, loses
// nothing by that rule, whatever became of its connections.
type intake struct {
	attemptID string
	evaluate  func(*telemetryv1.Sample) *watchdog.Verdict
	onVerdict func(Finding)
	maxLog    int64

	mu       sync.Mutex
	counters counters
	names    nameSet
	// logSize is the size of the log, and logPending what the queue adds.
	logSize, logPending int64

	verdict *watchdog.Verdict
	arrived time.Time

	queue []entry
	// queued is the cost of everything that is queued or being written.
	queued int
	// stalled is set while the queue has been full for longer than a stream may
	// be slowed; samples are dropped meanwhile.
	stalled  bool
	draining bool
	closed   bool
	// space is closed, and replaced, when something about the four above changes.
	space chan struct{}
	// wake tells the writer that there is something.
	wake chan struct{}

	// taken counts the entries that were queued, and through those of them that are
	// in the log or counted as dropped.
	taken, through uint64
	// behind is set while a Publish has waited for the disk in vain: the next ones
	// do not wait.
	behind bool
	// written is the sequence number up to which everything is in the log or
	// counted as dropped; commit is closed, and replaced, with every write.
	written uint64
	commit  chan struct{}
}

// entry is one thing for the writer to do, in order.
type entry struct {
	// sequence is the batch's; 0 for a Publish.
	sequence uint64
	// verdict and batch are payloads of records; nil for none.
	verdict, batch []byte
	// samples are those of batch.
	samples []*telemetryv1.Sample
	// counters are those after this entry.
	counters counters
	cost     int
}

// logged is what the entry's batch takes in the log.
func (e entry) logged() int64 {
	if e.batch == nil {
		return 0
	}
	return recordSize(len(e.batch))
}

func newIntake(cfg Config, t *tally, logSize int64) *intake {
	in := &intake{
		attemptID: cfg.AttemptID, evaluate: cfg.Evaluate, onVerdict: cfg.OnVerdict,
		maxLog: cfg.MaxLogBytes, counters: t.counters, logSize: logSize,
		written: t.counters.LastSequence,
		space:   make(chan struct{}), commit: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	for name := range t.variables {
		in.names.add(name)
	}
	return in
}

// batch takes one encoded StreamRequest. It returns its sequence number and
// whether the stream should wait for space before it reads on.
func (in *intake) batch(raw []byte, arrived time.Time) (sequence uint64, full bool, err error) {
	if err := checkSize(raw); err != nil {
		return 0, false, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	// Decoded under the mutex, so that there is one decoded batch at a time.
	var b telemetryv1.StreamRequest
	if err := proto.Unmarshal(raw, &b); err != nil {
		return 0, false, status.Errorf(codes.InvalidArgument, "telemetry: the batch can't be decoded: %v", err)
	}
	if err := in.checkAttempt(b.GetAttemptId()); err != nil {
		return 0, false, err
	}
	sequence = b.GetSequence()
	if sequence == 0 {
		return 0, false, status.Error(codes.InvalidArgument, "telemetry: sequence is 0; batches are numbered from 1")
	}
	in.counters.ClientDropped = max(in.counters.ClientDropped, b.GetClientDroppedSamples())
	if sequence <= in.counters.LastSequence {
		in.counters.Duplicates++
		return sequence, false, nil
	}
	in.counters.Missing += sequence - in.counters.LastSequence - 1
	in.counters.LastSequence = sequence
	in.take(&b, raw, arrived)
	return sequence, in.queued > maxQueue && !in.stalled, nil
}

// publish takes one sample outside any stream. Nothing tells a repeated Publish
// from another sample of the same values, so each is kept. It returns what
// waitForWrite has to be told of it.
func (in *intake) publish(req *telemetryv1.PublishRequest, arrived time.Time) (entry uint64, full bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.checkAttempt(req.GetAttemptId()); err != nil {
		return 0, false, err
	}
	if req.GetSample() == nil {
		return 0, false, status.Error(codes.InvalidArgument, "telemetry: sample is missing")
	}
	b := &telemetryv1.StreamRequest{Samples: []*telemetryv1.Sample{req.GetSample()}}
	in.take(b, nil, arrived)
	return in.taken, in.queued > maxQueue && !in.stalled, nil
}

func (in *intake) checkAttempt(id string) error {
	if id != "" && id != in.attemptID {
		return status.Errorf(codes.InvalidArgument, "telemetry: attempt_id is %.100q, but this server belongs to attempt %q", id, in.attemptID)
	}
	return nil
}

// take judges a batch, then queues what is kept of it. raw is its encoding, nil
// if there is none yet.
func (in *intake) take(b *telemetryv1.StreamRequest, raw []byte, arrived time.Time) {
	e := entry{sequence: b.GetSequence(), verdict: in.judge(b.GetSamples(), arrived)}
	kept, changed := in.admit(b.GetSamples())
	if changed || raw == nil {
		raw = encodeKept(b, kept)
	}
	switch {
	case len(kept) == 0:
	case in.stalled:
		in.counters.Dropped[dropStorage] += uint64(len(kept))
	case in.logSize+in.logPending+recordSize(len(raw)) > in.maxLog:
		in.counters.Dropped[dropLogFull] += uint64(len(kept))
	default:
		e.batch, e.samples, e.cost = raw, kept, memory(raw, kept)
		in.logPending += e.logged()
	}
	e.counters = in.counters
	in.push(e)
}

// judge gives samples to the watchdog in order, unless there is a verdict
// already, and returns the verdict's record if there is one now.
func (in *intake) judge(samples []*telemetryv1.Sample, arrived time.Time) []byte {
	if in.evaluate == nil || in.verdict != nil {
		return nil
	}
	for _, s := range samples {
		v := in.evaluate(s)
		if v == nil {
			continue
		}
		in.verdict, in.arrived = v, arrived
		if in.onVerdict != nil {
			in.onVerdict(Finding{*v, s, arrived})
		}
		// A sample that was just decoded can be encoded.
		payload, _ := encodeVerdict(arrived, s)
		return payload
	}
	return nil
}

// admit returns the samples to keep, and whether they differ from those given.
func (in *intake) admit(samples []*telemetryv1.Sample) (kept []*telemetryv1.Sample, changed bool) {
	for i, s := range samples {
		whole, why := in.admissible(s)
		if whole {
			if changed {
				kept = append(kept, s)
			}
			continue
		}
		in.counters.Dropped[why]++
		if !changed {
			kept, changed = append(kept, samples[:i]...), true
		}
		if why != dropTime {
			kept = append(kept, in.reduce(s))
		}
	}
	if !changed {
		return samples, false
	}
	return kept, true
}

// admissible reports whether a sample can be kept as it is, and else the first
// reason why not.
func (in *intake) admissible(s *telemetryv1.Sample) (bool, reason) {
	if t := s.GetTimeSeconds(); math.IsNaN(t) || math.IsInf(t, 0) {
		return false, dropTime
	}
	for i, v := range s.GetValues() {
		if len(v.GetUnit()) > maxUnit || !in.names.valid(v.GetName()) {
			return false, dropName
		}
		if !in.names.admit(i, v.GetName()) {
			return false, dropVariables
		}
	}
	return true, 0
}

// reduce is a sample without the values that can't be kept.
func (in *intake) reduce(s *telemetryv1.Sample) *telemetryv1.Sample {
	out := &telemetryv1.Sample{TimeSeconds: s.GetTimeSeconds()}
	for i, v := range s.GetValues() {
		if len(v.GetUnit()) <= maxUnit && in.names.valid(v.GetName()) && in.names.admit(i, v.GetName()) {
			out.Values = append(out.Values, v)
		}
	}
	return out
}

// verdictNow is the verdict so far.
func (in *intake) verdictNow() (watchdog.Verdict, time.Time, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.verdict == nil {
		return watchdog.Verdict{}, time.Time{}, false
	}
	return *in.verdict, in.arrived, true
}

// restore takes up the verdict of an earlier server, by judging its sample again, and
// has it logged if it is not. nil is no verdict.
func (in *intake) restore(found *Finding, logged bool) error {
	if found == nil || in.evaluate == nil {
		return nil
	}
	record := in.judge([]*telemetryv1.Sample{found.Sample}, found.Arrived)
	if record == nil {
		return fmt.Errorf("the sample at simulation time %g s ended the job, but by the conditions given now it does not", found.Sample.GetTimeSeconds())
	}
	if !logged {
		in.push(entry{verdict: record, counters: in.counters})
	}
	return nil
}

// encodeKept encodes what is kept of a batch.
func encodeKept(b *telemetryv1.StreamRequest, kept []*telemetryv1.Sample) []byte {
	if len(kept) == 0 {
		return nil
	}
	// It was decoded from, or is part of, a message that could be decoded.
	raw, _ := proto.Marshal(&telemetryv1.StreamRequest{Sequence: b.GetSequence(), Samples: kept})
	return raw
}

// memory is about what a queued batch takes, in bytes: protobuf's structs are 64
// to 104 bytes and a pointer each.
func memory(raw []byte, samples []*telemetryv1.Sample) int {
	n := len(raw)
	for _, s := range samples {
		n += 88 + 112*len(s.GetValues())
	}
	return n
}
