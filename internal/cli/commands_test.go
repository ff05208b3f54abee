package cli

import (
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what a command printed with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "client", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make it with -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

const (
	older  = "01a100aa-0000-7000-8000-000000000000"
	newer  = "01a200bc-b999-7dfa-a2b0-9ec57729529a"
	first0 = "01a200bc-b99a-72c2-a5bb-015d8d6645c9"
	first1 = "01a200bc-b99a-7342-9093-7b41459f4cf3"
	other  = "77770000-b99a-7342-9093-7b41459f4cf3"
)

func batchOf(id, name string, state api.BatchState, completed, failed int) api.Batch {
	b := api.Batch{
		BatchID: id, Name: name, Status: state, TotalJobs: 2, CompletedJobs: completed, FailedJobs: failed,
		Seed: 42, SamplingMethod: "latin_hypercube", CreatedAt: *at(-time.Minute), StartedAt: at(-50 * time.Second),
	}
	if state.Terminal() {
		b.CompletedAt = at(-20 * time.Second)
	}
	return b
}

func sampleJob(id string, index int) api.Job {
	outcome := api.OutcomeCompleted
	runner := "lab-1"
	return api.Job{
		JobID: id, BatchID: newer, Status: api.JobCompleted, Outcome: &outcome, Attempt: 1, MaxRetries: 1, AssignedRunner: &runner,
		RunConfig: api.RunConfig{
			RunID: fmt.Sprint(index), RunIndex: index, Seed: 81234567,
			Parameters: map[string]float64{"mass": 12.5, "semi_major_axis_m": 6991822.4},
			Units:      map[string]string{"mass": "kg", "semi_major_axis_m": "m"},
		},
		CreatedAt: *at(-time.Minute), ClaimedAt: at(-51 * time.Second), StartedAt: at(-50 * time.Second), CompletedAt: at(-40 * time.Second),
	}
}

// hostile is text of a job that would clear the screen and run a formula.
const hostile = "=cmd|'/c calc'!A1 \x1b[2J\u202e\nsecond line"

func failedJob(id string, index int) api.Job {
	j := sampleJob(id, index)
	outcome, message := api.OutcomeNonzeroExit, hostile
	j.Status, j.Outcome, j.ErrorMessage, j.Attempt, j.Retries = api.JobFailed, &outcome, &message, 2, 1
	return j
}

func sampleResult() *api.JobResult {
	code, number, kill := 3, 6370.25, 3.06
	return &api.JobResult{
		JobID: first1, ExitCode: &code, Usage: api.Usage{WallSeconds: 10.125, CPUSeconds: 9.5, PeakMemoryBytes: 190 << 20},
		Telemetry:     &api.TelemetryCounts{Samples: 61, DroppedSamples: 1, ClientDroppedSamples: 1},
		TelemetryData: map[string]api.VariableSummary{"orbit.radius_km": {Unit: "km", Count: 61, Min: &number, Last: &number}},
		Breach: &api.Breach{
			Condition: api.Condition{Name: "impact", Variable: "orbit.radius_km", Operator: "lt", Threshold: 6371, Units: "km"},
			Value:     number, TimeSeconds: 120, KillMilliseconds: &kill,
		},
		Metrics: map[string]float64{"final_radius_km": number}, MetricsLeftOut: 2,
		Artifacts: []api.Artifact{{Name: "out\x07.csv", Size: 2048, SHA256: "00ff"}},
		Directory: "/srv/lynx/" + newer + "/00001/attempt-2", ImageID: "sha256:1234", Warnings: []string{"the log was cut\x00"},
	}
}

func twoRows() []api.RunRow {
	completed, failed, message, runner := api.OutcomeCompleted, api.OutcomeNonzeroExit, hostile, "lab-1"
	return []api.RunRow{
		{
			RunIndex: 0, JobID: first0, Status: api.JobCompleted, Outcome: &completed, Attempt: 1, AssignedRunner: &runner,
			Parameters: map[string]float64{"mass": 12.5}, Metrics: map[string]float64{"final_radius_km": 6980.25, "ok": 1},
			Usage: api.Usage{WallSeconds: 10.125, CPUSeconds: 9.5, PeakMemoryBytes: 1 << 20}, Directory: "/srv/0",
			StartedAt: at(-50 * time.Second), CompletedAt: at(-40 * time.Second),
		},
		{
			RunIndex: 1, JobID: first1, Status: api.JobFailed, Outcome: &failed, ErrorMessage: &message, Attempt: 2, Retries: 1,
			Parameters: map[string]float64{"mass": -3}, Metrics: map[string]float64{"early": -0.5},
			Breach: &api.Breach{Condition: api.Condition{Name: "impact"}}, Directory: "/srv/1",
		},
	}
}

// script is what the platform of the golden tests answers.
func script() map[string]any {
	batches := []api.Batch{
		batchOf(newer, "Orbit \x1b[31m", api.BatchFailed, 1, 1),
		batchOf(older, "Older", api.BatchRunning, 0, 0),
	}
	jobs := []api.Job{sampleJob(first0, 0), failedJob(first1, 1)}
	rerun := failedJob(first1, 1)
	rerun.Status, rerun.Reruns = api.JobPending, 1
	unbegun := sampleJob(first0, 0)
	unbegun.Status, unbegun.Attempt, unbegun.Outcome = api.JobPending, 0, nil
	reason := "no connected runner has 2 GPUs"
	unbegun.PendingReason = &reason
	runner := api.Runner{
		RunnerID: "lab-1", Status: api.RunnerBusy, ActiveJobs: 2, Hostname: "host\n1", Version: "v1.2.3", Executor: "docker",
		Capabilities:    api.Capabilities{MaxConcurrentJobs: 4, CPUCores: 8, MemoryGB: 31.25, GPUAvailable: true, SupportedSimulationTypes: []string{"basilisk", "command"}},
		LastHeartbeatAt: *at(-4 * time.Second),
	}
	full := runner
	full.RunnerID, full.Status, full.Capabilities.GPUs, full.Paused = "lab-2", api.RunnerIdle, 2, "1 GiB of disk\x1b is free"
	drained := runner
	drained.Status, drained.Drain = api.RunnerMaintenance, true
	waiting := sampleJob(other, 0)
	waiting.Status, waiting.Outcome, waiting.Attempt, waiting.AssignedRunner = api.JobRunning, nil, 1, nil
	waiting.CompletedAt, waiting.CancelRequested = nil, true
	stopping := batchOf(older, "Older", api.BatchRunning, 0, 0)
	stopping.CancelRequested = true
	return map[string]any{
		"GET /batches?limit=1":                                                              api.Page[api.Batch]{Items: batches[:1]},
		"GET /batches?limit=1000":                                                           api.Page[api.Batch]{Items: batches},
		"GET /batches?limit=20":                                                             api.Page[api.Batch]{Items: batches},
		"GET /batches/" + newer:                                                             api.BatchStatus{Batch: batches[0]},
		"GET /batches/" + older:                                                             api.BatchStatus{Batch: batches[1], JobsByStatus: map[api.JobState]int{api.JobRunning: 1}},
		"GET /batches/" + newer + "/results?limit=500":                                      api.BatchResults{BatchID: newer, Units: map[string]string{"mass": "kg"}, Items: twoRows()},
		"GET /batches/" + older + "/results?limit=500":                                      api.BatchResults{BatchID: older, Items: []api.RunRow{{RunIndex: 0, Status: api.JobRunning}, {RunIndex: 1, Status: api.JobPending}}},
		"POST /batches/" + newer + "/retry?status=Failed%2CTimeout":                         api.Retry{Jobs: 1, BatchStatus: api.BatchStatus{Batch: batches[1]}},
		"POST /batches/" + newer + "/retry?status=Cancelled":                                api.Retry{BatchStatus: api.BatchStatus{Batch: batches[0]}},
		"POST /batches/" + older + "/retry?status=Failed%2CTimeout":                         api.Retry{Jobs: 2, BatchStatus: api.BatchStatus{Batch: batches[1]}},
		"POST /jobs/" + first1 + "/retry":                                                   rerun,
		"POST /batches/" + newer + "/cancel":                                                api.BatchStatus{Batch: batches[0]},
		"POST /batches/" + older + "/cancel":                                                api.BatchStatus{Batch: stopping, JobsByStatus: map[api.JobState]int{api.JobRunning: 1, api.JobClaimed: 1}},
		"GET /jobs?batch_id=" + newer + "&limit=1000":                                       api.Page[api.Job]{Items: jobs},
		"GET /jobs?batch_id=" + newer + "&limit=1000&status=Failed":                         api.Page[api.Job]{Items: jobs[1:]},
		"GET /jobs?batch_id=" + newer + "&limit=1000&status=Timeout":                        api.Page[api.Job]{},
		"GET /jobs?batch_id=" + newer + "&limit=1000&status=Pending":                        api.Page[api.Job]{Items: []api.Job{unbegun}},
		"GET /jobs?batch_id=" + newer + "&run_index=1":                                      api.Page[api.Job]{Items: jobs[1:]},
		"GET /jobs?batch_id=" + newer + "&run_index=2":                                      api.Page[api.Job]{},
		"GET /jobs?batch_id=" + newer + "&run_index=0":                                      api.Page[api.Job]{Items: []api.Job{unbegun}},
		"GET /jobs?id_prefix=7777&limit=5":                                                  api.Page[api.Job]{Items: []api.Job{waiting}},
		"GET /jobs?id_prefix=01a200bc-b99a-7&limit=5":                                       api.Page[api.Job]{Items: jobs},
		"GET /jobs?id_prefix=01a2&limit=5":                                                  api.Page[api.Job]{Items: jobs},
		"GET /jobs?id_prefix=01a1&limit=5":                                                  api.Page[api.Job]{},
		"GET /jobs?id_prefix=ffff&limit=5":                                                  api.Page[api.Job]{},
		"GET /jobs/" + first1 + "/logs/stdout":                                              octets("hello\n" + hostile + "\n"),
		"GET /jobs/" + first1 + "/logs/stderr":                                              octets("oh \xff\r\n"),
		"GET /jobs/" + first1 + "/logs/stdout?attempt=1&follow=true":                        octets("first\n"),
		"GET /jobs/" + first1 + "/logs/stderr?attempt=1&follow=true":                        octets("second\n"),
		"GET /jobs/" + other + "/logs/stderr":                                               &api.Problem{Status: 404, Detail: "the log is on runner lab-1 in /srv/lynx\x07"},
		"GET /jobs/" + first1 + "/telemetry":                                                sampleTelemetry(),
		"GET /jobs/" + first1 + "/telemetry?max_points=5000":                                sampleTelemetry(),
		"GET /jobs/" + first1 + "/telemetry?from=1&max_points=4&to=2&variables=mass%2Cgone": api.Telemetry{},
		"GET /jobs/" + other + "/telemetry":                                                 api.Telemetry{},
		"GET /jobs/" + first1 + "/telemetry/live": sse("event: telemetry\ndata: " +
			`{"samples":[{"time_seconds":1,"values":[{"name":"mass","value":12.5,"unit":"kg"},{"name":"=x\u001b","value":null,"unit":""}]},{"time_seconds":9,"values":[{"name":"mass","value":12,"unit":"kg"}]}],"dropped_samples":3}` +
			"\n\nevent: end\ndata: {}\n\n"),
		"GET /jobs/" + first1:              jobs[1],
		"GET /jobs/" + first1 + "/results": sampleResult(),
		"GET /jobs/" + other:               waiting,
		"POST /jobs/" + other + "/cancel":  waiting,
		"POST /jobs/" + first1 + "/cancel": jobs[1],
		"GET /runners?limit=1000":          api.Page[api.Runner]{Items: []api.Runner{runner, full}},
		"POST /runners/lab-1/drain":        drained,
		"POST /runners/lab-1/resume":       runner,
	}
}

// sampleTelemetry has a series that goes down and up, and one of no use.
func sampleTelemetry() api.Telemetry {
	fall := api.Series{Name: "orbit.radius_km", Unit: "km", Count: 9}
	for i := range 9 {
		fall.Times = append(fall.Times, float64(10*i))
		fall.Values = append(fall.Values, api.Number(6371+float64((i-4)*(i-4))))
	}
	nothing := api.Series{Name: "=odd\x1b", Count: 1, NonFinite: 1, Times: []float64{0}, Values: []api.Number{api.Number(math.NaN())}}
	return api.Telemetry{JobID: first1, Attempt: 2, Variables: []api.Series{fall, nothing}, VariablesLeftOut: 2}
}

// octets and sse answer with bytes as they are.
func octets(text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, text)
	}
}

