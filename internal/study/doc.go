// Package study is what a user writes: a simulation, the uncertain parameters
// (dispersions), how they are drawn, limits and stopping rules. Parse reads and
// judges a study; Sample draws its design, the table of parameter values with one
// row a run.
//
//	request, err := study.Parse(data, "orbit.yaml")   // every error, with its line
//	design, err := study.Sample(request, seed)        // the same on every machine
//	values := design.Row(17)                          // of run 17
//
// The package does no I/O, reads no clock, and draws no randomness of its own:
// a study without a seed gets one from its caller.
//
// # What a design depends on
//
// Each parameter has a random stream of its own, derived from the seed and the
// parameter's name (stream.go has the exact derivation). So adding, removing or
// reordering parameters leaves the values of the others alone. A random design's
// row k depends on seed, name and k only; a Latin hypercube's on the number of
// runs besides, as the strata do.
//
// A design never changes: not with the version of Go, since stream and shuffle
// are fixed algorithms written down here, and not with the processor, since every
// product is rounded by an explicit conversion before it is added to something,
// which keeps compilers from fusing the two into one instruction of another
// precision. That is also why the normal quantile is here (normal.go) and not a
// library's. The golden file in testdata holds this.
//
// # Adding a distribution
//
// A type that implements Shape, and one entry in the table shapes (shape.go):
// decoding, unknown keys, required keys and the names in error messages follow
// from its fields' tags.
package study
