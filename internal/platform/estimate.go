package platform

import "time"

// Remaining estimates how long a batch will take from now on: the mean time that a
// runner had one of its attempts, for each job that waits and half of it for each
// that a runner has, shared by as many as run at present. It does not know before
// the first attempt has ended, nor while no runner has a job of it, nor when the
// batch is over. Retries to come are not counted.
func (b *Batch) Remaining() (left time.Duration, known bool) {
	active := b.Counts.Claimed + b.Counts.Running
	if b.Ended == 0 || active == 0 {
		return 0, false
	}
	mean := b.EndedFor.Seconds() / float64(b.Ended)
	runs := float64(b.Counts.Pending) + float64(active)/2
	return time.Duration(mean * runs / float64(active) * float64(time.Second)), true
}
