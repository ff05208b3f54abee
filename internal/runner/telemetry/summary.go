package telemetry

// Summary is what became of an attempt's telemetry.
type Summary struct {
	// Variables is sorted by name.
	Variables []VariableSummary
	// Samples counts the samples in the log.
	Samples uint64
	// Unsequenced counts those of them that came one by one, without a sequence
	// number that would tell whether others are missing.
	Unsequenced uint64
	// Dropped counts the samples that this server did not keep, or not wholly:
	// storage was behind for too long, the log was full, the simulation time was
	// not finite, a name or unit was not allowed, or there were too many
	// variables. All of them were given to the watchdog first.
	Dropped uint64
	// ClientDropped is how many samples the client says it could not send.
	ClientDropped uint64
	// DuplicateBatches counts the batches that arrived again and were discarded.
	DuplicateBatches uint64
	// MissingBatches counts sequence numbers that were passed over.
	MissingBatches uint64
	// Warnings are things worth knowing about the above, a sentence each.
	Warnings []string
}

// VariableSummary is one variable over the attempt, in its own unit. Min, Max,
// Last and Count are of finite values only, and the first three mean nothing if
// Count is 0; NaN and infinities are in the log and counted by NonFinite.
type VariableSummary struct {
	Name string
	// Unit is the first that the variable was reported in.
	Unit           string
	Count          uint64
	NonFinite      uint64
	Min, Max, Last float64
}
