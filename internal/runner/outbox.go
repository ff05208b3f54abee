package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/api"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// outbox delivers results. What is in it is on disk, and stays there until the
// platform has acknowledged it or refused it for good. Where it calls a result
// invalid, a plain one takes its place that says so.
type outbox struct {
	r *Runner

	mu      sync.Mutex
	pending map[string]*runnerv1.ReportResultRequest
	changed chan struct{} // closed and replaced at each change
}

func newOutbox(r *Runner) *outbox {
	return &outbox{r: r, pending: map[string]*runnerv1.ReportResultRequest{}, changed: make(chan struct{})}
}

// load takes up what an earlier process left.
func (o *outbox) load() error {
	reports, rejected, err := o.r.journal.Pending()
	if err != nil {
		return err
	}
	for _, name := range rejected {
		o.r.log.Error("a result in the outbox cannot be read; it was put aside", "attempt", name, "state_dir", o.r.cfg.StateDir)
	}
	for _, report := range reports {
		o.insert(report)
	}
	if len(reports) > 0 {
		o.r.log.Info("delivering the results of an earlier run", "results", len(reports))
	}
	return nil
}

// put writes a result down, calls settled, and has it delivered. A result that
// cannot be written is delivered all the same.
func (o *outbox) put(report *runnerv1.ReportResultRequest, settled func()) {
	if err := o.r.journal.Put(report); err != nil {
		o.r.log.Error("a result could not be written to the outbox and is lost if this runner ends before it is delivered",
			"attempt", report.GetAttempt().GetAttemptId(), "error", err)
	}
	settled()
	o.insert(report)
}

func (o *outbox) insert(report *runnerv1.ReportResultRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending[report.GetAttempt().GetAttemptId()] = report
	o.signal()
}

// remove drops a result that was dealt with.
func (o *outbox) remove(id string, journal error) {
	if journal != nil {
		o.r.log.Error("the journal could not be kept", "attempt", id, "error", journal)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.pending, id)
	o.signal()
}

// signal tells whoever waits that something changed; o.mu is held.
func (o *outbox) signal() {
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *outbox) has(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pending[id] != nil
}

func (o *outbox) refs() []*runnerv1.AttemptRef {
	o.mu.Lock()
	defer o.mu.Unlock()
	var refs []*runnerv1.AttemptRef
	for _, report := range o.pending {
		refs = append(refs, report.GetAttempt())
	}
	return refs
}

// snapshot returns what is pending, in a fixed order, and a channel that is
// closed at the next change.
func (o *outbox) snapshot() ([]*runnerv1.ReportResultRequest, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []*runnerv1.ReportResultRequest
	for _, id := range slices.Sorted(maps.Keys(o.pending)) {
		list = append(list, o.pending[id])
	}
	return list, o.changed
}

// drained waits until nothing is pending, or ctx ends, and returns how many
// results are left.
func (o *outbox) drained(ctx context.Context) int {
	for {
		list, changed := o.snapshot()
		if len(list) == 0 {
			return 0
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return len(list)
		}
	}
}

// deliver sends what is pending until ctx ends. While the platform cannot be
// reached it waits between tries, longer each time. A result that the platform
// has trouble with does not keep it from the others.
func (o *outbox) deliver(ctx context.Context) {
	wait := o.r.pace.backoff()
	for ctx.Err() == nil {
		list, changed := o.snapshot()
		failed := false
		for _, report := range list {
			err := o.send(ctx, report)
			if err == nil {
				wait = o.r.pace.backoff()
				continue
			}
			failed = true
			if away(err) {
				break
			}
		}
		if failed {
			wait.wait(ctx)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// send tries to deliver one result. It returns nil if that is settled: accepted,
// whereupon the files are due, or refused in a way that no further try changes.
func (o *outbox) send(ctx context.Context, report *runnerv1.ReportResultRequest) error {
	id := report.GetAttempt().GetAttemptId()
	err := o.r.session.call(ctx, o.r.pace.call, func(ctx context.Context, session string) error {
		request := proto.CloneOf(report)
		request.SessionId = session
		_, err := o.r.deps.Platform.ReportResult(ctx, request)
		return err
	})
	switch {
	case err == nil:
		o.r.log.Info("result delivered", "attempt", id, "outcome", report.GetResult().GetOutcome())
		err = o.r.uploads.put(report)
	case runnerv1.ReasonOf(err) == runnerv1.ReasonStaleToken:
		o.r.log.Info("the attempt was given to another runner; its result is dropped", "attempt", id)
		err = o.r.journal.Forget(id)
	case status.Code(err) == codes.InvalidArgument && !isSubstitute(report):
		o.r.log.Error("the platform calls a result invalid; it was put aside, and the platform told", "attempt", id, "state_dir", o.r.cfg.StateDir, "error", err)
		o.substitute(report, err)
		return nil
	case refused(err):
		o.r.log.Error("the platform refuses a result for good; it is dropped", "attempt", id, "error", err)
		err = o.r.journal.Forget(id)
	default:
		if ctx.Err() == nil {
			o.r.log.Warn("cannot deliver a result; trying again", "attempt", id, "error", err)
		}
		return err
	}
	o.remove(id, err)
	return nil
}

// refusedAsInvalid begins the message of a substitute, and of nothing else.
const refusedAsInvalid = "The platform refused the attempt's result as invalid: "

// substitute puts an invalid result aside for a person, and has one delivered in its
// place that no platform can find fault with: the job would else be taken for running
// until its lease ends, without a word about what went wrong.
func (o *outbox) substitute(report *runnerv1.ReportResultRequest, refusal error) {
	if err := o.r.journal.Reject(report); err != nil {
		o.r.log.Error("an invalid result could not be put aside", "attempt", report.GetAttempt().GetAttemptId(), "error", err)
	}
	message := fmt.Sprintf("%s%s Its outcome was %q; it is kept in rejected/ in the runner's state_dir, the files in %q.",
		refusedAsInvalid, clip(sentence(status.Convert(refusal).Message())), clip(report.GetResult().GetOutcome()), clip(report.GetResult().GetDirectory()))
	o.put(&runnerv1.ReportResultRequest{Attempt: report.GetAttempt(), Result: &runnerv1.Result{
		Outcome: string(api.OutcomeInfrastructure), ErrorMessage: message,
	}}, func() {})
}

// clip keeps a text that is quoted short.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 500)], "") }

func isSubstitute(report *runnerv1.ReportResultRequest) bool {
	return strings.HasPrefix(report.GetResult().GetErrorMessage(), refusedAsInvalid)
}

// away reports whether an error says that no other result can be delivered now
// either.
func away(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unauthenticated:
		return true
	}
	return false
}

// refused reports whether a platform will never take a result.
func refused(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound:
		return true
	}
	return false
}

// maxReport keeps a report well below the 4 MiB that a gRPC server takes.
const maxReport = 3 << 20

// fit shortens a report that no platform would take: the list of artifacts is
// whole in the manifest.
func fit(report *runnerv1.ReportResultRequest) {
	result := report.GetResult()
	all := len(result.Artifacts)
	for proto.Size(report) > maxReport && len(result.Artifacts) > 0 {
		result.Artifacts = result.Artifacts[:len(result.Artifacts)/2]
	}
	if n := all - len(result.Artifacts); n > 0 {
		result.Warnings = append(result.Warnings, fmt.Sprintf("%d of %d artifacts are listed in manifest.json only.", n, all))
	}
}
