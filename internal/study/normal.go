package study

import "math"

// normalQuantile is the inverse of the standard normal distribution function, for
// u from 0 to 1: algorithm AS 241 (PPND16) of M. J. Wichura, "The Percentage
// Points of the Normal Distribution", Applied Statistics 37 (1988) 477-484, with
// a relative error of about 1e-16.
//
// Libraries have it, but round differently by processor: their polynomials get
// fused (arm64, amd64 from v3 on) and math.Log is assembly on some. Here each
// product is rounded by itself.
func normalQuantile(u float64) float64 {
	switch {
	case u <= 0:
		return math.Inf(-1)
	case u >= 1:
		return math.Inf(1)
	}
	q := u - 0.5
	if math.Abs(q) <= 0.425 {
		return float64(q * ratio(0.180625-float64(q*q), &centralP, &centralQ))
	}
	r := math.Sqrt(-logarithm(min(u, 1-u)))
	var z float64
	if r <= 5 {
		z = ratio(r-1.6, &middleP, &middleQ)
	} else {
		z = ratio(r-5, &tailP, &tailQ)
	}
	return math.Copysign(z, q)
}

// The coefficients of AS 241, constant term first.
var (
	centralP = [8]float64{3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
		4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3}
	centralQ = [8]float64{1, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
		2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3}
	middleP = [8]float64{1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
		1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4}
	middleQ = [8]float64{1, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
		1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9}
	tailP = [8]float64{6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
		2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7}
	tailQ = [8]float64{1, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
		7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15}
)

// ratio is p(x) / q(x).
func ratio(x float64, p, q *[8]float64) float64 {
	a, b := p[7], q[7]
	for i := 6; i >= 0; i-- {
		a = float64(a*x) + p[i]
		b = float64(b*x) + q[i]
	}
	return a / b
}

// logarithm is the natural logarithm of a normal x > 0, by the method of FreeBSD's
// e_log.c (the one of Go's math.Log where that isn't assembly), error below 1 ulp:
// x = 2^k (1 + f), s = f / (2 + f), log(1 + f) = f − s (f − R(s²)), with R a
// polynomial.
func logarithm(x float64) float64 {
	const (
		ln2Hi = 6.93147180369123816490e-01
		ln2Lo = 1.90821492927058770002e-10
	)
	fraction, exponent := math.Frexp(x)
	if fraction < math.Sqrt2/2 {
		fraction *= 2
		exponent--
	}
	f, k := fraction-1, float64(exponent)
	s := f / (2 + f)
	square := float64(s * s)
	remainder := 0.0
	for _, c := range [...]float64{1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,
		2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01} {
		remainder = float64(square * (remainder + c))
	}
	half := float64(float64(0.5*f) * f)
	low := float64(s*(half+remainder)) + float64(k*ln2Lo)
	return float64(k*ln2Hi) - ((half - low) - f)
}
