package study

import (
	"encoding/hex"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

// TestDerivation holds the documented derivation; the numbers were computed with
// Python's hashlib.
func TestDerivation(t *testing.T) {
	key := deriveKey(purposeParameter, 42, []byte("mass_kg"))
	if got := hex.EncodeToString(key[:]); got != "24324c86234919540b25c42fa5de598a56fb080340cca333135d5e6630167f87" {
		t.Errorf("the key of mass_kg is %s", got)
	}
	for _, test := range []struct {
		seed uint64
		run  int
		want uint64
	}{
		{0, 0, 5604038748060818},
		{42, 0, 8985783562948873},
		{42, 1, 2996816894336860},
		{42, 999999, 5612519379392604},
		{MaxSeed, 17, 8616466038528774},
	} {
		if got := runSeed(test.seed, test.run); got != test.want {
			t.Errorf("seed %d, run %d: %d, want %d", test.seed, test.run, got, test.want)
		}
	}
}

// TestFraction: the ends are never reached, and every fraction is a multiple of
// 2^-53, so exact.
func TestFraction(t *testing.T) {
	s := newStream(1, "p")
	for range 100_000 {
		if u := s.fraction(); u <= 0 || u >= 1 || math.Ldexp(u, 53) != math.Trunc(math.Ldexp(u, 53)) {
			t.Fatalf("%v", u)
		}
	}
}

// TestPermutation: of four places, each of the 24 orders comes up equally often:
// chi-square with 23 degrees of freedom is below its 0.1 % point.
func TestPermutation(t *testing.T) {
	const draws = 24_000
	s, count := newStream(42, "p"), map[[4]uint32]int{}
	for range draws {
		p := s.permutation(4)
		if sorted := slices.Sorted(slices.Values(p)); !slices.Equal(sorted, []uint32{0, 1, 2, 3}) {
			t.Fatalf("%v is no permutation", p)
		}
		count[[4]uint32(p)]++
	}
	square := 0.0
	for _, n := range count {
		square += float64(n-draws/24) * float64(n-draws/24) / (draws / 24)
	}
	if len(count) != 24 || square > 49.73 {
		t.Errorf("%d orders, chi-square %v", len(count), square)
	}
}

// TestBelow: every number below n comes up, and none else, also where n does not
// divide 2^64.
func TestBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, math.MaxUint64).Draw(t, "n")
		s := newStream(rapid.Uint64Max(MaxSeed).Draw(t, "seed"), "p")
		for range 20 {
			if x := s.below(n); x >= n {
				t.Fatalf("%d of %d", x, n)
			}
		}
	})
	s, seen := newStream(7, "p"), map[uint64]int{}
	for range 6000 {
		seen[s.below(6)]++
	}
	for x := range uint64(6) {
		if seen[x] < 880 || seen[x] > 1120 { // 1000 ± 4 standard deviations
			t.Errorf("%d came up %d times of 6000", x, seen[x])
		}
	}
}

// TestBelowIsUnbiased: of 2^64 numbers onto three quarters as many, a bare product
// would give each multiple of three twice, so half of the time instead of a third.
func TestBelowIsUnbiased(t *testing.T) {
	const n = 3 << 62
	s, multiples := newStream(3, "p"), 0
	for range 6000 {
		if s.below(n)%3 == 0 {
			multiples++
		}
	}
	if multiples < 1850 || multiples > 2150 { // 2000 ± 4 standard deviations
		t.Errorf("multiples of three came up %d times of 6000", multiples)
	}
}

// TestStratumEnds: the places nearest to a stratum's ends stay in it, and are
// finite in the last stratum of an infinite support.
func TestStratumEnds(t *testing.T) {
	for _, shape := range []Shape{Normal{Mean: 5, StdDev: 2}, Uniform{Min: -1, Max: 0.1}} {
		for _, n := range []int{1, 2, 7, 1000, MaxRuns} {
			for _, j := range []int{0, n / 3, n - 1} {
				low, high := shape.Quantile(float64(j)/float64(n)), shape.Quantile(float64(j+1)/float64(n))
				for _, fraction := range []float64{0x1p-53, 0.5, 1 - 0x1p-53} {
					x := place(shape, low, high, (float64(j)+fraction)/float64(n))
					if x < low || x >= high || math.Abs(x-5) > 40 {
						t.Errorf("%v, stratum %d of %d, [%v, %v): at %v there is %v", shape, j, n, low, high, fraction, x)
					}
				}
			}
		}
	}
}

// TestPlaceIsInItsStratum even of a quantile function that errs by more than that.
func TestPlaceIsInItsStratum(t *testing.T) {
	for value, want := range map[float64]float64{1: 2, 2: 2, 2.5: 2.5, 3: math.Nextafter(3, 2), 4: math.Nextafter(3, 2)} {
		if got := place(Constant{Value: value}, 2, 3, 0.5); got != want {
			t.Errorf("%v is placed at %v", value, got)
		}
	}
	if got := place(Constant{Value: 2}, 2, 2, 0.5); got != 2 {
		t.Errorf("in an empty stratum: %v", got)
	}
}

