package runner

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/executor"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// leaving is a job that leaves these files in its output, and logs.
func leaving(content map[string]string) func(context.Context, *program) executor.Exit {
	return func(ctx context.Context, p *program) executor.Exit {
		for name, text := range content {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(p.spec.OutputDir, name)), 0o700); err != nil {
				p.t.Error(err)
			}
			p.write(name, text)
		}
		p.log("stdout.log", "printed\n")
		p.log("stderr.log", "")
		p.publish(ctx, 1, "orbit.radius_km", 7000, "km")
		return exited(0)
	}
}

// again starts the runner once more, and waits until it is at work: one that is
// drained before has nothing to do.
func (b *bench) again() {
	b.t.Helper()
	before := 0
	b.platform.change(func() { before = len(b.platform.heartbeats) })
	b.start()
	b.platform.await("a heartbeat", func() bool { return len(b.platform.heartbeats) > before })
}

// nothingDue checks that a runner that has ended left nothing to send.
func nothingDue(t *testing.T, b *bench) {
	t.Helper()
	j := mustOpen(t, b)
	reports, rejected, err := j.Uploads()
	if err != nil || len(reports)+len(rejected) > 0 {
		t.Errorf("left to send: %v, %v, %v", reports, rejected, err)
	}
}

// everything is the names of what an attempt leaves that has these artifacts.
func everything(artifacts ...string) []string {
	names := []string{"log/stderr.log", "log/stdout.log", "manifest.json", "run_config.json", "telemetry.parquet"}
	for _, a := range artifacts {
		names = append(names, "output/"+a)
	}
	slices.Sort(names)
	return names
}

// same checks that what the platform has of an attempt is what lies on disk.
func same(t interface {
	Helper()
	Errorf(string, ...any)
}, b *bench, attempt string, want []string) {
	t.Helper()
	if got := b.platform.files.whole(attempt); !slices.Equal(got, want) {
		t.Errorf("the platform has %q, want %q", got, want)
	}
	for name, file := range b.platform.files.attempts[attempt] {
		data, err := os.ReadFile(filepath.Join(b.platform.results[attempt].GetDirectory(), name))
		if err != nil || file.complete && !bytes.Equal(data, file.data) {
			t.Errorf("%s has %d bytes, and %d on disk; %v", name, len(file.data), len(data), err)
		}
	}
}

func TestFilesAreSent(t *testing.T) {
	b := newBench(t)
	keepFiles(b)
	b.cfg.Limits.Output.FileBytes = 4 << 20
	b.cfg.Limits.Output.TotalBytes = 4 << 20
	b.executor.script = leaving(map[string]string{"a.csv": "1,2\n", "deep/er/b.bin": strings.Repeat("0123456789abcdef", 60_000), "empty": ""})
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.result("job-1")
	b.drain()
	same(t, b, "job-1", everything("a.csv", "deep/er/b.bin", "empty"))
	if f := b.platform.files; f.streams != 1 || f.headers[0].GetPath() != "manifest.json" {
		t.Errorf("%d streams, the first file is %s", f.streams, f.headers[0].GetPath())
	}
	nothingDue(t, b)
}

// A platform that keeps no files is not asked, and nothing is kept for it.
func TestPlatformWithoutFiles(t *testing.T) {
	b := newBench(t).start()
	b.platform.submit(assignment("job", 0))
	b.platform.result("job-1")
	b.drain()
	nothingDue(t, b)
}

// However a platform cuts the streams, and however often the runner is stopped in
// between, everything arrives in the end as it is, no byte of a whole file twice.
func TestUploadsGoOn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		b.pace.deliver, b.pace.backoffMin, b.pace.backoffMax = time.Millisecond, time.Microsecond, time.Millisecond
		files := keepFiles(b)
		cuts := rapid.SliceOfN(rapid.IntRange(0, 400_000), 0, 12).Draw(rt, "cuts")
		files.cut = func() int {
			if len(cuts) == 0 {
				return -1
			}
			next := cuts[0]
			cuts = cuts[1:]
			return next
		}
		content := map[string]string{}
		total := 0
		for i, size := range rapid.SliceOfN(rapid.IntRange(0, 300_000), 1, 3).Draw(rt, "sizes") {
			content[string(rune('a'+i))] = strings.Repeat(string(rune('A'+i)), size)
			total += size
		}
		b.executor.script = leaving(content)
		b.start()
		b.platform.submit(assignment("job", 0))
		b.platform.result("job-1")
		for range rapid.IntRange(0, 2).Draw(rt, "restarts") {
			b.stop()
			b.again()
		}
		b.drain()
		var artifacts []string
		for name := range content {
			artifacts = append(artifacts, name)
		}
		same(rt, b, "job-1", everything(artifacts...))
		// What was on its way when a runner was stopped may come again.
		if files.received > 3*total+100_000 {
			rt.Errorf("%d bytes were received of files of %d", files.received, total)
		}
		nothingDue(t, b)
	})
}