func sse(text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	}
}

// commandCase is one command line, and the platform's answers if they are others
// than those of script.
type commandCase struct {
	name   string
	args   string
	script map[string]any
}

// commandCases is every command line whose output is compared.
func commandCases(empty map[string]any) []commandCase {
	return []commandCase{
		{"batches", "batches", nil},
		{"batches-one", "batches --limit 1 --json", nil},
		{"batches-bad-limit", "batches --limit -1", nil},
		{"batches-none", "batches", empty},
		{"batches-none-json", "batches --json", empty},
		{"last-of-none", "jobs last", empty},
		{"jobs", "jobs last", nil},
		{"jobs-json", "jobs " + newer + " --json", nil},
		{"jobs-failed", "jobs 01a2 --status FAILED", nil},
		{"jobs-timeout", "jobs last --status timeout", nil},
		{"jobs-pending", "jobs last --status pending", nil},
		{"jobs-bad-status", "jobs last --status broken", nil},
		{"jobs-ambiguous", "jobs 01a", nil},
		{"jobs-unknown", "jobs ffff", nil},
		{"jobs-no-id", "jobs ..", nil},
		{"job", "job last/1", nil},
		{"job-json", "job " + first1 + " --json", nil},
		{"job-prefix", "job 7777", nil},
		{"job-ambiguous", "job 01a200bc-b99a-7", nil},
		{"job-unknown", "job ffff", nil},
		{"job-no-such-run", "job last/2", nil},
		{"job-no-number", "job last/x", nil},
		{"job-unbegun", "job last/0", nil},
		{"logs", "logs last/1", nil},
		{"logs-one", "logs last/1 --stream stderr", nil},
		{"logs-follow", "logs last/1 --attempt 1 -f --stream stdout", nil},
		{"logs-elsewhere", "logs 7777 --stream stderr", nil},
		{"logs-unbegun", "logs last/0", nil},
		{"logs-bad-stream", "logs last/1 --stream both", nil},
		{"logs-bad-attempt", "logs last/1 --attempt -1", nil},
		{"telemetry", "telemetry last/1", nil},
		{"telemetry-csv", "telemetry last/1 --format csv", nil},
		{"telemetry-json", "telemetry last/1 --json", nil},
		{"telemetry-none", "telemetry last/1 --variables mass,gone --from 1 --to 2 --max-points 4", nil},
		{"telemetry-follow", "telemetry last/1 -f", nil},
		{"telemetry-follow-some", "telemetry last/1 -f --json --variables mass --to 5", nil},
		{"telemetry-unbegun", "telemetry last/0 -f", nil},
		{"telemetry-bad-format", "telemetry last/1 --format xml", nil},
		{"telemetry-table-f", "telemetry last/1 -f --format table", nil},
		{"results", "results last", nil},
		{"results-metrics", "results last --metrics early", nil},
		{"results-csv", "results last --format csv", nil},
		{"results-json", "results last --json", nil},
		{"results-running", "results 01a1", nil},
		{"results-bad-format", "results last --format xml", nil},
		{"results-two-formats", "results last --format csv --json", nil},
		{"results-metrics-csv", "results last --format csv --metrics early", nil},
		{"runners", "runners", nil},
		{"runners-json", "runners --json", nil},
		{"runners-none", "runners", empty},
		{"drain", "drain lab-1", nil},
		{"drain-json", "drain lab-1 --json", nil},
		{"drain-unknown", "drain lab1", nil},
		{"drain-far-off", "drain somewhere-else", nil},
		{"resume", "resume lab-1", nil},
		{"cancel-batch", "cancel " + older, nil},
		{"cancel-over", "cancel last", nil},
		{"cancel-json", "cancel last --json", nil},
		{"cancel-job", "cancel 7777", nil},
		{"cancel-job-over", "cancel last/1", nil},
		{"cancel-ambiguous", "cancel 01a2", nil},
		{"cancel-prefix", "cancel 01a1", nil},
		{"cancel-unknown", "cancel ffff", nil},
		{"retry", "retry last --failed", nil},
		{"retry-json", "retry " + older + " --failed --json", nil},
		{"retry-none", "retry last --cancelled", nil},
		{"retry-watch", "retry last --failed --watch", nil},
		{"retry-what", "retry last", nil},
		{"retry-job", "retry last/1", nil},
		{"retry-job-json", "retry last/1 --json", nil},
		{"retry-job-failed", "retry last/1 --failed", nil},
		{"retry-unknown", "retry ffff --failed", nil},
		{"watch-over", "watch last", nil},
		{"watch-no-argument", "watch", nil},
	}
}