// TestNormalQuantile compares with gonum's, which is another method, and checks
// symmetry.
func TestNormalQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := rapid.OneOf(rapid.Float64Range(0x1p-53, 1-0x1p-53), rapid.Map(rapid.Float64Range(1, 300), func(x float64) float64 { return math.Exp2(-x) })).Draw(t, "u")
		got, want := normalQuantile(u), distuv.UnitNormal.Quantile(u)
		if math.Abs(got-want) > 1e-14*max(math.Abs(want), 1e-2) {
			t.Fatalf("z(%v) = %v, gonum has %v", u, got, want)
		}
		if v := 1 - u; 1-v == u && normalQuantile(v) != -got {
			t.Fatalf("z(%v) = %v, but z(%v) = %v", u, got, v, normalQuantile(v))
		}
	})
}

// TestNormalQuantileKnown: values from tables, the ends, and where the method
// changes from one polynomial to the next.
func TestNormalQuantileKnown(t *testing.T) {
	for u, want := range map[float64]float64{
		0: math.Inf(-1), 1: math.Inf(1), 0.5: 0,
		0.975: 1.9599639845400542, 0.025: -1.9599639845400542, 0.999: 3.0902323061678133, 1e-10: -6.361340902404056, 1e-16: -8.222082216130435,
		0.075: -1.4395314709384563, 0.925: 1.4395314709384563,
	} {
		if got := normalQuantile(u); got != want && math.Abs(got-want) > 1e-14*math.Abs(want) {
			t.Errorf("z(%v) = %v, want %v", u, got, want)
		}
	}
}

// TestQuantilesNeverDecrease, also between neighbouring numbers that straddle a
// change of polynomial.
func TestQuantilesNeverDecrease(t *testing.T) {
	uniform := Uniform{Min: -1e-3, Max: 7e6}
	rapid.Check(t, func(t *rapid.T) {
		u := rapid.Float64Range(0, 1).Draw(t, "u")
		v := rapid.Float64Range(u, 1).Draw(t, "v")
		if normalQuantile(u) > normalQuantile(v) && v-u > 1e-15 || uniform.Quantile(u) > uniform.Quantile(v) {
			t.Fatalf("from %v to %v a quantile decreases", u, v)
		}
	})
	for _, edge := range []float64{0.075, 0.925, math.Exp(-25)} {
		if below, above := normalQuantile(edge*(1-1e-14)), normalQuantile(edge*(1+1e-14)); below >= above {
			t.Errorf("at %v the quantile falls from %v to %v", edge, below, above)
		}
	}
}

// TestUniformStaysInRange also where min + (max − min) is rounded up beyond max.
func TestUniformStaysInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64Range(-1e6, 1e6).Draw(t, "a"), rapid.Float64Range(-1e6, 1e6).Draw(t, "b")
		d := Uniform{Min: min(a, b), Max: max(a, b)}
		if d.Quantile(0) != d.Min || d.Quantile(1) != d.Max || d.Quantile(1-0x1p-53) > d.Max {
			t.Fatalf("%v gives %v to %v", d, d.Quantile(0), d.Quantile(1))
		}
	})
	d := Uniform{Min: -0.7, Max: -0.1}
	if sum := d.Min + (d.Max - d.Min); sum <= d.Max {
		t.Errorf("%v is no example of rounding up: %v", d, sum)
	}
	for _, u := range []float64{1, 1 - 0x1p-53} {
		if got := d.Quantile(u); got > d.Max {
			t.Errorf("%v at %v is %v", d, u, got)
		}
	}
}

// TestLogarithm is within one unit in the last place of math.Log.
func TestLogarithm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(0x1p-1000, 0x1p1000).Draw(t, "x")
		got, want := logarithm(x), math.Log(x)
		if got != want && got != math.Nextafter(want, got) {
			t.Fatalf("log(%v) = %v, want %v", x, got, want)
		}
	})
}

// TestNoProductIsFused: in the files that compute values, every product is rounded
// by a conversion of its own. Without, some architectures fuse it with a sum, and
// designs differ between machines.
func TestNoProductIsFused(t *testing.T) {
	for _, name := range []string{"normal.go", "sample.go", "shape.go", "stream.go"} {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		rounded := map[ast.Node]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "float64" {
					rounded[n.Args[0]] = true
				}
			case *ast.BinaryExpr:
				if n.Op == token.MUL && !rounded[n] {
					t.Errorf("%s: the product is not rounded by float64(…)", files.Position(n.Pos()))
				}
			}
			return true
		})
	}
}
