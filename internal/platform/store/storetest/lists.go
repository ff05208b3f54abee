package storetest

import (
	"errors"
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

func batchLists(t *testing.T, s platform.Store) {
	var seqs []int64
	for _, id := range []string{"z", "m", "a", "k"} { // ids say nothing about order
		seqs = append(seqs, put(t, s, id, 1).Seq)
	}
	done := read(t, s, func(tx platform.ReadTx) (platform.Batch, error) { return tx.Batch("m") })
	done.Counts = platform.Counts{Completed: 1}
	update(t, s, func(tx platform.Tx) error { return tx.UpdateBatch(done) })

	view(t, s, func(tx platform.ReadTx) error {
		for _, c := range []struct {
			what string
			list func(int64, int) ([]platform.Batch, error)
			from int64
			n    int
			want []string
		}{
			{"latest first", tx.Batches, 0, 9, []string{"k", "a", "m", "z"}},
			{"a page of the latest", tx.Batches, 0, 2, []string{"k", "a"}},
			{"the page before", tx.Batches, seqs[2], 2, []string{"m", "z"}},
			{"open ones, earliest first", tx.OpenBatches, 0, 9, []string{"z", "a", "k"}},
			{"a page of the open ones", tx.OpenBatches, 0, 1, []string{"z"}},
			{"the page after", tx.OpenBatches, seqs[0], 9, []string{"a", "k"}},
			{"after the last", tx.OpenBatches, seqs[3], 9, nil},
		} {
			got, err := c.list(c.from, c.n)
			if err != nil {
				return err
			}
			equal(t, c.what, batchIDs(got), c.want)
		}
		return nil
	})
}

func jobLists(t *testing.T, s platform.Store) {
	b1, b2 := put(t, s, "b1", 3), put(t, s, "b2", 12)
	setState(t, s, jobID("b1", 1), api.JobFailed, "r")
	setState(t, s, jobID("b2", 2), api.JobFailed, "r")
	setState(t, s, jobID("b2", 10), api.JobFailed, "r")
	j := func(b string, ks ...int) []string {
		var list []string
		for _, k := range ks {
			list = append(list, jobID(b, k))
		}
		return list
	}
	of := func(batch string, state api.JobState) platform.JobFilter {
		return platform.JobFilter{BatchID: batch, State: state}
	}
	at := func(f platform.JobFilter, k int, prefix string) platform.JobFilter {
		f.RunIndex, f.IDPrefix = &k, prefix
		return f
	}
	begins := func(f platform.JobFilter, prefix string) platform.JobFilter {
		f.IDPrefix = prefix
		return f
	}
	after := func(b platform.Batch, k int) *platform.JobKey { return &platform.JobKey{BatchSeq: b.Seq, RunIndex: k} }
	view(t, s, func(tx platform.ReadTx) error {
		for _, c := range []struct {
			what string
			q    platform.JobQuery
			want []string
		}{
			{"of a batch", platform.JobQuery{JobFilter: of("b1", ""), Limit: 9}, j("b1", 0, 1, 2)},
			{"by number, not by text", platform.JobQuery{JobFilter: of("b2", ""), After: after(b2, 8), Limit: 2}, j("b2", 9, 10)},
			{"in a state", platform.JobQuery{JobFilter: of("b2", api.JobFailed), Limit: 9}, j("b2", 2, 10)},
			{"in a state, limited", platform.JobQuery{JobFilter: of("b2", api.JobPending), Limit: 3}, j("b2", 0, 1, 3)},
			{"in a state, after", platform.JobQuery{JobFilter: of("b2", api.JobFailed), After: after(b2, 2), Limit: 9}, j("b2", 10)},
			{"of no batch", platform.JobQuery{JobFilter: of("x", ""), Limit: 9}, nil},
			{"of all, in a state", platform.JobQuery{JobFilter: of("", api.JobFailed), Limit: 9}, append(j("b2", 2, 10), j("b1", 1)...)},
			{"of all, over the edge", platform.JobQuery{After: after(b2, 10), Limit: 3}, append(j("b2", 11), j("b1", 0, 1)...)},
			{"one run", platform.JobQuery{JobFilter: at(of("b2", ""), 10, ""), Limit: 9}, j("b2", 10)},
			{"one run that is not there", platform.JobQuery{JobFilter: at(of("b1", ""), 10, ""), Limit: 9}, nil},
			{"one run of all", platform.JobQuery{JobFilter: at(of("", ""), 1, ""), Limit: 9}, append(j("b2", 1), j("b1", 1)...)},
			{"one run of all, limited", platform.JobQuery{JobFilter: at(of("", ""), 1, ""), Limit: 1}, j("b2", 1)},
			{"one run, after", platform.JobQuery{JobFilter: at(of("", ""), 1, ""), After: after(b2, 1), Limit: 9}, j("b1", 1)},
			{"one run, in a state", platform.JobQuery{JobFilter: at(of("", api.JobFailed), 1, ""), Limit: 9}, j("b1", 1)},
			{"by id", platform.JobQuery{JobFilter: begins(of("", ""), "b2-job-1"), Limit: 9}, j("b2", 1, 10, 11)},
			{"by id, limited", platform.JobQuery{JobFilter: begins(of("", ""), "b"), Limit: 13}, append(j("b2", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), j("b1", 0)...)},
			{"by id, after", platform.JobQuery{JobFilter: begins(of("", ""), "b"), After: after(b2, 10), Limit: 2}, append(j("b2", 11), j("b1", 0)...)},
			{"by id, of a batch, in a state", platform.JobQuery{JobFilter: begins(of("b2", api.JobFailed), "b2-job-1"), Limit: 9}, j("b2", 10)},
			{"by id, one run", platform.JobQuery{JobFilter: at(of("", ""), 1, "b1"), Limit: 9}, j("b1", 1)},
			{"by id, one run of a batch", platform.JobQuery{JobFilter: at(of("b1", ""), 1, "b"), Limit: 9}, j("b1", 1)},
			{"by a whole id", platform.JobQuery{JobFilter: begins(of("", ""), "b1-job-2"), Limit: 9}, j("b1", 2)},
			{"by what no id is", platform.JobQuery{JobFilter: begins(of("", ""), "b1_job%"), Limit: 9}, nil},
			{"by something after all ids", platform.JobQuery{JobFilter: begins(of("", ""), "z"), Limit: 9}, nil},
			{"of all, at the end", platform.JobQuery{After: after(b1, 1), Limit: 3}, j("b1", 2)},
			{"of all, after the end", platform.JobQuery{After: after(b1, 2), Limit: 3}, nil},
		} {
			got, err := tx.Jobs(c.q)
			if err != nil {
				return err
			}
			equal(t, c.what, ids(got), c.want)
		}
		return nil
	})
}

func activeJobs(t *testing.T, s platform.Store) {
	put(t, s, "b", 6)
	put(t, s, "c", 1)
	a, z := newRunner("a"), newRunner("z")
	a.SeenAt, z.SeenAt = at(10), at(20)
	update(t, s, func(tx platform.Tx) error { return errors.Join(tx.PutRunner(a), tx.PutRunner(z)) })
	setState(t, s, jobID("b", 0), api.JobClaimed, "a")
	setState(t, s, jobID("b", 1), api.JobRunning, "a")
	setState(t, s, jobID("c", 0), api.JobRunning, "a")
	setState(t, s, jobID("b", 2), api.JobCompleted, "a")
	setState(t, s, jobID("b", 3), api.JobClaimed, "z")
	setState(t, s, jobID("b", 4), api.JobPending, "z")

	view(t, s, func(tx platform.ReadTx) error {
		jobs, err := tx.ActiveJobs("a")
		equal(t, "active jobs", sorted(ids(jobs)), []string{jobID("b", 0), jobID("b", 1), jobID("c", 0)})
		for _, j := range jobs {
			one, err := tx.Job(j.ID)
			if err != nil {
				return err
			}
			equal(t, "an active job", j, one)
		}
		return err
	})
	equal(t, "counts", read(t, s, platform.ReadTx.ActiveCounts), map[string]int{"a": 3, "z": 1})

	silent := func(cutoff int) []string {
		return read(t, s, func(tx platform.ReadTx) ([]string, error) { return tx.SilentHolders(at(cutoff)) })
	}
	equal(t, "silent before anyone was seen", silent(10), []string(nil))
	equal(t, "silent", silent(11), []string{"a"})
	equal(t, "silent", silent(21), []string{"a", "z"})
	setState(t, s, jobID("b", 3), api.JobFailed, "z")
	equal(t, "silent with jobs", silent(21), []string{"a"})
}

func cancelPending(t *testing.T, s platform.Store) {
	put(t, s, "b", 4)
	put(t, s, "c", 1)
	setState(t, s, jobID("b", 1), api.JobRunning, "r")
	setState(t, s, jobID("b", 2), api.JobCompleted, "r")
	var n int
	update(t, s, func(tx platform.Tx) (err error) {
		n, err = tx.CancelPending("b", at(5), "why")
		return err
	})
	equal(t, "number of cancelled jobs", n, 2)
	get := func(id string) platform.Job {
		return read(t, s, func(tx platform.ReadTx) (platform.Job, error) { return tx.Job(id) })
	}
	for _, k := range []int{0, 3} {
		want := newJob("b", k)
		want.State, want.Outcome, want.ErrorMessage = api.JobCancelled, api.OutcomeCancelled, "why"
		want.CancelRequested, want.CompletedAt = true, at(5)
		equal(t, "a cancelled job", get(jobID("b", k)), want)
	}
	equal(t, "a running job", get(jobID("b", 1)).State, api.JobRunning)
	equal(t, "a completed job", get(jobID("b", 2)).State, api.JobCompleted)
	equal(t, "another batch", get(jobID("c", 0)).State, api.JobPending)
}

func fixed(t *testing.T, s platform.Store) {
	b, j := put(t, s, "b", 1), newJob("b", 0)
	wrong, wrongJob := b, j
	wrong.Seq, wrong.CreatedAt, wrong.Spec = 99, at(9), newSpec(9)
	wrongJob.RunIndex, wrongJob.Seed, wrongJob.Values, wrongJob.CreatedAt = 5, 1, nil, at(9)
	update(t, s, func(tx platform.Tx) error {
		return errors.Join(tx.UpdateBatch(wrong), tx.UpdateJob(wrongJob))
	})
	equal(t, "batch", read(t, s, func(tx platform.ReadTx) (platform.Batch, error) { return tx.Batch("b") }), b)
	equal(t, "job", read(t, s, func(tx platform.ReadTx) (platform.Job, error) { return tx.Job(j.ID) }), j)
}
