package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform/live"
	"github.com/tetryx/lynx-runner/internal/platform/rest"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// row is one line of telemetry.parquet, as a runner writes it.
type row struct {
	Time  float64 `parquet:"time,zstd"`
	Name  string  `parquet:"name,dict,zstd"`
	Value float64 `parquet:"value,zstd"`
	Unit  string  `parquet:"unit,dict,zstd"`
}

func table(t *testing.T, rows ...row) string {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, parquet.MaxRowsPerRowGroup(1000))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// reported is a platform that keeps a table of an attempt that has ended.
func reported(t *testing.T, table string) *world {
	w := start(t, keeps(t, map[files.AttemptKey]map[string]string{first: {"telemetry.parquet": table}}))
	r := leaves("completed")
	r.Telemetry = breached().Telemetry
	w.finish(r)
	return w
}

func TestTelemetryShapes(t *testing.T) {
	w := reported(t, table(t,
		row{0, "h", 7000.5, "km"}, row{0, "mode", 1, ""}, row{1.5, "h", math.NaN(), "km"}, row{1.5, "mode", math.Inf(-1), ""}, row{3, "h", 6990, "km"},
	))
	golden(t, "telemetry", w.get("/jobs/id-3/telemetry"), 200)
	golden(t, "telemetry_range", w.get("/jobs/id-3/telemetry?attempt=1&variables=h,none&from=0.5&to=3&max_points=4"), 200)
	// A job that sent nothing has none, kept or not.
	quiet := start(t)
	quiet.finish(leaves("completed"))
	golden(t, "telemetry_none", quiet.get("/jobs/id-3/telemetry"), 200)
}

// A long table comes in few points that have its extremes.
func TestTelemetryIsDownsampled(t *testing.T) {
	rows := make([]row, 50_000)
	for i := range rows {
		rows[i] = row{float64(i / 2), []string{"a", "b"}[i%2], math.Sin(float64(i) / 50), "m"}
	}
	rows[20_001].Value, rows[33_333].Value = -7, 9 // of b
	w := reported(t, table(t, rows...))
	got := decode[api.Telemetry](t, w.get("/jobs/id-3/telemetry?max_points=100"), 200)
	b := got.Variables[1]
	if !got.Downsampled || !b.Downsampled || b.Count != 25_000 || len(b.Values) > 100 || len(b.Values) < 40 || len(b.Times) != len(b.Values) {
		t.Fatalf("%d points of %d values", len(b.Values), b.Count)
	}
	for at, want := range map[float64]api.Number{10_000: -7, 16_666: 9} {
		if i := slices.Index(b.Times, at); i < 0 || b.Values[i] != want {
			t.Errorf("%v at %v is lost", want, at)
		}
	}
	if b.Times[0] != 0 || b.Times[len(b.Times)-1] != 24_999 || !slices.IsSorted(b.Times) {
		t.Errorf("times %v", b.Times)
	}
}

func TestTelemetryOfManyVariables(t *testing.T) {
	var rows []row
	for i := range 250 {
		rows = append(rows, row{1, fmt.Sprintf("v%03d", i), 1, ""})
	}
	w := reported(t, table(t, rows...))
	got := decode[api.Telemetry](t, w.get("/jobs/id-3/telemetry"), 200)
	if len(got.Variables) != 200 || got.VariablesLeftOut != 50 {
		t.Errorf("%d variables, %d left out", len(got.Variables), got.VariablesLeftOut)
	}
	got = decode[api.Telemetry](t, w.get("/jobs/id-3/telemetry?variables=v249"), 200)
	if len(got.Variables) != 1 || got.VariablesLeftOut != 0 {
		t.Errorf("by name: %+v", got)
	}
}

// A table that is none is a fault of the platform's data, not the end of the
// platform.
func TestTelemetryTableThatIsNone(t *testing.T) {
	good := table(t, row{1, "h", 1, "km"})
	for _, bad := range []string{"", "PAR1", strings.Repeat("PAR1", 10), good[:len(good)-9] + "xxxx" + good[len(good)-5:], strings.ReplaceAll(good, "time", "tide")} {
		a := reported(t, bad).get("/jobs/id-3/telemetry")
		if a.status != 500 && a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

func samples(values ...float64) live.TelemetryChunk {
	c := live.TelemetryChunk{Dropped: 3}
	for i, v := range values {
		c.Samples = append(c.Samples, &telemetryv1.Sample{TimeSeconds: float64(i), Values: []*telemetryv1.Value{{Name: "h", Value: v, Unit: "km"}}})
	}
	return c
}

func TestTelemetryOfARunningAttempt(t *testing.T) {
	l := &tails{}
	w := start(t, tailing(l))
	w.run()
	c := l.add()
	go func() {
		c <- chunk("stdout", 0, "x")
		c <- samples(7000, math.Inf(1))
	}()
	golden(t, "telemetry_live", w.get("/jobs/id-3/telemetry"), 200)
	problem(t, w.get("/jobs/id-3/telemetry"), 409) // no more scripts: not connected
}

func TestFollowTelemetry(t *testing.T) {
	l := &tails{}
	w := start(t, tailing(l))
	_, end := w.run()
	c := l.add()
	res, r := w.open("/jobs/id-3/telemetry/live")
	if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("%s %s", res.Status, got)
	}
	c <- samples(7000, math.NaN())
	e, _ := nextEvent(t, r)
	want := `{"samples":[{"time_seconds":0,"values":[{"name":"h","value":7000,"unit":"km"}]},` +
		`{"time_seconds":1,"values":[{"name":"h","value":null,"unit":"km"}]}],"dropped_samples":3}`
	if e.name != "telemetry" || e.data != want {
		t.Errorf("event %+v", e)
	}
	close(c)
	end()
	if e, ok := nextEvent(t, r); !ok || e.name != "end" || e.data != `{"job_id":"id-3","attempt":1}` {
		t.Errorf("event %+v", e)
	}
	if e, ok := nextEvent(t, r); ok {
		t.Errorf("event %+v after the end", e)
	}
	// Of an attempt that has ended there is the end.
	_, r = w.open("/jobs/id-3/telemetry/live?attempt=1")
	if e, ok := nextEvent(t, r); !ok || e.name != "end" {
		t.Errorf("event %+v", e)
	}
}

// Every kind of data in a stream is documented.
func TestEventsAreDocumented(t *testing.T) {
	schemas := rest.Document().Components.Schemas.Map()
	for _, name := range []string{"TelemetryChunk", "StreamEnd", "EventReset", "BatchStatus", "Job", "Runner"} {
		if schemas[name] == nil {
			t.Errorf("no schema %s", name)
		}
	}
	text, err := json.Marshal(schemas["Series"])
	if err != nil || !strings.Contains(string(text), `"items":{"format":"double","type":["number","null"]}`) {
		t.Errorf("%s, %v", text, err)
	}
}
