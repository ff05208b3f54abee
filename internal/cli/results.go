package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/study"
)

const (
	// tableRows is how many runs a table shows at the most; of a larger batch it
	// shows those that did not complete or, if all did, the first sampleRows.
	tableRows  = 60
	sampleRows = 10
	// pageRows is how many rows are asked for at a time.
	pageRows = 500
)

// columns says what a table of runs has beside the run, its outcome and its time.
type columns struct {
	// parameters in the order in which they are shown.
	parameters []string
	// telemetry are variables whose last value is shown.
	telemetry []string
	// metrics are names of summary.json.
	metrics []string
}

// watched are the variables that a study itself watches, in the order of its
// early-termination conditions.
func watched(r *study.Request) []string {
	var names []string
	for _, condition := range r.Config.EarlyTermination.Conditions {
		if !slices.Contains(names, condition.Variable) {
			names = append(names, condition.Variable)
		}
	}
	return names
}

// eachRow reads every row of a batch's results, in the order of the runs, a page
// at a time, so that a batch may be larger than the memory.
func eachRow(ctx context.Context, client *api.Client, batch string, use func(units map[string]string, row api.RunRow) error) error {
	list := api.List{Limit: pageRows}
	for {
		page, err := client.BatchResults(ctx, batch, list)
		if err != nil {
			return clientError(err)
		}
		for _, row := range page.Items {
			if err := use(page.Units, row); err != nil {
				return err
			}
		}
		if page.NextCursor == nil {
			return nil
		}
		list.Cursor = *page.NextCursor
	}
}

// results is what a report needs of a batch's rows.
type results struct {
	units map[string]string
	total int
	// outcomes counts the runs by how they ended.
	outcomes map[string]int
	// all are the rows, while they are few; first are the first of them; bad are
	// the first that did not complete, of badTotal.
	all, first, bad []api.RunRow
	badTotal        int
	// unstarted counts the runs that were cancelled before they began, which no
	// table has.
	unstarted int
}

func (r *results) add(units map[string]string, row api.RunRow) error {
	r.units = units
	r.total++
	if r.outcomes == nil {
		r.outcomes = map[string]int{}
	}
	r.outcomes[outcomeOf(row)]++
	if row.Status == api.JobCancelled && row.Attempt == 0 {
		r.unstarted++
		return nil
	}
	if r.total <= tableRows {
		r.all = append(r.all, row)
	} else {
		r.all = nil
	}
	if r.total <= sampleRows {
		r.first = append(r.first, row)
	}
	if row.Status != api.JobCompleted {
		if r.badTotal++; r.badTotal <= tableRows {
			r.bad = append(r.bad, row)
		}
	}
	return nil
}

// shown are the rows of the table, and which ones these are, if not all.
func (r *results) shown() (rows []api.RunRow, which string) {
	switch {
	case len(r.all) == r.total-r.unstarted:
		return r.all, ""
	case r.badTotal == 0:
		return r.first, fmt.Sprintf("the first %d of %d runs; all completed", len(r.first), r.total)
	case r.badTotal > len(r.bad):
		return r.bad, fmt.Sprintf("the first %d of %d runs that did not complete", len(r.bad), r.badTotal)
	default:
		return r.bad, fmt.Sprintf("the %d of %d runs that did not complete", r.badTotal, r.total)
	}
}

// outcomeOf is why a run ended or, where there is no such reason, where it is.
func outcomeOf(row api.RunRow) string {
	if row.Outcome != nil {
		return string(*row.Outcome)
	}
	return strings.ToLower(string(row.Status))
}

// writeRuns prints one row a run: its parameters, outcome, time and the chosen
// numbers, for a terminal of so many columns.
func (r *results) writeRuns(w io.Writer, width int, c columns) error {
	rows, which := r.shown()
	if len(rows) == 0 {
		return nil
	}
	// Parameters that the order does not know come last.
	for _, name := range slices.Sorted(maps.Keys(rows[0].Parameters)) {
		if !slices.Contains(c.parameters, name) {
			c.parameters = append(c.parameters, name)
		}
	}
	if err := runTable(rows, r.units, c).write(w, width); err != nil {
		return err
	}
	if which != "" {
		fmt.Fprintf(w, "(%s; --json prints all)\n", which)
	}
	if r.unstarted > 0 {
		fmt.Fprintf(w, "(without %s that had not begun)\n", runs(r.unstarted))
	}
	return nil
}

// runTable makes a table with a row for each run.
func runTable(rows []api.RunRow, units map[string]string, c columns) *table {
	t := &table{rows: make([][]string, len(rows))}
	add := func(header string, number bool, cell func(api.RunRow) string) {
		t.column(header, number)
		for i, row := range rows {
			t.rows[i] = append(t.rows[i], escape(cell(row)))
		}
	}
	numbers := func(header string, value func(api.RunRow) (float64, bool)) {
		var all []float64
		for _, row := range rows {
			if v, ok := value(row); ok {
				all = append(all, v)
			}
		}
		format := formatter(all)
		add(header, true, func(row api.RunRow) string {
			if v, ok := value(row); ok {
				return format(v)
			}
			return ""
		})
	}
	add("run", true, func(row api.RunRow) string { return strconv.Itoa(row.RunIndex) })
	for _, name := range c.parameters {
		numbers(withUnit(name, units[name]), func(row api.RunRow) (float64, bool) { v, ok := row.Parameters[name]; return v, ok })
	}
	add("outcome", false, outcomeOf)
	add("time [s]", true, seconds)
	for _, name := range c.telemetry {
		numbers(withUnit("last "+name, telemetryUnit(rows, name)), func(row api.RunRow) (float64, bool) { return lastValue(row, name) })
	}
	for _, name := range c.metrics {
		numbers(name, func(row api.RunRow) (float64, bool) { v, ok := row.Metrics[name]; return v, ok })
	}
	return t
}

// withUnit adds a unit to a name that does not already end in it, as
// semi_major_axis_m does.
func withUnit(name, unit string) string {
	if unit == "" || strings.HasSuffix(name, "_"+unit) {
		return name
	}
	return name + " [" + unit + "]"
}

func telemetryUnit(rows []api.RunRow, name string) string {
	for _, row := range rows {
		if v, ok := row.TelemetryData[name]; ok {
			return v.Unit
		}
	}
	return ""
}

func seconds(row api.RunRow) string {
	if row.Usage.WallSeconds <= 0 {
		return ""
	}
	return strconv.FormatFloat(row.Usage.WallSeconds, 'f', 2, 64)
}

// lastValue is the last value of a telemetry variable.
func lastValue(row api.RunRow, name string) (float64, bool) {
	v, ok := row.TelemetryData[name]
	if !ok || v.Last == nil {
		return 0, false
	}
	return *v.Last, true
}

// summary says how many runs ended in which way, the commonest first.
func (r *results) summary() string {
	words := slices.SortedFunc(maps.Keys(r.outcomes), func(a, b string) int {
		if r.outcomes[a] != r.outcomes[b] {
			return r.outcomes[b] - r.outcomes[a]
		}
		return strings.Compare(a, b)
	})
	parts := make([]string, len(words))
	for i, word := range words {
		parts[i] = fmt.Sprintf("%d %s", r.outcomes[word], escape(word))
	}
	return strings.Join(parts, ", ")
}
