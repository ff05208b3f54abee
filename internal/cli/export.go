package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// export is a batch's rows as a table for programs. The metrics' names are only
// known when every row was seen, so the rows wait in a file, and memory does not
// grow with the batch.
type export struct {
	columns []exportColumn
	units   map[string]string
	spool   *os.File
}

// exportColumn is one column. value returns an int64, a float64, a string or a
// time.Time, always the same for one column, or nil where the run has none.
type exportColumn struct {
	name  string
	kind  exportKind
	value func(*api.RunRow) any
}

type exportKind int

const (
	wholeNumber exportKind = iota
	realNumber
	textual
	instant
)

// writeExport reads a batch's rows and writes them in one of the formats.
func writeExport(ctx context.Context, w io.Writer, r *report, write func(io.Writer, *export) error) error {
	e, err := collectExport(ctx, r)
	if err != nil {
		return err
	}
	defer e.spool.Close()
	return write(w, e)
}

// collectExport reads every row into a file that has no name any more.
func collectExport(ctx context.Context, r *report) (*export, error) {
	spool, err := os.CreateTemp("", "lynx-results-*")
	if err != nil {
		return nil, writeFailed(err)
	}
	if err := os.Remove(spool.Name()); err != nil {
		return nil, writeFailed(errors.Join(err, spool.Close()))
	}
	e := &export{spool: spool}
	out := bufio.NewWriterSize(spool, 256<<10)
	encoder := json.NewEncoder(out)
	parameters, metrics := map[string]bool{}, map[string]bool{}
	err = eachRow(ctx, r.client, r.status.Batch.BatchID, func(units map[string]string, row api.RunRow) error {
		e.units = units
		for name := range row.Parameters {
			parameters[name] = true
		}
		for name := range row.Metrics {
			metrics[name] = true
		}
		// These have no column.
		row.TelemetryData, row.Artifacts, row.OutputFiles, row.Warnings = nil, nil, nil, nil
		return writeFailed(encoder.Encode(row))
	})
	if err == nil {
		err = writeFailed(out.Flush())
	}
	if err != nil {
		return nil, errors.Join(err, spool.Close())
	}
	e.columns = exportColumns(slices.Sorted(maps.Keys(parameters)), slices.Sorted(maps.Keys(metrics)))
	return e, nil
}

// rows yields what was collected.
func (e *export) rows() iter.Seq2[*api.RunRow, error] {
	return func(yield func(*api.RunRow, error) bool) {
		if _, err := e.spool.Seek(0, io.SeekStart); err != nil {
			yield(nil, writeFailed(err))
			return
		}
		decoder := json.NewDecoder(bufio.NewReaderSize(e.spool, 256<<10))
		for {
			var row api.RunRow
			err := decoder.Decode(&row)
			if errors.Is(err, io.EOF) || !yield(&row, writeFailed(err)) || err != nil {
				return
			}
		}
	}
}

// exportColumns are the columns in their order. Parameters and metrics are named
// as they are found in the JSON of a run, which keeps them apart from each other
// and from the rest.
func exportColumns(parameters, metrics []string) []exportColumn {
	columns := []exportColumn{
		{"run_index", wholeNumber, func(r *api.RunRow) any { return int64(r.RunIndex) }},
		{"job_id", textual, func(r *api.RunRow) any { return r.JobID }},
		{"status", textual, func(r *api.RunRow) any { return string(r.Status) }},
		{"outcome", textual, func(r *api.RunRow) any { return textOf(r.Outcome) }},
		{"error_message", textual, func(r *api.RunRow) any { return textOf(r.ErrorMessage) }},
	}
	for _, name := range parameters {
		columns = append(columns, exportColumn{"parameters." + name, realNumber, func(r *api.RunRow) any { return numberIn(r.Parameters, name) }})
	}
	for _, name := range metrics {
		columns = append(columns, exportColumn{"metrics." + name, realNumber, func(r *api.RunRow) any { return numberIn(r.Metrics, name) }})
	}
	return append(columns, []exportColumn{
		{"wall_seconds", realNumber, func(r *api.RunRow) any { return ended(r, r.Usage.WallSeconds) }},
		{"cpu_seconds", realNumber, func(r *api.RunRow) any { return ended(r, r.Usage.CPUSeconds) }},
		{"peak_memory_bytes", wholeNumber, func(r *api.RunRow) any { return ended(r, r.Usage.PeakMemoryBytes) }},
		{"breach", textual, func(r *api.RunRow) any { return breachName(r) }},
		{"attempt", wholeNumber, func(r *api.RunRow) any { return int64(r.Attempt) }},
		{"retries", wholeNumber, func(r *api.RunRow) any { return int64(r.Retries) }},
		{"requeues", wholeNumber, func(r *api.RunRow) any { return int64(r.Requeues) }},
		{"assigned_runner", textual, func(r *api.RunRow) any { return textOf(r.AssignedRunner) }},
		{"started_at", instant, func(r *api.RunRow) any { return timeOf(r.StartedAt) }},
		{"completed_at", instant, func(r *api.RunRow) any { return timeOf(r.CompletedAt) }},
		{"directory", textual, func(r *api.RunRow) any { return textOf(&r.Directory) }},
	}...)
}

// ended is a value that only a run with a result has.
func ended(r *api.RunRow, value any) any {
	if r.Outcome == nil {
		return nil
	}
	return value
}

// breachName is the name of the condition that fired.
func breachName(r *api.RunRow) any {
	if r.Breach == nil {
		return nil
	}
	return r.Breach.Condition.Name
}

func numberIn(numbers map[string]float64, name string) any {
	if v, ok := numbers[name]; ok {
		return v
	}
	return nil
}

// textOf makes nothing of an empty text.
func textOf[S ~string](s *S) any {
	if s == nil || *s == "" {
		return nil
	}
	return string(*s)
}

func timeOf(t *time.Time) any {
	if t == nil {
		return nil
	}
	return *t
}

// writeCSV prints a header and a line for each run.
func writeCSV(w io.Writer, e *export) error {
	out := csv.NewWriter(w)
	cells := make([]string, len(e.columns))
	for i, c := range e.columns {
		cells[i] = csvText(c.name)
	}
	_ = out.Write(cells) // the writer keeps its first error
	for row, err := range e.rows() {
		if err != nil {
			return err
		}
		for i, c := range e.columns {
			cells[i] = csvCell(c.value(row))
		}
		if err := out.Write(cells); err != nil {
			return writeFailed(err)
		}
	}
	out.Flush()
	return writeFailed(out.Error())
}

func csvCell(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return exact(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	default:
		return csvText(fmt.Sprint(v))
	}
}

// csvText makes text harmless: on a terminal, and in a spreadsheet, which takes
// what begins like this for a formula to evaluate.
func csvText(s string) string {
	s = escape(s)
	if start := strings.TrimLeft(s, " \u00a0'\""); start != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(start)[0]) {
		return "'" + s
	}
	return s
}
