package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runOne runs one job through a whole runner and drains it.
func runOne(t *testing.T, b *bench, a *runnerv1.Assignment) *runnerv1.Result {
	t.Helper()
	b.start()
	b.platform.submit(a)
	result := b.platform.result(a.GetAttemptId())
	b.drain()
	return result
}

func TestCompleted(t *testing.T) {
	b := newBench(t)
	var spec executor.Spec
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		spec = p.spec
		p.publish(ctx, 10, "orbit.radius_km", 7001.5, "km")
		p.publish(ctx, 20, "orbit.radius_km", 6999.5, "km")
		p.write("summary.json", `{"final":{"radius_km":6999.5},"success":true}`)
		p.write("trajectory.csv", "t\n")
		p.log("stdout.log", "hello\n")
		x := exited(0)
		x.Usage = executor.Usage{Wall: 1500 * time.Millisecond, CPU: 1250 * time.Millisecond, PeakMemory: 123 << 20}
		return x
	}
	result := runOne(t, b, assignment("job", 17))
	if result.GetOutcome() != "completed" || result.GetErrorMessage() != "" || result.GetExitCode() != 0 || result.ExitCode == nil {
		t.Errorf("outcome %q, message %q, exit code %v", result.GetOutcome(), result.GetErrorMessage(), result.ExitCode)
	}
	if u := result.GetUsage(); u.GetWallSeconds() != 1.5 || u.GetCpuSeconds() != 1.25 || u.GetPeakMemoryBytes() != 123<<20 {
		t.Errorf("usage %v", u)
	}
	if result.GetDirectory() != attemptDir(b, 17) {
		t.Errorf("directory %s", result.GetDirectory())
	}
	want := []string{"log/stdout.log", "manifest.json", "output/summary.json", "output/trajectory.csv", "run_config.json", "telemetry.parquet"}
	if got := files(t, result.GetDirectory()); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	var names []string
	for _, a := range result.GetArtifacts() {
		names = append(names, a.GetName())
		if len(a.GetSha256()) != 64 {
			t.Errorf("digest of %s: %q", a.GetName(), a.GetSha256())
		}
	}
	if !slices.Equal(names, []string{"summary.json", "trajectory.csv"}) {
		t.Errorf("artifacts %q", names)
	}
	if m := result.GetMetrics(); m["final.radius_km"] != 6999.5 || m["success"] != 1 {
		t.Errorf("metrics %v", m)
	}
	v := result.GetTelemetry().GetVariables()
	if len(v) != 1 || v[0].GetCount() != 2 || v[0].GetMin() != 6999.5 || v[0].GetMax() != 7001.5 || v[0].GetLast() != 6999.5 || v[0].GetUnit() != "km" {
		t.Errorf("telemetry %v", v)
	}
	if result.GetImageId() != "sha256:lynx-basilisk" || !strings.HasPrefix(result.GetCodeDigest(), "sha256:") {
		t.Errorf("image %q, code %q", result.GetImageId(), result.GetCodeDigest())
	}
	m := readManifest(t, result)
	for key, want := range map[string]any{"image": "sha256:lynx-basilisk", "code": result.GetCodeDigest()} {
		field := map[string]string{"image": "id", "code": "digest"}[key]
		if got := m[key].(map[string]any)[field]; got != want {
			t.Errorf("manifest: %s.%s is %v, want %v", key, field, got, want)
		}
	}
	if seed := m["run"].(map[string]any)["seed"]; seed != 81234567.0 {
		t.Errorf("manifest: seed %v", seed)
	}
	checkSpec(t, b, spec)
	if b.platform.started[0] != "job-1" {
		t.Errorf("started %v", b.platform.started)
	}
}

