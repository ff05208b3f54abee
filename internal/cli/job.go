package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

func jobCommand(c *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "job JOB",
		Short: "Show one job: what ran, how it ended, what it left",
		Long:  "Show one job: what ran, how it ended, what it left and where.\n" + jobReferences,
		Example: `  lynxctl job last/17
  lynxctl job last/17 --json | jq .result.metrics`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: c.run(func(ctx context.Context, s *session, args []string) error {
			job, err := s.job(ctx, args[0])
			if err != nil {
				return err
			}
			result, err := s.client.JobResult(ctx, job.JobID)
			if err != nil && !isNotFound(err) {
				return err
			}
			if asJSON {
				return writeObject(s.Stdout, struct {
					Job    *api.Job       `json:"job"`
					Result *api.JobResult `json:"result"`
				}{job, result})
			}
			return writeFailed(s.writeJob(job, result))
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, `print {"job": …, "result": …} as JSON; result is null if there is none yet`)
	return cmd
}

// facts prints "name value" lines; names without a value are left out. A value of
// several lines keeps them.
type facts struct{ out strings.Builder }

func (f *facts) add(name, value string) {
	for i, line := range strings.Split(strings.TrimRight(value, "\n"), "\n") {
		if value == "" {
			return
		}
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(&f.out, "%-10s %s\n", name, escape(line))
	}
}

// writeJob prints a job and its result, if it has one yet.
func (s *session) writeJob(job *api.Job, result *api.JobResult) error {
	f := &facts{}
	s.jobFacts(f, job)
	if result != nil {
		resultFacts(f, result)
	}
	if _, err := io.WriteString(s.Stdout, f.out.String()); err != nil {
		return err
	}
	tables := []*table{parameterTable(job)}
	if result != nil {
		tables = append(tables, metricTable(result), telemetryTable(result), artifactTable(result))
	}
	for _, t := range tables {
		if len(t.rows) == 0 {
			continue
		}
		fmt.Fprintln(s.Stdout)
		if err := t.write(s.Stdout, s.Width); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) jobFacts(f *facts, job *api.Job) {
	f.add("job", job.JobID)
	f.add("batch", job.BatchID)
	f.add("run", fmt.Sprintf("%d, seed %d", job.RunConfig.RunIndex, job.RunConfig.Seed))
	status := jobStatus(job)
	if job.Outcome != nil {
		status += ", " + string(*job.Outcome)
	}
	f.add("status", status)
	f.add("message", deref(job.ErrorMessage))
	f.add("waits", deref(job.PendingReason))
	if job.Attempt > 0 {
		f.add("attempt", fmt.Sprintf("%d; %d of at most %d retries, %d requeues%s", job.Attempt, job.Retries, job.MaxRetries*(1+job.Reruns), job.Requeues, reruns(job.Reruns)))
	}
	f.add("runner", deref(job.AssignedRunner))
	f.add("submitted", s.moment(&job.CreatedAt))
	f.add("started", s.moment(job.StartedAt))
	f.add("ended", s.moment(job.CompletedAt))
}

// reruns says how often a user had a job run again, if ever.
func reruns(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d reruns", n)
}

func resultFacts(f *facts, r *api.JobResult) {
	switch {
	case r.Signal != nil:
		f.add("exit", "signal "+strconv.Itoa(*r.Signal))
	case r.ExitCode != nil:
		f.add("exit", "status "+strconv.Itoa(*r.ExitCode))
	}
	f.add("usage", fmt.Sprintf("%.2f s, %.2f s of CPU, at most %s of memory",
		r.Usage.WallSeconds, r.Usage.CPUSeconds, bytesText(r.Usage.PeakMemoryBytes)))
	if r.Breach != nil {
		f.add("breach", breachText(r.Breach))
	}
	if t := r.Telemetry; t != nil {
		f.add("telemetry", fmt.Sprintf("%d samples, %d dropped", t.Samples, t.DroppedSamples+t.ClientDroppedSamples))
	}
	if r.MetricsLeftOut > 0 {
		f.add("metrics", fmt.Sprintf("%d numbers of summary.json are beyond the limits and left out", r.MetricsLeftOut))
	}
	f.add("image", r.ImageID)
	f.add("code", r.CodeDigest)
	f.add("files", r.Directory)
	for _, warning := range r.Warnings {
		f.add("warning", warning)
	}
}

func breachText(b *api.Breach) string {
	c := b.Condition
	text := fmt.Sprintf("%s: %s = %s %s at t = %s s (%s %s)",
		c.Name, c.Variable, exact(b.Value), c.Units, exact(b.TimeSeconds), c.Operator, exact(c.Threshold))
	if b.KillMilliseconds != nil {
		text += fmt.Sprintf("\nevery process was gone %.1f ms after the sample", *b.KillMilliseconds)
	}
	return text
}

func parameterTable(job *api.Job) *table {
	t := &table{}
	t.column("parameter", false)
	t.column("value", true)
	t.column("unit", false)
	for _, name := range slices.Sorted(maps.Keys(job.RunConfig.Parameters)) {
		t.row(name, exact(job.RunConfig.Parameters[name]), job.RunConfig.Units[name])
	}
	return t
}

func metricTable(r *api.JobResult) *table {
	t := &table{}
	t.column("metric", false)
	t.column("value", true)
	for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
		t.row(name, exact(r.Metrics[name]))
	}
	return t
}

func telemetryTable(r *api.JobResult) *table {
	t := &table{}
	t.column("telemetry", false)
	t.column("unit", false)
	t.column("samples", true)
	t.column("min", true)
	t.column("max", true)
	t.column("last", true)
	for _, name := range slices.Sorted(maps.Keys(r.TelemetryData)) {
		v := r.TelemetryData[name]
		t.row(name, v.Unit, strconv.FormatUint(v.Count, 10), optional(v.Min, exact), optional(v.Max, exact), optional(v.Last, exact))
	}
	return t
}

func artifactTable(r *api.JobResult) *table {
	t := &table{}
	t.column("artifact", false)
	t.column("size", true)
	t.column("sha256", false)
	for _, a := range r.Artifacts {
		t.row(a.Name, bytesText(a.Size), a.SHA256)
	}
	return t
}
