package cli

import (
	"math"
	"strconv"
)

// significant is how many digits of the largest number of a column are shown:
// enough to tell runs apart; the files have the numbers exactly.
const significant = 6

// formatter returns how the numbers of one column are printed: with the same
// number of decimals, so that the points stand in one line, or in scientific
// notation where that would hide some.
func formatter(values []float64) func(float64) string {
	largest, smallest, whole := 0.0, math.Inf(1), true
	for _, v := range values {
		if a := math.Abs(v); v != 0 && !math.IsInf(a, 0) && !math.IsNaN(a) {
			largest, smallest = max(largest, a), min(smallest, a)
			whole = whole && a == math.Trunc(a)
		}
	}
	switch {
	case largest == 0, whole && largest < 1e15:
		return func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	case largest >= 1e9, largest < 1e-4, smallest < largest*1e-3:
		return func(v float64) string { return strconv.FormatFloat(v, 'g', significant, 64) }
	}
	decimals := max(significant-1-int(math.Floor(math.Log10(largest))), 0)
	return func(v float64) string { return strconv.FormatFloat(v, 'f', decimals, 64) }
}
