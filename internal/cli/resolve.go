package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/tetryx/lynx-runner/api"
)

const (
	// newest names the newest batch.
	newest = "last"
	// pageSize is how many items a page of a list has: the most that a platform
	// gives.
	pageSize = 1000
	// candidates is how many matches of an ambiguous prefix are named.
	candidates = 4
)

// references is the part of the help about naming batches and jobs.
const references = `BATCH is an id, the unique beginning of one, or "last" for the newest batch.`

// jobReferences is references for jobs.
const jobReferences = references + `
JOB is an id, the unique beginning of one, or BATCH/RUN, as last/17 for run 17 of
the newest batch.`

// walk yields the items of a list, page after page, and ends after the first
// error.
func walk[T any](fetch func(api.List) (*api.Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for l := (api.List{Limit: pageSize}); ; {
			page, err := fetch(l)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == nil {
				return
			}
			l.Cursor = *page.NextCursor
		}
	}
}

// batches yields every batch, the latest first.
func (s *session) batches(ctx context.Context) iter.Seq2[api.Batch, error] {
	return walk(func(l api.List) (*api.Page[api.Batch], error) { return s.client.Batches(ctx, l) })
}

// jobs yields the jobs of one batch, or of all, with the latest batch's first.
func (s *session) jobs(ctx context.Context, batch string, status api.JobState) iter.Seq2[api.Job, error] {
	return walk(func(l api.List) (*api.Page[api.Job], error) {
		return s.client.Jobs(ctx, api.JobFilter{List: l, BatchID: batch, Status: status})
	})
}

// batch finds the batch that ref means.
func (s *session) batch(ctx context.Context, ref string) (id string, err error) {
	if ref == newest {
		return s.lastBatch(ctx)
	}
	if id, err = s.exactBatch(ctx, ref); id != "" || err != nil {
		return id, err
	}
	found, err := s.batchesLike(ctx, ref)
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", noSuch("no batch %q; `lynxctl batches` lists them", ref)
	case len(found) > 1:
		return "", ambiguous(ref, found)
	}
	return found[0], nil
}

func (s *session) lastBatch(ctx context.Context) (string, error) {
	page, err := s.client.Batches(ctx, api.List{Limit: 1})
	if err != nil {
		return "", err
	}
	if len(page.Items) == 0 {
		return "", noSuch("the platform at %s has no batch yet; `lynxctl submit STUDY` makes one", s.server)
	}
	return page.Items[0].BatchID, nil
}

// exactBatch returns ref if it is a batch's whole id, otherwise "".
func (s *session) exactBatch(ctx context.Context, ref string) (string, error) {
	if err := checkReference(ref); err != nil {
		return "", err
	}
	status, err := s.client.Batch(ctx, ref)
	if isNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return status.Batch.BatchID, nil
}

// batchesLike returns the ids of the batches that begin with prefix: a few, if
// there are more than one.
func (s *session) batchesLike(ctx context.Context, prefix string) (found []string, err error) {
	for b, err := range s.batches(ctx) {
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(b.BatchID, prefix) {
			continue
		}
		if found = append(found, b.BatchID); len(found) > candidates {
			break
		}
	}
	return found, nil
}

// job finds the job that ref means.
func (s *session) job(ctx context.Context, ref string) (*api.Job, error) {
	if batch, run, ok := strings.Cut(ref, "/"); ok {
		return s.jobOfRun(ctx, batch, run)
	}
	if job, err := s.exactJob(ctx, ref); job != nil || err != nil {
		return job, err
	}
	found, err := s.jobsLike(ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, noSuch("no job %q; `lynxctl jobs BATCH` lists a batch's", ref)
	case len(found) > 1:
		return nil, ambiguous(ref, jobIDs(found))
	}
	return &found[0], nil
}

// exactJob returns the job whose whole id is ref, or nil.
func (s *session) exactJob(ctx context.Context, ref string) (*api.Job, error) {
	if err := checkReference(ref); err != nil {
		return nil, err
	}
	job, err := s.client.Job(ctx, ref)
	if isNotFound(err) {
		return nil, nil
	}
	return job, err
}