// TestCommands compares each command's whole output with a file.
func TestCommands(t *testing.T) {
	empty := map[string]any{
		"GET /batches?limit=1": api.Page[api.Batch]{}, "GET /batches?limit=1000": api.Page[api.Batch]{}, "GET /runners?limit=1000": api.Page[api.Runner]{},
	}
	for _, c := range commandCases(empty) {
		t.Run(c.name, func(t *testing.T) {
			if c.script == nil {
				c.script = script()
			}
			f := newFar(t, c.script)
			stdout, stderr, status := callerOf(f).lynxctl(t, strings.Fields(c.args)...)
			got := fmt.Sprintf("$ lynxctl %s\n--- stdout\n%s--- stderr\n%s--- exit status %d\n", c.args, stdout, stderr, status)
			golden(t, c.name, strings.ReplaceAll(got, f.server.URL, "SERVER"))
			for _, r := range stdout + stderr {
				if r != '\n' && acts(r) && c.args != "logs last/1" && !strings.HasPrefix(c.args, "logs last/1 --stream stderr") {
					t.Errorf("the output has the control character %U", r)
				}
			}
		})
	}
}

func TestCompletion(t *testing.T) {
	f := newFar(t, script())
	for args, want := range map[string]string{
		"__complete watch ":              "last\tthe newest batch\n" + newer + "\tOrbit \\x1b[31m, Failed\n" + older + "\tOlder, Running\n",
		"__complete watch last ":         "",
		"__complete drain ":              "lab-1\tBusy\nlab-2\tIdle\n",
		"__complete jobs last --status ": "Pending\nClaimed\nRunning\nCompleted\nFailed\nTimeout\nCancelled\n",
		"__complete results x --format ": "table\njson\ncsv\nparquet\n",
	} {
		stdout, _, status := callerOf(f).lynxctl(t, strings.Split(args, " ")...)
		if got, _, _ := strings.Cut(stdout, ":"); status != ExitOK || got != want {
			t.Errorf("%q: status %d, %q", args, status, stdout)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if stdout, _, status := callerOf(f).lynxctl(t, "completion", shell); status != ExitOK || !strings.Contains(stdout, "lynxctl") {
			t.Errorf("completion %s: status %d", shell, status)
		}
	}
}

// TestHelp: every client command shows an example of itself.
func TestHelp(t *testing.T) {
	for _, name := range []string{"submit", "watch", "cancel", "retry", "batches", "jobs", "job", "logs", "telemetry", "results", "runners", "drain", "resume"} {
		stdout, _, status := (&caller{}).lynxctl(t, name, "--help")
		if status != ExitOK || !strings.Contains(stdout, "Examples:\n  ") || !strings.Contains(stdout, "lynxctl "+name+" ") || !strings.Contains(stdout, "--token-file") {
			t.Errorf("%s: status %d:\n%s", name, status, stdout)
		}
	}
}
