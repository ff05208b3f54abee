package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
)

// writeBufferKeep is the largest write buffer that is kept for the next group.
const writeBufferKeep = 1 << 20

// writer appends what the intake queues to the log: everything that is queued at
// one time with one write. It doesn't sync: what is acknowledged survives the
// runner, not the machine, with which the job dies as well. The runner syncs the log
// with the attempt's other files, before the result is sent.
type writer struct {
	in   *intake
	file logFile
	size int64
	// tally is what the log holds, for the summary; its counters lag behind until
	// finish.
	tally *tally
	// logged are the counters that a reader of the log would come to.
	logged counters
	// lost counts samples that could not be written.
	lost uint64
	// broken is set when the log's end is not known any more.
	broken bool
	// err is the first write that failed.
	err error
	log *slog.Logger
	buf []byte
}

// run writes until the intake is closed and empty.
func (w *writer) run() {
	for {
		entries := w.in.next()
		if len(entries) == 0 {
			return
		}
		w.commit(entries)
	}
}

// commit writes a group, and reports it done whether that worked or not: what
// could not be written is counted as dropped, for a job must not wait for a disk
// that failed.
func (w *writer) commit(entries []entry) {
	data, logged := w.encode(entries)
	if err := w.write(data); err != nil {
		w.fail(err)
		w.lose(entries)
	} else {
		w.logged = logged
		for _, e := range entries {
			w.tally.add(e.sequence, e.samples)
		}
	}
	cost, pending := 0, int64(0)
	for _, e := range entries {
		cost, pending = cost+e.cost, pending+e.logged()
	}
	w.in.done(len(entries), cost, pending, w.size, entries[len(entries)-1].counters.LastSequence)
	if cap(data) <= writeBufferKeep {
		w.buf = data[:0]
	}
}

// encode is a group's records, and the counters that a reader has after them.
// They get a record of their own where the batches don't say what changed, but
// not in a group without batches: a client whose samples are dropped must not
// make the log grow, so that after a crash these counts may be behind.
func (w *writer) encode(entries []entry) (data []byte, logged counters) {
	data, logged = w.buf, w.logged
	for _, e := range entries {
		if e.verdict != nil {
			data = appendRecord(data, recordVerdict, e.verdict)
		}
		if e.batch != nil {
			data = appendRecord(data, recordBatch, e.batch)
			logged.LastSequence = max(logged.LastSequence, e.sequence)
		}
	}
	if now := w.counted(entries[len(entries)-1].counters); now != logged && len(data) > 0 {
		data, logged = appendRecord(data, recordCounters, now.encode()), now
	}
	return data, logged
}

// counted is c with what this writer lost.
func (w *writer) counted(c counters) counters {
	c.Dropped[dropStorage] += w.lost
	return c
}

// lose counts the samples of entries that could not be written.
func (w *writer) lose(entries []entry) {
	for _, e := range entries {
		w.lost += uint64(len(e.samples))
	}
}

// write appends data to the log, wholly or, as far as that can be had, not at
// all.
func (w *writer) write(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if w.broken {
		return errors.New("the log's end is not known after an earlier failure")
	}
	n, err := w.file.Write(data)
	if err == nil {
		w.size += int64(n)
		return nil
	}
	if cutErr := w.file.Truncate(w.size); cutErr != nil {
		w.broken = true
		err = errors.Join(err, cutErr)
	}
	return err
}

// fail keeps the first failure, and logs it.
func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = fmt.Errorf("writing the telemetry log: %w", err)
		w.log.Error("telemetry is not stored", "error", err)
	}
}

// finish writes the last counters and closes the log. It is called when
// run has returned.
func (w *writer) finish(last counters) error {
	w.tally.counters = w.counted(last)
	if last = w.tally.counters; last != w.logged {
		if err := w.write(appendRecord(nil, recordCounters, last.encode())); err != nil {
			w.fail(err)
		}
	}
	return errors.Join(w.err, w.file.Close())
}