// jobOfRun finds a job by its batch and its run index.
func (s *session) jobOfRun(ctx context.Context, batchRef, run string) (*api.Job, error) {
	index, err := strconv.Atoi(run)
	if err != nil || index < 0 {
		return nil, noSuch("%q: a job is BATCH/RUN, where RUN is a number from 0, as last/17", batchRef+"/"+run)
	}
	id, err := s.batch(ctx, batchRef)
	if err != nil {
		return nil, err
	}
	page, err := s.client.Jobs(ctx, api.JobFilter{BatchID: id, RunIndex: &index})
	if err != nil {
		return nil, err
	}
	if len(page.Items) > 0 {
		return &page.Items[0], nil
	}
	return nil, noSuch("batch %s has no run %d; `lynxctl jobs %s` lists its runs", id, index, id)
}

// jobsLike returns the jobs that begin with prefix: a few, if there are more than
// one.
func (s *session) jobsLike(ctx context.Context, prefix string) ([]api.Job, error) {
	page, err := s.client.Jobs(ctx, api.JobFilter{List: api.List{Limit: candidates + 1}, IDPrefix: prefix})
	if err != nil {
		return nil, err
	}
	return page.Items, nil
}

func jobIDs(jobs []api.Job) []string {
	ids := make([]string, len(jobs))
	for i := range jobs {
		ids[i] = jobs[i].JobID
	}
	return ids
}

// target is what a reference to either kind means: one of both.
type target struct {
	batch string
	job   *api.Job
}

// find finds the batch or the job that ref means. A prefix must be unique among
// both: it can do harm to take one for the other.
func (s *session) find(ctx context.Context, ref string) (t target, err error) {
	switch {
	case strings.Contains(ref, "/"):
		t.job, err = s.job(ctx, ref)
		return t, err
	case ref == newest:
		t.batch, err = s.batch(ctx, ref)
		return t, err
	}
	if t.batch, err = s.exactBatch(ctx, ref); err != nil || t.batch != "" {
		return t, err
	}
	if t.job, err = s.exactJob(ctx, ref); err != nil || t.job != nil {
		return t, err
	}
	batches, err := s.batchesLike(ctx, ref)
	if err != nil {
		return t, err
	}
	jobs, err := s.jobsLike(ctx, ref)
	if err != nil {
		return t, err
	}
	switch found := append(batches, jobIDs(jobs)...); {
	case len(found) == 0:
		return t, noSuch("no batch and no job %q; `lynxctl batches` and `lynxctl jobs BATCH` list them", ref)
	case len(found) > 1:
		return t, ambiguous(ref, found)
	case len(jobs) == 1:
		t.job = &jobs[0]
	default:
		t.batch = batches[0]
	}
	return t, nil
}

// checkReference refuses what can't be a part of an id.
func checkReference(ref string) error {
	if strings.Trim(ref, ".") == "" {
		return noSuch("%q is not an id", ref)
	}
	return nil
}

// noSuch is wrong usage: something was named that is not there.
func noSuch(format string, args ...any) error {
	return exit(ExitUsage, fmt.Errorf(format, args...))
}

// ambiguous names some of what a prefix may mean.
func ambiguous(prefix string, found []string) error {
	more := ""
	if len(found) > candidates {
		found, more = found[:candidates], "\n  …"
	}
	return noSuch("%q is the beginning of more than one id; write more of the one that you mean:\n  %s%s",
		prefix, strings.Join(escapeAll(found), "\n  "), more)
}

func escapeAll(list []string) []string {
	clean := make([]string, len(list))
	for i, s := range list {
		clean[i] = escape(s)
	}
	return clean
}

// isNotFound reports whether the platform knows nothing of the name.
func isNotFound(err error) bool {
	problem, ok := errors.AsType[*api.Problem](err)
	return ok && problem.Status == http.StatusNotFound
}