// A process that ends before the files are sent leaves that to the next, which
// goes on where the platform's bytes end.
func TestUploadSurvivesTheProcess(t *testing.T) {
	b := newBench(t)
	b.pace.deliver = time.Millisecond
	files := keepFiles(b)
	const size = 900_000
	files.cut = func() int { return 500_000 }
	b.cfg.Limits.Output.FileBytes = 1 << 20
	b.executor.script = leaving(map[string]string{"big": strings.Repeat("x", size)})
	b.platform.fail = func(method string) error {
		if method == "ListFiles" && files.streams > 0 {
			return status.Error(codes.Unavailable, "scripted")
		}
		return nil
	}
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.await("a cut", func() bool { return files.streams == 1 && files.received >= 500_000 })
	b.stop()
	b.platform.change(func() { b.platform.fail, files.cut = nil, nil })
	had := len(files.attempts["job-1"]["output/big"].data)
	b.start()
	b.platform.await("the rest", func() bool { return files.attempts["job-1"]["output/big"].complete })
	b.drain()
	same(t, b, "job-1", everything("big"))
	last := files.headers[len(files.headers)-1]
	if had == 0 || last.GetPath() != "output/big" || last.GetOffset() != int64(had) {
		t.Errorf("went on at %d of %s, after %d bytes", last.GetOffset(), last.GetPath(), had)
	}
	nothingDue(t, b)
}

// Sending takes no slot, and a platform that does not read keeps nobody waiting;
// nor does one that is away while files are due keep a hard stop.
func TestUploadsTakeNoSlot(t *testing.T) {
	b := newBench(t)
	b.pace.deliver = time.Millisecond
	b.cfg.MaxConcurrentJobs = 1
	files := keepFiles(b)
	files.hold = make(chan struct{})
	b.executor.script = leaving(map[string]string{"big": strings.Repeat("x", 900_000)})
	b.start()
	for i, job := range []string{"one", "two", "three", "four"} {
		b.platform.submit(assignment(job, uint64(i)))
		b.platform.result(job + "-1")
	}
	b.platform.await("streams", func() bool { return files.streams == uploadStreams })
	b.stop()
	if reports, _, err := mustOpen(t, b).Uploads(); err != nil || len(reports) != 4 {
		t.Errorf("%d attempts are left to send, error %v", len(reports), err)
	}
}

// A stream that does not move is given up and tried again.
func TestStalledUpload(t *testing.T) {
	b := newBench(t)
	files := keepFiles(b)
	b.pace.stall = 20 * time.Millisecond
	files.hold = make(chan struct{})
	b.executor.script = leaving(map[string]string{"big": strings.Repeat("x", 900_000)})
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.await("a second try", func() bool { return files.streams >= 2 })
	b.platform.change(func() { close(files.hold); files.hold = nil })
	b.drain()
	same(t, b, "job-1", everything("big"))
}

// What a platform refuses for good is dropped, and keeps nothing from being sent.
func TestRefusedFiles(t *testing.T) {
	for name, refusal := range map[string]error{
		"stale token":   runnerv1.NewError(codes.FailedPrecondition, runnerv1.ReasonStaleToken, "stale"),
		"not found":     status.Error(codes.NotFound, "no such attempt"),
		"invalid":       status.Error(codes.InvalidArgument, "no such file"),
		"too large":     status.Error(codes.FailedPrecondition, "too many bytes"),
		"unimplemented": status.Error(codes.Unimplemented, "no files here"),
	} {
		for _, method := range []string{"ListFiles", "PutFiles"} {
			t.Run(name+" "+method, func(t *testing.T) {
				b := newBench(t)
				keepFiles(b)
				refused := 0
				b.platform.fail = func(m string) error {
					if m == method && refused == 0 {
						refused++
						return refusal
					}
					return nil
				}
				b.executor.script = leaving(nil)
				b.start()
				b.platform.submit(assignment("one", 0))
				b.platform.await("the refusal", func() bool { return refused == 1 })
				b.platform.submit(assignment("two", 1))
				b.platform.result("two-1")
				b.drain()
				same(t, b, "two-1", everything())
				if got := b.platform.files.whole("one-1"); len(got) > 0 {
					t.Errorf("sent after a refusal: %q", got)
				}
				nothingDue(t, b)
			})
		}
	}
}

// An upload that fails again and again of something else is given up; a full
// platform is waited for.
func TestFailingUploads(t *testing.T) {
	b := newBench(t)
	b.pace.backoffMax = time.Millisecond
	files := keepFiles(b)
	tries := map[string]int{}
	files.answer = func(h *runnerv1.FileHeader) error {
		tries[h.GetPath()]++
		if h.GetPath() == "output/bad" {
			return status.Error(codes.Internal, "scripted")
		}
		if h.GetPath() == "manifest.json" && tries["manifest.json"] <= 2*uploadTries {
			return status.Error(codes.ResourceExhausted, "full")
		}
		return nil
	}
	b.executor.script = leaving(map[string]string{"bad": "x", "good": "y"})
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.result("job-1")
	b.drain()
	if tries["output/bad"] != uploadTries {
		t.Errorf("%d tries", tries["output/bad"])
	}
	same(t, b, "job-1", everything())
	nothingDue(t, b)
}

