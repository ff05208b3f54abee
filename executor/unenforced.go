package executor

// Unenforced is a limit that a place accepts and ignores.
type Unenforced struct {
	// Limit is "memory", "swap", "pids" or "cpu".
	Limit string
	// Reason says why, what a job could do, and how to mend it; a sentence without
	// its full stop.
	Reason string
}
