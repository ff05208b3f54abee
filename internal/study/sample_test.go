package study_test

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/study"
)

var update = flag.Bool("update", false, "write the golden design anew; a changed design breaks the promise that a seed draws the same study for ever")

func request(method study.SamplingMethod, runs int, dispersions map[string]study.Shape) *study.Request {
	r := &study.Request{Name: "x", Config: study.Config{
		MonteCarlo:  study.MonteCarlo{Runs: runs, SamplingMethod: method},
		Dispersions: map[string]study.Dispersion{},
	}}
	for name, shape := range dispersions {
		r.Config.Dispersions[name] = study.Dispersion{Distribution: study.Distribution{Shape: shape}, Units: "m"}
	}
	return r
}

func sample(t rapid.TB, r *study.Request, seed uint64) *study.Design {
	t.Helper()
	d, err := study.Sample(r, seed)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// column is every run's value of a parameter.
func column(d *study.Design, name string) []float64 {
	i := slices.Index(d.Names(), name)
	values := make([]float64, d.Runs())
	for k := range values {
		values[k] = d.Row(k)[i]
	}
	return values
}

var (
	anySeed   = rapid.Uint64Max(study.MaxSeed)
	anyMethod = rapid.SampledFrom([]study.SamplingMethod{study.LatinHypercube, study.Random})
	anyName   = rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_.-]{0,20}`)
	anyShape  = rapid.Custom(func(t *rapid.T) study.Shape {
		a := rapid.Float64Range(-1e6, 1e6).Draw(t, "a")
		b := rapid.Float64Range(1e-3, 1e6).Draw(t, "b")
		return rapid.SampledFrom([]study.Shape{
			study.Uniform{Min: a, Max: a + b}, study.Normal{Mean: a, StdDev: b}, study.Constant{Value: a},
		}).Draw(t, "shape")
	})
	anyShapes = rapid.MapOfN(anyName, anyShape, 1, 6)
)

// TestGoldenDesign: the design of a study is the same for ever, on every machine.
// The numbers are written as hexadecimal, so to the last bit.
func TestGoldenDesign(t *testing.T) {
	const file = "testdata/orbit.design"
	var got bytes.Buffer
	r := parse(t, readFile(t, "testdata/orbit.yaml"))
	for _, method := range []study.SamplingMethod{study.LatinHypercube, study.Random} {
		for _, seed := range []uint64{42, study.MaxSeed} {
			r.Config.MonteCarlo.SamplingMethod = method
			d := sample(t, r, seed)
			fmt.Fprintf(&got, "%s seed=%d\n%s\n", method, seed, strings.Join(d.Names(), " "))
			for k := range d.Runs() {
				fmt.Fprintf(&got, "%d %d", k, d.RunSeed(k))
				for _, x := range d.Row(k) {
					got.WriteString(" " + strconv.FormatFloat(x, 'x', -1, 64))
				}
				got.WriteString("\n")
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readFile(t, file), got.String()); diff != "" {
		t.Error(diff)
	}
}

// TestLatinHypercubeStrata: each column has exactly one value in each stratum,
// whose edges are the quantiles of j/n.
func TestLatinHypercubeStrata(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shapes := anyShapes.Draw(t, "shapes")
		n := rapid.IntRange(1, 300).Draw(t, "runs")
		d := sample(t, request(study.LatinHypercube, n, shapes), anySeed.Draw(t, "seed"))
		for name, shape := range shapes {
			if _, constant := shape.(study.Constant); !constant {
				checkStrata(t, column(d, name), shape)
			}
		}
	})
}

func checkStrata(t rapid.TB, values []float64, shape study.Shape) {
	t.Helper()
	n := len(values)
	for j, x := range slices.Sorted(slices.Values(values)) {
		low, high := shape.Quantile(float64(j)/float64(n)), shape.Quantile(float64(j+1)/float64(n))
		if x < low || x >= high {
			t.Fatalf("%v, %d runs: stratum %d is [%v, %v), and the value of that rank is %v", shape, n, j, low, high, x)
		}
	}
}

// TestLatinHypercubeStrataByDistribution: the same, seen by somebody else's
// distribution functions.
func TestLatinHypercubeStrataByDistribution(t *testing.T) {
	const n = 1000
	tests := []struct {
		shape study.Shape
		cdf   func(float64) float64
	}{
		{study.Uniform{Min: 30, Max: 36}, distuv.Uniform{Min: 30, Max: 36}.CDF},
		{study.Uniform{Min: -7.05e6, Max: 7.05e6}, distuv.Uniform{Min: -7.05e6, Max: 7.05e6}.CDF},
		{study.Normal{Mean: 100, StdDev: 5}, distuv.Normal{Mu: 100, Sigma: 5}.CDF},
		{study.Normal{Mean: -1e-3, StdDev: 7e4}, distuv.Normal{Mu: -1e-3, Sigma: 7e4}.CDF},
	}
	for _, test := range tests {
		for seed := range uint64(20) {
			seen := make([]bool, n)
			for _, x := range column(sample(t, request(study.LatinHypercube, n, map[string]study.Shape{"p": test.shape}), seed), "p") {
				j := int(test.cdf(x) * n)
				if seen[j] {
					t.Fatalf("%v, seed %d: two values in stratum %d", test.shape, seed, j)
				}
				seen[j] = true
			}
		}
	}
}

// TestStrataSurviveRounding: strata that are a few units in the last place wide, or
// just one, still have their value each; where there are fewer numbers than runs,
// values stay in the range.
func TestStrataSurviveRounding(t *testing.T) {
	shape := study.Uniform{Min: 1e15, Max: 1e15 + 64} // 512 numbers of double precision
	for _, n := range []int{1, 3, 7, 64, 100, 256, 512} {
		for seed := range uint64(50) {
			d := sample(t, request(study.LatinHypercube, n, map[string]study.Shape{"p": shape}), seed)
			checkStrata(t, column(d, "p"), shape)
		}
	}
	for _, n := range []int{513, 5000} {
		for _, x := range column(sample(t, request(study.LatinHypercube, n, map[string]study.Shape{"p": shape}), 1), "p") {
			if x < shape.Min || x > shape.Max {
				t.Fatalf("%v is outside of %v", x, shape)
			}
		}
	}
}

// TestMostRuns: stratification and range also hold with the most runs there may be.
func TestMostRuns(t *testing.T) {
	shapes := map[string]study.Shape{"n": study.Normal{Mean: 7e6, StdDev: 1}, "u": study.Uniform{Min: 0.7, Max: 0.8}}
	d := sample(t, request(study.LatinHypercube, study.MaxRuns, shapes), 42)
	for name, shape := range shapes {
		checkStrata(t, column(d, name), shape)
	}
}

// TestIndependentOfOtherParameters: a parameter's values don't depend on which
// others there are.
func TestIndependentOfOtherParameters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shapes := anyShapes.Draw(t, "shapes")
		method, seed := anyMethod.Draw(t, "method"), anySeed.Draw(t, "seed")
		n := rapid.IntRange(1, 50).Draw(t, "runs")
		all := sample(t, request(method, n, shapes), seed)
		for name, shape := range shapes {
			alone := sample(t, request(method, n, map[string]study.Shape{name: shape}), seed)
			if !slices.Equal(column(all, name), column(alone, name)) {
				t.Fatalf("%s differs among %v", name, all.Names())
			}
		}
	})
}

// TestRandomIndependentOfRuns: with random sampling, row k of a small design is row
// k of a large one, and run seeds never depend on the number.
func TestRandomIndependentOfRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shapes, seed := anyShapes.Draw(t, "shapes"), anySeed.Draw(t, "seed")
		few := rapid.IntRange(1, 50).Draw(t, "few")
		many := rapid.IntRange(few, 200).Draw(t, "many")
		small, large := sample(t, request(study.Random, few, shapes), seed), sample(t, request(study.Random, many, shapes), seed)
		other := sample(t, request(study.LatinHypercube, many, nil), seed)
		for k := range few {
			if !slices.Equal(small.Row(k), large.Row(k)) {
				t.Fatalf("row %d is %v of %d and %v of %d", k, small.Row(k), few, large.Row(k), many)
			}
			if small.RunSeed(k) != large.RunSeed(k) || small.RunSeed(k) != other.RunSeed(k) {
				t.Fatalf("the seed of run %d depends on the design", k)
			}
		}
	})
}

// TestOrderOfDeclaration: the order of the parameters in the file is of no
// importance.
func TestOrderOfDeclaration(t *testing.T) {
	const head = "simulation: {name: x}\nmonte_carlo: {runs: 20}\ndispersions:\n"
	a := "  a: {distribution: {type: uniform, min: 0, max: 1}, units: m}\n"
	b := "  b: {distribution: {type: normal, mean: 0, std_dev: 1}, units: kg}\n"
	forward, backward := sample(t, parse(t, head+a+b), 3), sample(t, parse(t, head+b+a), 3)
	if !slices.Equal(forward.Units(), []string{"m", "kg"}) || !slices.Equal(forward.Names(), backward.Names()) {
		t.Errorf("%v in %v", forward.Names(), forward.Units())
	}
	for k := range 20 {
		if !slices.Equal(forward.Row(k), backward.Row(k)) {
			t.Fatalf("row %d differs", k)
		}
	}
}

// TestSeedDecides: the same seed draws the same design, another one another.
func TestSeedDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := request(anyMethod.Draw(t, "method"), 20, map[string]study.Shape{"p": study.Uniform{Min: 0, Max: 1}})
		seed := anySeed.Draw(t, "seed")
		d, again, other := sample(t, r, seed), sample(t, r, seed), sample(t, r, (seed+1)%study.MaxSeed)
		if !slices.Equal(column(d, "p"), column(again, "p")) || d.Seed() != seed {
			t.Fatal("one seed draws two designs")
		}
		if slices.Equal(column(d, "p"), column(other, "p")) || d.RunSeed(0) == other.RunSeed(0) {
			t.Fatal("two seeds draw one design")
		}
	})
}

// TestColumnsDiffer: parameters of one distribution are neither equal nor ordered
// alike, and don't correlate.
func TestColumnsDiffer(t *testing.T) {
	const n = 10_000
	shapes := map[string]study.Shape{}
	for i := range 12 { // more than a few, names that differ little
		shapes[fmt.Sprintf("p%d", i)] = study.Normal{Mean: 0, StdDev: 1}
	}
	for _, method := range []study.SamplingMethod{study.LatinHypercube, study.Random} {
		d := sample(t, request(method, n, shapes), 42)
		for i, a := range d.Names() {
			for _, b := range d.Names()[:i] {
				// The standard deviation of a sample correlation is 1/√n.
				if r := stat.Correlation(column(d, a), column(d, b), nil); math.Abs(r) > 4/math.Sqrt(n) {
					t.Errorf("%s: %s and %s correlate by %v", method, a, b, r)
				}
			}
		}
	}
}

// TestRandomFollowsTheDistribution: the Kolmogorov-Smirnov distance of 10,000
// values is below its 0.1 % point, 1.95/√n.
func TestRandomFollowsTheDistribution(t *testing.T) {
	const n = 10_000
	for name, test := range map[string]struct {
		shape study.Shape
		cdf   func(float64) float64
	}{
		"uniform": {study.Uniform{Min: -3, Max: 5}, distuv.Uniform{Min: -3, Max: 5}.CDF},
		"normal":  {study.Normal{Mean: 7, StdDev: 0.5}, distuv.Normal{Mu: 7, Sigma: 0.5}.CDF},
	} {
		values := slices.Sorted(slices.Values(column(sample(t, request(study.Random, n, map[string]study.Shape{name: test.shape}), 42), name)))
		distance := 0.0
		for i, x := range values {
			distance = max(distance, math.Abs(test.cdf(x)-float64(i)/n), math.Abs(test.cdf(x)-float64(i+1)/n))
		}
		if distance > 1.95/math.Sqrt(n) {
			t.Errorf("%s: distance %v", name, distance)
		}
	}
}

// TestLatinHypercubeIsMoreExact: the mean of a sum over a Latin hypercube varies
// far less between seeds than over random rows, which is what it is for.
func TestLatinHypercubeIsMoreExact(t *testing.T) {
	shapes := map[string]study.Shape{"a": study.Uniform{Min: 0, Max: 1}, "b": study.Normal{Mean: 0, StdDev: 1}}
	spread := func(method study.SamplingMethod) float64 {
		var means []float64
		for seed := range uint64(40) {
			d := sample(t, request(method, 100, shapes), seed)
			means = append(means, stat.Mean(column(d, "a"), nil)+stat.Mean(column(d, "b"), nil))
		}
		return stat.StdDev(means, nil)
	}
	if lhs, random := spread(study.LatinHypercube), spread(study.Random); lhs > random/10 {
		t.Errorf("standard deviation of the mean: %v by Latin hypercube, %v by random", lhs, random)
	}
}

func TestSmallDesigns(t *testing.T) {
	shapes := map[string]study.Shape{"c": study.Constant{Value: 2.5}, "u": study.Uniform{Min: 1, Max: 2}, "n": study.Normal{Mean: 0, StdDev: 1}}
	for _, method := range []study.SamplingMethod{study.LatinHypercube, study.Random} {
		for _, n := range []int{1, 2} { // fewer runs than parameters
			d := sample(t, request(method, n, shapes), 9)
			for k := range n {
				row := d.Row(k)
				if len(row) != 3 || row[0] != 2.5 || row[2] < 1 || row[2] > 2 || math.IsInf(row[1], 0) || math.IsNaN(row[1]) {
					t.Errorf("%s, row %d of %d: %v", method, k, n, row)
				}
			}
		}
		d := sample(t, request(method, 3, nil), 9)
		if len(d.Names()) != 0 || len(d.Row(2)) != 0 || d.Runs() != 3 {
			t.Errorf("without parameters: %v, %v", d.Names(), d.Row(2))
		}
	}
}

// TestDesignIsNotShared: what a design hands out is the caller's.
func TestDesignIsNotShared(t *testing.T) {
	d := sample(t, request(study.Random, 2, map[string]study.Shape{"a": study.Constant{Value: 1}}), 1)
	d.Row(0)[0], d.Names()[0], d.Units()[0] = 5, "x", "x"
	if d.Row(0)[0] != 1 || d.Names()[0] != "a" || d.Units()[0] != "m" {
		t.Error("a caller changed the design")
	}
}

func TestRunSeeds(t *testing.T) {
	d := sample(t, request(study.Random, 20_000, nil), 42)
	seen := map[uint64]bool{}
	for k := range d.Runs() {
		s := d.RunSeed(k)
		if s > study.MaxSeed || seen[s] {
			t.Fatalf("the seed of run %d is %d, again or too large", k, s)
		}
		seen[s] = true
	}
}

func TestSampleErrors(t *testing.T) {
	shape := map[string]study.Shape{"p": study.Uniform{Min: 0, Max: 1}}
	for want, r := range map[string]*study.Request{
		"runs: 0 is out of range; want 1 to 1000000": request(study.Random, 0, shape),
		`unknown sampling method ""`:                 request("", 1, shape),
		"dispersions.p: has no distribution":         request(study.Random, 1, map[string]study.Shape{"p": nil}),
		"dispersions.p: distribution.max: 1 is not greater than min, 1; want min < max (for one fixed value, use type: constant)": request(study.Random, 1, map[string]study.Shape{"p": study.Uniform{Min: 1, Max: 1}}),
		"dispersions.p: distribution: a field is not a finite number":                                                             request(study.Random, 1, map[string]study.Shape{"p": study.Constant{Value: math.NaN()}}),
		"dispersions.p: distribution.std_dev: mean +Inf and std_dev 1 reach beyond double precision":                              request(study.Random, 1, map[string]study.Shape{"p": study.Normal{Mean: math.Inf(1), StdDev: 1}}),
	} {
		if _, err := study.Sample(r, 1); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := study.Sample(request(study.Random, 1, shape), study.MaxSeed+1); err == nil {
		t.Error("a seed of 54 bits is accepted")
	}
	large := request(study.Random, study.MaxRuns, nil)
	for i := range 21 {
		large.Config.Dispersions[fmt.Sprint("p", i)] = study.Dispersion{Distribution: study.Distribution{Shape: study.Constant{}}}
	}
	if _, err := study.Sample(large, 1); err == nil || !strings.Contains(err.Error(), "too many values") {
		t.Errorf("21 million values: %v", err)
	}
}

func BenchmarkSample(b *testing.B) {
	shapes := map[string]study.Shape{}
	for i := range 10 {
		shapes[fmt.Sprint("u", i)] = study.Uniform{Min: 0, Max: 1}
		if i%2 == 0 {
			shapes[fmt.Sprint("u", i)] = study.Normal{Mean: 0, StdDev: 1}
		}
	}
	for _, method := range []study.SamplingMethod{study.LatinHypercube, study.Random} {
		b.Run(string(method)+"/100000x10", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sample(b, request(method, 100_000, shapes), 42)
			}
		})
	}
}
