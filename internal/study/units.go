package study

import "github.com/tetryx/lynx-runner/internal/strictyaml"

// NormalizeUnits is the one spelling of a unit: "none" and "1" mean
// dimensionless and become ""; every other unit stays as it is. Compare units
// only after this, on both sides.
func NormalizeUnits(units string) string {
	if units == "none" || units == "1" {
		return ""
	}
	return units
}

// maxUnits is the length of a unit, in characters.
const maxUnits = 32

// decodeUnits reads the key `units` of a mapping. It is required even of what has
// no unit, so that a forgotten unit never passes for a dimensionless number.
func decodeUnits(v strictyaml.Value, into *string) bool {
	units, ok := v.Field("units")
	if !ok {
		v.FieldErrorf("units", `is missing; write the unit, or "none" for a dimensionless quantity`)
		return false
	}
	switch {
	case units.Kind() == strictyaml.Number && units.Text() == "1":
	case units.Kind() == strictyaml.Null:
		units.Errorf(`has no value; write the unit, or "none" for a dimensionless quantity`)
		return false
	case !units.Decode(into):
		return false
	}
	if problem := checkText(units.Text(), 0, maxUnits); problem != "" {
		units.Errorf("%s", problem)
		return false
	}
	*into = NormalizeUnits(units.Text())
	return true
}

// DecodeStrict reads a dispersion.
func (d *Dispersion) DecodeStrict(v strictyaml.Value) bool {
	type plain Dispersion
	ok := v.Decode((*plain)(d), "units")
	return decodeUnits(v, &d.Units) && ok
}

// DecodeStrict reads a condition.
func (c *Condition) DecodeStrict(v strictyaml.Value) bool {
	type plain Condition
	ok := v.Decode((*plain)(c), "units")
	return decodeUnits(v, &c.Units) && ok
}
