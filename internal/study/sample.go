package study

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Design is a drawn study: a value for each run and parameter, and a seed for
// each run. It doesn't change, so it may be read concurrently.
type Design struct {
	seed    uint64
	runs    int
	names   []string
	units   []string
	columns [][]float64
}

// Sample draws the design of a request from a seed. It is pure: what the design
// depends on is in the package's documentation. The seed is at most MaxSeed, and
// is used whatever r's own says. Other errors than about the seed mean that r did
// not come from Parse, or that runs were overridden to more than the limits allow.
func Sample(r *Request, seed uint64) (*Design, error) {
	d := &Design{seed: seed, runs: r.Runs(), names: slices.Sorted(maps.Keys(r.Config.Dispersions))}
	if seed > MaxSeed {
		return nil, fmt.Errorf("seed %d is too large; want at most %d", seed, uint64(MaxSeed))
	}
	if problem := checkSize(d.runs, len(d.names)); problem != "" {
		return nil, fmt.Errorf("runs: %s", problem)
	}
	draw, ok := methods[r.Config.MonteCarlo.SamplingMethod]
	if !ok {
		return nil, fmt.Errorf("unknown sampling method %q", r.Config.MonteCarlo.SamplingMethod)
	}
	for _, name := range d.names {
		dispersion := r.Config.Dispersions[name]
		if err := dispersion.Distribution.valid(); err != nil {
			return nil, fmt.Errorf("dispersions.%s: %w", name, err)
		}
		d.units = append(d.units, dispersion.Units)
		d.columns = append(d.columns, draw(newStream(seed, name), dispersion.Distribution.Shape, d.runs))
	}
	return d, nil
}

// valid is the first reason why nothing can be drawn from d.
func (d Distribution) valid() (err error) {
	if d.Shape == nil {
		return fmt.Errorf("has no distribution")
	}
	d.check(func(field, message string) {
		if err == nil {
			err = fmt.Errorf("distribution.%s: %s", field, message)
		}
	})
	if median := d.Quantile(0.5); err == nil && (math.IsNaN(median) || math.IsInf(median, 0)) {
		err = fmt.Errorf("distribution: a field is not a finite number")
	}
	return err
}

// methods draw n values of one parameter, by the sampling method's name.
var methods = map[SamplingMethod]func(s stream, shape Shape, n int) []float64{
	LatinHypercube: stratified,
	Random:         independent,
}

// methodNames are the names of the sampling methods, sorted.
func methodNames() nameList {
	var names nameList
	for _, m := range slices.Sorted(maps.Keys(methods)) {
		names = append(names, string(m))
	}
	return names
}

// independent draws every value by itself; value k is the stream's k-th number.
func independent(s stream, shape Shape, n int) []float64 {
	values := make([]float64, n)
	for k := range values {
		values[k] = shape.Quantile(s.fraction())
	}
	return values
}

// stratified divides the distribution into n equally probable strata and draws one
// value from each, at random within the stratum. The stream gives the permutation
// first, which says the run that stratum j's value goes to, and then the places
// within the strata, in the order of the strata.
//
// Stratum j is [Quantile(j/n), Quantile((j+1)/n)), also after rounding.
func stratified(s stream, shape Shape, n int) []float64 {
	values := make([]float64, n)
	run := s.permutation(n)
	low := shape.Quantile(0)
	for j := range n {
		high := shape.Quantile(float64(j+1) / float64(n))
		values[run[j]] = place(shape, low, high, (float64(j)+s.fraction())/float64(n))
		low = high
	}
	return values
}

// place is the quantile of u in the stratum [low, high). Where rounding carries it to
// the upper edge, which is the next stratum's, it is taken back by one unit in the
// last place. Only strata too narrow to hold a number of double precision coincide.
func place(shape Shape, low, high, u float64) float64 {
	x := max(shape.Quantile(min(u, 1-0x1p-53)), low)
	if x >= high && low < high {
		return math.Nextafter(high, low)
	}
	return x
}

// Names are the parameters' names, sorted.
func (d *Design) Names() []string { return slices.Clone(d.names) }

// Units are the parameters' units in the order of Names.
func (d *Design) Units() []string { return slices.Clone(d.units) }

// Runs is the number of rows.
func (d *Design) Runs() int { return d.runs }

// Seed is the seed that the design was drawn from.
func (d *Design) Seed() uint64 { return d.seed }

// Row is a new slice of the values of run k, from 0, in the order of Names.
func (d *Design) Row(k int) []float64 {
	row := make([]float64, len(d.columns))
	for i, column := range d.columns {
		row[i] = column[k]
	}
	return row
}

// RunSeed is the seed that run k hands to its simulation, at most MaxSeed.
func (d *Design) RunSeed(k int) uint64 { return runSeed(d.seed, k) }
