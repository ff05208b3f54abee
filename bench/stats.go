package main

import (
	"fmt"
	"math"
	"slices"
)

// quantile is the nearest-rank quantile of xs, which is not empty: the smallest of
// them that at least q of them are not above.
func quantile(xs []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(xs))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median is the middle of xs, which is not empty; of two middles, their mean.
func median(xs []float64) float64 {
	sorted := slices.Sorted(slices.Values(xs))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratios divides pair by pair.
func ratios(ours, peers []float64) []float64 {
	out := make([]float64, min(len(ours), len(peers)))
	for i := range out {
		out[i] = ours[i] / peers[i]
	}
	return out
}

// spread is "median unit (from–to)", of the quartiles, or of the extremes where
// there are fewer than eight values.
func spread(xs []float64, format, unit string) string {
	low, high := quantile(xs, 0.25), quantile(xs, 0.75)
	if len(xs) < 8 {
		low, high = slices.Min(xs), slices.Max(xs)
	}
	if unit != "" {
		unit = " " + unit
	}
	return fmt.Sprintf(format+"%s ("+format+"–"+format+")", median(xs), unit, low, high)
}
