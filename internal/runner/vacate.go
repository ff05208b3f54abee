package runner

import (
	"context"
	"sync"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/artifact"
)

// An attempt's end has two parts. Until its processes and their memory are gone it
// has its place: slot, user, GPUs, CPU and memory. What follows (the engine's record,
// telemetry, collection, manifest, result, removal) needs none of that, and goes on
// beside the job that has the place next. Jobs of an executor whose users can reach
// each other's files keep theirs to the end: what one left has to be its owner's
// before the user is another job's.

// aftermath bounds the attempts that have given their place away and are not
// finished: as many as there are slots. Where a disk, an engine or a processor can't
// keep up, further ones keep their place until they are finished, and so no new jobs
// are claimed.
type aftermath chan struct{}

func newAftermath(slots int) aftermath { return make(aftermath, slots) }

// place is what a job has of the host while it runs.
type place struct {
	once sync.Once
	// finished is closed when the job's end is dealt with.
	finished chan struct{}
	// leaving is the goroutine that gives the place away before that, if there is one.
	leaving sync.WaitGroup
	left    bool

	// mu keeps the journal's note that the place is given away from being written when
	// the attempt is forgotten.
	mu        sync.Mutex
	forgotten bool
}

// vacated returns a channel that is closed when an attempt's place may be another's;
// nil, upon which one waits for ever, where that is not before its end.
func vacated(h executor.Handle) <-chan struct{} {
	if v, ok := h.(executor.Vacater); ok {
		return v.Vacated()
	}
	return nil
}

// moveOut has the job's place given away as soon as there is room in the aftermath,
// and the collection of what it left begin. Nothing of the job lives any more. It is
// for the job's own goroutine, which may call it again.
func (j *job) moveOut(ctx context.Context, rec *record) {
	if j.place.left {
		return
	}
	j.place.left = true
	j.beginStock(ctx, rec)
	j.place.leaving.Go(func() {
		select {
		case j.r.aftermath <- struct{}{}:
			defer func() { <-j.r.aftermath }()
		case <-j.place.finished:
			return
		}
		if err := j.noteVacated(); err != nil {
			j.log.Warn("the job keeps its slot until its end is dealt with", "error", err)
		} else {
			j.giveUpPlace()
		}
		<-j.place.finished
	})
}

// noteVacated writes down that the place is given away, before it is: a later process
// must know whose it is.
func (j *job) noteVacated() error {
	j.place.mu.Lock()
	defer j.place.mu.Unlock()
	if j.place.forgotten {
		return nil
	}
	return j.r.journal.Vacated(j.a.GetAttemptId())
}

// forget drops the attempt from those that a later process would take up.
func (j *job) forget() error {
	j.place.mu.Lock()
	defer j.place.mu.Unlock()
	j.place.forgotten = true
	return j.r.journal.Ended(j.a.GetAttemptId())
}

// finished gives back what the job still has when its end is dealt with.
func (j *job) finished() {
	close(j.place.finished)
	j.place.leaving.Wait()
	j.giveUpPlace()
}

func (j *job) giveUpPlace() {
	j.place.once.Do(func() {
		if !j.lingers {
			j.r.admission.leave(j.ticket)
		}
		j.r.slots.release(j.slot)
	})
}

// stock is what was found in a job's output directory.
type stock struct {
	collected  artifact.Collection
	collectErr error
	metrics    map[string]float64
	leftOut    int
	metricsErr error
}

func takeStock(ctx context.Context, output string, limits artifact.Limits) (s stock) {
	s.collected, s.collectErr = artifact.Collect(ctx, output, limits)
	s.metrics, s.leftOut, s.metricsErr = artifact.Metrics(output)
	return s
}

// beginStock takes stock while the engine's record is on its way. The logs have to
// wait for that: where the shim was killed they are put together behind it.
func (j *job) beginStock(ctx context.Context, rec *record) {
	if rec.paths.dir == "" {
		return
	}
	j.stock = make(chan stock, 1)
	go func() { j.stock <- takeStock(ctx, rec.paths.output, artifactLimits(j.r.cfg.Limits.Output)) }()
}