// checkSpec looks at what the executor was asked for.
func checkSpec(t *testing.T, b *bench, spec executor.Spec) {
	t.Helper()
	if !slices.Equal(spec.Argv, []string{"/usr/bin/python3", "/lynx/work/scenario.py"}) || spec.Image != "sha256:lynx-basilisk" {
		t.Errorf("runs %q in %s", spec.Argv, spec.Image)
	}
	wantEnv := []string{
		"EXTRA=1", "HOME=/lynx/home", "HTTPS_PROXY=http://127.0.0.1:9", "LANG=C.UTF-8", "MPLBACKEND=Agg", "MPLCONFIGDIR=/tmp/matplotlib",
		"OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0", "PYTHONUNBUFFERED=1",
		"TETRYX_OUTPUT_DIR=/lynx/output", "TETRYX_RUN_CONFIG=/lynx/run_config.json", "TMPDIR=/tmp",
	}
	if diff := cmp.Diff(wantEnv, spec.Env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if os.Geteuid() == 0 && (spec.User.UID != 1_600_000_000 && spec.User.UID != 1_600_000_001 || spec.User.GID != spec.User.UID) {
		t.Errorf("runs as %d:%d", spec.User.UID, spec.User.GID)
	}
	if spec.WorkDir != b.cfg.WorkingDirectory || !spec.Telemetry || len(spec.RuntimeDir) > 90 {
		t.Errorf("specification %+v", spec)
	}
	if r := spec.Sandbox.Resources; *r.Memory.Limit != 1<<30 || *r.Pids.Limit != 512 || *r.CPU.Quota != 100_000 {
		t.Errorf("resources %+v", r)
	}
	if i := slices.IndexFunc(spec.Sandbox.Rlimits, func(l specsRlimit) bool { return l.Type == "RLIMIT_FSIZE" }); i < 0 || spec.Sandbox.Rlimits[i].Hard != 1<<20 {
		t.Errorf("rlimits %v", spec.Sandbox.Rlimits)
	}
}

// The run configuration is a contract with every scenario.
func TestRunConfig(t *testing.T) {
	b := newBench(t)
	result := runOne(t, b, assignment("job", 17))
	path := filepath.Join(result.GetDirectory(), "run_config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"batch_id":"batch","job_id":"job","run_id":"17","run_index":17,"attempt":1,"seed":81234567,
		"simulation":{"type":"basilisk","name":"orbit","version":"1.0.0","duration_minutes":10},
		"parameters":{"semi_major_axis_m":6991822.4,"eccentricity":0.001},"units":{"semi_major_axis_m":"m"}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
}

// While the job runs, its user can write to two directories and nothing else.
func TestOwnersOfFiles(t *testing.T) {
	b := newBench(t)
	type seen struct {
		uid  uint32
		mode os.FileMode
	}
	during := map[string]seen{}
	var user uint32
	b.executor.script = func(_ context.Context, p *program) executor.Exit {
		user = p.spec.User.UID
		dir := filepath.Dir(p.spec.OutputDir)
		for _, name := range []string{".", "output", "log", "run_config.json"} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				p.t.Error(err)
				continue
			}
			during[name] = seen{info.Sys().(*syscall.Stat_t).Uid, info.Mode().Perm()}
		}
		p.write("x", "y")
		return exited(0)
	}
	result := runOne(t, b, assignment("job", 0))
	me := uint32(os.Geteuid())
	want := map[string]seen{".": {me, 0o755}, "output": {user, 0o750}, "log": {user, 0o750}, "run_config.json": {me, 0o644}}
	if diff := cmp.Diff(want, during, cmp.AllowUnexported(seen{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, name := range append(files(t, result.GetDirectory()), "output", "log", "..") {
		if uid, _, err := ownerOf(filepath.Join(result.GetDirectory(), name)); err != nil || uid != os.Geteuid() {
			t.Errorf("%s belongs to %d afterwards (%v)", name, uid, err)
		}
	}
}

// Each ending of a job by itself, with what a person reads about it.
func TestEndings(t *testing.T) {
	oom := func(x executor.Exit) executor.Exit {
		x.OOM = executor.OOM{Killed: 1, Engine: true, Limit: 1 << 30}
		x.Usage.PeakMemory = 1 << 30
		return x
	}
	for _, tc := range []struct {
		name    string
		exit    executor.Exit
		outcome string
		message string
		code    int32 // -1: none
		signal  int32
	}{
		{"exit 3", exited(3), "nonzero_exit", "status 3. The last line of its stderr: ValueError: \\x1b[31mtoo low", 3, 0},
		{"segmentation fault", signaled(11), "signaled", "signal 11 (SIGSEGV)", 139, 11},
		{"killed from outside", executor.Exit{ExternalKill: true, Notes: []string{"The engine says 137."}}, "infrastructure", "The engine says 137.", -1, 0},
		{"out of memory", oom(signaled(9)), "out_of_memory", "limit of 1Gi (its peak was 1Gi)", 137, 9},
		{"child out of memory, main exits", oom(exited(1)), "nonzero_exit", "1 of its child processes ran out of memory", 1, 0},
		{"child out of memory, main succeeds", oom(exited(0)), "completed", "", 0, 0},
		{"file too large", signaled(25), "output_limit", "more than 1Mi in one file", 153, 25},
		{"shim killed it", executor.Exit{Known: true, Code: 137, Signal: 9, DeadlineKill: true}, "timeout", "while the runner was away", 137, 9},
		{"no interpreter", executor.Exit{Known: true, Code: 127, ExecError: "/usr/bin/python3: no such file"}, "invalid_job", "python_executable (/usr/bin/python3) must be a path in the image", -1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.executor.script = func(_ context.Context, p *program) executor.Exit {
				p.write("kept", "1")
				p.log("stderr.log", "Traceback\n  ...\nValueError: \x1b[31mtoo low\n\n")
				return tc.exit
			}
			result := runOne(t, b, assignment("job", 0))
			if result.GetOutcome() != tc.outcome || !strings.Contains(result.GetErrorMessage(), tc.message) {
				t.Errorf("%s: %q\nwant %s: …%q…", result.GetOutcome(), result.GetErrorMessage(), tc.outcome, tc.message)
			}
			if tc.code < 0 && result.ExitCode != nil || tc.code >= 0 && result.GetExitCode() != tc.code || result.GetSignal() != tc.signal {
				t.Errorf("exit code %v, signal %d", result.ExitCode, result.GetSignal())
			}
			if strings.ContainsFunc(result.GetErrorMessage(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("control characters in %q", result.GetErrorMessage())
			}
			if tc.name == "child out of memory, main succeeds" && !slices.ContainsFunc(result.GetWarnings(), func(s string) bool { return strings.Contains(s, "want of memory") }) {
				t.Errorf("warnings %q", result.GetWarnings())
			}
			for _, name := range []string{"output/kept", "log/stderr.log"} {
				if !slices.Contains(files(t, result.GetDirectory()), name) {
					t.Errorf("%s is not kept", name)
				}
			}
			readManifest(t, result)
		})
	}
}

func TestTimeout(t *testing.T) {
	b := newBench(t)
	b.executor.script = untilKilled
	result := runOne(t, b, withTimeout(assignment("job", 0), 30*time.Millisecond))
	if result.GetOutcome() != "timeout" || !strings.Contains(result.GetErrorMessage(), "30ms") {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	if kills, _ := b.executor.handle("job-1").state(); kills == 0 {
		t.Error("the job was not killed")
	}
	readManifest(t, result)
}

func TestBreachKills(t *testing.T) {
	b := newBench(t)
	var recorded journal.Cause
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		p.publish(ctx, 3970, "orbit.radius_km", 6371.2, "km")
		p.publish(ctx, 3980, "orbit.radius_km", 6362.46, "km")
		<-ctx.Done()
		for range 1000 { // the reason is on disk before the kill, or at most 5 ms after
			if c, ok, err := b.runner.journal.CauseOf("job-1"); ok && err == nil {
				recorded = c
				break
			}
			time.Sleep(time.Millisecond)
		}
		return signaled(9)
	}
	result := runOne(t, b, radiusBelow(assignment("job", 0)))
	if result.GetOutcome() != "early_termination" || !strings.Contains(result.GetErrorMessage(), "reentry") {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	br := result.GetBreach()
	if br.GetCondition().GetName() != "reentry" || br.GetValue() != 6362.46 || br.GetTimeSeconds() != 3980 {
		t.Errorf("breach %v", br)
	}
	if br.KillMilliseconds == nil || br.GetKillMilliseconds() < 0 {
		t.Errorf("kill latency %v", br.KillMilliseconds)
	}
	if kills, _ := b.executor.handle("job-1").state(); kills == 0 {
		t.Error("the job was not killed")
	}
	if recorded.Kind != "verdict" || !strings.Contains(recorded.Message, "reentry") {
		t.Errorf("the journal says %+v", recorded)
	}
	if n := result.GetTelemetry().GetSamples(); n != 2 {
		t.Errorf("%d samples", n)
	}
	if !slices.Contains(files(t, result.GetDirectory()), "telemetry.parquet") {
		t.Error("no telemetry.parquet")
	}
	if _, ok, _ := mustOpen(t, b).CauseOf("job-1"); ok {
		t.Error("the recorded cause is left after the delivery")
	}
}

// A breaching sample decides although the job was faster than the kill.
func TestBreachInTheLastSample(t *testing.T) {
	b := newBench(t)
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		p.publish(context.WithoutCancel(ctx), 2170, "orbit.radius_km", 6300, "km")
		return exited(0)
	}
	result := runOne(t, b, radiusBelow(assignment("job", 0)))
	if result.GetOutcome() != "early_termination" || result.GetBreach().GetTimeSeconds() != 2170 {
		t.Errorf("%s: %s, %v", result.GetOutcome(), result.GetErrorMessage(), result.GetBreach())
	}
	if result.GetBreach().KillMilliseconds != nil {
		t.Errorf("kill latency %v of a job that ended by itself", result.GetBreach().GetKillMilliseconds())
	}
	if result.GetExitCode() != 0 || result.ExitCode == nil {
		t.Errorf("exit code %v", result.ExitCode)
	}
}

func TestTelemetryInvalid(t *testing.T) {
	for name, sample := range map[string]struct {
		value float64
		unit  string
	}{"unit": {7000, "m"}, "NaN": {math.NaN(), "km"}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.executor.script = func(ctx context.Context, p *program) executor.Exit {
				p.publish(ctx, 1, "orbit.radius_km", sample.value, sample.unit)
				return untilKilled(ctx, p)
			}
			result := runOne(t, b, radiusBelow(assignment("job", 0)))
			if result.GetOutcome() != "telemetry_invalid" || result.GetErrorMessage() == "" {
				t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
			}
			readManifest(t, result)
		})
	}
}

func TestDisabledConditionsDoNothing(t *testing.T) {
	b := newBench(t)
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		p.publish(ctx, 1, "orbit.radius_km", 1, "km")
		return exited(0)
	}
	a := radiusBelow(assignment("job", 0))
	a.EarlyTermination.Enabled = false
	if result := runOne(t, b, a); result.GetOutcome() != "completed" || result.GetBreach() != nil {
		t.Errorf("%s, breach %v", result.GetOutcome(), result.GetBreach())
	}
}

