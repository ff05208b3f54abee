package study

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// Distribution is how a parameter is distributed: in a document, a mapping with a
// `type` and the fields of that type's Shape.
type Distribution struct{ Shape }

// Shape is one of the distributions: Uniform, Normal or Constant.
type Shape interface {
	// Type is the distribution's name in a document.
	Type() string
	// Quantile is the inverse of the cumulative distribution function for u from
	// 0 to 1. It never decreases, and rounds the same way on every architecture.
	// At 0 and 1 it is the end of the support, which may be infinite.
	Quantile(u float64) float64
	// check calls report for each field that makes no distribution. A field that
	// could not be read is NaN, and nothing is said about it.
	check(report func(field, message string))
}

// shapes are the distributions that a document may name, sorted by name.
var shapes = []descriptor{
	describe(Constant{Value: unread}),
	describe(Normal{Mean: unread, StdDev: unread}),
	describe(Uniform{Min: unread, Max: unread}),
}

var unread = math.NaN()

// descriptor is how a distribution is found and read.
type descriptor struct {
	name string
	// decode reads the fields beside `type`; false if something was reported.
	decode func(v strictyaml.Value) (Shape, bool)
}

func describe[S Shape](blank S) descriptor {
	return descriptor{blank.Type(), func(v strictyaml.Value) (Shape, bool) {
		s := blank
		ok := v.Decode(&s, "type")
		return s, ok
	}}
}

// DecodeStrict reads the mapping by its `type`.
func (d *Distribution) DecodeStrict(v strictyaml.Value) bool {
	kind, ok := v.Field("type")
	if !ok {
		v.FieldErrorf("type", "is missing; want one of %s", shapeNames())
		return false
	}
	var name string
	if !kind.Decode(&name) {
		return false
	}
	for _, s := range shapes {
		if s.name != name {
			continue
		}
		d.Shape, ok = s.decode(v)
		d.check(func(field, message string) {
			ok = false
			v.FieldErrorf(field, "%s", message)
		})
		return ok
	}
	kind.Errorf("unknown distribution %s%s", kind.Describe(), suggest(name, shapeNames()))
	return false
}

// MarshalJSON is the form that DecodeStrict reads.
func (d Distribution) MarshalJSON() ([]byte, error) {
	if d.Shape == nil {
		return nil, fmt.Errorf("a distribution without a shape has no JSON form")
	}
	fields, err := json.Marshal(d.Shape)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"type":%q,%s`, d.Type(), fields[1:]), nil
}

// shapeNames are the names of the distributions, sorted.
func shapeNames() nameList {
	var names nameList
	for _, s := range shapes {
		names = append(names, s.name)
	}
	return names
}

// nameList shows itself as "a, b, c".
type nameList []string

func (l nameList) String() string { return strings.Join(l, ", ") }

// suggest ends a message about an unknown name: with the nearest valid one, or
// else with all of them.
func suggest(name string, valid nameList) string {
	if near := strictyaml.Nearest(name, valid); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return fmt.Sprintf("; want one of %s", valid)
}

// show writes a number as people do, 6950000 rather than 6.95e+06.
func show(x float64) string {
	if size := math.Abs(x); size == 0 || size >= 1e-4 && size < 1e15 {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

// Uniform has the same density everywhere from Min to Max.
type Uniform struct {
	Min float64 `yaml:"min" json:"min" strict:"required"`
	Max float64 `yaml:"max" json:"max" strict:"required"`
}

// Type is "uniform".
func (Uniform) Type() string { return "uniform" }

// Quantile is Min + u (Max − Min), and Max at 1 whatever that sum rounds to. Below 1
// it never exceeds Max: u is at most 1 − 2^-53, which takes more off the product than
// rounding Max − Min can have added.
func (d Uniform) Quantile(u float64) float64 {
	if u >= 1 {
		return d.Max
	}
	return d.Min + float64(u*(d.Max-d.Min))
}

func (d Uniform) check(report func(field, message string)) {
	switch {
	case d.Min >= d.Max:
		report("max", fmt.Sprintf("%s is not greater than min, %s; want min < max (for one fixed value, use type: constant)", show(d.Max), show(d.Min)))
	case math.IsInf(d.Max-d.Min, 0):
		report("max", fmt.Sprintf("max − min overflows double precision (min %s, max %s); want a narrower range", show(d.Min), show(d.Max)))
	}
}

// Normal is the Gaussian distribution.
type Normal struct {
	Mean   float64 `yaml:"mean" json:"mean" strict:"required"`
	StdDev float64 `yaml:"std_dev" json:"std_dev" strict:"required"`
}

// Type is "normal".
func (Normal) Type() string { return "normal" }

// Quantile is Mean + StdDev z(u), z being the standard normal quantile.
func (d Normal) Quantile(u float64) float64 {
	return d.Mean + float64(d.StdDev*normalQuantile(u))
}

func (d Normal) check(report func(field, message string)) {
	// No value is drawn from further out than nine standard deviations: u is at
	// least 2^-53, whose quantile is -8.2, or 2^-53 of a stratum.
	const reach = 16
	switch {
	case d.StdDev <= 0:
		report("std_dev", fmt.Sprintf("%s is not positive; want std_dev > 0 (for one fixed value, use type: constant)", show(d.StdDev)))
	case math.IsInf(math.Abs(d.Mean)+float64(reach*d.StdDev), 0):
		report("std_dev", fmt.Sprintf("mean %s and std_dev %s reach beyond double precision", show(d.Mean), show(d.StdDev)))
	}
}

// Constant is always Value.
type Constant struct {
	Value float64 `yaml:"value" json:"value" strict:"required"`
}

// Type is "constant".
func (Constant) Type() string { return "constant" }

// Quantile is Value.
func (d Constant) Quantile(float64) float64 { return d.Value }

func (Constant) check(func(field, message string)) {}
