package watchdog

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"

	"github.com/tetryx/lynx-runner/internal/study"
)

// fired says that a condition holds.
func fired(c study.Condition, time float64, v *telemetryv1.Value) string {
	return fmt.Sprintf("Condition %q fired: %s was %s at simulation time %s s, %s the threshold of %s%s.",
		c.Name, clean(c.Variable), quantity(v.GetValue(), v.GetUnit()), number(time),
		relation(c.Operator), quantity(c.Threshold, c.Units), description(c))
}

// unitMismatch says that a sample and its condition name different units.
func unitMismatch(c study.Condition, time float64, v *telemetryv1.Value) string {
	return fmt.Sprintf("Condition %q can't be judged: the scenario reported %s in %s at simulation time %s s, but the condition's threshold is in %s; make the two units the same.",
		c.Name, clean(c.Variable), unitName(v.GetUnit()), number(time), unitName(c.Units))
}

// notFinite says that a watched variable has no usable value.
func notFinite(c study.Condition, time float64, v *telemetryv1.Value) string {
	return fmt.Sprintf("Condition %q can't be judged: %s was %s at simulation time %s s, which is not a finite number.",
		c.Name, clean(c.Variable), number(v.GetValue()), number(time))
}

// timeNotFinite says that a sample of a watched variable belongs to no instant.
func timeNotFinite(c study.Condition, time float64) string {
	return fmt.Sprintf("Condition %q can't be judged: a sample of %s has the simulation time %s, which is not a finite number.",
		c.Name, clean(c.Variable), number(time))
}

// unknownOperator is for conditions that passed no validation.
func unknownOperator(c study.Condition) string {
	return fmt.Sprintf("Condition %q can't be judged: its operator %q is none of lt, lte, gt, gte, eq and neq.",
		c.Name, string(c.Operator))
}

func relation(o study.Operator) string {
	switch o {
	case study.LT:
		return "below"
	case study.LTE:
		return "at or below"
	case study.GT:
		return "above"
	case study.GTE:
		return "at or above"
	case study.EQ:
		return "equal to"
	}
	return "not equal to"
}

// description is the author's reason in brackets, if there is one.
func description(c study.Condition) string {
	d := strings.TrimRight(clean(c.Description), ". ")
	if d == "" {
		return ""
	}
	return " (" + d + ")"
}

// quantity is a number with its unit.
func quantity(x float64, unit string) string {
	unit = clean(study.NormalizeUnits(unit))
	if unit == "" {
		return number(x)
	}
	return number(x) + " " + unit
}

// unitName names a unit on its own.
func unitName(unit string) string {
	if unit = study.NormalizeUnits(unit); unit == "" {
		return "no unit"
	}
	return strconv.Quote(shorten(unit))
}

// number is the shortest decimal that reads back as exactly x, without an
// exponent where a person would not use one.
func number(x float64) string {
	if a := math.Abs(x); a != 0 && (a < 1e-6 || a >= 1e15) {
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// maxText bounds what a message repeats of a text that a job or study wrote.
const maxText = 200

// clean makes a text from a job or study fit for a terminal and for one line:
// what does not print becomes a question mark, and its length is bounded.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, shorten(s))
}

func shorten(s string) string {
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