func TestOutputLimit(t *testing.T) {
	for name, fill := range map[string]func(p *program){
		"bytes": func(p *program) {
			p.write("a", strings.Repeat("x", 700<<10))
			p.write("b", strings.Repeat("x", 700<<10))
		},
		"files": func(p *program) {
			for i := range 60 {
				p.write(fmt.Sprint(i), "")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.executor.script = func(ctx context.Context, p *program) executor.Exit {
				fill(p)
				return untilKilled(ctx, p)
			}
			result := runOne(t, b, assignment("job", 0))
			if result.GetOutcome() != "output_limit" || !strings.Contains(result.GetErrorMessage(), "limits.output") {
				t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
			}
		})
		t.Run(name+", found at the end", func(t *testing.T) {
			b := newBench(t)
			b.pace.usage = time.Hour
			b.executor.script = func(_ context.Context, p *program) executor.Exit {
				fill(p)
				return exited(0)
			}
			if result := runOne(t, b, assignment("job", 0)); result.GetOutcome() != "output_limit" {
				t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
			}
		})
	}
}

func TestCancel(t *testing.T) {
	b := newBench(t).start()
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		p.write("so_far", "1")
		return untilKilled(ctx, p)
	}
	b.platform.submit(assignment("job", 0))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	b.platform.change(func() { b.platform.cancel["job-1"] = true })
	result := b.platform.result("job-1")
	b.drain()
	if result.GetOutcome() != "cancelled" || !slices.Contains(files(t, result.GetDirectory()), "output/so_far") {
		t.Errorf("%s: %s; files %q", result.GetOutcome(), result.GetErrorMessage(), files(t, result.GetDirectory()))
	}
}

