package runner

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// heartbeats sends one at the interval that the platform asked for, and one at
// once when the runner begins to drain, or a pause begins or ends, until ctx ends. A
// heartbeat that fails is followed by the next: the platform's patience is its own.
func (r *Runner) heartbeats(ctx context.Context) {
	drain := r.drain
	for {
		r.heartbeat(ctx)
		interval := r.session.heartbeat()
		timer := time.NewTimer(interval - rand.N(interval/10+1))
		select {
		case <-timer.C:
		case <-drain:
			drain = nil
		case <-r.pauses.news:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

func (r *Runner) heartbeat(ctx context.Context) {
	if err := r.journal.Alive(r.now()); err != nil {
		r.log.Warn("journal", "error", err)
	}
	var response *runnerv1.HeartbeatResponse
	err := r.session.call(ctx, r.pace.call, func(ctx context.Context, session string) (err error) {
		response, err = r.deps.Platform.Heartbeat(ctx, &runnerv1.HeartbeatRequest{
			SessionId: session, Held: r.held(), Draining: r.draining(), Paused: r.pauses.text(),
		})
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			r.log.Warn("heartbeat failed", "error", err)
		}
		return
	}
	r.obey(response)
}

// leave tells the platform that this process ends, which need not wait then until
// the runner was silent for long enough. It is tried once: a platform that does not
// hear it, or knows no such call, finds out. A session that is over stays so: another
// process may have the next.
func (r *Runner) leave(ctx context.Context) {
	bounded, cancel := outlive(ctx, r.pace.deliver)
	defer cancel()
	bounded, cancelCall := context.WithTimeout(bounded, r.pace.answer)
	defer cancelCall()
	_, err := r.deps.Platform.Leave(bounded, &runnerv1.LeaveRequest{SessionId: r.session.id(), Held: r.held()})
	if err != nil && status.Code(err) != codes.Unimplemented {
		r.log.Warn("the platform was not told that this runner ends", "error", err)
	}
}

// obey does what a heartbeat brought back. Attempts that have ended meanwhile
// are left alone: their results are judged by their tokens.
func (r *Runner) obey(response *runnerv1.HeartbeatResponse) {
	if r.gate.set(response.GetDrain()) {
		r.log.Info("the platform changed what this runner does", "drained", response.GetDrain())
	}
	for _, id := range response.GetCancel() {
		if j := r.job(id); j != nil {
			j.stop(cause{kind: causeCancel, at: r.now()})
		}
	}
	for _, id := range response.GetLost() {
		if j := r.job(id); j != nil {
			j.stop(cause{kind: causeLeaseLost, at: r.now()})
		}
	}
}
