package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

const (
	// curveWidth is how many characters a table shows the course of a variable in.
	curveWidth = 40
	// curveSteps are the heights of a curve, the lowest first.
	curveSteps = "▁▂▃▄▅▆▇█"
	// csvPoints is how many points of each variable a CSV asks for where nobody
	// says otherwise.
	csvPoints = 5000
)

var telemetryFormats = []string{"table", "json", "csv"}

// telemetryOptions are the flags of `lynxctl telemetry`.
type telemetryOptions struct {
	query    api.TelemetryQuery
	from, to float64
	format   string
	json     bool
	follow   bool
}

func telemetryCommand(c *connection) *cobra.Command {
	var o telemetryOptions
	cmd := &cobra.Command{
		Use:   "telemetry JOB",
		Short: "Show the telemetry of a job, also of one that runs",
		Long: `Show the telemetry of a job, also of one that runs.
` + jobReferences + `

The formats:
  table  one row a variable: how many values, the least, the greatest, the last,
         and its course over time
  csv    time_seconds,name,value,unit, one row a value
  json   the answer of the platform; with -f one line for each batch of samples
A long series is thinned out so that its extremes stay; --max-points sets how far.
Every sample is in telemetry.parquet, beside the job's files.`,
		Example: `  lynxctl telemetry last/17
  lynxctl telemetry last/17 -f --variables orbit.radius_km
  lynxctl telemetry last/17 --format csv --from 0 --to 600 > radius.csv`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: c.run(func(ctx context.Context, s *session, args []string) error {
			if err := o.check(); err != nil {
				return exit(ExitUsage, err)
			}
			job, err := s.job(ctx, args[0])
			if err != nil {
				return err
			}
			if job.Attempt == 0 {
				return noSuch("job %s has not begun, so that it has no telemetry yet: it is %s", job.JobID, jobStatus(job))
			}
			if o.follow {
				return s.followTelemetry(ctx, job, o)
			}
			return s.telemetry(ctx, job, o)
		}),
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.query.Variables, "variables", nil, "only these, separated by commas")
	f.Float64Var(&o.from, "from", math.Inf(-1), "only from this simulation time on, in seconds")
	f.Float64Var(&o.to, "to", math.Inf(1), "only up to this simulation time, in seconds")
	f.IntVar(&o.query.MaxPoints, "max-points", 0, "points of each variable, at the most")
	f.IntVar(&o.query.Attempt, "attempt", 0, "the attempt's number (default: the latest)")
	f.StringVar(&o.format, "format", "", "table, csv or json (default: table, with -f csv)")
	f.BoolVar(&o.json, "json", false, "the same as --format json")
	f.BoolVarP(&o.follow, "follow", "f", false, "print samples as they come, until the attempt ends")
	for _, name := range []string{"from", "to"} {
		f.Lookup(name).DefValue = "0" // which the help does not show; infinity says nothing
	}
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(telemetryFormats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check settles the format and the bounds.
func (o *telemetryOptions) check() error {
	if o.json {
		if o.format != "" && o.format != "json" {
			return fmt.Errorf("--json and --format %s: choose one", o.format)
		}
		o.format = "json"
	}
	switch {
	case o.follow && o.format == "table":
		return errors.New("--format table is for what is there; with -f choose csv or json")
	case o.follow && o.query.MaxPoints != 0:
		return errors.New("--max-points is for what is there; -f prints every sample")
	case o.query.MaxPoints < 0:
		return fmt.Errorf("--max-points %d: must be at least 1", o.query.MaxPoints)
	case o.follow:
		o.format = cmp.Or(o.format, "csv")
	}
	o.format = cmp.Or(o.format, "table")
	if !slices.Contains(telemetryFormats, o.format) {
		return fmt.Errorf("--format %s: must be one of %s", o.format, strings.Join(telemetryFormats, ", "))
	}
	if !math.IsInf(o.from, 0) {
		o.query.From = &o.from
	}
	if !math.IsInf(o.to, 0) {
		o.query.To = &o.to
	}
	if o.format == "csv" && o.query.MaxPoints == 0 {
		o.query.MaxPoints = csvPoints
	}
	return checkAttempt(o.query.Attempt)
}

// telemetry prints what there is by now.
func (s *session) telemetry(ctx context.Context, job *api.Job, o telemetryOptions) error {
	t, err := s.client.Telemetry(ctx, job.JobID, o.query)
	if err != nil {
		return err
	}
	for _, name := range o.query.Variables {
		if !slices.ContainsFunc(t.Variables, func(v api.Series) bool { return v.Name == name }) {
			fmt.Fprintf(s.Stderr, "no values of %s\n", escape(name))
		}
	}
	if o.format == "json" {
		return writeObject(s.Stdout, t)
	}
	if len(t.Variables) == 0 {
		fmt.Fprintln(s.Stderr, "no telemetry")
		return nil
	}
	if t.VariablesLeftOut > 0 {
		fmt.Fprintf(s.Stderr, "%d more variables are not shown; --variables NAME,… chooses\n", t.VariablesLeftOut)
	}
	if t.DroppedSamples > 0 {
		fmt.Fprintf(s.Stderr, "%d samples came too fast to be shown; they are all in telemetry.parquet when the attempt is over\n", t.DroppedSamples)
	}
	if o.format == "table" {
		return writeFailed(seriesTable(t).write(s.Stdout, s.Width))
	}
	if t.Downsampled {
		fmt.Fprintf(s.Stderr, "thinned out to %d points a variable; --max-points sets how many\n", o.query.MaxPoints)
	}
	return s.writeSamples(valuesOf(t))
}

// seriesTable has a row for each variable.
func seriesTable(t *api.Telemetry) *table {
	out := &table{}
	out.column("telemetry", false)
	out.column("unit", false)
	out.column("values", true)
	out.column("min", true)
	out.column("max", true)
	out.column("last", true)
	out.column("course", false)
	for _, v := range t.Variables {
		least, greatest, last := math.Inf(1), math.Inf(-1), math.NaN()
		for _, x := range v.Values {
			if last = float64(x); !math.IsNaN(last) {
				least, greatest = min(least, last), max(greatest, last)
			}
		}
		out.row(v.Name, v.Unit, strconv.FormatUint(v.Count, 10), finite(least), finite(greatest), finite(last), curve(v, least, greatest))
	}
	return out
}

func finite(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "not finite"
	}
	return exact(x)
}

// curve draws a series over its time, in one line.
func curve(v api.Series, least, greatest float64) string {
	if len(v.Times) < 2 || !(greatest > least) {
		return ""
	}
	steps := []rune(curveSteps)
	first, last := v.Times[0], v.Times[len(v.Times)-1]
	line := []rune(strings.Repeat(" ", curveWidth))
	for i, t := range v.Times {
		x := float64(v.Values[i])
		if math.IsNaN(x) || last <= first || t < first || t > last {
			continue
		}
		column := min(int((t-first)/(last-first)*curveWidth), curveWidth-1)
		line[column] = steps[min(int((x-least)/(greatest-least)*float64(len(steps))), len(steps)-1)]
	}
	for i := range line { // a value lasts until the next one
		if i > 0 && line[i] == ' ' {
			line[i] = line[i-1]
		}
	}
	return string(line)
}

// value is one row of a CSV.
type value struct {
	time float64
	name string
	x    api.Number
	unit string
}

func valuesOf(t *api.Telemetry) iter.Seq2[value, error] {
	return func(yield func(value, error) bool) {
		for _, v := range t.Variables {
			for i := range v.Times {
				if !yield(value{v.Times[i], v.Name, v.Values[i], v.Unit}, nil) {
					return
				}
			}
		}
	}
}

// writeSamples prints values as CSV, in which text is as harmless as in results.
func (s *session) writeSamples(values iter.Seq2[value, error]) error {
	buffer := bufio.NewWriter(s.Stdout)
	out := csv.NewWriter(buffer)
	_ = out.Write([]string{"time_seconds", "name", "value", "unit"}) // Error has it
	for v, err := range values {
		if err != nil {
			return errors.Join(flushCSV(out, buffer), err)
		}
		_ = out.Write([]string{exact(v.time), csvText(v.name), exact(float64(v.x)), csvText(v.unit)})
	}
	return flushCSV(out, buffer)
}

func flushCSV(out *csv.Writer, buffer *bufio.Writer) error {
	out.Flush()
	return writeFailed(errors.Join(out.Error(), buffer.Flush()))
}

// followTelemetry prints samples as they come, those that --from, --to and
// --variables let through.
func (s *session) followTelemetry(ctx context.Context, job *api.Job, o telemetryOptions) error {
	out := csv.NewWriter(s.Stdout)
	if o.format == "csv" {
		_ = out.Write([]string{"time_seconds", "name", "value", "unit"})
	}
	var dropped uint64
	for chunk, err := range s.client.FollowTelemetry(ctx, job.JobID, o.query.Attempt) {
		if err != nil {
			return err
		}
		chunk.Samples = o.wanted(chunk.Samples)
		if chunk.DroppedSamples > dropped {
			dropped = chunk.DroppedSamples
			fmt.Fprintf(s.Stderr, "%d samples so far came too fast to be shown\n", dropped)
		}
		if err := s.writeChunk(out, &chunk, o.format); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) writeChunk(out *csv.Writer, chunk *api.TelemetryChunk, format string) error {
	if format == "json" {
		text, err := json.Marshal(chunk)
		if err == nil {
			_, err = fmt.Fprintf(s.Stdout, "%s\n", harmless(text))
		}
		return writeFailed(err)
	}
	for _, sample := range chunk.Samples {
		for _, v := range sample.Values {
			_ = out.Write([]string{exact(sample.TimeSeconds), csvText(v.Name), exact(float64(v.Value)), csvText(v.Unit)})
		}
	}
	out.Flush()
	return writeFailed(out.Error())
}

// wanted keeps what the flags ask for.
func (o *telemetryOptions) wanted(samples []api.TelemetrySample) (kept []api.TelemetrySample) {
	for _, sample := range samples {
		if sample.TimeSeconds < o.from || sample.TimeSeconds > o.to {
			continue
		}
		if names := o.query.Variables; len(names) > 0 {
			sample.Values = slices.DeleteFunc(sample.Values, func(v api.TelemetryValue) bool { return !slices.Contains(names, v.Name) })
		}
		if len(sample.Values) > 0 {
			kept = append(kept, sample)
		}
	}
	return kept
}