// A cancellation also ends the wait for an image.
func TestCancelBeforeTheStart(t *testing.T) {
	b := newBench(t)
	resolving := make(chan struct{})
	b.executor.resolve = func(ctx context.Context, _ string) (string, error) {
		close(resolving)
		<-ctx.Done()
		return "", ctx.Err()
	}
	b.start()
	b.platform.submit(assignment("job", 0))
	<-resolving
	b.platform.change(func() { b.platform.cancel["job-1"] = true })
	result := b.platform.result("job-1")
	b.drain()
	if result.GetOutcome() != "cancelled" || result.GetStartedAt() != nil {
		t.Errorf("%s, started %v", result.GetOutcome(), result.GetStartedAt())
	}
}

func TestLeaseLost(t *testing.T) {
	for _, how := range []string{"heartbeat", "stale start report"} {
		t.Run(how, func(t *testing.T) {
			b := newBench(t)
			running := make(chan struct{})
			b.executor.script = func(ctx context.Context, p *program) executor.Exit {
				close(running)
				return untilKilled(ctx, p)
			}
			if how == "stale start report" {
				b.platform.fail = func(method string) error {
					if method == "ReportStarted" {
						return runnerv1.NewError(codes.FailedPrecondition, runnerv1.ReasonStaleToken, "stale")
					}
					return nil
				}
			} else {
				b.platform.lost["job-1"] = true
			}
			b.start()
			b.platform.submit(assignment("job", 0))
			<-running
			<-b.executor.handle("job-1").done
			b.drain()
			if b.platform.results["job-1"] != nil {
				t.Errorf("a lost attempt was reported: %v", b.platform.results["job-1"])
			}
			data, err := os.ReadFile(filepath.Join(attemptDir(b, 0), "manifest.json"))
			if err != nil || !strings.Contains(string(data), "lease_lost") {
				t.Errorf("manifest %s %v", data, err)
			}
			if reports, _, _ := mustOpen(t, b).Pending(); len(reports) > 0 {
				t.Errorf("outbox %v", reports)
			}
		})
	}
}

