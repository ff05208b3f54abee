package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tetryx/lynx-runner/api"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// claimType is a type of simulation that only the benchmark itself claims.
const claimType = "bench-claim"

// claimRow measures, over the platform's own sockets, how soon a runner that waits
// for work has a job that was submitted, and how long a claim takes where very many
// jobs wait.
func claimRow(ctx context.Context, w *world, o options) (_ []line, err error) {
	c, err := w.claimer(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.conn.Close()) }()
	claims := o.reps * o.jobs
	waiting, err := c.whileWaiting(ctx, w, claims)
	if err != nil {
		return nil, err
	}
	pending, err := c.ofMany(ctx, w, o.large, claims)
	if err != nil {
		return nil, err
	}
	text := func(ms []float64) string {
		return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", median(ms), quantile(ms, 0.99))
	}
	return []line{
		{what: fmt.Sprintf("submitted → claimed by a runner that waits, %d claims", claims), ours: text(waiting)},
		{what: fmt.Sprintf("claim with %s jobs pending, asked → answered, %d claims", thousands(o.large), claims), ours: text(pending)},
	}, nil
}

// claimer is a runner that claims and runs nothing.
type claimer struct {
	conn     *grpc.ClientConn
	platform runnerv1.RunnerServiceClient
	session  string
}

func (w *world) claimer(ctx context.Context) (*claimer, error) {
	conn, err := grpc.NewClient("unix://"+w.path("grpc"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	c := &claimer{conn: conn, platform: runnerv1.NewRunnerServiceClient(conn)}
	id := w.runnerID()
	r, err := c.platform.Register(ctx, &runnerv1.RegisterRequest{
		RunnerId: id, InstallationId: id, Version: "bench", Executor: "process",
		Capabilities: &runnerv1.Capabilities{
			MaxConcurrentJobs: 1, CpuCores: 1, MemoryGb: 1, SupportedSimulationTypes: []string{claimType},
			DefaultCpuMillis: 1000, DefaultMemoryBytes: 1 << 30,
		},
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.session = r.GetSessionId()
	return c, nil
}

// claim asks for one job and waits for it.
func (c *claimer) claim(ctx context.Context) (*runnerv1.Assignment, error) {
	r, err := c.platform.ClaimJobs(ctx, &runnerv1.ClaimJobsRequest{
		SessionId: c.session, MaxJobs: 1, Wait: durationpb.New(20 * time.Second),
	})
	if err != nil {
		return nil, err
	}
	if n := len(r.GetAssignments()); n != 1 {
		return nil, fmt.Errorf("a claim of one job brought %d", n)
	}
	return r.GetAssignments()[0], nil
}

// end reports that a job is done.
func (c *claimer) end(ctx context.Context, a *runnerv1.Assignment) error {
	_, err := c.platform.ReportResult(ctx, &runnerv1.ReportResultRequest{
		SessionId: c.session, Attempt: &runnerv1.AttemptRef{AttemptId: a.GetAttemptId(), Token: a.GetToken()},
		Result: &runnerv1.Result{Outcome: string(api.OutcomeCompleted)},
	})
	return err
}

// whileWaiting are the milliseconds from the platform's taking up of a study of one
// job (its created_at, before it is committed) to the arrival of the job at the
// runner, which has been waiting for it.
func (c *claimer) whileWaiting(ctx context.Context, w *world, claims int) ([]float64, error) {
	type arrival struct {
		job *runnerv1.Assignment
		at  time.Time
		err error
	}
	arrived := make(chan arrival, 1)
	var times []float64
	for range claims {
		go func() {
			job, err := c.claim(ctx)
			arrived <- arrival{job, time.Now(), err}
		}()
		// The question must be there first. If it is not, the figure is only better.
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
		if _, err := w.client.Submit(ctx, []byte(studyOf("type: "+claimType, 1)), api.YAML); err != nil {
			return nil, err
		}
		a := <-arrived
		if a.err != nil {
			return nil, a.err
		}
		job, err := w.client.Job(ctx, a.job.GetJobId())
		if err != nil {
			return nil, err
		}
		times = append(times, a.at.Sub(job.CreatedAt).Seconds()*1000)
		if err := c.end(ctx, a.job); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// ofMany are the milliseconds of claims of one job each out of very many.
func (c *claimer) ofMany(ctx context.Context, w *world, jobs, claims int) ([]float64, error) {
	batch, err := w.client.Submit(ctx, []byte(studyOf("type: "+claimType, jobs)), api.YAML)
	if err != nil {
		return nil, err
	}
	var times []float64
	for range min(claims, jobs) {
		began := time.Now()
		job, err := c.claim(ctx)
		if err != nil {
			return nil, err
		}
		times = append(times, time.Since(began).Seconds()*1000)
		if err := c.end(ctx, job); err != nil {
			return nil, err
		}
	}
	_, err = w.client.CancelBatch(ctx, batch.BatchID)
	return times, err
}