// A file that arrives damaged is sent anew; one that always does is left out, and
// nothing else with it.
func TestDamagedOnTheWay(t *testing.T) {
	b := newBench(t)
	files := keepFiles(b)
	tries := map[string]int{}
	files.answer = func(h *runnerv1.FileHeader) error {
		tries[h.GetPath()]++
		if h.GetPath() == "output/always" || h.GetPath() == "output/once" && tries["output/once"] == 1 {
			return status.Error(codes.DataLoss, "scripted")
		}
		return nil
	}
	b.executor.script = leaving(map[string]string{"always": "x", "once": "y", "then": "z"})
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.result("job-1")
	b.drain()
	if tries["output/always"] != maxLost || tries["output/once"] != 2 {
		t.Errorf("tries %v", tries)
	}
	same(t, b, "job-1", everything("once", "then"))
	nothingDue(t, b)
}

// What is not what was collected is not sent, whatever it has become; the rest is.
func TestChangedFilesAreLeftOut(t *testing.T) {
	b := newBench(t)
	keepFiles(b)
	b.platform.fail = unavailable("ListFiles")
	b.executor.script = leaving(map[string]string{"same": "1", "grown": "1", "other": "1", "gone": "1", "link": "1", "fifo": "1", "twice": "1", "in/x": "1"})
	b.start()
	b.platform.submit(assignment("job", 0))
	out := filepath.Join(b.platform.result("job-1").GetDirectory(), "output")
	in := func(name string) string { return filepath.Join(out, name) }
	if err := errors.Join(
		os.WriteFile(in("grown"), []byte("12"), 0o600), os.WriteFile(in("other"), []byte("2"), 0o600), os.Remove(in("gone")),
		os.Remove(in("link")), os.Symlink("same", in("link")), os.Remove(in("fifo")), syscall.Mkfifo(in("fifo"), 0o600),
		os.Link(in("twice"), in("thrice")), os.Rename(in("in"), in("on")), os.Symlink("on", in("in")),
	); err != nil {
		t.Fatal(err)
	}
	b.platform.change(func() { b.platform.fail = nil })
	b.drain()
	same(t, b, "job-1", everything("same"))
	nothingDue(t, b)
}

// Nor is a directory followed that took the attempt's place.
func TestLinkedAttemptIsNotSent(t *testing.T) {
	for name, replace := range map[string]func(dir string) error{
		"link": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(filepath.Base(dir)+".real", dir))
		},
		"gone": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			keepFiles(b)
			b.platform.fail = unavailable("ListFiles")
			b.executor.script = leaving(nil)
			b.pace.deliver = time.Millisecond
			b.start()
			b.platform.submit(assignment("job", 0))
			dir := b.platform.result("job-1").GetDirectory()
			b.stop()
			if err := replace(dir); err != nil {
				t.Fatal(err)
			}
			b.platform.change(func() { b.platform.fail = nil })
			b.again()
			b.drain()
			if got := b.platform.files.whole("job-1"); len(got) > 0 {
				t.Errorf("sent %q", got)
			}
			nothingDue(t, b)
		})
	}
}

// What does not fit into what a platform keeps of an attempt is left out whole.
func TestFitting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var files []localFile
		for _, size := range rapid.SliceOfN(rapid.Int64Range(0, 20), 0, 20).Draw(t, "sizes") {
			files = append(files, localFile{size: size})
		}
		bound := rapid.Int64Range(0, 60).Draw(t, "bound")
		fit, left := fitting(files, bound)
		sum, smallest := int64(0), int64(21)
		for _, f := range fit {
			sum += f.size
		}
		for _, f := range left {
			smallest = min(smallest, f.size)
		}
		switch {
		case len(fit)+len(left) != len(files):
			t.Fatalf("%d and %d of %d", len(fit), len(left), len(files))
		case bound == 0 && len(left) > 0, bound > 0 && (sum > bound || len(left) > 0 && sum+smallest <= bound):
			t.Fatalf("bound %d: %v fit, %v are left out", bound, fit, left)
		}
	})
}

func TestUploadsKeepToTheBound(t *testing.T) {
	b := newBench(t)
	keepFiles(b).most = 100_000
	b.executor.script = leaving(map[string]string{"a": strings.Repeat("x", 200_000), "b": "y"})
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.result("job-1")
	b.drain()
	same(t, b, "job-1", everything("b"))
	nothingDue(t, b)
}

// Output beyond the limits that does not decide the outcome is mentioned.
func TestOutputLeftOutOfAFailedJob(t *testing.T) {
	b := newBench(t)
	b.cfg.Limits.Output.Depth = 1
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		leaving(map[string]string{"a": "x", "deep/er/b": "y"})(ctx, p)
		return exited(3)
	}
	result := runOne(t, b, assignment("job", 0))
	if result.GetOutcome() != "nonzero_exit" {
		t.Fatalf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	if !slices.ContainsFunc(result.GetWarnings(), func(w string) bool { return strings.Contains(w, `"deep/er" is nested deeper`) }) {
		t.Errorf("warnings %q", result.GetWarnings())
	}
}