func TestHardStop(t *testing.T) {
	b := newBench(t).start()
	b.executor.script = untilKilled
	b.platform.submit(assignment("one", 0), assignment("two", 1))
	b.platform.await("both to start", func() bool { return len(b.platform.started) == 2 })
	b.stop()
	for _, id := range []string{"one-1", "two-1"} {
		result := b.platform.results[id]
		if result.GetOutcome() != "infrastructure" || !strings.Contains(result.GetErrorMessage(), "runner_shutdown") {
			t.Errorf("%s: %s: %s", id, result.GetOutcome(), result.GetErrorMessage())
		}
		readManifest(t, result)
	}
}

// An engine that hangs does not keep a hard stop from ending.
func TestHardStopOfAHungEngine(t *testing.T) {
	b := newBench(t)
	b.pace.stop = 50 * time.Millisecond
	release := make(chan struct{})
	b.executor.script = func(context.Context, *program) executor.Exit { <-release; return signaled(9) }
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	b.stop()
	close(release)
	<-b.executor.handle("job-1").done
	if result := b.platform.results["job-1"]; result.GetOutcome() != "infrastructure" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
}

func TestDrain(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxConcurrentJobs = 3
	finish := make(chan struct{})
	b.executor.script = func(context.Context, *program) executor.Exit { <-finish; return exited(0) }
	b.start()
	b.platform.submit(assignment("one", 0), assignment("two", 1))
	b.platform.await("both to start", func() bool { return len(b.platform.started) == 2 })
	b.runner.Drain()
	b.runner.Drain() // again does nothing
	b.platform.await("a draining heartbeat", func() bool {
		return slices.ContainsFunc(b.platform.heartbeats, func(h *runnerv1.HeartbeatRequest) bool { return h.GetDraining() && len(h.GetHeld()) == 2 })
	})
	b.platform.submit(assignment("late", 2))
	close(finish)
	b.drain()
	if len(b.platform.results) != 2 || len(b.platform.queue) != 1 {
		t.Errorf("%d results, %d jobs left, want 2 and the late one", len(b.platform.results), len(b.platform.queue))
	}
}

