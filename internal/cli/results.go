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

// tableRows is how many runs a table shows at the most; of a larger batch it
// shows those that did not complete.
const tableRows = 60

// columns says which columns of numbers a table of runs has beside the
// parameters.
type columns struct {
	// metrics are names of summary.json.
	metrics []string
	// telemetry are variables whose last value is shown.
	telemetry []string
}

// defaultColumns are what the study itself watches: the last value of each
// variable that an early-termination condition is about.
func defaultColumns(r *study.Request) columns {
	var c columns
	for _, condition := range r.Config.EarlyTermination.Conditions {
		if !slices.Contains(c.telemetry, condition.Variable) {
			c.telemetry = append(c.telemetry, condition.Variable)
		}
	}
	return c
}

// collect reads every row of a batch's results, in the order of the runs, and
// the parameters' units.
func collect(ctx context.Context, client *api.Client, batch string) ([]api.RunRow, map[string]string, error) {
	var rows []api.RunRow
	units := map[string]string{}
	list := api.List{}
	for {
		page, err := client.BatchResults(ctx, batch, list)
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(units, page.Units)
		rows = append(rows, page.Items...)
		if page.NextCursor == nil {
			return rows, units, nil
		}
		list.Cursor = *page.NextCursor
	}
}

// writeRuns prints one row a run: its parameters, outcome, time and the chosen
// numbers.
func writeRuns(w io.Writer, rows []api.RunRow, units map[string]string, c columns) error {
	shown := rows
	if len(rows) > tableRows {
		shown = slices.DeleteFunc(slices.Clone(rows), func(r api.RunRow) bool { return r.Status == api.JobCompleted })
		shown = shown[:min(len(shown), tableRows)]
	}
	if len(shown) == 0 {
		return nil
	}
	parameters := slices.Sorted(maps.Keys(shown[0].Parameters))
	t := runTable(parameters, units, c, shown)
	for _, row := range shown {
		t.row(runCells(row, parameters, c)...)
	}
	if err := t.write(w); err != nil {
		return err
	}
	if len(shown) < len(rows) {
		fmt.Fprintf(w, "%d of %d runs shown: those that did not complete\n", len(shown), len(rows))
	}
	return nil
}

func runTable(parameters []string, units map[string]string, c columns, rows []api.RunRow) *table {
	t := &table{}
	t.column("run", true)
	for _, name := range parameters {
		t.column(withUnit(name, units[name]), true)
	}
	t.column("outcome", false)
	t.column("time [s]", true)
	for _, name := range c.telemetry {
		t.column(withUnit("last "+name, telemetryUnit(rows, name)), true)
	}
	for _, name := range c.metrics {
		t.column(name, true)
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

func runCells(row api.RunRow, parameters []string, c columns) []string {
	cells := []string{strconv.Itoa(row.RunIndex)}
	for _, name := range parameters {
		cells = append(cells, number(row.Parameters[name]))
	}
	outcome := string(row.Status)
	if row.Outcome != nil {
		outcome = string(*row.Outcome)
	}
	seconds := ""
	if row.Usage.WallSeconds > 0 {
		seconds = strconv.FormatFloat(row.Usage.WallSeconds, 'f', 2, 64)
	}
	cells = append(cells, outcome, seconds)
	for _, name := range c.telemetry {
		cell := ""
		if v, ok := row.TelemetryData[name]; ok && v.Last != nil {
			cell = number(*v.Last)
		}
		cells = append(cells, cell)
	}
	for _, name := range c.metrics {
		cell := ""
		if v, ok := row.Metrics[name]; ok {
			cell = number(v)
		}
		cells = append(cells, cell)
	}
	return cells
}

// number prints a value to seven significant digits: enough to tell runs apart;
// the files have it exactly.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 7, 64) }

// writeOutcomes prints how many runs ended in which way, the commonest first.
func writeOutcomes(w io.Writer, rows []api.RunRow, seconds float64) {
	counts := map[string]int{}
	for _, row := range rows {
		word := strings.ToLower(string(row.Status))
		if row.Outcome != nil {
			word = string(*row.Outcome)
		}
		counts[word]++
	}
	words := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	parts := make([]string, len(words))
	for i, word := range words {
		parts[i] = fmt.Sprintf("%d %s", counts[word], escape(word))
	}
	noun := "runs"
	if len(rows) == 1 {
		noun = "run"
	}
	fmt.Fprintf(w, "%d %s in %.1f s: %s\n", len(rows), noun, seconds, strings.Join(parts, ", "))
}
