//go:build engine

package e2e

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/tetryx/lynx-runner/api"
)

// site is a platform and a runner, as somebody else started them, and a person
// who uses them by lynxctl.
type site struct {
	t              *testing.T
	server, worker *program
	runnerID       string
	env            []string
}

func startSite(t *testing.T, runnerID string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "lx-client-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	rest, grpc, token := "unix://"+dir+"/rest", "unix://"+dir+"/grpc", filepath.Join(dir, "data", "token")
	s := &site{t: t, runnerID: runnerID, env: append(os.Environ(), "LYNXCTL_SERVER="+rest, "LYNXCTL_TOKEN_FILE="+token)}
	s.server = start(t, "lynx-server", "--listen", rest, "--grpc-listen", grpc, "--data", filepath.Join(dir, "data"))
	s.server.says("the platform is up")
	config := scriptRunner(t, "state_dir: "+dir+"/state\nruntime_dir: "+dir+"/run\noutput_root: "+dir+"/out\nmax_concurrent_jobs: 2")
	s.worker = start(t, "lynx-runner", "start", "--config", config, "--server", grpc, "--token-file", token, "--runner-id", runnerID)
	s.worker.says("registered")
	return s
}

func (s *site) stop() {
	s.t.Helper()
	for _, p := range []*program{s.worker, s.server} {
		p.signal(syscall.SIGTERM)
		p.ends(0)
	}
}

// lynxctl runs a command and checks its exit status.
func (s *site) lynxctl(status int, args ...string) (stdout, stderr string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(bin, "lynxctl"), args...)
	cmd.Env = s.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != status {
		s.t.Fatalf("lynxctl %s: exit status %d, want %d; stdout:\n%s\nstderr:\n%s", strings.Join(args, " "), got, status, &out, &errs)
	}
	return out.String(), errs.String()
}

// object runs a command that prints JSON.
func object[T any](s *site, args ...string) (value T) {
	s.t.Helper()
	stdout, _ := s.lynxctl(0, args...)
	if err := json.Unmarshal([]byte(stdout), &value); err != nil {
		s.t.Fatalf("lynxctl %s: %v\n%s", strings.Join(args, " "), err, stdout)
	}
	return value
}

// runsOf writes the study of several runs of a test scenario.
func runsOf(t *testing.T, entrypoint string, n int) string {
	t.Helper()
	text := string(mustRead(t, script(t, entrypoint, "")))
	return write(t, "study.yaml", strings.Replace(text, "runs: 1", fmt.Sprintf("runs: %d", n), 1))
}

// TestClient goes the way of a user of a platform: submit and watch, look at what
// came of it in every form, drain and resume the runner, cancel.
func TestClient(t *testing.T) {
	t.Parallel()
	s := startSite(t, unique("client-test"))
	s.lynxctl(2, "watch", "last") // there is none
	stdout, stderr := s.lynxctl(0, "submit", runsOf(t, "ok.py", 2), "--runs", "4", "--watch")
	batch := strings.TrimSpace(stdout)
	if !strings.Contains(stderr, "4 of 4 runs done") || !strings.Contains(stderr, "completed in") {
		t.Errorf("submit --watch says:\n%s", stderr)
	}
	s.jobs(batch)
	s.results(batch)
	s.drainAndResume()
	s.cancel()

	_, stderr = s.lynxctl(1, "submit", runsOf(t, "exit3.py", 1), "--watch")
	if !strings.Contains(stderr, "the propellant tank is empty") {
		t.Errorf("a failed batch is watched without its reason:\n%s", stderr)
	}
	batches := object[[]api.Batch](s, "batches", "--json")
	if len(batches) != 4 || batches[3].BatchID != batch || batches[0].Status != api.BatchFailed {
		t.Errorf("batches %+v", batches)
	}
	s.stop()
	_, stderr = s.lynxctl(3, "batches")
	if !strings.Contains(stderr, "lynx-server") {
		t.Errorf("without a platform, lynxctl says:\n%s", stderr)
	}
}

func (s *site) jobs(batch string) {
	s.t.Helper()
	jobs := object[[]api.Job](s, "jobs", "last", "--status", "completed", "--json")
	if len(jobs) != 4 || jobs[3].RunConfig.RunIndex != 3 || jobs[3].BatchID != batch {
		s.t.Fatalf("jobs %+v", jobs)
	}
	table, _ := s.lynxctl(0, "jobs", batch[:len(batch)-2])
	if !strings.Contains(table, "\n  3  "+jobs[3].JobID+"  Completed  completed") {
		s.t.Errorf("table of jobs:\n%s", table)
	}
	text, _ := s.lynxctl(0, "job", "last/3")
	for _, want := range []string{jobs[3].JobID, "Completed, completed", s.runnerID, "value", "42", "deep/note.txt"} {
		if !strings.Contains(text, want) {
			s.t.Errorf("the job has no %q:\n%s", want, text)
		}
	}
	detail := object[struct {
		Job    api.Job
		Result api.JobResult
	}](s, "job", jobs[3].JobID, "--json")
	if detail.Job.RunConfig.RunIndex != 3 || detail.Result.Metrics["value"] != 42 {
		s.t.Errorf("job %+v", detail)
	}
}

