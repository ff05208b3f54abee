package study_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
	"github.com/tetryx/lynx-runner/internal/study"
)

// exact compares requests with their unexported parts.
var exact = cmp.AllowUnexported(study.MaxFailed{})

func ptr[T any](x T) *T { return &x }

// parse reads a document that must be right.
func parse(t testing.TB, document string) *study.Request {
	t.Helper()
	r, err := study.Parse([]byte(document), "study.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func maxFailed(t testing.TB, text string) study.MaxFailed {
	t.Helper()
	m, err := study.ParseMaxFailed(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParseEveryField(t *testing.T) {
	uniform := func(low, high float64, units string) study.Dispersion {
		return study.Dispersion{Distribution: study.Distribution{Shape: study.Uniform{Min: low, Max: high}}, Units: units}
	}
	want := &study.Request{Name: "Basic orbit", Config: study.Config{
		Simulation: study.Simulation{
			Type: "basilisk", Name: "Basic orbit", Version: "1.0.0", DurationMinutes: ptr(75.0),
			Entrypoint: "scenarios/aerospace/python/scenario_basic_orbit_lynx.py",
		},
		MonteCarlo: study.MonteCarlo{Runs: 10, SamplingMethod: study.LatinHypercube, Seed: ptr(uint64(42)), MaxFailed: maxFailed(t, "2%")},
		Dispersions: map[string]study.Dispersion{
			"semi_major_axis_m": uniform(6950000, 7050000, "m"),
			"eccentricity":      uniform(0.00005, 0.002, ""),
			"inclination_deg":   uniform(30, 36, "deg"),
			"raan_deg":          uniform(40, 55, "deg"),
			"arg_perigee_deg":   uniform(330, 355, "deg"),
			"true_anomaly_deg":  uniform(70, 100, "deg"),
			"duration_orbits":   uniform(0.7, 0.8, "orbits"),
			"mass_kg":           {Distribution: study.Distribution{Shape: study.Normal{Mean: 100, StdDev: 5}}, Units: "kg"},
			"drag_coefficient":  {Distribution: study.Distribution{Shape: study.Constant{Value: 2.2}}},
		},
		Compute: study.Compute{
			Container:       study.Container{Image: "lynx-basilisk", CPURequest: "1000m", MemoryRequest: "2Gi", GPURequest: "0"},
			MaxParallelJobs: 5, JobTimeoutSeconds: 600, MaxRetries: 1,
		},
		EarlyTermination: study.EarlyTermination{Enabled: true, CheckFrequencyHz: ptr(1.0), Conditions: []study.Condition{{
			Name: "below_surface", Description: "The orbit meets the Earth's mean radius.",
			Variable: "orbit.radius_km", Operator: study.LT, Threshold: 6371, Units: "km",
		}}},
		Telemetry: study.Telemetry{
			SamplingRateHz: ptr(10.0), Variables: []any{}, BufferFlushIntervalSeconds: ptr(30.0),
			Storage: study.TelemetryStorage{S3Bucket: "your-telemetry-bucket", S3Prefix: "runs/", Compression: "gzip"},
		},
	}}
	got := parse(t, readFile(t, "testdata/orbit.yaml"))
	if diff := cmp.Diff(want, got, exact); diff != "" {
		t.Error(diff)
	}
	c := got.Config.Compute.Container
	if c.CPUMillis() != 1000 || c.MemoryBytes() != 2<<30 || c.GPUs() != 0 || got.Runs() != 10 {
		t.Errorf("%d millis, %d bytes, %d GPUs, %d runs", c.CPUMillis(), c.MemoryBytes(), c.GPUs(), got.Runs())
	}
}

// TestParseDocumentedSubmission is the example of the documentation's quick start,
// as JSON.
func TestParseDocumentedSubmission(t *testing.T) {
	r := parse(t, `{
		"name": "my-first-batch",
		"runs_override": 5,
		"config": {
			"simulation": {"name": "My Simulation", "version": "1.0.0", "duration_minutes": 10},
			"monte_carlo": {"runs": 50, "sampling_method": "latin_hypercube"},
			"dispersions": {"mass_kg": {"distribution": {"type": "normal", "mean": 100.0, "std_dev": 5.0}, "units": "kg"}},
			"compute": {
				"container": {"image": "your-org/your-simulation:latest", "cpu_request": "1000m", "memory_request": "2Gi"},
				"max_parallel_jobs": 5, "job_timeout_seconds": 600
			},
			"early_termination": {"enabled": false, "check_frequency_hz": 1.0, "conditions": []},
			"telemetry": {
				"sampling_rate_hz": 10.0, "variables": [],
				"storage": {"s3_bucket": "your-telemetry-bucket", "s3_prefix": "runs/", "compression": "gzip"},
				"buffer_flush_interval_seconds": 30
			}
		}
	}`)
	if r.Name != "my-first-batch" || r.Runs() != 5 || r.Config.MonteCarlo.Runs != 50 || r.Config.MonteCarlo.Seed != nil {
		t.Errorf("got %+v", r)
	}
}

func TestParseDefaults(t *testing.T) {
	got := parse(t, "simulation: {name: x}\nmonte_carlo: {runs: 3}\n")
	want := &study.Request{Name: "x", Config: study.Config{
		Simulation: study.Simulation{Type: "basilisk", Name: "x"},
		MonteCarlo: study.MonteCarlo{Runs: 3, SamplingMethod: study.LatinHypercube},
	}}
	if diff := cmp.Diff(want, got, exact); diff != "" {
		t.Error(diff)
	}
	if c := got.Config.Compute.Container; c.CPUMillis() != 0 || c.MemoryBytes() != 0 || c.GPUs() != 0 {
		t.Error("an absent request is not zero")
	}
	if got := got.Config.MonteCarlo.MaxFailed.Limit(100); got != 0 {
		t.Errorf("by default %d runs may fail", got)
	}
}

func TestParseAccepts(t *testing.T) {
	tests := []struct {
		name, document string
		holds          func(r *study.Request) bool
	}{
		{"name of the simulation", "config: {simulation: {name: s}, monte_carlo: {runs: 1}}", func(r *study.Request) bool { return r.Name == "s" }},
		{"name beside it", "name: b\nconfig: {simulation: {name: s}, monte_carlo: {runs: 1}}", func(r *study.Request) bool { return r.Name == "b" }},
		{"name only", "name: b\nconfig: {monte_carlo: {runs: 1}}", func(r *study.Request) bool { return r.Name == "b" }},
		{"override only", "name: b\nruns_override: 7\nconfig: {}", func(r *study.Request) bool { return r.Runs() == 7 }},
		{"null override", "name: b\nruns_override: null\nconfig: {monte_carlo: {runs: 2, seed: null}}", func(r *study.Request) bool { return r.Runs() == 2 }},
		{"most runs", "simulation: {name: x}\nmonte_carlo: {runs: 1e6}", func(r *study.Request) bool { return r.Runs() == 1_000_000 }},
		{"largest seed", "simulation: {name: x}\nmonte_carlo: {runs: 1, seed: 9007199254740991}", func(r *study.Request) bool { return *r.Config.MonteCarlo.Seed == study.MaxSeed }},
		{"random", "simulation: {name: x}\nmonte_carlo: {runs: 1, sampling_method: random}", func(r *study.Request) bool { return r.Config.MonteCarlo.SamplingMethod == study.Random }},
		{"other type", "simulation: {name: x, type: px4_sitl}\nmonte_carlo: {runs: 1}", func(r *study.Request) bool { return r.Config.Simulation.Type == "px4_sitl" }},
		{"a command is kept as it is, and is of type command", "simulation: {name: x, command: [./sim, ' -x ', '$(id)', \"a\\nb\"]}\nmonte_carlo: {runs: 1}", func(r *study.Request) bool {
			return slices.Equal(r.Config.Simulation.Command, []string{"./sim", " -x ", "$(id)", "a\nb"}) && r.Config.Simulation.Type == "command"
		}},
		{"a command of another type", "simulation: {name: x, type: orbital, command: [sim]}\nmonte_carlo: {runs: 1}", func(r *study.Request) bool { return r.Config.Simulation.Type == "orbital" }},
		{"entrypoint is cleaned", "simulation: {name: x, entrypoint: ./a//b/./c.py}\nmonte_carlo: {runs: 1}", func(r *study.Request) bool { return r.Config.Simulation.Entrypoint == "a/b/c.py" }},
		{"dots in names", "simulation: {name: x}\nmonte_carlo: {runs: 1}\ndispersions: {a.b-c: {distribution: {type: constant, value: -0.5}, units: '1'}}", func(r *study.Request) bool {
			return r.Config.Dispersions["a.b-c"].Distribution.Quantile(0.3) == -0.5
		}},
		{"units none", "simulation: {name: x}\nmonte_carlo: {runs: 1}\ndispersions: {a: {distribution: {type: constant, value: 1}, units: none}}", func(r *study.Request) bool { return r.Config.Dispersions["a"].Units == "" }},
		{"units 1", "simulation: {name: x}\nmonte_carlo: {runs: 1}\ndispersions: {a: {distribution: {type: constant, value: 1}, units: 1}}", func(r *study.Request) bool { return r.Config.Dispersions["a"].Units == "" }},
		{"units empty", `{"simulation": {"name": "x"}, "monte_carlo": {"runs": 1}, "dispersions": {"a": {"distribution": {"type": "constant", "value": 1}, "units": ""}}}`, func(r *study.Request) bool { return r.Config.Dispersions["a"].Units == "" }},
		{"quantities as numbers", "simulation: {name: x}\nmonte_carlo: {runs: 1}\ncompute: {container: {cpu_request: 1.5, memory_request: 536870912, gpu_request: 2}}", func(r *study.Request) bool {
			c := r.Config.Compute.Container
			return c.CPUMillis() == 1500 && c.MemoryBytes() == 512<<20 && c.GPUs() == 2
		}},
		{"quantities of Kubernetes", "simulation: {name: x}\nmonte_carlo: {runs: 1}\ncompute: {container: {cpu_request: 250m, memory_request: 1.5G, gpu_request: 1e1}}", func(r *study.Request) bool {
			c := r.Config.Compute.Container
			return c.CPUMillis() == 250 && c.MemoryBytes() == 1_500_000_000 && c.GPUs() == 10
		}},
		{"image with digest", "simulation: {name: x}\nmonte_carlo: {runs: 1}\ncompute: {container: {image: 'host:5000/a/b@sha256:0123'}}", func(r *study.Request) bool { return r.Config.Compute.Container.Image == "host:5000/a/b@sha256:0123" }},
		{"max_failed as a count", "simulation: {name: x}\nmonte_carlo: {runs: 1, max_failed: 3}", func(r *study.Request) bool { return r.Config.MonteCarlo.MaxFailed.Limit(100) == 3 }},
		{"folded description", "simulation: {name: x}\nmonte_carlo: {runs: 1}\nearly_termination:\n  enabled: false\n  conditions:\n  - {name: a, variable: v, operator: neq, threshold: -1e-3, units: none, description: \"two\\nlines\"}", func(r *study.Request) bool {
			c := r.Config.EarlyTermination.Conditions[0]
			return c.Description == "two\nlines" && c.Threshold == -0.001 && c.Units == ""
		}},
		{"alias", "simulation: {name: x}\nmonte_carlo: {runs: 1}\ndispersions:\n  a: &d {distribution: {type: uniform, min: 0, max: 1}, units: m}\n  b: *d", func(r *study.Request) bool {
			return cmp.Equal(r.Config.Dispersions["a"], r.Config.Dispersions["b"])
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if r := parse(t, test.document); !test.holds(r) {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestSetRuns(t *testing.T) {
	r := parse(t, valid)
	for n, want := range map[int]string{0: "runs: 0 is out of range; want 1 to 1000000", 1_000_001: "runs: 1000001 is out of range; want 1 to 1000000", 7: ""} {
		err := r.SetRuns(n)
		if want == "" && (err != nil || r.Runs() != n) || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("SetRuns(%d) = %v, and %d runs", n, err, r.Runs())
		}
	}
}

// TestMarshalRoundTrip: the JSON of a request is a submission that reads back to
// the same request.
func TestMarshalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRequest(t)
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := study.Parse(data, "request.json")
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(want, got, exact); diff != "" {
			t.Fatal(diff)
		}
	})
}

// drawRequest draws a valid request with arbitrary fields left out.
func drawRequest(t *rapid.T) *study.Request {
	text := rapid.StringMatching(`[A-Za-zäß🚀"\\{}#:&*!|>%@-][A-Za-z 0-9"'\\:#]{0,20}[A-Za-zé"\\]`)
	positive := rapid.Ptr(rapid.Float64Range(1e-300, 1e300), true)
	r := &study.Request{Name: text.Draw(t, "name")}
	r.Config.Simulation = study.Simulation{Type: "basilisk", Name: text.Draw(t, "simulation"), DurationMinutes: positive.Draw(t, "duration")}
	r.Config.MonteCarlo = study.MonteCarlo{
		Runs:           rapid.IntRange(1, study.MaxRuns/10).Draw(t, "runs"),
		SamplingMethod: rapid.SampledFrom([]study.SamplingMethod{study.LatinHypercube, study.Random}).Draw(t, "method"),
		Seed:           rapid.Ptr(rapid.Uint64Max(study.MaxSeed), true).Draw(t, "seed"),
	}
	if rapid.Bool().Draw(t, "percent") {
		r.Config.MonteCarlo.MaxFailed, _ = study.ParseMaxFailed(fmt.Sprintf("%d.%04d%%", rapid.IntRange(0, 99).Draw(t, "whole"), rapid.IntRange(0, 9999).Draw(t, "part")))
	}
	r.RunsOverride = rapid.Ptr(rapid.IntRange(1, 1000), true).Draw(t, "override")
	r.Config.Dispersions = rapid.MapOfN(rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_.-]{0,63}`), rapid.Custom(drawDispersion), 1, 5).Draw(t, "dispersions")
	for _, name := range rapid.SliceOfNDistinct(text, 0, 3, rapid.ID).Draw(t, "conditions") {
		r.Config.EarlyTermination.Enabled = true
		r.Config.EarlyTermination.Conditions = append(r.Config.EarlyTermination.Conditions, study.Condition{
			Name: name, Variable: text.Draw(t, "variable"), Operator: rapid.SampledFrom(study.Operators()).Draw(t, "operator"),
			Threshold: rapid.Float64().Draw(t, "threshold"), Units: drawUnits(t), Description: rapid.StringMatching(`[ -~\n\t]{0,20}`).Draw(t, "description"),
		})
	}
	if argv := rapid.SliceOfN(rapid.StringMatching(`[ -~\n\täß🚀]{1,20}`), 0, 5).Draw(t, "command"); len(argv) > 0 {
		r.Config.Simulation.Command, r.Config.Simulation.Type = argv, "command"
	}
	r.Config.Compute.MaxRetries = rapid.IntRange(0, study.MaxRetries).Draw(t, "retries")
	r.Config.Compute.Container.CPURequest = rapid.SampledFrom([]study.Quantity{"", "1", "0.5", "250m"}).Draw(t, "cpu")
	r.Config.Telemetry.SamplingRateHz = positive.Draw(t, "rate")
	return r
}

func drawUnits(t *rapid.T) string {
	return study.NormalizeUnits(rapid.SampledFrom([]string{"none", "1", "", "m", "m/s^2", "°", "%"}).Draw(t, "units"))
}

func drawDispersion(t *rapid.T) study.Dispersion {
	a := rapid.Float64Range(-1e12, 1e12).Draw(t, "a")
	b := rapid.Float64Range(1e-3, 1e12).Draw(t, "b")
	shape := rapid.SampledFrom([]study.Shape{
		study.Uniform{Min: a, Max: a + b}, study.Normal{Mean: a, StdDev: b}, study.Constant{Value: a},
	}).Draw(t, "shape")
	return study.Dispersion{Distribution: study.Distribution{Shape: shape}, Units: drawUnits(t)}
}

func TestWarnings(t *testing.T) {
	if got := parse(t, valid).Warnings(); len(got) != 0 {
		t.Errorf("a plain study: %q", got)
	}
	got := parse(t, readFile(t, "testdata/orbit.yaml")).Warnings()
	want := []string{
		"telemetry.sampling_rate_hz has no effect: every sample that the scenario sends is kept",
		"telemetry.storage has no effect: telemetry is stored with the attempt's files, as telemetry.parquet",
		"telemetry.buffer_flush_interval_seconds has no effect: samples are stored as they arrive",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = parse(t, "simulation: {name: x}\nmonte_carlo: {runs: 5, max_failed: 5}\nearly_termination: {enabled: true}\ntelemetry: {variables: [a, {b: 1}]}").Warnings()
	want = []string{
		"telemetry.variables has no effect: every variable that the scenario sends is kept",
		"dispersions is empty: the runs differ in nothing but their seeds",
		"early_termination is enabled but has no conditions: no run is ended early",
		"monte_carlo.max_failed allows all 5 runs to fail: the batch can't fail",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse: no document makes the parser panic; what it accepts can be sampled
// and survives being written and read again.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"testdata/orbit.yaml", "testdata/wrong.yaml"} {
		f.Add([]byte(readFile(f, name)))
	}
	f.Add([]byte(valid))
	f.Add([]byte(`{"name":"x","runs_override":2,"config":{"monte_carlo":{"max_failed":"0.5%"},"compute":{"container":{"cpu_request":"1e2","memory_request":"1.5Gi"}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := study.Parse(data, "f")
		if err != nil {
			var list *strictyaml.Errors
			if !errors.As(err, &list) || len(list.List) == 0 {
				t.Fatalf("got a %T: %v", err, err)
			}
			return
		}
		_ = r.Warnings()
		written, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := study.Parse(written, "written")
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if diff := cmp.Diff(jsonOf(t, r), jsonOf(t, again)); diff != "" {
			t.Fatal(diff)
		}
		if r.Runs() > 1000 {
			return
		}
		d, err := study.Sample(r, 1)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.Names(), slices.Sorted(maps.Keys(r.Config.Dispersions))) {
			t.Fatalf("the design has the parameters %v", d.Names())
		}
	})
}

func jsonOf(t *testing.T, r *study.Request) string {
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestShippedStudies: every study in the repository is valid.
func TestShippedStudies(t *testing.T) {
	files, err := filepath.Glob("../../scenarios/*/configs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no studies found: %v", err)
	}
	for _, file := range files {
		if _, err := study.Parse([]byte(readFile(t, file)), filepath.Base(file)); err != nil {
			t.Error(err)
		}
	}
}
