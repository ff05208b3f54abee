// Package watchdog decides whether a sample of telemetry ends its job.
//
// A study may name early-termination conditions: a variable, an operator, a
// threshold and its unit. The runner gives every sample of an attempt to
// [Watchdog.Evaluate], in the order in which the attempt sent them, and kills
// the attempt at the first verdict. There are two kinds of verdict. A [Breach]
// is a condition that holds. An [Invalid] is a sample on which a condition can't
// be judged: another unit than the condition's, NaN or infinity in its variable
// or as its time. Such a sample ends the job as well, because a safety rule that
// can't be trusted must not stay silent.
//
// The package is pure: no clock, no I/O, no state between samples. What it
// answers depends on the conditions and the sample alone, so the first verdict
// of an attempt depends on its samples alone: not on how they were batched, on
// when they arrived, or on how fast a kill was.
package watchdog

import (
	"math"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"

	"github.com/tetryx/lynx-runner/internal/study"
)

// Kind says what a verdict means.
type Kind int

// The kinds of verdict.
const (
	// Breach is a condition that holds for a sample: outcome early_termination.
	Breach Kind = iota + 1
	// Invalid is a sample that a condition can't be judged on: outcome
	// telemetry_invalid.
	Invalid
)

// String is the kind in lower case, for logs.
func (k Kind) String() string {
	switch k {
	case Breach:
		return "breach"
	case Invalid:
		return "invalid"
	}
	return "unknown"
}

// Verdict is why a sample ends its job.
type Verdict struct {
	Kind Kind
	// Condition is the one that fired, or that can't be judged.
	Condition study.Condition
	// Value is the variable's value in the sample, in the sample's unit, and Time
	// the sample's simulation time in seconds. In an Invalid verdict either may be
	// NaN or infinite, which JSON can't hold.
	Value, Time float64
	// Message is a sentence for people, without control characters.
	Message string
}

// Watchdog judges samples by one study's conditions. It never changes after New,
// so any number of goroutines may use it at once.
type Watchdog struct {
	conditions []study.Condition
	// byVariable has the indexes of each variable's conditions, rising.
	byVariable map[string][]int
}

// New returns a watchdog for conditions, whose order is the order of precedence
// within a sample. No conditions (or early_termination.enabled: false, for which
// the caller passes none) is a watchdog that never finds anything.
func New(conditions []study.Condition) *Watchdog {
	w := &Watchdog{
		conditions: append([]study.Condition(nil), conditions...),
		byVariable: make(map[string][]int, len(conditions)),
	}
	for i, c := range w.conditions {
		w.byVariable[c.Variable] = append(w.byVariable[c.Variable], i)
	}
	return w
}

// Evaluate judges one sample and returns nil if nothing is wrong with it. Where
// several conditions have something to say, the first in the order given to New
// wins; where the sample has several values of its variable, the first of those
// that it objects to. A condition whose variable is not in the sample says
// nothing, and variables without a condition never matter. The cost is one map
// look-up for each value.
func (w *Watchdog) Evaluate(s *telemetryv1.Sample) *Verdict {
	if len(w.conditions) == 0 {
		return nil
	}
	var first *Verdict
	limit := len(w.conditions)
	for _, v := range s.GetValues() {
		for _, i := range w.byVariable[v.GetName()] {
			if i >= limit {
				break
			}
			if verdict := judge(w.conditions[i], s.GetTimeSeconds(), v); verdict != nil {
				first, limit = verdict, i
				break
			}
		}
	}
	return first
}

// judge holds one value against one condition.
func judge(c study.Condition, time float64, v *telemetryv1.Value) *Verdict {
	kind, message := Invalid, ""
	switch {
	case !c.Operator.Valid():
		message = unknownOperator(c)
	case study.NormalizeUnits(v.GetUnit()) != study.NormalizeUnits(c.Units):
		message = unitMismatch(c, time, v)
	case !finite(v.GetValue()):
		message = notFinite(c, time, v)
	case !finite(time):
		message = timeNotFinite(c, time)
	case c.Operator.Holds(v.GetValue(), c.Threshold):
		kind, message = Breach, fired(c, time, v)
	default:
		return nil
	}
	return &Verdict{Kind: kind, Condition: c, Value: v.GetValue(), Time: time, Message: message}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