// A runner that was drained before it could register just ends.
func TestDrainWhilePlatformIsAway(t *testing.T) {
	b := newBench(t)
	b.platform.down()
	b.start()
	b.drain()
}

// The platform's drain is a pause: nothing is claimed until it resumes.
func TestMaintenance(t *testing.T) {
	b := newBench(t)
	b.pace.poll = 10 * time.Millisecond
	b.platform.drained = true
	b.start()
	b.platform.await("two heartbeats", func() bool { return len(b.platform.heartbeats) >= 2 })
	// What was asked before the drain was heard of may still be under way.
	b.platform.await("the claims to pause", func() bool { return !b.runner.gateOpen() })
	b.platform.await("a poll's time", func() bool { return len(b.platform.heartbeats) >= 6 })
	b.platform.submit(assignment("job", 0))
	b.platform.await("more heartbeats", func() bool { return len(b.platform.heartbeats) >= 10 })
	b.platform.change(func() {
		if b.platform.claimed != 0 {
			t.Error("a drained runner claimed a job")
		}
		b.platform.drained = false
	})
	b.platform.result("job-1")
	b.drain()
}

func TestJobsThatCannotRun(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(a *runnerv1.Assignment, e *scriptedExecutor, b *bench)
		outcome string
		message string
	}{
		{"image missing", func(_ *runnerv1.Assignment, e *scriptedExecutor, _ *bench) {
			e.resolve = func(context.Context, string) (string, error) {
				return "", fmt.Errorf("%w: no such image: lynx-basilisk", executor.ErrImage)
			}
		}, "invalid_job", `Build or pull the image "lynx-basilisk"`},
		{"image not allowed", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Compute.Image = "evil" }, "invalid_job", `"evil" is not allowed`},
		{"entrypoint missing", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Simulation.Entrypoint = "none.py" }, "invalid_job", `"none.py" is not there`},
		{"entrypoint outside", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Simulation.Entrypoint = "../etc" }, "invalid_job", "does not lie below"},
		{"configured entrypoint missing", func(_ *runnerv1.Assignment, _ *scriptedExecutor, b *bench) { b.cfg.BasiliskEntrypoint = "gone.py" }, "invalid_job", `basilisk_entrypoint "gone.py"`},
		{"too much memory", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Compute.MemoryBytes = 3 << 30 }, "invalid_job", "allows 2Gi (limits.max_memory)"},
		{"too many cpus", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Compute.CpuMillis = 2001 }, "invalid_job", "limits.max_cpu"},
		{"too long", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { withTimeout(a, 3*time.Hour) }, "invalid_job", "limits.max_timeout"},
		{"gpu", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Compute.Gpus = 1 }, "invalid_job", "1 GPUs"},
		{"invalid specification", func(_ *runnerv1.Assignment, e *scriptedExecutor, _ *bench) {
			e.start = func(context.Context, executor.Spec) error {
				return fmt.Errorf("%w: 900 CPUs", executor.ErrInvalidSpec)
			}
		}, "invalid_job", "900 CPUs"},
		{"engine unavailable", func(_ *runnerv1.Assignment, e *scriptedExecutor, _ *bench) {
			e.start = func(context.Context, executor.Spec) error {
				return fmt.Errorf("%w: connection refused", executor.ErrUnavailable)
			}
		}, "infrastructure", "connection refused"},
		{"engine unavailable for the image", func(_ *runnerv1.Assignment, e *scriptedExecutor, _ *bench) {
			e.resolve = func(context.Context, string) (string, error) { return "", executor.ErrUnavailable }
		}, "infrastructure", "engine is not available"},
		{"engine loses the job", func(_ *runnerv1.Assignment, e *scriptedExecutor, _ *bench) {
			e.script = untilKilled
			e.wait = func() error { return errors.New("EOF from the engine") }
		}, "infrastructure", "EOF from the engine"},
		{"working directory gone", func(_ *runnerv1.Assignment, _ *scriptedExecutor, b *bench) { os.RemoveAll(b.cfg.WorkingDirectory) }, "infrastructure", "working directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			a := assignment("job", 0)
			tc.change(a, b.executor, b)
			result := runOne(t, b, a)
			if result.GetOutcome() != tc.outcome || !strings.Contains(result.GetErrorMessage(), tc.message) {
				t.Errorf("%s: %q\nwant %s: …%q…", result.GetOutcome(), result.GetErrorMessage(), tc.outcome, tc.message)
			}
			if result.ExitCode != nil {
				t.Errorf("exit code %d of a job that nobody saw end", result.GetExitCode())
			}
			readManifest(t, result)
			if !slices.Contains(files(t, result.GetDirectory()), "run_config.json") {
				t.Error("no run_config.json")
			}
		})
	}
}