// results checks that every form has the same four runs.
func (s *site) results(batch string) {
	s.t.Helper()
	table, _ := s.lynxctl(0, "results", batch)
	if !strings.Contains(table, "4 completed") {
		s.t.Errorf("table:\n%s", table)
	}
	all := object[outcome](s, "results", batch, "--format", "json")
	text, _ := s.lynxctl(0, "results", batch, "--format", "csv")
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(records) != 5 || len(all.Runs) != 4 {
		s.t.Fatalf("%d runs in JSON; CSV: %v\n%s", len(all.Runs), err, text)
	}
	path := filepath.Join(s.t.TempDir(), "results.parquet")
	s.lynxctl(0, "results", batch, "-o", path)
	type run struct {
		RunIndex int64   `parquet:"run_index,optional"`
		JobID    string  `parquet:"job_id,optional"`
		Value    float64 `parquet:"metrics.value,optional"`
	}
	rows, err := parquet.ReadFile[run](path)
	if err != nil || len(rows) != 4 {
		s.t.Fatalf("parquet: %v, %d rows", err, len(rows))
	}
	column := map[string]int{}
	for i, name := range records[0] {
		column[name] = i
	}
	for i, row := range rows {
		record := records[i+1]
		if row.RunIndex != int64(i) || row.Value != 42 || row.JobID != all.Runs[i].JobID ||
			record[column["job_id"]] != row.JobID || record[column["metrics.value"]] != "42" || record[column["parameters.x"]] != "21" {
			s.t.Errorf("run %d: parquet %+v, CSV %v", i, row, record)
		}
	}
}

// drainAndResume: a drained runner takes nothing until it is resumed.
func (s *site) drainAndResume() {
	s.t.Helper()
	if r := object[api.Runner](s, "drain", s.runnerID, "--json"); r.Status != api.RunnerMaintenance {
		s.t.Errorf("drained: %+v", r)
	}
	_, stderr := s.lynxctl(2, "drain", strings.Replace(s.runnerID, "test", "tset", 1))
	if !strings.Contains(stderr, "did you mean "+s.runnerID) {
		s.t.Errorf("a wrong name: %s", stderr)
	}
	s.lynxctl(0, "submit", runsOf(s.t, "ok.py", 1))
	if jobs := object[[]api.Job](s, "jobs", "last", "--status", "pending", "--json"); len(jobs) != 1 {
		s.t.Errorf("pending while drained: %+v", jobs)
	}
	s.lynxctl(0, "resume", s.runnerID)
	s.lynxctl(0, "watch", "last")
	runners := object[[]api.Runner](s, "runners", "--json")
	if len(runners) != 1 || runners[0].RunnerID != s.runnerID || runners[0].Drain {
		s.t.Errorf("runners %+v", runners)
	}
}

// followLog sees a line of a job that runs, as it is printed; what it returns waits
// for the end of the log with the job.
func (s *site) followLog(job, line string) (ends func()) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(bin, "lynxctl"), "logs", job, "-f", "--stream", "stdout")
	cmd.Env = s.env
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	if !lines.Scan() || lines.Text() != line {
		s.t.Errorf("the log begins with %q, want %q", lines.Text(), line)
	}
	return func() {
		s.t.Helper()
		for lines.Scan() {
			s.t.Errorf("the log goes on with %q", lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("logs -f: %v", err)
		}
	}
}

// cancel stops a job that sleeps, and then the rest of its batch.
func (s *site) cancel() {
	s.t.Helper()
	stdout, _ := s.lynxctl(0, "submit", runsOf(s.t, "sleep.py", 2))
	batch := strings.TrimSpace(stdout)
	for _, j := range object[[]api.Job](s, "jobs", batch, "--json") {
		// One cancel is for a job that runs already.
		if j.RunConfig.RunIndex == 0 {
			s.worker.says(`"job started","attempt":"` + j.JobID)
		}
	}
	ends := s.followLog("last/0", "sleeping")
	s.lynxctl(0, "cancel", "last/0")
	ends()
	s.lynxctl(0, "cancel", batch)
	_, stderr := s.lynxctl(1, "watch", batch)
	if !strings.Contains(stderr, "cancelled") {
		s.t.Errorf("watch of a cancelled batch says:\n%s", stderr)
	}
	for _, j := range object[[]api.Job](s, "jobs", batch, "--json") {
		if j.Status != api.JobCancelled {
			s.t.Errorf("run %d is %s", j.RunConfig.RunIndex, j.Status)
		}
	}
	out, _ := s.lynxctl(0, "cancel", batch)
	if !strings.Contains(out, "Cancelled") {
		s.t.Errorf("cancelled twice: %s", out)
	}
}
