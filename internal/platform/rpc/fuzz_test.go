package rpc

import (
	"errors"
	"io/fs"
	"math"
	"path"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

const someDigest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

// FuzzFileHeader: a file that is let in is one of the fixed ones or an artifact as
// the result says; a refusal is the runner's mistake and of bounded length.
func FuzzFileHeader(f *testing.F) {
	f.Add("output/sub/a.csv", int64(3), int64(1), someDigest)
	f.Add("output/sub/a.csv", int64(4), int64(0), someDigest)
	f.Add("output/sub/../sub/a.csv", int64(3), int64(0), someDigest)
	f.Add("log/stdout.log", int64(1)<<62, int64(1)<<61, someDigest)
	f.Add("output", int64(0), int64(0), strings.ToUpper(someDigest))
	f.Add("log/../../x", int64(0), int64(-1), someDigest+"\n")
	f.Add(strings.Repeat("\xff", 5000), int64(0), int64(0), "")
	h := &handIn{artifacts: map[string]*runnerv1.Artifact{"output/sub/a.csv": {Name: "sub/a.csv", Size: 3, Sha256: someDigest}}}
	f.Fuzz(func(t *testing.T, name string, size, offset int64, sum string) {
		head, err := h.header(&runnerv1.FileHeader{Path: name, Size: size, Offset: offset, Sha256: sum})
		if err != nil {
			if bad, ok := errors.AsType[*platform.InvalidError](err); !ok && !errors.Is(err, files.ErrPath) || ok && !strings.HasPrefix(bad.Field, "file") {
				t.Fatalf("%T: %v", err, err)
			}
			if len(err.Error()) > 8*maxShown {
				t.Fatalf("a refusal of %d bytes", len(err.Error()))
			}
			return
		}
		want := files.Header{Path: name, Size: size, SHA256: sum, Offset: offset}
		if head != want || offset < 0 || offset > size || !sha256Hex.MatchString(sum) {
			t.Fatalf("%+v is let in", head)
		}
		if path.Clean(name) != name || !fs.ValidPath(name) || strings.HasPrefix(name, files.Output) && name != "output/sub/a.csv" {
			t.Fatalf("%q is let in", name)
		}
	})
}

// FuzzResult: a result that is let in is within its bounds, whatever it is encoded
// as, and one that is not is the runner's mistake, by the name of a field.
func FuzzResult(f *testing.F) {
	for _, r := range []*runnerv1.Result{
		{Outcome: "completed", Directory: "/srv/out", Metrics: map[string]float64{"a.b": 1}, Artifacts: []*runnerv1.Artifact{{Name: "a", Sha256: someDigest}}},
		{Outcome: "completed", Metrics: map[string]float64{"a b": math.NaN()}, Artifacts: []*runnerv1.Artifact{{Name: "../a", Sha256: someDigest}}},
		{Outcome: "Completed", Directory: "/srv/../etc", Warnings: []string{"x"}, Usage: &runnerv1.Usage{CpuSeconds: math.Inf(1)}},
		{Outcome: "killed", Breach: &runnerv1.Breach{}, Telemetry: &runnerv1.TelemetrySummary{Variables: []*runnerv1.VariableSummary{{Name: "x"}, {Name: "x"}}}},
	} {
		raw, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r runnerv1.Result
		if proto.Unmarshal(raw, &r) != nil {
			return
		}
		if err := checkResult(&r); err != nil {
			if bad, ok := errors.AsType[*platform.InvalidError](err); !ok || !strings.HasPrefix(bad.Field, "result.") {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for name, x := range r.GetMetrics() {
			if math.IsNaN(x) || math.IsInf(x, 0) || !metricName.MatchString(name) || len(name) > maxMetricName {
				t.Fatalf("metric %q is %v", name, x)
			}
		}
		for _, a := range r.GetArtifacts() {
			if p := files.Output + a.GetName(); path.Clean(p) != p || !strings.HasPrefix(p, files.Output) || a.GetSize() < 0 {
				t.Fatalf("artifact %v is let in", a)
			}
		}
		if d := r.GetDirectory(); d != "" && (d[0] != '/' || path.Clean(d) != d) || r.GetUsage().GetCpuSeconds() < 0 {
			t.Fatalf("%v is let in", &r)
		}
	})
}

// FuzzRequests: a runner's identification and references are refused by the name of
// a field, or fit for a file name, a URL and a terminal.
func FuzzRequests(f *testing.F) {
	f.Add("host-1.example", "i-1", "docker", "job-1-2", uint32(4), 7.5)
	f.Add("..", "-x", "podman", "job", uint32(0), math.NaN())
	f.Add("a/b", "\x1b[2J", "process", "job-1\n", uint32(1<<31), -0.5)
	f.Fuzz(func(t *testing.T, runner, installation, executor, attempt string, slots uint32, memory float64) {
		check := func(field string, err error) bool {
			bad, ok := errors.AsType[*platform.InvalidError](err)
			if err != nil && (!ok || bad.Field == "") {
				t.Fatalf("%s: %T: %v", field, err, err)
			}
			return err == nil
		}
		m := &runnerv1.RegisterRequest{RunnerId: runner, InstallationId: installation, Executor: executor, Capabilities: &runnerv1.Capabilities{
			MaxConcurrentJobs: slots, MemoryGb: memory, SupportedSimulationTypes: []string{"basilisk"},
		}}
		if check("register", checkRegister(m)) {
			for _, id := range []string{runner, installation} {
				if !fs.ValidPath(id) || strings.ContainsAny(id, "/\x1b\n") || id[0] == '.' || id[0] == '-' || len(id) > maxID {
					t.Fatalf("%q is let in", id)
				}
			}
			if slots < 1 || slots > maxSlots || !(memory >= 0) || math.IsInf(memory, 0) {
				t.Fatalf("%d slots and %v GB are let in", slots, memory)
			}
		}
		ref := &runnerv1.AttemptRef{AttemptId: attempt, Token: &runnerv1.Token{}}
		if check("attempt", checkAttempt("attempt", ref)) {
			if job, n, err := platform.ParseAttemptID(attempt); err != nil || platform.AttemptID(job, n) != attempt || len(attempt) > maxID {
				t.Fatalf("%q is let in", attempt)
			}
		}
	})
}
