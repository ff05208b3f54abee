package platform

import (
	"context"
	"fmt"
	"strconv"
)

// Batch returns one batch. ErrNotFound.
func (s *Service) Batch(ctx context.Context, id string) (Batch, error) {
	var b Batch
	err := s.store.View(ctx, func(tx ReadTx) error {
		var err error
		if b, err = tx.Batch(id); err != nil {
			return err
		}
		return nil
	})
	return b, err
}

// Batches lists batches, the latest first; next is the cursor of the next page,
// "" on the last. *InvalidError for a cursor that is none.
func (s *Service) Batches(ctx context.Context, p Page) (batches []Batch, next string, err error) {
	before := int64(0)
	if p.After != "" {
		if before, err = strconv.ParseInt(p.After, 10, 64); err != nil || before < 1 || strconv.FormatInt(before, 10) != p.After {
			return nil, "", badCursor(p.After)
		}
	}
	err = s.store.View(ctx, func(tx ReadTx) error {
		batches, err = tx.Batches(before, p.limit()+1)
		return err
	})
	if len(batches) > p.limit() {
		batches = batches[:p.limit()]
		next = strconv.FormatInt(batches[len(batches)-1].Seq, 10)
	}
	return batches, next, err
}

// Jobs lists jobs: the latest batch's first, within a batch by run index; next is
// the cursor of the next page, "" on the last. A job that exists and matches the
// filter throughout is listed exactly once. ErrNotFound if the filter names a
// batch that does not exist; *InvalidError for a cursor that is none.
func (s *Service) Jobs(ctx context.Context, f JobFilter, p Page) (views []JobView, next string, err error) {
	err = s.store.View(ctx, func(tx ReadTx) error {
		var jobs []Job
		var batches map[string]Batch
		if jobs, batches, next, err = jobPage(tx, f, p); err != nil {
			return err
		}
		why := s.reasons(tx)
		for i := range jobs {
			v := JobView{Job: jobs[i], Spec: batches[jobs[i].BatchID].Spec}
			if v.PendingReason, err = why.of(&v.Job, v.Spec); err != nil {
				return err
			}
			views = append(views, v)
		}
		return nil
	})
	return views, next, err
}

// BatchResults lists the jobs of a batch with their results, by run index, as
// Jobs does.
func (s *Service) BatchResults(ctx context.Context, batchID string, p Page) (runs []RunResult, next string, err error) {
	err = s.store.View(ctx, func(tx ReadTx) error {
		var jobs []Job
		var batches map[string]Batch
		jobs, batches, next, err = jobPage(tx, JobFilter{BatchID: batchID}, p)
		for i := range jobs {
			r, err := runResult(tx, &jobs[i], batches[batchID].Spec)
			if err != nil {
				return err
			}
			runs = append(runs, r)
		}
		return err
	})
	return runs, next, err
}

// jobPage reads one page of jobs and the batches that they are of.
func jobPage(tx ReadTx, f JobFilter, p Page) ([]Job, map[string]Batch, string, error) {
	q := JobQuery{JobFilter: f, Limit: p.limit() + 1}
	if p.After != "" {
		var key JobKey
		_, err := fmt.Sscanf(p.After, "%d.%d", &key.BatchSeq, &key.RunIndex)
		if err != nil || key.BatchSeq < 1 || key.RunIndex < 0 || jobCursor(key) != p.After {
			return nil, nil, "", badCursor(p.After)
		}
		q.After = &key
	}
	batches := map[string]Batch{}
	if f.BatchID != "" {
		b, err := tx.Batch(f.BatchID)
		if err != nil {
			return nil, nil, "", err
		}
		batches[b.ID] = b
	}
	jobs, err := tx.Jobs(q)
	if err != nil {
		return nil, nil, "", err
	}
	more := len(jobs) > p.limit()
	if more {
		jobs = jobs[:p.limit()]
	}
	for i := range jobs {
		id := jobs[i].BatchID
		if _, ok := batches[id]; ok {
			continue
		}
		if batches[id], err = tx.Batch(id); err != nil {
			return nil, nil, "", err
		}
	}
	next := ""
	if more {
		last := &jobs[len(jobs)-1]
		next = jobCursor(JobKey{BatchSeq: batches[last.BatchID].Seq, RunIndex: last.RunIndex})
	}
	return jobs, batches, next, nil
}

// jobCursor is the cursor behind a job.
func jobCursor(k JobKey) string { return fmt.Sprintf("%d.%d", k.BatchSeq, k.RunIndex) }

func badCursor(cursor string) error {
	return invalid("cursor", "%q is not a cursor of this list; use next_cursor of the page before, as it is", cursor)
}

// Job returns one job with its attempts. ErrNotFound.
func (s *Service) Job(ctx context.Context, id string) (JobView, error) {
	var v JobView
	err := s.store.View(ctx, func(tx ReadTx) error {
		j, b, err := jobAndBatch(tx, id)
		if err != nil {
			return err
		}
		v, err = s.jobView(tx, &j, b.Spec)
		return err
	})
	return v, err
}

func jobAndBatch(tx ReadTx, jobID string) (Job, Batch, error) {
	j, err := tx.Job(jobID)
	if err != nil {
		return Job{}, Batch{}, err
	}
	b, err := tx.Batch(j.BatchID)
	return j, b, err
}

func (s *Service) jobView(tx ReadTx, j *Job, spec *Spec) (JobView, error) {
	v := JobView{Job: *j, Spec: spec}
	var err error
	if v.History, err = tx.Attempts(j.ID); err != nil {
		return v, err
	}
	v.PendingReason, err = s.reasons(tx).of(j, spec)
	return v, err
}

// JobResult returns a job with the result of its latest attempt that has one.
// ErrNotFound if the job does not exist or has no result (yet).
func (s *Service) JobResult(ctx context.Context, jobID string) (RunResult, error) {
	var r RunResult
	err := s.store.View(ctx, func(tx ReadTx) error {
		j, b, err := jobAndBatch(tx, jobID)
		if err != nil {
			return err
		}
		if j.Reported == 0 {
			return fmt.Errorf("job %s is %s and has no result: %w", jobID, j.State, ErrNotFound)
		}
		r, err = runResult(tx, &j, b.Spec)
		return err
	})
	return r, err
}

// runResult adds to a job the result of its latest attempt that has one.
func runResult(tx ReadTx, j *Job, spec *Spec) (RunResult, error) {
	r := RunResult{Job: *j, Spec: spec}
	if j.Reported == 0 {
		return r, nil
	}
	a, err := tx.Attempt(j.ID, j.Reported)
	if err != nil {
		return r, err
	}
	r.Attempt = &a
	r.Result, err = tx.Result(j.ID, j.Reported)
	return r, err
}
