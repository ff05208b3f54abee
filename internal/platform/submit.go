package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/study"
)

// Submit makes a batch of a study that study.Parse accepted. A study without a
// seed gets one, which the batch's spec shows. The jobs are there all or not at
// all, and claimable when Submit returns.
func (s *Service) Submit(ctx context.Context, r *study.Request) (Batch, error) {
	seed := s.seed(r)
	design, err := study.Sample(r, seed)
	if err != nil {
		return Batch{}, fmt.Errorf("sample the study: %w", err)
	}
	spec, err := newSpec(r, design)
	if err != nil {
		return Batch{}, err
	}
	var b Batch
	err = s.update(ctx, func(u *unit) error {
		b = Batch{
			ID: s.opts.NewID(), State: api.BatchPending, Counts: Counts{Pending: spec.Runs},
			CreatedAt: u.now, Revision: 1, Spec: spec,
		}
		if err := u.InsertBatch(&b, s.jobs(&b, design)); err != nil {
			return err
		}
		u.wakes = append(u.wakes, workOf(&b, spec.Runs))
		return nil
	})
	if err != nil {
		return Batch{}, fmt.Errorf("store batch %q: %w", r.Name, err)
	}
	return b, nil
}

func (s *Service) seed(r *study.Request) uint64 {
	if seed := r.Config.MonteCarlo.Seed; seed != nil {
		return *seed
	}
	return s.opts.Seed()
}

// jobs yields the jobs of a batch, one row of the design each.
func (s *Service) jobs(b *Batch, d *study.Design) iter.Seq[Job] {
	return func(yield func(Job) bool) {
		for k := range d.Runs() {
			j := Job{
				ID: s.opts.NewID(), BatchID: b.ID, RunIndex: k,
				Seed: d.RunSeed(k), Values: d.Row(k),
				State: api.JobPending, CreatedAt: b.CreatedAt,
			}
			if !yield(j) {
				return
			}
		}
	}
}

// newSpec is what a study fixes about its batch.
func newSpec(r *study.Request, d *study.Design) (*Spec, error) {
	request, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("record the study: %w", err)
	}
	c := &r.Config
	spec := &Spec{
		Name: r.Name, Runs: d.Runs(), Seed: d.Seed(),
		SamplingMethod: string(c.MonteCarlo.SamplingMethod),
		Simulation: Simulation{
			Type: c.Simulation.Type, Name: c.Simulation.Name, Version: c.Simulation.Version,
			DurationMinutes: c.Simulation.DurationMinutes, Entrypoint: c.Simulation.Entrypoint,
			Command: c.Simulation.Command,
		},
		Compute: Compute{
			Image: c.Compute.Container.Image, CPUMillis: c.Compute.Container.CPUMillis(),
			MemoryBytes: c.Compute.Container.MemoryBytes(), GPUs: c.Compute.Container.GPUs(),
			Timeout: time.Duration(c.Compute.JobTimeoutSeconds) * time.Second, Isolation: c.Compute.Isolation,
		},
		EarlyTermination: c.EarlyTermination.Enabled,
		MaxParallel:      c.Compute.MaxParallelJobs,
		MaxRetries:       c.Compute.MaxRetries,
		MaxFailed:        c.MonteCarlo.MaxFailed.Limit(d.Runs()),
		Warnings:         r.Warnings(),
		Request:          request,
	}
	units := d.Units()
	for i, name := range d.Names() {
		spec.Columns = append(spec.Columns, Column{Name: name, Unit: units[i]})
	}
	for _, k := range c.EarlyTermination.Conditions {
		spec.Conditions = append(spec.Conditions, api.Condition{
			Name: k.Name, Description: k.Description, Variable: k.Variable,
			Operator: string(k.Operator), Threshold: k.Threshold, Units: k.Units,
		})
	}
	return spec, nil
}
