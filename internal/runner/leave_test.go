package runner

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// A runner that ends says so, as the last thing that the platform hears of it.
func TestTheLastWord(t *testing.T) {
	for name, end := range map[string]func(*bench){"drain": (*bench).drain, "hard stop": (*bench).stop} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if name == "hard stop" {
				b.executor.script = untilKilled
			}
			var late []string
			b.platform.fail = func(method string) error {
				if len(b.platform.leaves) > 0 && method != "Register" {
					late = append(late, method)
				}
				return nil
			}
			b.start()
			b.platform.submit(assignment("job", 0))
			b.platform.await("the job", func() bool { return len(b.platform.started) == 1 || b.platform.results["job-1"] != nil })
			end(b)
			if len(b.platform.leaves) != 1 || b.platform.leaves[0].GetSessionId() != "session-1" || len(b.platform.leaves[0].GetHeld()) > 0 {
				t.Errorf("signed off: %v", b.platform.leaves)
			}
			if len(late) > 0 || b.platform.results["job-1"] == nil {
				t.Errorf("calls behind the last word: %q; results %v", late, b.platform.results)
			}
		})
	}
}

// A result that is left for the next process is named: nobody else need run the job.
func TestTheLastWordNamesWhatIsLeft(t *testing.T) {
	b := newBench(t)
	b.pace.deliver = 50 * time.Millisecond
	b.platform.failFor = map[string]error{"job-1": status.Error(codes.Internal, "not now")}
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.await("the refusal", func() bool { return b.platform.refusals > 0 })
	b.stop()
	if !slices.EqualFunc(b.platform.leaves, []string{"job-1"}, func(l *runnerv1.LeaveRequest, id string) bool {
		return len(l.GetHeld()) == 1 && l.GetHeld()[0].GetAttemptId() == id
	}) {
		t.Errorf("signed off: %v", b.platform.leaves)
	}
}

// A session that another process has taken over is not taken back for the last word,
// and a platform that knows no such call is no trouble.
func TestTheLastWordIsNotHeard(t *testing.T) {
	for name, err := range map[string]error{
		"taken over": runnerv1.NewError(codes.Unauthenticated, runnerv1.ReasonUnknownSession, "no such session"),
		"older":      status.Error(codes.Unimplemented, "unknown method Leave"),
		"away":       status.Error(codes.Unavailable, "scripted"),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.platform.fail = func(method string) error {
				if method == "Leave" {
					return err
				}
				return nil
			}
			b.start()
			b.platform.await("a heartbeat", func() bool { return len(b.platform.heartbeats) > 0 })
			b.drain()
			if len(b.platform.registers) != 1 {
				t.Errorf("registered %d times", len(b.platform.registers))
			}
		})
	}
}
