package telemetry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// reason is why a sample was not kept, or not wholly.
type reason int

const (
	dropStorage reason = iota
	dropLogFull
	dropTime
	dropName
	dropVariables
	reasons
)

// counters is what is known about an attempt beside its samples. It is written
// to the log whenever it changed, so that a restarted runner goes on counting.
type counters struct {
	// LastSequence is the highest sequence number taken.
	LastSequence  uint64
	ClientDropped uint64
	Duplicates    uint64
	// Missing counts sequence numbers passed over.
	Missing uint64
	// Dropped counts samples by reason.
	Dropped [reasons]uint64
}

const countersSize = (4 + int(reasons)) * 8

func (c counters) encode() []byte {
	b := make([]byte, 0, countersSize)
	for _, v := range append([]uint64{c.LastSequence, c.ClientDropped, c.Duplicates, c.Missing}, c.Dropped[:]...) {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func decodeCounters(b []byte) (c counters, err error) {
	if len(b) != countersSize {
		return c, fmt.Errorf("counters of %d bytes instead of %d", len(b), countersSize)
	}
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	c = counters{LastSequence: at(0), ClientDropped: at(1), Duplicates: at(2), Missing: at(3)}
	for i := range c.Dropped {
		c.Dropped[i] = at(4 + i)
	}
	return c, nil
}

// encodeVerdict and decodeVerdict are the payload of a recordVerdict: the
// arrival in Unix nanoseconds and the sample. The verdict itself is not written:
// judging the sample again gives the same.
func encodeVerdict(arrived time.Time, s *telemetryv1.Sample) ([]byte, error) {
	head := binary.LittleEndian.AppendUint64(nil, uint64(arrived.UnixNano()))
	return proto.MarshalOptions{}.MarshalAppend(head, s)
}

func decodeVerdict(b []byte) (arrived time.Time, s *telemetryv1.Sample, err error) {
	if len(b) < 8 {
		return arrived, nil, errors.New("a verdict without an arrival time")
	}
	s = new(telemetryv1.Sample)
	if err := proto.Unmarshal(b[8:], s); err != nil {
		return arrived, nil, fmt.Errorf("decoding a verdict's sample: %w", err)
	}
	return time.Unix(0, int64(binary.LittleEndian.Uint64(b))), s, nil
}

// tally is what a log adds up to: the same whether it was kept while the log was
// written, or made by reading it. It is used by one goroutine at a time.
type tally struct {
	attemptID string
	counters  counters
	samples   uint64
	// unsequenced counts those of samples that came by Publish.
	unsequenced uint64
	variables   map[string]*variable
	// recent has the variables of the last sample in its order, because the next
	// sample most likely has the same.
	recent []*variable
	// breach is the sample that ended the job, nil if none did.
	breach  *telemetryv1.Sample
	arrived time.Time
}

type variable struct {
	VariableSummary
	mixedUnits bool
}

func newTally() *tally { return &tally{variables: make(map[string]*variable)} }

// record adds a record that was read from a log.
func (t *tally) record(kind byte, payload []byte) (err error) {
	if (kind == recordAttempt) != (t.attemptID == "") {
		return errors.New("the attempt's id is not the first record, or not the only one")
	}
	switch kind {
	case recordAttempt:
		if t.attemptID = string(payload); t.attemptID == "" {
			return errors.New("an empty attempt id")
		}
	case recordBatch:
		b, err := decodeBatch(payload)
		if err != nil {
			return err
		}
		t.counters.LastSequence = max(t.counters.LastSequence, b.GetSequence())
		t.add(b.GetSequence(), b.GetSamples())
	case recordCounters:
		t.counters, err = decodeCounters(payload)
	case recordVerdict:
		t.arrived, t.breach, err = decodeVerdict(payload)
	default:
		err = fmt.Errorf("unknown kind of record %q", kind)
	}
	return err
}

// add adds the samples of a batch that is in the log; its sequence is 0 for a
// Publish.
func (t *tally) add(sequence uint64, samples []*telemetryv1.Sample) {
	t.samples += uint64(len(samples))
	if sequence == 0 {
		t.unsequenced += uint64(len(samples))
	}
	for _, s := range samples {
		for i, v := range s.GetValues() {
			t.variable(i, v).add(v)
		}
	}
}

// variable finds or makes the variable of the i-th value of a sample.
func (t *tally) variable(i int, v *telemetryv1.Value) *variable {
	if i < len(t.recent) && t.recent[i].Name == v.GetName() {
		return t.recent[i]
	}
	known, ok := t.variables[v.GetName()]
	if !ok {
		known = &variable{VariableSummary: VariableSummary{Name: v.GetName(), Unit: v.GetUnit()}}
		t.variables[known.Name] = known
	}
	if i < len(t.recent) {
		t.recent[i] = known
	} else if i == len(t.recent) && i < maxVariables {
		t.recent = append(t.recent, known)
	}
	return known
}

func (v *variable) add(value *telemetryv1.Value) {
	v.mixedUnits = v.mixedUnits || value.GetUnit() != v.Unit
	x := value.GetValue()
	if math.IsNaN(x) || math.IsInf(x, 0) {
		v.NonFinite++
		return
	}
	if v.Count == 0 {
		v.Min, v.Max = x, x
	}
	v.Min, v.Max, v.Last = min(v.Min, x), max(v.Max, x), x
	v.Count++
}

// summary is the tally for the result.
func (t *tally) summary() Summary {
	s := Summary{
		Samples:          t.samples,
		Unsequenced:      t.unsequenced,
		ClientDropped:    t.counters.ClientDropped,
		DuplicateBatches: t.counters.Duplicates,
		MissingBatches:   t.counters.Missing,
	}
	for _, n := range t.counters.Dropped {
		s.Dropped += n
	}
	var mixed []string
	for _, v := range t.variables {
		s.Variables = append(s.Variables, v.VariableSummary)
		if v.mixedUnits {
			mixed = append(mixed, v.Name)
		}
	}
	slices.SortFunc(s.Variables, func(a, b VariableSummary) int { return strings.Compare(a.Name, b.Name) })
	s.Warnings = warnings(t.counters, mixed)
	return s
}

// warnings are the sentences for what is odd about an attempt's telemetry.
func warnings(c counters, mixed []string) []string {
	var out []string
	add := func(n uint64, text string) {
		if n > 0 {
			out = append(out, fmt.Sprintf(text, n))
		}
	}
	add(c.Dropped[dropStorage], "%d telemetry samples are not in the table, because the runner's storage was behind or failed.")
	add(c.Dropped[dropLogFull], "%d telemetry samples are not in the table, because the attempt's telemetry log was full.")
	add(c.Dropped[dropTime], "%d telemetry samples are not in the table, because their simulation time was not a finite number.")
	add(c.Dropped[dropName], fmt.Sprintf("%%d telemetry samples are not wholly in the table, because a variable's name was empty or longer than %d bytes, or its unit longer than %d.", maxName, maxUnit))
	add(c.Dropped[dropVariables], fmt.Sprintf("%%d telemetry samples are not wholly in the table, because the job reported more than %d variables.", maxVariables))
	add(c.ClientDropped, "%d telemetry samples were dropped by the job, which could not send them in time.")
	add(c.Missing, "%d telemetry batches never arrived, by their sequence numbers.")
	if len(mixed) > 0 {
		slices.Sort(mixed)
		named := mixed[:min(len(mixed), 5)]
		out = append(out, fmt.Sprintf("%d telemetry variables were reported in more than one unit, so their minimum and maximum mean little: %q.", len(mixed), named))
	}
	return out
}
