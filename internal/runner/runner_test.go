package runner

import (
	"context"
	"encoding/json"
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

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func TestMain(m *testing.M) {
	if os.Getenv(mortalDir) != "" {
		os.Exit(runMortal())
	}
	goleak.VerifyTestMain(m)
}

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
	known := make(chan struct{}) // that the job has started; the end of a job cuts the report short
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		<-known
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
	b.start()
	b.platform.submit(assignment("job", 17))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	close(known)
	result := b.platform.result("job-1")
	b.drain()
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
	// Which of the range it is depends on what else runs on this host.
	if uid := int(spec.User.UID); os.Geteuid() == 0 && (uid < b.cfg.UIDs.First || uid > b.cfg.UIDs.Last || spec.User.GID != spec.User.UID) {
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

// While the job runs, its user can write to two directories and nothing else, and
// no other job's user can look into its own.
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
	want := map[string]seen{".": {me, 0o750}, "output": {user, 0o750}, "log": {user, 0o750}, "run_config.json": {me, 0o644}}
	if diff := cmp.Diff(want, during, cmp.AllowUnexported(seen{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, name := range append(files(t, result.GetDirectory()), "output", "log", "..") {
		if uid, _, err := ownerOf(filepath.Join(result.GetDirectory(), name)); err != nil || uid != os.Geteuid() {
			t.Errorf("%s belongs to %d afterwards (%v)", name, uid, err)
		}
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
		// The reason is on its way to the disk before the kill, and the kill has not
		// returned before it is there.
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if c, ok, err := b.runner.journal.CauseOf("job-1"); ok && err == nil {
				recorded = c
				break
			}
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
