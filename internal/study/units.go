package study

// NormalizeUnits is the one spelling of a unit: "none" and "1" mean
// dimensionless and become ""; every other unit stays as it is. Compare units
// only after this, on both sides.
func NormalizeUnits(units string) string {
	if units == "none" || units == "1" {
		return ""
	}
	return units
}