// What a batch asks for within the maxima is what it gets.
func TestRequestsWithinTheMaxima(t *testing.T) {
	b := newBench(t)
	var spec executor.Spec
	b.executor.script = func(_ context.Context, p *program) executor.Exit { spec = p.spec; return exited(0) }
	a := withTimeout(assignment("job", 0), time.Minute)
	a.Compute.CpuMillis, a.Compute.MemoryBytes, a.Compute.Image = 2000, 2<<30, "other"
	if result := runOne(t, b, a); result.GetOutcome() != "completed" {
		t.Fatalf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	if r := spec.Sandbox.Resources; *r.Memory.Limit != 2<<30 || *r.CPU.Quota != 200_000 || spec.Timeout != time.Minute || spec.Image != "sha256:other" {
		t.Errorf("resources %+v, timeout %v, image %s", r, spec.Timeout, spec.Image)
	}
	if !slices.Contains(spec.Env, "OMP_NUM_THREADS=2") {
		t.Errorf("environment %q", spec.Env)
	}
}

// Slots bound what runs, and two jobs at a time have different users.
func TestSlots(t *testing.T) {
	b := newBench(t)
	running := make(chan *program, 10)
	finish := make(chan struct{})
	b.executor.script = func(_ context.Context, p *program) executor.Exit { running <- p; <-finish; return exited(0) }
	b.start()
	for i := range uint64(5) {
		b.platform.submit(assignment(fmt.Sprint("job", i), i))
	}
	one, two := <-running, <-running
	if os.Geteuid() == 0 && one.spec.User.UID == two.spec.User.UID {
		t.Errorf("two jobs at a time run as %d", one.spec.User.UID)
	}
	b.platform.await("heartbeats", func() bool { return len(b.platform.heartbeats) > 3 })
	if len(running) > 0 || len(b.platform.queue) != 3 {
		t.Errorf("%d more jobs run, %d wait", len(running), len(b.platform.queue))
	}
	close(finish)
	for i := range 5 {
		b.platform.result(fmt.Sprintf("job%d-1", i))
	}
	b.drain()
}

// A second attempt of the same number, which a platform that lost its last
// writes gives out, does not touch the first one's files.
func TestSameAttemptTwice(t *testing.T) {
	b := newBench(t).start()
	b.platform.submit(assignment("job", 0))
	first := b.platform.result("job-1")
	b.platform.await("the delivery", func() bool { return !b.runner.outbox.has("job-1") && b.runner.job("job-1") == nil })
	b.platform.change(func() { b.platform.results = map[string]*runnerv1.Result{} })
	again := assignment("job", 0)
	again.Token = &runnerv1.Token{Epoch: 8, Counter: 1}
	b.platform.submit(again)
	second := b.platform.result("job-1")
	b.drain()
	if second.GetDirectory() != first.GetDirectory()+".8.1" {
		t.Errorf("directories %s and %s", first.GetDirectory(), second.GetDirectory())
	}
}

func TestBadIDsAreNotRun(t *testing.T) {
	b := newBench(t).start()
	bad := assignment("job", 0)
	bad.BatchId = "../../etc"
	b.platform.submit(bad, assignment("good", 1))
	b.platform.result("good-1")
	b.drain()
	if b.executor.handle("job-1") != nil {
		t.Error("a job with a path for an id was started")
	}
}

// mustOpen opens the journal of a runner that has ended.
func mustOpen(t *testing.T, b *bench) *journal.Journal {
	t.Helper()
	j, err := journal.Open(b.cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func unavailable(method string) func(string) error {
	return func(m string) error {
		if m == method {
			return status.Error(codes.Unavailable, "scripted")
		}
		return nil
	}
}
